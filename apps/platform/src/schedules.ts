/**
 * What the platform does at set times. A job of an earlier tick that has not ended is not doubled, and ticks that nobody ran
 * in time are given up: the next one does the same work.
 */
import type { App } from 'taktline';
import type { EmailTasks } from './email/email-tasks.ts';
import type { Marketplace } from './marketplace.ts';

/** So often at most. */
const shortestMs = 5_000;

/** @param speed how fast the marketplace's time goes; mail goes by the real one */
export function declareSchedules(app: App, tasks: EmailTasks & Marketplace, speed = 1): void {
  const every = (minutes: number) => Math.max(shortestMs, Math.round((minutes * 60_000) / speed));
  app.schedule({ name: 'email.retryFailed', task: tasks.retryFailed, input: {}, every: '5m', overlap: 'skip' });
  app.schedule({ name: 'order.processPending', task: tasks.processPendingOrders, input: {}, every: every(15), overlap: 'skip' });
  app.schedule({ name: 'payment.retryFailed', task: tasks.retryFailedPayments, input: {}, every: every(30), overlap: 'skip' });
  app.schedule({ name: 'payment.reconcile', task: tasks.reconcilePayments, input: {}, every: every(60), overlap: 'skip' });
  app.schedule({ name: 'order.sendReminders', task: tasks.sendOrderReminders, input: {}, every: every(360), overlap: 'skip' });
}
