/**
 * Runs jobs in child processes, each some at once, so that their code can be stopped whatever it does, uses other cores, and
 * is replaced when it leaks. The children only run tasks; claims, settlements and the lease are the main process's.
 *
 *   a child goes over a limit   it is killed; its job fails by its policy, those that shared it run again
 *   a child ends by itself      nobody knows which job did it: they run again as suspects (recovery.ts)
 *   a child is used up          another one starts; when that is ready, the old one finishes what it has and ends
 */
import type { ClaimedJob, Settlement } from '../../broker/broker.ts';
import type { Logger } from '../../support/logger.ts';
import { taskNameOf } from '../../task/codec.ts';
import type { TimeLimits } from '../../task/task.ts';
import type { Executor } from '../executor.ts';
import { settleLostJob } from '../recovery.ts';
import { Child, type ChildEnd, cannotStart, type Held } from './child.ts';
import type { ChildSettings, Done } from './child-messages.ts';
import type { Pool, PoolEvents, PoolStats, Ran, RunningJob, StopReason } from './pool.ts';

export interface ProcessPoolOptions {
  /** Children. */
  readonly size: number;
  /** Jobs at once in each. */
  readonly slotsEach: number;
  /** The module that a child process runs; it hands over to child-runner.ts. */
  readonly entry: URL;
  readonly settings: Omit<ChildSettings, 'slots' | 'limits'>;
  /** A child is replaced after about so many jobs, or when it uses so much memory. */
  readonly maxTasksPerChild: number | undefined;
  readonly maxMemoryPerChild: number | undefined;
  readonly startTimeoutMs: number;
  readonly executor: Executor;
  readonly logger: Logger;
  /** What has to be added to this machine's time to get the broker's. */
  readonly offsetMs: () => number;
  /** The worker has no task code on its own loop: it says that the loop lives. */
  turned(remainingMs: number): void;
}

/** How often time limits are looked at that a child's own watchdog must have missed, and the loop says that it lives. */
const sweepMs = 500;
/** By so much a job may be over its limit: then the child's watchdog is not there any more (the child was stopped, say). */
const overdueMs = 2_000;
/** A child that could not start is tried again after so long, twice as long each time. */
const firstBackoffMs = 500;
const longestBackoffMs = 30_000;

export class ProcessPool implements Pool {
  readonly #options: ProcessPoolOptions;
  readonly #children = new Set<Child>();
  readonly #limits = new Map<string, TimeLimits>();
  readonly #progress = new Map<ClaimedJob, string>();
  /** Jobs that wait for a child: one of theirs has just ended. */
  #waiting: ClaimedJob[] = [];
  #size: number;
  #events: PoolEvents | undefined;
  #sweeper: NodeJS.Timeout | undefined;
  #dispatching = false;
  #stopping = false;
  #failures = 0;
  #retry: NodeJS.Timeout | undefined;
  #recycled = 0;
  #killed = 0;
  #crashed = 0;

  constructor(options: ProcessPoolOptions) {
    this.#options = options;
    this.#size = options.size;
  }

  get size(): number {
    return this.#size;
  }

  /** Only those of children that are there. */
  get slots(): number {
    return this.#active().length * this.#options.slotsEach;
  }

