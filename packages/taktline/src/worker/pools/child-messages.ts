/** What a worker and a child of its process pool say to each other: many jobs in a message, at most one message a turn. */
import type { Lane, Settlement } from '../../broker/broker.ts';
import type { TimeLimits } from '../../task/task.ts';
import type { StopReason } from './pool.ts';

/** The number of a job within its child; jobs begin in this order. */
export type JobNumber = number;

export interface ChildSettings {
  /** File URL of the module that exports the app. */
  readonly module: string;
  readonly worker: string;
  readonly slots: number;
  readonly unknownTaskGraceMs: number;
  readonly leaseMs: number;
  /** Limits that were changed since the app was loaded. */
  readonly limits: readonly (readonly [task: string, limits: TimeLimits])[];
}

/** What a child needs of a job. A list, since its fields' names would be half of most messages. */
export type SentJob = readonly [id: string, queue: string, envelope: string, past: string | null, lane: Lane, claimedAt: number];

export type ToChild =
  | { readonly kind: 'start'; readonly settings: ChildSettings }
  /** The jobs have numbers from `first` on. @param offsetMs what has to be added to this machine's time to get the broker's */
  | { readonly kind: 'run'; readonly first: JobNumber; readonly offsetMs: number; readonly jobs: readonly SentJob[] }
  /** A job, or all. */
  | { readonly kind: 'abort'; readonly reason: StopReason; readonly job?: JobNumber }
  | { readonly kind: 'limit'; readonly task: string; readonly limits: TimeLimits }
  /** It has nothing to do any more: tear down, and end. */
  | { readonly kind: 'stop' };

/** A settlement on its way: the worker has the job. */
export type SettlementOf<Kind extends Settlement> = Kind extends Settlement ? Omit<Kind, 'job'> : never;

export type Done = readonly [job: JobNumber, settlement: SettlementOf<Settlement>, task: string, startedAt: number, ranMs: number];

export type FromChild =
  | { readonly kind: 'ready' }
  /** It cannot start; it ends by itself. */
  | { readonly kind: 'failed'; readonly message: string }
  | {
      readonly kind: 'told';
      readonly done: readonly Done[];
      readonly progress: readonly (readonly [job: JobNumber, value: string])[];
      /** Memory in use, now and then. */
      readonly rssBytes?: number;
    };

/** What the watchdog thread of a child writes to the pipe of its last words, before it kills the child. */
export interface LastWords {
  /** The one that went over its hard time limit. */
  readonly guilty: JobNumber;
  /** The last job that had begun. */
  readonly begun: JobNumber;
  /** Where its code was, when that could be seen. */
  readonly stack: string | undefined;
}

/** The descriptor of that pipe in the child. */
export const lastWordsFd = 4;
