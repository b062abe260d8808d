/**
 * The fifteen queues of the platform. A worker looks through them by priority, 10 first; the names say which task
 * family uses a queue and how much it matters. All are declared from the start, also those whose tasks come later.
 */

/** A queue's name and its priority, from 1 (last) to 10 (first). */
export interface PlatformQueue {
  readonly name: string;
  readonly priority: number;
  /** Its jobs stay in the outbox until they have ended, so that they survive a broker that loses its data. */
  readonly keepUntilEnd?: boolean;
}

export const queues = [
  { name: 'payment.critical', priority: 10, keepUntilEnd: true },
  { name: 'order.critical', priority: 10, keepUntilEnd: true },
  { name: 'monitoring.critical', priority: 10, keepUntilEnd: true },
  { name: 'email.urgent', priority: 9 },
  { name: 'analytics.realtime', priority: 7 },
  { name: 'payment.normal', priority: 6 },
  { name: 'order.normal', priority: 6 },
  { name: 'email.normal', priority: 5 },
  { name: 'sync.normal', priority: 5 },
  { name: 'monitoring.normal', priority: 5 },
  { name: 'email.bulk', priority: 4 },
  { name: 'payment.batch', priority: 3 },
  { name: 'analytics.batch', priority: 3 },
  { name: 'sync.maintenance', priority: 2 },
  { name: 'sync.backup', priority: 1 },
] as const satisfies readonly PlatformQueue[];

export const queueNames: readonly string[] = queues.map((queue) => queue.name);
