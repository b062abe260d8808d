/**
 * What people, dashboards and command lines ask of a broker. Workers never import it. Lists are paged, and whatever
 * touches many jobs goes in bounded steps that the caller repeats.
 */
import type { JobState } from '../task/job.ts';

export interface QueueCounts {
  readonly name: string;
  readonly priority: number;
  readonly ready: number;
  /** Waiting for an eta, a countdown or a retry. */
  readonly scheduled: number;
  readonly running: number;
  readonly dead: number;
  /** How long the job at the front of the line has waited since it was enqueued; undefined when none waits. */
  readonly oldestWaitMs: number | undefined;
}

/** A worker as it announced itself. */
export interface WorkerRecord {
  readonly id: string;
  readonly name: string;
  readonly startedAt: number;
  readonly leaseExpiresInMs: number;
  readonly running: number;
  readonly info: Readonly<Record<string, unknown>>;
}

/** All that the broker holds of one job. */
export interface StoredJob {
  readonly id: string;
  readonly state: JobState;
  readonly queue: string;
  readonly priority: number | undefined;
  readonly enqueuedAt: number;
  readonly dueAt?: number;
  readonly expiresAt?: number;
  readonly claimedAt?: number;
  readonly finishedAt?: number;
  readonly worker?: string;
  readonly envelope?: string;
  readonly past?: string;
  readonly result?: string;
  readonly progress?: string;
  readonly cancelAsked?: boolean;
}

export interface StoredDeadLetter {
  readonly id: string;
  readonly queue: string;
  readonly task: string;
  readonly code: string;
  readonly message: string;
  readonly enqueuedAt: number;
  readonly diedAt: number;
  readonly envelope: string;
  readonly past: string;
}

/** Which dead letters. Fields that are left out match all. */
export interface DeadLetterFilter {
  readonly ids?: readonly string[];
  readonly queue?: string;
  readonly task?: string;
  readonly code?: string;
  readonly diedBefore?: number;
}

export interface Page<Item> {
  readonly items: readonly Item[];
  /** Hand it back to get the next page; undefined on the last. */
  readonly cursor: string | undefined;
}

/** One finding of `doctor`. */
export interface Finding {
  readonly check: string;
  readonly ok: boolean;
  readonly detail: string;
  /** What to do, when it is not ok. */
  readonly advice?: string;
}

export interface Inspector {
  queues(): Promise<readonly QueueCounts[]>;
  workers(): Promise<readonly WorkerRecord[]>;
  job(id: string): Promise<StoredJob | undefined>;
  /** Jobs that run, wait or are scheduled: those first that come first. */
  jobs(
    state: 'queued' | 'scheduled' | 'running',
    options: { readonly queue?: string; readonly limit: number },
  ): Promise<readonly StoredJob[]>;
  deadLetters(filter: DeadLetterFilter, limit: number, cursor: string | undefined): Promise<Page<StoredDeadLetter>>;
  /** Puts at most `limit` dead letters back in their queues, with a new set of attempts; returns the ids. */
  redrive(filter: DeadLetterFilter, limit: number): Promise<readonly string[]>;
  /** Removes at most `limit` dead letters; returns the ids. */
  discard(filter: DeadLetterFilter, limit: number): Promise<readonly string[]>;
  /** Removes at most `limit` waiting jobs of a queue; returns how many went. */
  purge(queue: string, limit: number): Promise<number>;
  /** Version, clock, schema, settings that matter. */
  examine(): Promise<readonly Finding[]>;
}
