/**
 * What runs jobs: in this process (inline-pool.ts), or in children (process-pool.ts). The fetcher gives a pool no more jobs
 * than it has free slots; the pool gives back exactly one settlement for each.
 */
import type { ClaimedJob, Settlement } from '../../broker/broker.ts';
import { TaktlineError } from '../../support/taktline-error.ts';
import type { TimeLimits } from '../../task/task.ts';
import { ShutdownSignal } from '../context.ts';

/** How an attempt went. */
export interface Ran {
  /** '' when nobody knows it. */
  readonly task: string;
  /** By the broker's clock. */
  readonly startedAt: number;
  readonly ranMs: number;
}

export interface PoolEvents {
  /** A job has ended, one way or another; its slot is free. */
  settled(settlement: Settlement, ran: Ran): void;
  /** It has more slots than before. */
  roomier(): void;
}

export interface RunningJob {
  readonly job: ClaimedJob;
  readonly task: string | undefined;
  readonly startedAt: number;
}

/** Why running jobs are asked to stop. */
export type StopReason = 'cancelled' | 'shutdown' | 'lease-lost';

/** The reason of the signals that abort. */
export function stopError(reason: StopReason): Error {
  if (reason === 'cancelled') return new TaktlineError('JOB_CANCELLED', 'the job was cancelled');
  if (reason === 'lease-lost') return new TaktlineError('LEASE_LOST', 'this worker lost its lease; another one may run the job already');
  return new ShutdownSignal('the worker stops');
}

export interface PoolStats {
  readonly kind: 'inline' | 'processes';
  readonly size: number;
  readonly slots: number;
  readonly children: readonly ChildStats[];
  /** Children that were replaced after many jobs or much memory; that were killed at a time limit; that ended by themselves. */
  readonly recycled: number;
  readonly killed: number;
  readonly crashed: number;
}

export interface ChildStats {
  readonly pid: number;
  readonly running: number;
  /** Jobs that it has finished. */
  readonly finished: number;
  readonly rssBytes: number;
  readonly startedAt: number;
}

export interface Pool {
  /** Jobs that run at once. May change. */
  readonly slots: number;
  /** Children of a process pool, slots of an inline one: what `--concurrency` and autoscaling count. */
  readonly size: number;
  start(events: PoolEvents): Promise<void>;
  /** Sets the size. It grows at once; what is too much finishes its jobs first, so that no running job is stopped by it. */
  resize(size: number): void;
  /** Replaces each child, when it has finished what it has. False for a pool that has none. */
  restart(): boolean;
  /** Stops a running job by force: it ends as cancelled, and those that shared its child run again. False where that cannot be done. */
  terminate(only: { readonly claim: string; readonly position: number }): boolean;
  /** The time limits of a task are others from now on. */
  limited(task: string, limits: TimeLimits): void;
  stats(): PoolStats;
  /** Takes jobs into free slots. */
  run(jobs: readonly ClaimedJob[]): void;
  running(): readonly RunningJob[];
  /** The newest progress of jobs that have told some since the last call. */
  takeProgress(): readonly { readonly job: ClaimedJob; readonly value: string }[];
  /** Asks a job, or all of them, to stop; their signals abort. */
  abort(reason: StopReason, only?: { readonly claim: string; readonly position: number }): void;
  /** Settles everything that runs as handed back, without waiting for it. */
  handBack(): void;
  stop(): Promise<void>;
}
