/**
 * What runs jobs: in this process (inline-pool.ts), or elsewhere in later pools. The fetcher gives a pool no more jobs
 * than it has free slots; the pool gives back exactly one settlement for each.
 */
import type { ClaimedJob, Settlement } from '../../broker/broker.ts';

export interface PoolEvents {
  /** A job has ended, one way or another; its slot is free. */
  settled(settlement: Settlement): void;
}

export interface RunningJob {
  readonly job: ClaimedJob;
  readonly task: string | undefined;
  readonly startedAt: number;
}

/** Why running jobs are asked to stop. */
export type StopReason = 'cancelled' | 'shutdown' | 'lease-lost';

export interface Pool {
  /** Jobs that run at once. */
  readonly slots: number;
  start(events: PoolEvents): Promise<void>;
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
