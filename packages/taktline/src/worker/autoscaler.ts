/**
 * Makes a worker's pool larger when jobs wait too long, and smaller when less would do. It looks once a second: at what
 * waits in the worker's queues, how long the oldest of it has waited, how much of the pool is busy, and how fast jobs end.
 * Growing is quick, since somebody waits; shrinking is slow, since a child costs some tenths of a second to start. The pool
 * itself sees to it that no running job is stopped when it shrinks. Every decision is logged with its reason.
 */
import type { Backlog } from '../broker/broker.ts';
import type { Logger } from '../support/logger.ts';
import { Periodic } from '../support/periodic.ts';
import { TaktlineError } from '../support/taktline-error.ts';

export interface Bounds {
  readonly min: number;
  readonly max: number;
  /** How long a job should wait at most before it starts. */
  readonly targetWaitMs: number;
}

/** What a decision rests on. */
export interface Load extends Backlog {
  /** Children of a process pool, slots of an inline one. */
  readonly size: number;
  readonly slots: number;
  readonly running: number;
  /** The most that ran at any look of the last `quietMs`. */
  readonly peak: number;
  /** Jobs that ended in the last second. */
  readonly perSecond: number;
}

export interface Decision {
  readonly size: number;
  readonly reason: string;
}

/** So long it must have been quiet before the pool gets smaller. */
export const quietMs = 10_000;
const lookMs = 1_000;
/** Part of the target by which a job that comes now should have started: the rest is for what the estimate does not know. */
const aim = 0.5;
/** Of the pool that is left after it has shrunk so much is free. */
const headroom = 0.2;

/** The size that the pool should have; undefined to leave it. Grows to twice its size at most, and shrinks to half of it. */
export function decide({ waiting, oldestWaitMs = 0, size, slots, running, peak, perSecond }: Load, bounds: Bounds): Decision | undefined {
  const { min, max, targetWaitMs } = bounds;
  if (size < min) return { size: min, reason: `the least is ${min}` };
  if (size > max) return { size: max, reason: `the most is ${max}` };
  if (waiting > 0 && running >= slots) {
    const clearMs = perSecond > 0 ? (waiting / perSecond) * 1_000 : Number.POSITIVE_INFINITY;
    const late = oldestWaitMs > targetWaitMs * aim;
    const needed = late
      ? Math.max(size + 1, Math.ceil((size * clearMs) / (targetWaitMs * aim)))
      : Math.ceil((size * clearMs) / (targetWaitMs * aim));
    const grown = Math.min(max, 2 * size, needed);
    if (grown <= size) return undefined;
    const clear = Number.isFinite(clearMs) ? `, which take ${seconds(clearMs)} at this rate` : ', and none has ended';
    return { size: grown, reason: `${waiting} wait${clear}; the oldest has waited ${seconds(oldestWaitMs)} of ${seconds(targetWaitMs)}` };
  }
  const each = slots / size;
  const enough = Math.max(min, Math.ceil(size / 2), Math.ceil(peak / each / (1 - headroom)));
  if (enough >= size || oldestWaitMs > (targetWaitMs * aim) / 2) return undefined;
  return { size: enough, reason: `at most ${peak} of ${slots} slots were busy in the last ${seconds(quietMs)}` };
}

export interface AutoscalerOptions {
  readonly bounds: Bounds;
  readonly logger: Logger;
  readonly backlog: () => Promise<Backlog>;
  /** Where the pool stands. `finished` counts all jobs that have ended since the worker began. */
  readonly state: () => { readonly size: number; readonly slots: number; readonly running: number; readonly finished: number };
  resize(size: number): void;
  failed(error: unknown, inARow: number): void;
  /** For tests. Default the monotonic clock. */
  readonly now?: () => number;
}

export class Autoscaler {
  readonly #options: AutoscalerOptions;
  readonly #now: () => number;
  readonly #periodic: Periodic;
  #bounds: Bounds;
  /** When was how much busy. */
  #seen: { readonly at: number; readonly running: number }[] = [];
  #since: number;
  #before: { readonly at: number; readonly finished: number } | undefined;

  constructor(options: AutoscalerOptions) {
    this.#options = options;
    this.#bounds = options.bounds;
    this.#now = options.now ?? (() => performance.now());
    this.#since = this.#now();
    this.#periodic = new Periodic({ everyMs: lookMs, run: () => this.look(), failed: options.failed });
  }

  get bounds(): Bounds {
    return this.#bounds;
  }

  /** Other bounds from now on. */
  set bounds(bounds: Bounds) {
    this.#bounds = bounds;
    this.#periodic.now();
  }

  start(): void {
    this.#periodic.start();
  }

  stop(): Promise<void> {
    return this.#periodic.stop();
  }

  /** Looks once, and acts. */
  async look(): Promise<void> {
    const backlog = await this.#options.backlog();
    const now = this.#now();
    const { size, slots, running, finished } = this.#options.state();
    const elapsed = this.#before === undefined ? 0 : now - this.#before.at;
    const perSecond = elapsed > 0 ? ((finished - (this.#before?.finished ?? 0)) * 1_000) / elapsed : 0;
    this.#before = { at: now, finished };
    this.#seen = [...this.#seen.filter(({ at }) => now - at <= quietMs), { at: now, running }];
    // Of what it has not seen it says nothing: until it has looked for so long, all may have been busy.
    const peak = now - this.#since < quietMs ? slots : Math.max(...this.#seen.map((seen) => seen.running));
    const decision = decide({ ...backlog, size, slots, running, peak, perSecond }, this.#bounds);
    if (decision === undefined) return;
    this.#options.logger.info(decision.size > size ? 'autoscale: more' : 'autoscale: fewer', {
      from: size,
      to: decision.size,
      reason: decision.reason,
      waiting: backlog.waiting,
      oldestWaitMs: backlog.oldestWaitMs,
      running,
    });
    this.#options.resize(decision.size);
    // The new size is judged by what it is seen to do.
    this.#since = now;
    this.#seen = [];
  }
}

/** @throws TaktlineError `INVALID_OPTION` */
export function checkBounds({ min, max, targetWaitMs }: Bounds): Bounds {
  if (!Number.isInteger(min) || !Number.isInteger(max) || min < 1 || max < min || max > 10_000)
    throw new TaktlineError('INVALID_OPTION', `autoscale is ${max},${min}: expected the most and the least, whole numbers from 1 to 10000`);
  if (targetWaitMs < 100) throw new TaktlineError('INVALID_OPTION', `targetWait is ${targetWaitMs} ms: expected at least 100 ms`);
  return { min, max, targetWaitMs };
}

function seconds(ms: number): string {
  return `${ms < 10_000 ? Math.round(ms / 100) / 10 : Math.round(ms / 1_000)} s`;
}
