/** A job and a dead letter as a person may see them: times as ISO 8601, sensitive fields masked. */
import type { StoredDeadLetter, StoredJob } from '../broker/inspector.ts';
import { decodeEnvelope, type Envelope } from '../task/codec.ts';
import { type AttemptRecord, decodePast, type JobState } from '../task/job.ts';
import { allSensitive } from '../task/sensitive.ts';
import type { TaskDefinition } from '../task/task.ts';

/** Finds a task by its name. The input of one that it does not know is masked whole. */
export type FindTask = (name: string) => TaskDefinition | undefined;

/** A job as a person may see it. Times are ISO 8601. */
export interface JobView {
  readonly id: string;
  readonly state: JobState;
  /** Undefined once only the result is kept. */
  readonly task: string | undefined;
  readonly queue: string;
  readonly priority: number | undefined;
  readonly enqueuedAt: string;
  readonly dueAt: string | undefined;
  readonly expiresAt: string | undefined;
  readonly startedAt: string | undefined;
  readonly finishedAt: string | undefined;
  readonly worker: string | undefined;
  readonly cancelAsked: boolean;
  /** With sensitive fields masked. */
  readonly input: unknown;
  readonly headers: Readonly<Record<string, string>> | undefined;
  readonly progress: unknown;
  readonly result: unknown;
  readonly failures: number;
  readonly deferrals: number;
  readonly losses: number;
  readonly redrives: number;
  readonly attempts: readonly AttemptRecord[];
}

/** A failed job that is kept for a person. */
export interface DeadLetterView {
  readonly id: string;
  readonly task: string;
  readonly queue: string;
  readonly code: string;
  readonly message: string;
  readonly enqueuedAt: string;
  readonly diedAt: string;
  readonly input: unknown;
  readonly redrives: number;
  readonly attempts: readonly AttemptRecord[];
}

function read(envelope: string | undefined, find: FindTask): { readonly envelope: Envelope | undefined; readonly input: unknown } {
  if (envelope === undefined) return { envelope: undefined, input: undefined };
  try {
    const decoded = decodeEnvelope(envelope);
    const sensitivity = find(decoded.task)?.sensitivity ?? allSensitive;
    return { envelope: decoded, input: sensitivity.masked(decoded.input) };
  } catch {
    return { envelope: undefined, input: undefined };
  }
}

export function viewOf(stored: StoredJob, find: FindTask): JobView {
  const { envelope, input } = read(stored.envelope, find);
  const past = decodePast(stored.past);
  return {
    id: stored.id,
    state: stored.state,
    task: envelope?.task,
    queue: stored.queue,
    priority: stored.priority,
    enqueuedAt: iso(stored.enqueuedAt) as string,
    dueAt: iso(stored.dueAt),
    expiresAt: iso(stored.expiresAt),
    startedAt: iso(stored.claimedAt),
    finishedAt: iso(stored.finishedAt),
    worker: stored.worker,
    cancelAsked: stored.cancelAsked === true,
    input,
    headers: envelope?.headers,
    progress: stored.progress === undefined ? undefined : parse(stored.progress),
    result: stored.result === undefined ? undefined : parse(stored.result),
    failures: past.failures,
    deferrals: past.deferrals,
    losses: past.losses,
    redrives: past.redrives ?? 0,
    attempts: past.history,
  };
}

export function letterOf(stored: StoredDeadLetter, find: FindTask): DeadLetterView {
  const past = decodePast(stored.past);
  return {
    id: stored.id,
    task: stored.task,
    queue: stored.queue,
    code: stored.code,
    message: stored.message,
    enqueuedAt: iso(stored.enqueuedAt) as string,
    diedAt: iso(stored.diedAt) as string,
    input: read(stored.envelope, find).input,
    redrives: past.redrives ?? 0,
    attempts: past.history,
  };
}

function iso(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : new Date(ms).toISOString();
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}
