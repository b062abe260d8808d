/**
 * Starts the whole platform in this process: the HTTP server, the database, the mail server, a worker for all queues,
 * the beat, and sample traffic. What was started is stopped in the opposite order.
 */
import { createPlatform } from './app.ts';
import { pingDatabase } from './database/database.ts';
import { startDemoOrders } from './demo/demo-orders.ts';
import { startDemoTraffic } from './demo/demo-traffic.ts';
import { fastClock, lastMoment } from './demo/fast-clock.ts';
import { summarise } from './demo/story-summary.ts';
import { listen } from './http/listener.ts';
import { routes } from './http/routes.ts';
import { invoiceFile } from './invoices/stored-invoices.ts';
import { createLogger } from './logging.ts';
import { queueNames, queues } from './queues.ts';
import { Closers, openResources } from './resources.ts';
import { readSettings } from './settings.ts';

export interface StartOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Takes the lines that say what runs where. */
  readonly print: (text: string) => void;
}

export interface RunningPlatform {
  /** Such as `http://127.0.0.1:8080`. */
  readonly url: string;
  /** Lets what runs come to its end, then closes everything. Safe to call twice. */
  stop(): Promise<void>;
  /** Hands back what runs instead of waiting for it; speeds up a stop that is under way. */
  stopNow(): Promise<void>;
}

/** Jobs that this process runs at once. They wait for the mail server most of the time. */
const concurrency = 20;

/** Sample mail that is refused shall come back while somebody watches. With DEMO=off it is the 60 s of every real mail. */
const demoRetryInitial = '5s';

/** @throws SettingsError, ListenError, TaktlineError, or what the database says; whatever was started is stopped again */
export async function startPlatform({ env, print }: StartOptions): Promise<RunningPlatform> {
  const settings = readSettings(env);
  const logger = createLogger({ level: settings.logLevel });
  const closers = new Closers();
  try {
    const listener = await listen(settings.host, settings.port);
    closers.add(() => listener.stop());
    const publicUrl = settings.publicUrl ?? listener.url;

    const resources = await openResources(settings, logger, () => publicUrl);
    closers.add(() => resources.close());
    const speed = settings.demoSpeed;
    const now = settings.demo ? fastClock(await lastMoment(resources.database), speed) : Date.now;
    const brokerUrl = settings.brokerUrl ?? `embedded:${settings.folder}`;
    const { app, tasks } = createPlatform(
      { brokerUrl, databaseUrl: resources.databaseUrl, logger },
      { ...resources.deps, ...(settings.demo ? { retryInitial: demoRetryInitial, now, speed } : {}) },
    );
    closers.add(() => app.close());
    await app.ping();

    listener.serve(
      routes({
        app,
        checks: { database: () => pingDatabase(resources.database) },
        queues,
        tasks: app.taskNames,
        templates: resources.deps.templates,
        unsubscribe: resources.deps.unsubscribe,
        invoiceLinks: resources.invoiceLinks,
        invoiceFile: (id) => invoiceFile(resources.database, id),
        records: tasks.records,
        suppressions: tasks.suppressions,
        mailbox: resources.mailbox,
        story: settings.demo ? { summarise: () => summarise(resources.database), now, speed } : undefined,
        publicUrl: settings.publicUrl,
        logger,
        gateway: resources.deps.gateway,
        paymentChanged: (intent) => tasks.paymentChanged(intent),
        market: { database: resources.database, tasks, timeZone: settings.timeZone, now },
        enqueue: async (input, urgent) => (await tasks.enqueueRecord(input, { urgent })).id,
      }),
    );

    const worker = app.worker({ queues: queueNames, concurrency, name: 'platform@%h' });
    closers.add(() => worker.stop());
    await worker.start();

    const relay = app.relay();
    closers.add(() => relay.stop());
    await relay.start();

    const beat = app.beat();
    closers.add(() => beat.stop());
    await beat.start();

    if (settings.demo) {
      const demo = startDemoTraffic({ tasks, onError: () => logger.warn('a sample mail could not be enqueued') });
      closers.add(() => demo.stop());
      const orders = await startDemoOrders({
        database: resources.database,
        tasks,
        now,
        zone: settings.timeZone,
        onError: (error) => logger.warn('a round of the sample orders failed', { error: error instanceof Error ? error.name : 'unknown' }),
      });
      if (orders === undefined) logger.info('the database has users of its own: there are no sample orders');
      else closers.add(() => orders.stop());
    }

    const schedules = await app.schedules.list();
    print(
      table([
        ['web', `${listener.url}/`],
        ...(resources.mailbox ? [['mailbox', `${listener.url}/mailbox`] as const] : []),
        ['broker', settings.brokerUrl === undefined ? resources.databaseAt : await app.where()],
        ['database', resources.databaseAt],
        ['mail', resources.mailAt],
        ['payments', resources.paymentsAt],
        ['worker', `${queueNames.length} queues, ${app.taskNames.length} tasks, ${concurrency} jobs at once`],
        ['beat', schedules.map(({ name }) => name).join(', ')],
        ['demo', settings.demo ? `sample mail and orders, time goes ${speed} times as fast (DEMO_SPEED; DEMO=off for none)` : 'off'],
      ]),
    );
    print(`\nready: ${listener.url}/`);

    let stopping: Promise<void> | undefined;
    const stop = () => {
      stopping ??= closers.close();
      return stopping;
    };
    return {
      url: listener.url,
      stop,
      stopNow: async () => {
        await worker.stop({ now: true });
        await stop();
      },
    };
  } catch (error) {
    await closers.close().catch(() => {});
    throw error;
  }
}

function table(rows: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length)) + 2;
  return ['Taktline platform', ...rows.map(([name, value]) => `  ${name.padEnd(width)}${value}`)].join('\n');
}
