/**
 * Two worker processes and a client that feeds them, on a Redis that gets into trouble, and a ledger of what became of every
 * job: which enqueues were acknowledged and when, how often each job began, and how it ended.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, type TestContext } from 'vitest';
import { z } from 'zod';
import { type App, createApp, type JobHandle, silentLogger } from '../../../src/index.ts';
import { Child } from '../../support/child.ts';
import { eventually } from '../../support/eventually.ts';
import { RedisStore } from '../../support/redis/redis-store.ts';

/** Promise 6 in DESIGN.md: after an outage of any length every worker consumes again within this. */
export const againWithinMs = 5_000;

const queues = [{ name: 'work', priority: 5 }];
const feeders = 3;

interface Acknowledged {
  readonly n: number;
  readonly at: number;
  readonly handle: JobHandle<unknown>;
}

export interface SceneOptions {
  /** Default 5 s. Workers must not take each other for dead because of an outage that is longer. */
  readonly lease?: string;
  /** Another way to the same Redis for all but the workers. */
  readonly clientUrl?: string;
}

export interface Ledger {
  readonly acknowledged: number;
  /** Acknowledged, and nothing is known of them any more: when they were. */
  readonly lost: readonly number[];
  /** Jobs that began more than once. */
  readonly again: number;
}

export class Scene {
  readonly namespace = `f_${randomBytes(6).toString('hex')}`;
  readonly store: RedisStore;
  readonly workers: readonly Child[];
  readonly acknowledged: Acknowledged[] = [];
  readonly refusals: { readonly code?: string; readonly message: string }[] = [];
  readonly #app: App;
  /** By worker: how many jobs it has begun. */
  readonly #counts: number[] = [];
  /** How often each job has begun. */
  readonly #begun = new Map<number, number>();
  #feeding: Promise<unknown> | undefined;
  #over = false;

  private constructor(url: string, { lease = '5s', clientUrl = url }: SceneOptions) {
    this.#app = createApp({ brokerUrl: clientUrl, namespace: this.namespace, queues, logger: silentLogger });
    this.store = new RedisStore(clientUrl, this.namespace);
    this.workers = [0, 1].map((place) => {
      const child = new Child('fault-worker.mjs', { url, namespace: this.namespace, concurrency: 10, lease, taskMs: 5 });
      this.#counts.push(0);
      child.process.on('message', (message: { kind: string; n: number }) => {
        if (message.kind !== 'begun') return;
        this.#counts[place] = (this.#counts[place] as number) + 1;
        this.#begun.set(message.n, (this.#begun.get(message.n) ?? 0) + 1);
      });
      return child;
    });
  }

  /** Resolves when jobs flow through both workers. All is ended with the test. */
  static async start(test: TestContext, url: string, options: SceneOptions = {}): Promise<Scene> {
    const scene = new Scene(url, options);
    test.onTestFinished(() => scene.#end());
    await Promise.all(scene.workers.map((worker) => worker.said('started')));
    scene.#feed();
    await scene.flows();
    return scene;
  }

  /** What the workers have complained about. */
  get complaints(): string {
    return this.workers.map(({ errors }) => errors).join('\n');
  }

  /** Until each worker has begun so many jobs more. Gives the milliseconds that it took to the first of the slower one. */
  async flows(jobs = 20): Promise<number> {
    const started = performance.now();
    const before = [...this.#counts];
    const more = (count: number) => this.#counts.every((now, place) => now >= (before[place] as number) + count);
    const alive = async (count: number) => {
      for (const { process, errors } of this.workers) {
        if (process.exitCode !== null || process.signalCode !== null) throw new Error(`a worker has ended:\n${errors}`);
      }
      return more(count);
    };
    await eventually(() => alive(1), 'every worker begins a job', { withinMs: 40_000, everyMs: 2 });
    const tookMs = Math.round(performance.now() - started);
    await eventually(() => alive(jobs), `every worker begins ${jobs} jobs`);
    return tookMs;
  }

  /** An enqueue is refused from now on, if it is not already. */
  async refused(): Promise<void> {
    const before = this.refusals.length;
    await eventually(async () => this.refusals.length > before, 'an enqueue is refused');
  }

  /** Stops feeding, and waits for the end of every job that was acknowledged. Then all is at rest, and the counts are right. */
  async finish(): Promise<Ledger> {
    this.#over = true;
    await this.#feeding;
    const lost: number[] = [];
    await Promise.all(
      this.acknowledged.map(async ({ n, at, handle }) => {
        try {
          expect(await handle.result({ timeout: '30s' })).toEqual({ n });
        } catch (error) {
          if ((error as { code?: string }).code !== 'JOB_NOT_FOUND') throw error;
          lost.push(at);
        }
      }),
    );
    const { store } = this;
    // Jobs whose enqueue was refused, and was done all the same.
    await eventually(
      async () => (await store.count('ready')) + (await store.count('scheduled')) + (await store.claims()) === 0,
      'all is done',
    );
    for (const worker of this.workers) worker.kill('SIGTERM');
    for (const worker of this.workers) expect(await worker.exited, worker.errors).toEqual({ code: 0, signal: null });
    const ended = await store.ended();
    expect(ended.filter(({ state }) => state !== 's')).toEqual([]);
    expect(new Set(ended.map(({ id }) => id)).size).toBe(ended.length);
    // Each was counted once: no settlement was taken twice.
    expect([await store.counted('ready'), await store.counted('running'), await store.counted('ended')]).toEqual([0, 0, ended.length]);
    expect(await store.count('dead')).toBe(0);
    const again = [...this.#begun.values()].filter((times) => times > 1).length;
    return { acknowledged: this.acknowledged.length, lost, again };
  }

  async #end(): Promise<void> {
    this.#over = true;
    await Promise.all(this.workers.map((worker) => worker.end()));
    await this.#app.close();
    await this.#feeding;
    await this.store.close();
  }

  #feed(): void {
    const work = this.#app.task({ name: 'work', queue: 'work', input: z.object({ n: z.number() }), run: () => null });
    let next = 0;
    const feeder = async () => {
      while (!this.#over) {
        const n = next++;
        try {
          const handle = await work.delay({ n });
          this.acknowledged.push({ n, at: performance.now(), handle });
        } catch (error) {
          this.refusals.push(error as Error);
        }
        // Slower than the workers, so that the line stays short.
        await sleep(20);
      }
    };
    this.#feeding = Promise.all(Array.from({ length: feeders }, feeder));
  }
}
