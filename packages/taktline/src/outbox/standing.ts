/**
 * Notices that the broker has lost what it held, and how much: what was written down of its queues, and of what was sent to
 * them since, against what they hold now.
 */
import type { Broker } from '../broker/broker.ts';
import type { Inspector } from '../broker/inspector.ts';
import type { OutboxDatabase } from './outbox-database.ts';

export interface QueueLoss {
  readonly queue: string;
  /** Jobs that are gone; some of them may have ended just before. */
  readonly atMost: number;
}

export interface StandingParts {
  readonly database: OutboxDatabase;
  readonly broker: Broker;
  readonly inspector: Inspector;
}

type Counts = Record<string, unknown> & { readonly queue: string; readonly jobs: string; readonly sent: string; readonly lost: string };

/**
 * Writes down how much each queue holds. When the broker is another one than last time, the difference is lost.
 *
 * @returns what is newly lost; undefined when nothing was lost
 */
export async function lookAtStanding({ database, broker, inspector }: StandingParts): Promise<readonly QueueLoss[] | undefined> {
  const { statements } = database;
  const [seen] = await database.query<{ broker: string | null }>(statements.seen);
  const before = seen?.broker ?? null;
  const { origin, queues, sent, sentMeanwhile } = await look(database, broker, inspector);
  const now = new Map(queues.map(({ name, ready, scheduled, running }) => [name, ready + scheduled + running]));
  const lost = new Map<string, number>();
  if (before !== null && before !== origin) {
    for (const { queue, jobs, sent: sentBefore } of await database.query<Counts>(statements.standing)) {
      const gone = Number(jobs) + (sentMeanwhile.get(queue) ?? 0) - Number(sentBefore) - (now.get(queue) ?? 0);
      if (gone > 0) lost.set(queue, gone);
    }
  }
  const names = [...new Set([...now.keys(), ...sent.keys(), ...lost.keys()])];
  await database.query(statements.look, [
    origin,
    before,
    names,
    names.map((name) => now.get(name) ?? 0),
    names.map((name) => sent.get(name) ?? 0),
    names.map((name) => lost.get(name) ?? 0),
  ]);
  return before === null || before === origin ? undefined : [...lost].map(([queue, atMost]) => ({ queue, atMost }));
}

/** Broker and outbox as they are; asked again when the broker was emptied in between. */
async function look(database: OutboxDatabase, broker: Broker, inspector: Inspector) {
  for (let origin = await broker.origin(); ; ) {
    // What is sent while the broker is asked counts against it in both: as there for the next comparison, and as gone in this one.
    const sent = await sentBy(database);
    const queues = await inspector.queues();
    const sentMeanwhile = await sentBy(database);
    const still = await broker.origin();
    if (still === origin) return { origin, queues, sent, sentMeanwhile };
    origin = still;
  }
}

/** How many jobs of each queue relays have sent. */
async function sentBy(database: OutboxDatabase): Promise<ReadonlyMap<string, number>> {
  const rows = await database.query<{ queue: string; jobs: string }>(database.statements.sent);
  return new Map(rows.map(({ queue, jobs }) => [queue, Number(jobs)]));
}
