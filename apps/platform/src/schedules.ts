/**
 * What the platform does at set times. A job of an earlier tick that has not ended is not doubled, and ticks that nobody ran
 * in time are given up: the next one does the same work.
 */
import type { App } from 'taktline';
import type { EmailTasks } from './email/email-tasks.ts';

export function declareSchedules(app: App, tasks: EmailTasks): void {
  app.schedule({ name: 'email.retryFailed', task: tasks.retryFailed, input: {}, every: '5m', overlap: 'skip' });
}
