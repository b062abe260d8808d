/**
 * Runs jobs in this process, on its event loop: the fastest pool for tasks that wait for I/O. It cannot stop code; past
 * its hard time limit an attempt is settled as failed and its slot is freed, while what is left of it may still run.
 */
import type { ClaimedJob, Settlement } from '../../broker/broker.ts';
import type { Logger } from '../../support/logger.ts';
import { TaktlineError } from '../../support/taktline-error.ts';
import type { TaskDefinition } from '../../task/task.ts';
import { reportRunning } from '../blocked-stack.ts';
import type { JobContext } from '../context.ts';
import type { Executor } from '../executor.ts';
import { type Pool, type PoolEvents, type PoolStats, type RunningJob, type StopReason, stopError } from './pool.ts';

export interface InlinePoolOptions {
  readonly slots: number;
  readonly executor: Executor;
  readonly logger: Logger;
  /** Told once when so many jobs have ended here, or so much memory is in use. */
  readonly usedUp: (() => void) | undefined;
  readonly maxTasksPerChild: number | undefined;
  readonly maxMemoryPerChild: number | undefined;
  /** Told at each turn of the sweep, and before a task begins: the loop lives, and how long what runs may still take (0: nothing runs). */
  turned(remainingMs: number): void;
}

/** One timer looks at the time limits of all jobs; they are kept to within this. */
const sweepMs = 50;

/** The memory in use is looked at so often. */
const memoryMs = 500;

/** A deadline that is told this much too early does no harm, and most jobs need not tell theirs. */
const slackMs = 1_000;

export class InlinePool implements Pool {
  readonly #options: InlinePoolOptions;
  readonly #running = new Set<JobContext>();
  #events: PoolEvents | undefined;
  #sweeper: NodeJS.Timeout | undefined;
  /** When the last of what runs has to be over, as it was told. */
  #deadline = 0;
  #slots: number;
  #finished = 0;
  #usedUp = false;
  #measuredAt = 0;

  constructor(options: InlinePoolOptions) {
    this.#options = options;
    this.#slots = options.slots;
  }

  get slots(): number {
    return this.#slots;
  }

  get size(): number {
    return this.#slots;
  }

  resize(size: number): void {
    this.#slots = size;
  }

  /** Its supervisor replaces the worker as a whole. */
  restart(): boolean {
    return false;
  }

  terminate(): boolean {
    return false;
  }

  /** The executor looks them up for each job. */
  limited(): void {
    return;
  }

  stats(): PoolStats {
    return { kind: 'inline', size: this.#slots, slots: this.#slots, children: [], recycled: 0, killed: 0, crashed: 0 };
  }

  async start(events: PoolEvents): Promise<void> {
    this.#events = events;
    this.#sweeper ??= setInterval(() => this.#sweep(), sweepMs);
    // The newest first: what blocks the loop from its first line on is most often it.
    reportRunning(() =>
      [...this.#running]
        .map(({ task, id }) => `${task} ${id}`)
        .toReversed()
        .join(', '),
    );
  }

  async stop(): Promise<void> {
    clearInterval(this.#sweeper);
    this.#sweeper = undefined;
  }

  run(jobs: readonly ClaimedJob[]): void {
    for (const job of jobs) {
      const ctx = this.#options.executor.begin(job);
      this.#running.add(ctx);
      // execute() never rejects.
      void this.#options.executor.execute(ctx, this.#begins).then((settlement) => this.#settle(ctx, settlement));
    }
  }

  /** Not left to the next sweep: a task that blocks the loop at once lets none come, and nobody would ever kill it. */
  readonly #begins = ({ timeLimitMs }: TaskDefinition): void => {
    const now = performance.now();
    const deadline = now + timeLimitMs;
    if (this.#deadline > now && deadline < this.#deadline + slackMs) return;
    this.#deadline = deadline;
    this.#options.turned(timeLimitMs);
  };

  running(): readonly RunningJob[] {
    return [...this.#running].map(({ job, definition, startedAt }) => ({ job, task: definition?.name, startedAt }));
  }

  takeProgress(): readonly { readonly job: ClaimedJob; readonly value: string }[] {
    const told: { readonly job: ClaimedJob; readonly value: string }[] = [];
    for (const ctx of this.#running) {
      if (ctx.told === undefined) continue;
      told.push({ job: ctx.job, value: ctx.told });
      ctx.told = undefined;
    }
    return told;
  }

  abort(reason: StopReason, only?: { readonly claim: string; readonly position: number }): void {
    for (const ctx of this.#running) {
      if (only !== undefined && (ctx.job.claim !== only.claim || ctx.job.position !== only.position)) continue;
      ctx.abort(stopError(reason));
    }
  }

  handBack(): void {
    for (const ctx of this.#running) this.#settle(ctx, this.#options.executor.handedBack(ctx));
  }

  #settle(ctx: JobContext, settlement: Settlement): void {
    if (ctx.settled) return;
    ctx.settled = true;
    this.#running.delete(ctx);
    this.#finished += 1;
    this.#events?.settled(settlement, ctx);
  }

  #sweep(): void {
    const now = performance.now();
    let remainingMs = 0;
    for (const ctx of this.#running) {
      const limits = ctx.definition;
      if (limits === undefined) continue;
      const took = now - ctx.began;
      if (took >= limits.softTimeLimitMs) {
        ctx.abort(new TaktlineError('TIME_LIMIT', `the attempt took longer than ${limits.softTimeLimitMs} ms`, { jobId: ctx.id }));
      }
      if (took >= limits.timeLimitMs) {
        this.#options.logger.error('time limit: the attempt is settled as failed, though its code may still run', {
          job: ctx.id,
          task: limits.name,
          limitMs: limits.timeLimitMs,
        });
        this.#settle(ctx, this.#options.executor.overran(ctx));
      } else remainingMs = Math.max(remainingMs, limits.timeLimitMs - took);
    }
    this.#deadline = now + remainingMs;
    this.#options.turned(remainingMs);
    this.#measure(now);
  }

  /** Whether this process should be replaced. */
  #measure(now: number): void {
    const { usedUp, maxTasksPerChild = Number.POSITIVE_INFINITY, maxMemoryPerChild } = this.#options;
    if (usedUp === undefined || this.#usedUp) return;
    let full = false;
    if (maxMemoryPerChild !== undefined && now - this.#measuredAt >= memoryMs) {
      this.#measuredAt = now;
      full = process.memoryUsage.rss() >= maxMemoryPerChild;
    }
    if (this.#finished < maxTasksPerChild && !full) return;
    this.#usedUp = true;
    usedUp();
  }
}
