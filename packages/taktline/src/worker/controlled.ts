/** The worker as it is asked and told from outside (control.ts): figures from its parts, and changes handed to the part that makes them. */
import type { ClaimedJob, QueueDeclaration } from '../broker/broker.ts';
import { TaktlineError } from '../support/taktline-error.ts';
import type { TaskRegistry } from '../task/registry.ts';
import type { Bounds } from './autoscaler.ts';
import type { Controlled, WorkerStats } from './control.ts';
import type { Pool, RunningJob } from './pools/pool.ts';

export interface ControlledParts {
  readonly pool: Pool;
  readonly tasks: TaskRegistry;
  /** Queues of the app, which are all that a worker can take jobs from. */
  readonly known: readonly QueueDeclaration[];
  readonly startedAt: number;
  queues(): readonly QueueDeclaration[];
  reserved(): readonly ClaimedJob[];
  cancelled(): readonly { readonly claim: string; readonly position: number }[];
  finished(): ReadonlyMap<string, number>;
  bounds(): Bounds | undefined;
  consume(queues: readonly QueueDeclaration[]): Promise<void>;
  autoscale(bounds: Bounds | undefined): void;
  /** The size of the pool, or its autoscaling, is another now. */
  changed(): void;
  shutDown(now: boolean): void;
}

export class ControlledWorker implements Controlled {
  readonly #parts: ControlledParts;

  constructor(parts: ControlledParts) {
    this.#parts = parts;
  }

  stats(): WorkerStats {
    const { pool, startedAt, reserved, finished, bounds } = this.#parts;
    const { user, system } = process.cpuUsage();
    return {
      pid: process.pid,
      upMs: Date.now() - startedAt,
      pool: pool.stats(),
      finished: Object.fromEntries(finished()),
      running: pool.running().length,
      reserved: reserved().length,
      autoscale: bounds(),
      rssBytes: process.memoryUsage.rss(),
      cpuMs: Math.round((user + system) / 1_000),
    };
  }

  running(): readonly RunningJob[] {
    return this.#parts.pool.running();
  }

  reserved(): readonly ClaimedJob[] {
    return this.#parts.reserved();
  }

  stopping(): readonly RunningJob[] {
    const asked = new Set(this.#parts.cancelled().map(({ claim, position }) => `${claim} ${position}`));
    return this.running().filter(({ job }) => asked.has(`${job.claim} ${job.position}`));
  }

  queues(): readonly QueueDeclaration[] {
    return this.#parts.queues();
  }

  async addQueue(name: string): Promise<void> {
    const { known, consume } = this.#parts;
    const queues = this.queues();
    if (queues.some((queue) => queue.name === name)) return;
    const added = known.find((queue) => queue.name === name);
    if (added === undefined) {
      const names = known.map((queue) => queue.name).join(', ');
      throw new TaktlineError(
        'UNKNOWN_QUEUE',
        `queue ${JSON.stringify(name.slice(0, 100))} is not declared in the app of this worker; declared are ${names}`,
      );
    }
    await consume([...queues, added]);
  }

  async removeQueue(name: string): Promise<void> {
    const queues = this.queues();
    const left = queues.filter((queue) => queue.name !== name);
    if (left.length === queues.length) return;
    if (left.length === 0)
      throw new TaktlineError('INVALID_OPTION', 'it is the only queue of this worker: pause the queue, or shut the worker down');
    await this.#parts.consume(left);
  }

  resize(by: number): number {
    const { pool, autoscale, changed } = this.#parts;
    const size = Math.min(10_000, pool.size + by);
    if (size < 1) throw new TaktlineError('INVALID_OPTION', `the pool has ${pool.size}: one has to be left`);
    autoscale(undefined);
    pool.resize(size);
    changed();
    return size;
  }

  restartPool(): boolean {
    return this.#parts.pool.restart();
  }

  autoscale(bounds: Bounds | undefined): void {
    this.#parts.autoscale(bounds);
    this.#parts.changed();
  }

  limit(task: string, softMs: number, hardMs: number): void {
    const { tasks, pool } = this.#parts;
    const limits = { softTimeLimitMs: softMs, timeLimitMs: hardMs };
    tasks.limit(task, limits);
    pool.limited(task, limits);
  }

  terminate({ job }: RunningJob): boolean {
    return this.#parts.pool.terminate(job);
  }

  shutDown(now: boolean): void {
    this.#parts.shutDown(now);
  }
}
