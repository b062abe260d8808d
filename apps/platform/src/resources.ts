/**
 * What the tasks work with, opened by the settings: the database (the embedded one when none is set), the mail server
 * (the local mailbox when none is set), templates and the secret of the unsubscribe links. Opened in order, closed in
 * the opposite one, also when opening fails halfway.
 */
import { resolve } from 'node:path';
import type { Logger } from 'taktline';
import { joinEmbedded } from 'taktline/embedded';
import type { PlatformDeps } from './app.ts';
import { openDatabase, type PlatformDatabase } from './database/database.ts';
import { migrate } from './database/migrate.ts';
import { createMailer } from './email/mailer.ts';
import { loadTemplates } from './email/templates.ts';
import { createUnsubscribeLinks } from './email/unsubscribe.ts';
import { keptUnsubscribeSecret } from './email/unsubscribe-secret.ts';
import { createInvoiceLinks } from './invoices/invoice-links.ts';
import { startMailboxServer } from './mailbox/mailbox-server.ts';
import { MailboxStore } from './mailbox/mailbox-store.ts';
import { openGateway } from './payments/open-gateway.ts';
import type { Settings, SmtpSettings } from './settings.ts';
import type { SignedLinks } from './signed-links.ts';

export interface Resources {
  readonly deps: PlatformDeps;
  readonly invoiceLinks: SignedLinks;
  readonly database: PlatformDatabase;
  /** With its password; an embedded server that was started again may have another one. */
  readonly databaseUrl: () => string;
  /** Undefined when mail goes to a real server. */
  readonly mailbox: MailboxStore | undefined;
  /** For people, without passwords. */
  readonly databaseAt: string;
  readonly mailAt: string;
  readonly paymentsAt: string;
  /** Safe to call twice. */
  close(): Promise<void>;
}

/** Steps to undo, the newest first. */
export class Closers {
  readonly #steps: (() => unknown)[] = [];

  add(step: () => unknown): void {
    this.#steps.push(step);
  }

  /** Goes through all steps, also when one fails. @throws the first failure */
  async close(): Promise<void> {
    const failures: unknown[] = [];
    for (const step of this.#steps.splice(0).toReversed()) {
      try {
        await step();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}

/** @param publicUrl origin for links in mails */
export async function openResources(settings: Settings, logger: Logger, publicUrl: () => string): Promise<Resources> {
  const closers = new Closers();
  try {
    const { database, databaseAt, databaseUrl } = await openPlatformDatabase(settings, logger, closers);
    if (settings.paysWithTestCards) logger.warn('STRIPE_TEST_MODE is on: payments are made with test cards, and no money moves');
    const payments = await openGateway(settings, publicUrl());
    closers.add(() => payments.close());
    const { smtp, mailbox } = await openMail(settings, closers);
    const mailer = createMailer(smtp);
    closers.add(() => mailer.close());
    const signing = { secret: settings.unsubscribeSecret ?? (await keptUnsubscribeSecret(resolve(settings.folder))), publicUrl };
    const invoiceLinks = createInvoiceLinks(signing);
    return {
      deps: {
        database,
        mailer,
        templates: loadTemplates(),
        unsubscribe: createUnsubscribeLinks(signing),
        invoiceLinks,
        mailFrom: settings.mailFrom,
        gateway: payments.gateway,
        timeZone: settings.timeZone,
        weights: settings.matchingWeights,
      },
      invoiceLinks,
      database,
      databaseUrl,
      mailbox,
      databaseAt,
      mailAt: mailbox === undefined ? `${smtp.host}:${smtp.port}` : `local mailbox on ${smtp.host}:${smtp.port}`,
      paymentsAt: payments.where,
      close: () => closers.close(),
    };
  } catch (error) {
    await closers.close().catch(() => {});
    throw error;
  }
}

/** The database of the settings, migrated; the embedded one when none is set. */
export async function openPlatformDatabase(settings: Settings, logger: Logger, closers: Closers) {
  const { databaseUrl } = settings;
  let url = () => databaseUrl ?? '';
  if (databaseUrl === undefined) {
    const member = await joinEmbedded(resolve(settings.folder), { database: 'platform', logger });
    closers.add(() => member.leave());
    url = () => member.url;
  }
  const database = openDatabase({
    url,
    onIdleError: (error) => logger.warn('a connection to the database broke', { error: error.name }),
  });
  closers.add(() => database.destroy());
  const done = await migrate(database);
  if (done.length > 0) logger.info('the database was migrated', { migrations: done });
  return {
    database,
    databaseUrl: url,
    databaseAt: databaseUrl === undefined ? `embedded Postgres in ${settings.folder}` : describeUrl(databaseUrl),
  };
}

async function openMail(settings: Settings, closers: Closers): Promise<{ smtp: SmtpSettings; mailbox: MailboxStore | undefined }> {
  if (settings.smtp !== undefined) return { smtp: settings.smtp, mailbox: undefined };
  const mailbox = new MailboxStore();
  const server = await startMailboxServer(mailbox);
  closers.add(() => server.stop());
  const { host, port } = server;
  const local = { secure: false, tls: 'off', user: undefined, password: undefined, ratePerSecond: 100, connections: 5 } as const;
  return { smtp: { host, port, ...local }, mailbox };
}

function describeUrl(text: string): string {
  const url = new URL(text);
  return `${url.hostname}${url.port === '' ? '' : `:${url.port}`}${url.pathname}`;
}
