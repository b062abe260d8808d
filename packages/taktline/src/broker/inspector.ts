/**
 * What people, dashboards and command lines ask of a broker. Workers never import it. Lists are paged, and whatever
 * touches many jobs goes in bounded steps that the caller repeats.
 */
import type { JobState } from '../task/job.ts';
import type { AdoptedJob, AdoptReply } from './adopted-job.ts';
import type { JobCount, Lane } from './broker.ts';

export interface QueueCounts {
  readonly name: string;
  readonly priority: number;
  readonly ready: number;
  /** Waiting for an eta, a countdown or a retry. */
  readonly scheduled: number;
  readonly running: number;
  readonly dead: number;
  /** How long the job at the front of the line has waited since it could have run; undefined when none waits. */
  readonly oldestWaitMs: number | undefined;
  /** No worker takes jobs of it. */
  readonly paused: boolean;
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
  /** Of one that is queued: how it is to be claimed, when not with others. */
  readonly lane?: Lane;
}

export interface StoredDeadLetter {
  readonly id: string;
  readonly queue: string;
  readonly priority: number;
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
  /** Jobs that run, wait or are scheduled: those first that come first. Of running ones that are large fewer than `limit` may come. */
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
  /** No worker claims jobs of the queue from now on; what runs goes on. @throws TaktlineError `UNKNOWN_QUEUE` */
  pause(queue: string): Promise<void>;
  /** @throws TaktlineError `UNKNOWN_QUEUE` */
  resume(queue: string): Promise<void>;
  /** Asks workers something, by their ids; they are woken. Returns the id of the request, which is there for so long. */
  ask(workers: readonly string[], body: string, keepMs: number): Promise<string>;
  /** The answers so far. */
  answers(request: string): Promise<readonly { readonly worker: string; readonly body: string }[]>;
  /** Calls the listener with events from now on; resolves to a function that ends it. While somebody listens, pulses say so. */
  watch(listener: (event: string) => void): Promise<() => Promise<void>>;
  /** What was counted in these minutes since the epoch, both included. */
  counts(fromMinute: number, toMinute: number): Promise<readonly (JobCount & { readonly minute: number })[]>;
  catalogue(): Promise<readonly { readonly name: string; readonly description: string; readonly describedAt: number }[]>;
  /** How many jobs are before a waiting one in its queue, and how many wait there; undefined when it does not wait. */
  place(id: string): Promise<{ readonly before: number; readonly of: number } | undefined>;
  /**
   * Puts jobs of another broker here as they stood there: their times, priority and past, and those that are queued in the
   * order given, behind those that wait here. Some hundred in a call, some MiB. By id, so that a call of unknown outcome may
   * be repeated: a job that was adopted within `adoptedForMs` is left alone, though it has run here and is forgotten.
   *
   * @throws TaktlineError `INVALID_INPUT` for what cannot be kept here, `UNKNOWN_QUEUE`; then none was put
   */
  adopt(jobs: readonly AdoptedJob[]): Promise<readonly AdoptReply[]>;
  /**
   * Removes jobs that wait, are scheduled or are dead, wholly: their ids are free, and may be adopted again. A job that runs
   * or has ended stays. Returns the ids that went.
   */
  remove(ids: readonly string[]): Promise<readonly string[]>;
  /** Version, clock, schema, settings that matter. */
  examine(): Promise<readonly Finding[]>;
}
