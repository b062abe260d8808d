/**
 * What an end-to-end test stands on: a namespace that holds nothing yet, apps and children that do not outlive it, and
 * every line that they log. Call it once at the top of a test file, or let `onEachBroker` do so.
 */
import { afterAll, afterEach, beforeEach, describe } from 'vitest';
import { type App, type AppOptions, createApp, type WorkerOptions } from '../../src/index.ts';
import { Child } from './child.ts';
import { LogLines } from './log-lines.ts';
import { PostgresStore } from './postgres-store.ts';
import { describeOnRedis } from './redis/needs-redis.ts';
import { RedisStore } from './redis/redis-store.ts';
import { openStore, type Store } from './store.ts';

export class Harness<Kind extends Store = Store> {
  readonly #make: () => Promise<Kind>;
  #store: Kind | undefined;
  readonly #apps: App[] = [];
  readonly #children: Child[] = [];
  readonly #others: Kind[] = [];
  log = new LogLines();

  constructor(make: () => Promise<Kind>) {
    this.#make = make;
  }

  /** The namespace. */
  get store(): Kind {
    if (this.#store === undefined) throw new Error('the namespace is there during a test only');
    return this.#store;
  }

  /** Another namespace, for this test. */
  async another(): Promise<Kind> {
    const other = await this.#make();
    this.#others.push(other);
    return other;
  }

  /** An app with one queue, `work`, unless told otherwise. */
  app(options: Partial<AppOptions> = {}): App {
    const app = createApp({
      brokerUrl: this.store.url,
      namespace: this.store.name,
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
    const child = new Child(fixture, { url: this.store.url, namespace: this.store.name, ...options });
    this.#children.push(child);
    return child;
  }

  /** All the upkeep that is due, which a worker does every ten seconds. */
  async tidy(): Promise<void> {
    const { broker, close } = await openStore(this.store);
    while (await broker.tidy());
    await close();
  }

  async begin(): Promise<void> {
    this.log = new LogLines();
    this.#store ??= await this.#make();
  }

  /** Ends what the test has started, and empties the namespace. */
  async end(): Promise<void> {
    await Promise.all(this.#children.splice(0).map((child) => child.end()));
    await Promise.all(this.#apps.splice(0).map((app) => app.close()));
    await Promise.all(this.#others.splice(0).map((other) => other.drop()));
    await this.store.clear();
  }

  async drop(): Promise<void> {
    await this.#store?.drop();
    this.#store = undefined;
  }
}

export interface HarnessOptions {
  /** Each test finds a namespace that was never used. */
  readonly fresh?: boolean;
}

/** On Postgres. */
export function harness(options: HarnessOptions = {}): Harness<PostgresStore> {
  return hooked(new Harness(() => PostgresStore.make()), options);
}

/** Runs the tests on every broker. Without a Redis those on it are listed as not run; see redis/needs-redis.ts. */
export function onEachBroker(topic: string, tests: (h: Harness) => void, options: HarnessOptions = {}): void {
  describe(`${topic} on Postgres`, () => tests(harness(options)));
  describeOnRedis(`${topic} on Redis`, (url) => tests(hooked(new Harness(async () => new RedisStore(url)), options)));
}

function hooked<Kind extends Store>(made: Harness<Kind>, { fresh = false }: HarnessOptions): Harness<Kind> {
  beforeEach(() => made.begin());
  afterEach(async () => {
    await made.end();
    if (fresh) await made.drop();
  });
  afterAll(() => made.drop());
  return made;
}
