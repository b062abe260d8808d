/**
 * Starts the whole platform in this process: the HTTP server, the database, the mail server, a worker for all queues,
 * the beat, and sample traffic. What was started is stopped in the opposite order.
 */
import { createPlatform } from './app.ts';
import { dayIn } from './calendar/business-days.ts';
import { Closers } from './closers.ts';
import { type PlatformDatabase, pingDatabase } from './database/database.ts';
import { prepareSamples, startDemoOrders } from './demo/demo-orders.ts';
import { startDemoTraffic } from './demo/demo-traffic.ts';
import { fastClock, lastMoment } from './demo/fast-clock.ts';
import { summarise } from './demo/story-summary.ts';
import { listen } from './http/listener.ts';
import { routes } from './http/routes.ts';
import { invoiceFile } from './invoices/stored-invoices.ts';
import { createLogger } from './logging.ts';
import { queueNames, queues } from './queues.ts';
import { openResources } from './resources.ts';
import { readSettings, type Settings } from './settings.ts';

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

const usersOfItsOwn = 'the database has users of its own';

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
    const demo = settings.demo ? await openDemo(resources.database, settings) : undefined;
    if (settings.demo && demo === undefined) logger.info(`${usersOfItsOwn}: time is the real one, and nothing is played`);
    const brokerUrl = settings.brokerUrl ?? `embedded:${settings.folder}`;
    const { app, tasks } = createPlatform(
      { brokerUrl, databaseUrl: resources.databaseUrl, logger },
      { ...resources.deps, ...(demo === undefined ? {} : { ...demo, retryInitial: demoRetryInitial }) },
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
        story: demo && { ...demo, summarise: () => summarise(resources.database) },
        publicUrl: settings.publicUrl,
        production: settings.production,
        logger,
        gateway: resources.deps.gateway,
        paymentChanged: (intent) => tasks.paymentChanged(intent),
        market: {
          database: resources.database,
          tasks,
          timeZone: settings.timeZone,
          requestRate: settings.apiRate,
          ...(demo && { now: demo.now }),
        },
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

    if (demo !== undefined) {
      const mails = startDemoTraffic({ tasks, onError: () => logger.warn('a sample mail could not be enqueued') });
      closers.add(() => mails.stop());
      const orders = startDemoOrders({
        ...demo,
        database: resources.database,
        tasks,
        onError: (error) => logger.warn('a round of the sample orders failed', { error: error instanceof Error ? error.name : 'unknown' }),
      });
      closers.add(() => orders.stop());
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
        ['demo', describeDemo(settings, demo)],
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

interface Demo {
  /** Milliseconds since the Unix epoch. */
  readonly now: () => number;
  readonly speed: number;
}

/** The clock of the demo. Undefined where the database has users of its own: their orders and their money live in real time. */
async function openDemo(database: PlatformDatabase, { demoSpeed: speed, timeZone }: Settings): Promise<Demo | undefined> {
  const begin = await lastMoment(database);
  if (!(await prepareSamples(database, dayIn(timeZone, new Date(begin))))) return undefined;
  return { now: fastClock(begin, speed), speed };
}

function describeDemo(settings: Settings, demo: Demo | undefined): string {
  if (demo !== undefined) return `sample mail and orders, time goes ${demo.speed} times as fast (DEMO_SPEED; DEMO=off for none)`;
  return settings.demo ? `off: ${usersOfItsOwn}` : 'off';
}

function table(rows: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length)) + 2;
  return ['Taktline platform', ...rows.map(([name, value]) => `  ${name.padEnd(width)}${value}`)].join('\n');
}
