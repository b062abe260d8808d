/**
 * A job's states, and its past: the failures, losses and attempts that decide what happens to it next and that stay on
 * it for a person to read. The past travels as one JSON text beside the envelope and is absent before the first trouble.
 */

export type WaitingState = 'queued' | 'scheduled' | 'retrying';
export type JobState = WaitingState | 'running' | 'succeeded' | 'failed' | 'cancelled' | 'expired';

/** What a stored error says; no field of it holds a value that the task's schema marks sensitive. */
export interface ErrorRecord {
  /** The error's class, such as `TypeError`. */
  readonly type: string;
  readonly code?: string;
  readonly message: string;
  /** At most ten frames. */
  readonly stack?: string;
}

/** One execution that did not succeed. */
export interface AttemptRecord {
  readonly attempt: number;
  readonly outcome: 'failed' | 'deferred' | 'handed-back' | 'lost' | 'unknown-task' | 'cancelled' | 'discarded';
  readonly startedAt: number;
  readonly endedAt: number;
  readonly worker: string;
  readonly error?: ErrorRecord;
  /** Why, for outcomes that are not errors. */
  readonly reason?: string;
}

export interface JobPast {
  /** Attempts that failed. */
  readonly failures: number;
  /** Times the task asked to be run later. */
  readonly deferrals: number;
  /** Times a worker was lost while it held the job. */
  readonly losses: number;
  /** Those of them in which the job ran alone. */
  readonly lossesAlone: number;
  /** When the first worker in a row did not know the task, and how many have not. */
  readonly unknownSince?: number;
  readonly unknownTimes?: number;
  /** Times it was put back from the dead letters. */
  readonly redrives?: number;
  /** The newest attempts, oldest first; at most `historyLimit`. */
  readonly history: readonly AttemptRecord[];
}

/** How many attempts a job's history keeps. */
export const historyLimit = 30;

export const noPast: JobPast = { failures: 0, deferrals: 0, losses: 0, lossesAlone: 0, history: [] };

/** Adds an attempt to a past; the oldest ones go when there are more than `historyLimit`. */
export function withAttempt(past: JobPast, attempt: AttemptRecord, change: Partial<JobPast> = {}): JobPast {
  return { ...past, ...change, history: [...past.history, attempt].slice(-historyLimit) };
}

/** The past of a job whose task a worker knows again: the grace is for those in a row that do not. */
export function whenKnown(past: JobPast): JobPast {
  if (past.unknownSince === undefined) return past;
  const { unknownSince: _since, unknownTimes: _times, ...rest } = past;
  return rest;
}

/** The past of a dead letter that is put back: a new set of attempts; the history and the number of redrives stay. */
export function redriven({ history, redrives = 0 }: JobPast): JobPast {
  return { ...noPast, redrives: redrives + 1, history };
}

export function encodePast(past: JobPast): string {
  return JSON.stringify(past);
}

/** Reads a past. One that cannot be read counts as none, so that a damaged note never costs a job. */
export function decodePast(text: string | undefined): JobPast {
  if (text === undefined || text === '') return noPast;
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null) return noPast;
    const past = value as Partial<JobPast>;
    return { ...noPast, ...past, history: Array.isArray(past.history) ? past.history : [] };
  } catch {
    return noPast;
  }
}
