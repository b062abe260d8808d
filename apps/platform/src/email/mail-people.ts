/** Mails to people of the platform about something that happens in a transaction: they go when it commits, each once. */
import type { PlatformTransaction } from '../orders/orders.ts';
import type { EmailTasks } from './email-tasks.ts';
import type { TemplateName } from './template-contexts.ts';

export interface PeopleMail {
  /** Names the mail: the same twice is one. Such as `receipt:7`. */
  readonly id: string;
  readonly user: number;
  readonly template: TemplateName;
  /** What is undefined is left out. `user_name` is added. */
  readonly context: Readonly<Record<string, string | number | boolean | undefined>>;
}

export type MailPeople = (transaction: PlatformTransaction, mail: PeopleMail) => Promise<void>;

export function mailPeople(tasks: Pick<EmailTasks, 'enqueueIn'>): MailPeople {
  return async (transaction, { id, user, template, context }) => {
    const { name, email } = await transaction
      .selectFrom('users')
      .select(['name', 'email'])
      .where('id', '=', user)
      .executeTakeFirstOrThrow();
    const values = Object.fromEntries(Object.entries({ user_name: name, ...context }).filter(([, value]) => value !== undefined));
    await tasks.enqueueIn(transaction, { email: { id, to: email, name }, template, context: values });
  };
}

/** A day or an instant as a mail says it: Friday, 4 December 2026. */
export function dayForPeople(zone: string, day: Date | string): string {
  // A day without a time is the same day everywhere.
  const [at, timeZone] = typeof day === 'string' ? [new Date(`${day}T00:00:00Z`), 'UTC'] : [day, zone];
  return new Intl.DateTimeFormat('en-GB', { dateStyle: 'full', timeZone }).format(at);
}
