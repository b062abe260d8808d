/**
 * What the tasks work with, opened by the settings: the database (the embedded one when none is set), the mail server
 * (the local mailbox when none is set), templates and the secret of the unsubscribe links. Opened in order, closed in
 * the opposite one, also when opening fails halfway.
 */
import { resolve } from 'node:path';
import type { Logger } from 'taktline';
import type { PlatformDeps } from './app.ts';
import { Closers } from './closers.ts';
import type { PlatformDatabase } from './database/database.ts';
import { openPlatformDatabase } from './database/open-database.ts';
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

async function openMail(settings: Settings, closers: Closers): Promise<{ smtp: SmtpSettings; mailbox: MailboxStore | undefined }> {
  if (settings.smtp !== undefined) return { smtp: settings.smtp, mailbox: undefined };
  const mailbox = new MailboxStore();
  const server = await startMailboxServer(mailbox);
  closers.add(() => server.stop());
  const { host, port } = server;
  const local = { secure: false, tls: 'off', user: undefined, password: undefined, ratePerSecond: 100, connections: 5 } as const;
  return { smtp: { host, port, ...local }, mailbox };
}
