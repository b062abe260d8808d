/**
 * What the platform does at set times. A job of an earlier tick that has not ended is not doubled, and ticks that nobody ran
 * in time are given up: the next one does the same work.
 */
import type { App } from 'taktline';
import type { EmailTasks } from './email/email-tasks.ts';
import type { Marketplace } from './marketplace.ts';

export function declareSchedules(app: App, tasks: EmailTasks & Marketplace): void {
  app.schedule({ name: 'email.retryFailed', task: tasks.retryFailed, input: {}, every: '5m', overlap: 'skip' });
  app.schedule({ name: 'order.processPending', task: tasks.processPendingOrders, input: {}, every: '15m', overlap: 'skip' });
  app.schedule({ name: 'payment.retryFailed', task: tasks.retryFailedPayments, input: {}, every: '30m', overlap: 'skip' });
  app.schedule({ name: 'payment.reconcile', task: tasks.reconcilePayments, input: {}, every: '1h', overlap: 'skip' });
  app.schedule({ name: 'order.sendReminders', task: tasks.sendOrderReminders, input: {}, every: '6h', overlap: 'skip' });
}
