/**
 * What an end-to-end test stands on: a namespace that holds nothing yet, apps and children that do not outlive it, and
 * every line that they log. Call it once at the top of a test file.
 */
import { afterAll, afterEach, beforeEach } from 'vitest';
import { type App, type AppOptions, createApp, type WorkerOptions } from '../../src/index.ts';
import { Child } from './child.ts';
import { LogLines } from './log-lines.ts';
import { type TestNamespace, testNamespace } from './namespace.ts';

export class Harness {
  #space: TestNamespace | undefined;
  readonly #apps: App[] = [];
  readonly #children: Child[] = [];
  log = new LogLines();

  get space(): TestNamespace {
    if (this.#space === undefined) throw new Error('the namespace is there during a test only');
    return this.#space;
  }

  /** An app with one queue, `work`, unless told otherwise. */
  app(options: Partial<AppOptions> = {}): App {
    const app = createApp({
      brokerUrl: this.space.url,
      namespace: this.space.name,
      queues: [{ name: 'work', priority: 5 }],
      logger: this.log.logger,
      ...options,
    });
    this.#apps.push(app);
    return app;
  }

  /** Starts a worker of the app. */
  async work(app: App, options: WorkerOptions = {}) {
    const worker = app.worker({ pollInterval: '100ms', ...options });
    await worker.start();
    return worker;
  }

  /** A child process on the namespace. */
  child(fixture: string, options: Readonly<Record<string, unknown>> = {}): Child {
    const child = new Child(fixture, { url: this.space.url, namespace: this.space.name, ...options });
    this.#children.push(child);
    return child;
  }

  /** How many jobs, or other things, a table of the broker holds. */
  async rows(table: 'ready' | 'scheduled' | 'claims' | 'ended' | 'dead' | 'workers' | 'ids', where = 'true'): Promise<number> {
    const [row] = await this.space.query<{ n: string }>(
      `select ${table === 'ready' || table === 'ended' ? 'coalesce(sum(size), 0)' : 'count(*)'} as n from $ns.${table} where ${where}`,
    );
    return Number(row?.n);
  }

  async begin(): Promise<void> {
    this.log = new LogLines();
    this.#space ??= await testNamespace();
  }

  /** Ends what the test has started, and empties the namespace: that takes a tenth of the time of making a new one. */
  async end(): Promise<void> {
    await Promise.all(this.#children.splice(0).map((child) => child.end()));
    await Promise.all(this.#apps.splice(0).map((app) => app.close()));
    const [made] = await this.space.query<{ there: boolean }>(`select to_regclass('$ns.queues') is not null as there`);
    if (made?.there !== true) return;
    await this.space.query(
      'truncate $ns.queues, $ns.ready, $ns.scheduled, $ns.workers, $ns.claims, $ns.ended, $ns.dead, $ns.ids restart identity',
    );
  }

  async drop(): Promise<void> {
    await this.#space?.drop();
    this.#space = undefined;
  }
}

/** @param options.fresh each test finds a namespace that was never used */
export function harness({ fresh = false } = {}): Harness {
  const made = new Harness();
  beforeEach(() => made.begin());
  afterEach(async () => {
    await made.end();
    if (fresh) await made.drop();
  });
  afterAll(() => made.drop());
  return made;
}
