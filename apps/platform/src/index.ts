/** The public face of the platform, for programs that enqueue its tasks or run its workers. */
export { createPlatform, type Platform, type PlatformDeps, type PlatformOptions } from './app.ts';
export { openDatabase, type PlatformDatabase } from './database/database.ts';
export { migrate } from './database/migrate.ts';
export type { EmailDeps, EmailTasks } from './email/email-tasks.ts';
export { createMailer, type Mailer } from './email/mailer.ts';
export { loadTemplates, type Templates } from './email/templates.ts';
export { createUnsubscribeLinks, type UnsubscribeLinks } from './email/unsubscribe.ts';
export { createInvoiceLinks } from './invoices/invoice-links.ts';
export { queueNames, queues } from './queues.ts';
export { readSettings, type Settings, SettingsError } from './settings.ts';
export { type RunningPlatform, type StartOptions, startPlatform } from './start.ts';
export {
  type ScheduleTaskOptions,
  type TaskManager,
  type TaskScheduler,
  taskManager,
  taskScheduler,
} from './task-management.ts';