  /** @throws TaktlineError `POOL_START` when no child could start */
  async start(events: PoolEvents): Promise<void> {
    this.#events = events;
    this.#stopping = false;
    const first = Array.from({ length: this.#size - this.#children.size }, () => this.#spawn());
    await Promise.all(first.map(({ settled }) => settled));
    if (this.#active().length === 0) {
      await this.stop();
      throw cannotStart(first.find(({ failure }) => failure !== undefined)?.failure ?? 'it ended at once');
    }
    this.#sweeper ??= setInterval(() => this.#sweep(), sweepMs);
  }

  /** Ends the children: those that have nothing to do may tear down. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearInterval(this.#sweeper);
    clearTimeout(this.#retry);
    this.#sweeper = undefined;
    for (const child of this.#children) {
      if (child.busy || !child.ready) child.kill();
      else child.stop();
    }
    await Promise.all([...this.#children].map((child) => child.gone));
  }

  run(jobs: readonly ClaimedJob[]): void {
    for (const job of jobs) this.#waiting.push(job);
    this.#dispatchSoon();
  }

  running(): readonly RunningJob[] {
    return [...this.#children].flatMap((child) =>
      [...child.held].map(({ job, sentAt }) => ({ job, task: taskNameOf(job.envelope), startedAt: sentAt + this.#options.offsetMs() })),
    );
  }

  takeProgress(): readonly { readonly job: ClaimedJob; readonly value: string }[] {
    const told = [...this.#progress].map(([job, value]) => ({ job, value }));
    this.#progress.clear();
    return told;
  }

  abort(reason: StopReason, only?: { readonly claim: string; readonly position: number }): void {
    for (const child of this.#children) {
      if (only === undefined) child.abort(reason);
      else for (const { job, number } of child.held) if (same(job, only)) child.abort(reason, number);
    }
    if (only === undefined) {
      for (const job of this.#waiting.splice(0))
        this.#settle(job, this.#options.executor.handedBack(this.#options.executor.elsewhere(job)));
    }
  }

  handBack(): void {
    const { executor } = this.#options;
    const held = [...this.#children].flatMap((child) => child.take().map(({ job }) => job));
    for (const job of [...held, ...this.#waiting.splice(0)]) this.#settle(job, executor.handedBack(executor.elsewhere(job)));
  }

  resize(size: number): void {
    this.#size = size;
    const surplus = this.#active().length - size;
    // The ones with the least to do end first.
    for (const child of this.#active()
      .sort((one, other) => one.size - other.size)
      .slice(0, Math.max(0, surplus)))
      this.#drain(child);
    this.#refill();
  }

  restart(): boolean {
    for (const child of this.#active()) this.#replace(child);
    return true;
  }

  terminate(only: { readonly claim: string; readonly position: number }): boolean {
    for (const child of this.#children) {
      for (const { job, number } of child.held) {
        if (!same(job, only)) continue;
        child.killedFor = { why: 'terminated', number };
        child.kill();
        return true;
      }
    }
    return false;
  }

  limited(task: string, limits: TimeLimits): void {
    this.#limits.set(task, limits);
    for (const child of this.#children) child.limit(task, limits);
  }

  stats(): PoolStats {
    return {
      kind: 'processes',
      size: this.#size,
      slots: this.slots,
      children: [...this.#children].map((child) => child.stats()),
      recycled: this.#recycled,
      killed: this.#killed,
      crashed: this.#crashed,
    };
  }

  /** Children that take jobs. */
  #active(): Child[] {
    return [...this.#children].filter((child) => child.ready && !child.draining);
  }

  #spawn(): Starting {
    const { entry, settings, slotsEach, startTimeoutMs } = this.#options;
    const starting: Starting = { settled: Promise.resolve(), failure: undefined };
    starting.settled = new Promise((resolve) => {
      const child = new Child({
        entry,
        settings: { ...settings, slots: slotsEach, limits: [...this.#limits] },
        startTimeoutMs,
        ready: () => {
          this.#failures = 0;
          this.#becameReady(child);
          resolve();
        },
        done: (from, held, done) => this.#done(from, held, done),
        progress: (job, value) => this.#progress.set(job, value),
        ended: (from, end) => {
          starting.failure = end.failure;
          this.#ended(from, end);
          resolve();
        },
      });
      this.#children.add(child);
    });
    return starting;
  }

  #becameReady(child: Child): void {
    // It was started in the place of one that is used up, or the pool was made smaller meanwhile.
    const used = [...this.#children].find((other) => other.ready && other.replaced === child);
    if (used !== undefined) this.#drain(used);
    else if (this.#active().length > this.#size) this.#drain(child);
    this.#dispatchSoon();
    this.#events?.roomier();
  }

  /** As many children as there should be, those that are starting included. */
  #refill(): void {
    if (this.#stopping || this.#retry !== undefined) return;
    const there = [...this.#children].filter((child) => !child.draining && child.replaced === undefined).length;
    for (let missing = this.#size - there; missing > 0; missing--) void this.#spawn();
  }

  /** Starts another one, which takes over when it is ready. */
  #replace(child: Child): void {
    if (child.replaced !== undefined || child.draining || this.#stopping) return;
    const before = new Set(this.#children);
    void this.#spawn();
    child.replaced = [...this.#children].find((other) => !before.has(other));
  }

  #drain(child: Child): void {
    child.draining = true;
    if (child.replaced !== undefined) this.#recycled += 1;
    if (child.size === 0) child.stop();
  }

  /** What is given in one turn goes to each child in one message. */
  #dispatchSoon(): void {
    if (this.#dispatching) return;
    this.#dispatching = true;
    queueMicrotask(() => {
      this.#dispatching = false;
      this.#dispatch();
    });
  }

  #dispatch(): void {
    if (this.#waiting.length === 0) return;
    const { slotsEach, offsetMs } = this.#options;
    const children = this.#active();
    let at = 0;
    for (let free = true; free && at < this.#waiting.length; ) {
      free = false;
      // One each in turn, so that all have about as much to do.
      for (const child of children.sort((one, other) => one.size - other.size)) {
        if (at === this.#waiting.length || child.size >= slotsEach) continue;
        child.add(this.#waiting[at++] as ClaimedJob);
        free = true;
      }
    }
    this.#waiting.splice(0, at);
    for (const child of children) child.flush(offsetMs());
  }

  #done(child: Child, { job }: Held, [, settlement, task, startedAt, ranMs]: Done): void {
    this.#progress.delete(job);
    // It was made for this, by JSON.parse.
    (settlement as { job?: ClaimedJob }).job = job;
    this.#events?.settled(settlement as Settlement, { task, startedAt, ranMs });
    const { maxTasksPerChild = Number.POSITIVE_INFINITY, maxMemoryPerChild = Number.POSITIVE_INFINITY } = this.#options;
    if (child.draining) {
      if (child.size === 0) child.stop();
    } else if (child.finished >= maxTasksPerChild || child.rssBytes >= maxMemoryPerChild) this.#replace(child);
  }

  #ended(child: Child, end: ChildEnd): void {
    this.#children.delete(child);
    if (end.failure !== undefined) {
      this.#startFailed(child, end);
      return;
    }
    if (end.held.length > 0 || !child.draining) this.#settleEnded(child, end);
    this.#refill();
    this.#dispatchSoon();
  }

  #startFailed(child: Child, { failure }: ChildEnd): void {
    for (const other of this.#children) if (other.replaced === child) other.replaced = undefined;
    if (this.#stopping) return;
    const waitMs = Math.min(longestBackoffMs, firstBackoffMs * 2 ** this.#failures);
    this.#failures += 1;
    this.#options.logger.error('a child of the pool could not start; trying again', { reason: failure, againInMs: waitMs });
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined;
      this.#refill();
    }, waitMs);
  }

  /** What becomes of the jobs of a child that is no more. */
  #settleEnded(child: Child, { held, lastWords, how }: ChildEnd): void {
    const { executor, logger, settings, offsetMs } = this.#options;
    const { pid } = child.stats();
    const guilty = lastWords?.guilty ?? child.killedFor?.number;
    if (guilty === undefined) {
      if (this.#stopping) return;
      this.#crashed += 1;
      logger.error('a child of the pool ended by itself; what it ran runs again', { pid, how, jobs: held.length });
      for (const { job, sentAt } of held) {
        const at = offsetMs();
        const loss = { who: 'the child process', worker: settings.worker, held: held.length, from: sentAt + at, to: Date.now() + at };
        this.#settle(
          job,
          settleLostJob(job, loss, ({ envelope }) => taskNameOf(envelope)),
        );
      }
      return;
    }
    this.#killed += 1;
    const again: ClaimedJob[] = [];
    for (const { job, number } of held) {
      const ctx = executor.elsewhere(job);
      const about = { job: job.id, task: ctx.task, pid, ...(lastWords?.stack === undefined ? {} : { stack: lastWords.stack }) };
      if (number === guilty && child.killedFor?.why === 'terminated') {
        logger.warn('its child was killed, as somebody had asked', about);
        this.#settle(job, executor.terminated(ctx));
      } else if (number === guilty) {
        logger.error('time limit: its child was killed', { ...about, limitMs: ctx.definition?.timeLimitMs });
        this.#settle(job, executor.overran(ctx));
      } else if (lastWords !== undefined && number > lastWords.begun) {
        // It had not begun: nobody need know.
        again.push(job);
      } else this.#settle(job, executor.handedBack(ctx, 'its child was killed for another job'));
    }
    this.#waiting.unshift(...again);
  }

  #settle(job: ClaimedJob, settlement: Settlement): void {
    this.#progress.delete(job);
    const ran: Ran = { task: this.#options.executor.elsewhere(job).task, startedAt: Date.now() + this.#options.offsetMs(), ranMs: 0 };
    this.#events?.settled(settlement, ran);
  }

  #sweep(): void {
    this.#options.turned(0);
    const now = Date.now();
    for (const child of this.#children) {
      if (child.killedFor !== undefined) continue;
      for (const { job, number, sentAt } of child.held) {
        if (now - sentAt < overdueMs) continue;
        const limitMs = this.#options.executor.elsewhere(job).definition?.timeLimitMs;
        if (limitMs === undefined || now - sentAt < limitMs + overdueMs) continue;
        child.killedFor = { why: 'overran', number };
        child.kill();
        break;
      }
    }
  }
}

interface Starting {
  settled: Promise<void>;
  failure: string | undefined;
}

function same(job: ClaimedJob, { claim, position }: { readonly claim: string; readonly position: number }): boolean {
  return job.claim === claim && job.position === position;
}
