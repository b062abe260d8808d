/** The platform's tasks on real servers, with a worker: what the tests of the tasks share. */
import type { Logger, Worker } from 'taktline';
import type { PlatformDeps } from '../src/app.ts';
import { createPlatform } from '../src/app.ts';
import { createMailer } from '../src/email/mailer.ts';
import { loadTemplates } from '../src/email/templates.ts';
import { createUnsubscribeLinks } from '../src/email/unsubscribe.ts';
import { createInvoiceLinks } from '../src/invoices/invoice-links.ts';
import { type SandboxOptions, startSandboxGateway } from '../src/payments/sandbox-gateway.ts';
import { createStripeGateway } from '../src/payments/stripe-gateway.ts';
import type { SmtpSettings } from '../src/settings.ts';
import type { TestPostgres } from './database.ts';
import { type SmtpScript, startSmtpServer } from './smtp-server.ts';

export interface TestPlatformOptions {
  readonly smtp?: SmtpScript;
  readonly smtpSettings?: Partial<SmtpSettings>;
  readonly deps?: Partial<PlatformDeps>;
  readonly sandbox?: SandboxOptions;
  /** Default the database's. */
  readonly brokerUrl?: string;
}

const signing = { secret: 's'.repeat(32), publicUrl: () => 'https://mail.example.com' };
export const links = createUnsubscribeLinks(signing);
export const invoiceLinks = createInvoiceLinks(signing);

/** Retries come after 20 ms, 40 ms, ... instead of minutes. */
export async function startTestPlatform(postgres: TestPostgres, options: TestPlatformOptions = {}) {
  const { url, database } = await postgres.newDatabase();
  const smtp = await startSmtpServer(options.smtp);
  const sandbox = await startSandboxGateway(options.sandbox);
  const mailer = createMailer(smtp.settings(options.smtpSettings));
  const gateway = createStripeGateway({ ...sandbox.connection, returnUrl: 'https://www.example.com/', timeoutMs: 2_000 });
  const lines: string[] = [];
  const write = (level: string) => (message: string, fields?: object) => void lines.push(JSON.stringify({ level, message, ...fields }));
  const logger: Logger = { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
  const { app, tasks } = createPlatform(
    { brokerUrl: options.brokerUrl ?? url, databaseUrl: () => url, logger },
    {
      database,
      mailer,
      templates: loadTemplates(),
      unsubscribe: links,
      invoiceLinks,
      mailFrom: { name: 'Taktline', address: 'taktline@taktline.example' },
      gateway,
      timeZone: 'UTC',
      retryInitial: '20ms',
      ...options.deps,
    },
  );
  const startWorker = async (): Promise<Worker> => {
    const worker = app.worker({ concurrency: 10, pollInterval: '50ms', shutdownGrace: '100ms' });
    await worker.start();
    return worker;
  };
  return {
    /** The database's. */
    url,
    app,
    tasks,
    database,
    smtp,
    sandbox,
    gateway,
    /** Everything that was logged, a line each. */
    lines,
    startWorker,
    async stop() {
      await app.close();
      mailer.close();
      await smtp.stop();
      await sandbox.stop();
      await database.destroy();
    },
  };
}

export type TestPlatform = Awaited<ReturnType<typeof startTestPlatform>>;
