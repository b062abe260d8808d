/** The platform as an app of the engine: its queues and all its tasks. Whoever calls this brings what the tasks work with. */
import { type App, type AppOptions, createApp, type Logger } from 'taktline';
import { type EmailDeps, type EmailTasks, emailTasks } from './email/email-tasks.ts';
import { type Marketplace, type MarketplaceDeps, marketplace } from './marketplace.ts';
import { queues } from './queues.ts';
import { declareSchedules } from './schedules.ts';

export interface PlatformOptions {
  /** `postgres://...` or `embedded:<folder>`. */
  readonly brokerUrl: string;
  /** The platform's database, for the outbox; asked for each new connection. */
  readonly databaseUrl: () => string;
  readonly logger: Logger;
  /** Called where workers begin and end. */
  readonly hooks?: NonNullable<AppOptions['hooks']>;
}

export type PlatformDeps = EmailDeps & MarketplaceDeps;

export interface Platform {
  readonly app: App;
  readonly tasks: EmailTasks & Marketplace;
}

/**
 * Makes the app with its tasks. Nothing is connected until it is first used; `app.close()` ends it. The deps stay their
 * owner's to close.
 *
 * @example
 * const { tasks } = createPlatform({ brokerUrl, logger }, deps);
 * await tasks.sendEmail.delay({
 *   email: { id: 'email_123', to: 'user@example.com', name: 'User Name' },
 *   template: 'welcome',
 *   context: { user_name: 'User Name' },
 * });
 */
export function createPlatform({ brokerUrl, databaseUrl, logger, hooks = {} }: PlatformOptions, deps: PlatformDeps): Platform {
  const app = createApp({ brokerUrl, queues, logger, hooks, outbox: { databaseUrl } });
  const email = emailTasks(app, deps);
  const tasks = { ...email, ...marketplace(app, email, deps) };
  declareSchedules(app, tasks, deps.speed);
  return { app, tasks };
}
