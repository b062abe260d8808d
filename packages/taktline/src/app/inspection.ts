/**
 * What a person may see of an app: queues, workers, jobs and dead letters, with sensitive fields masked by the tasks'
 * schemas. The input of a task that this app does not define is masked whole.
 */
import type { DeadLetterFilter, Finding, Inspector, QueueCounts, StoredDeadLetter, StoredJob, WorkerRecord } from '../broker/inspector.ts';
import { TaktlineError } from '../support/taktline-error.ts';
import { decodeEnvelope, type Envelope } from '../task/codec.ts';
import { type AttemptRecord, decodePast, type JobState } from '../task/job.ts';
import type { TaskRegistry } from '../task/registry.ts';
import { allSensitive } from '../task/sensitive.ts';

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

export interface DeadLetterQuery {
  readonly ids?: readonly string[];
  readonly queue?: string;
  readonly task?: string;
  readonly code?: string;
  readonly diedBefore?: Date;
}

export interface DeadLetterPage {
  readonly items: readonly DeadLetterView[];
  readonly cursor: string | undefined;
}

export interface StepOptions {
  /** Told after each step, with the count so far. */
  readonly onProgress?: (done: number) => void;
}

const stepSize = 1_000;
const largestPage = 1_000;

export class Inspection {
  readonly #inspector: () => Promise<Inspector>;
  readonly #tasks: TaskRegistry;
  readonly deadLetters: DeadLetters;

  constructor(inspector: () => Promise<Inspector>, tasks: TaskRegistry) {
    this.#inspector = inspector;
    this.#tasks = tasks;
    this.deadLetters = new DeadLetters(inspector, tasks);
  }

  /** The queues with their counts, highest priority first. */
  async queues(): Promise<readonly QueueCounts[]> {
    return (await this.#inspector()).queues();
  }

  async workers(): Promise<readonly WorkerRecord[]> {
    return (await this.#inspector()).workers();
  }

  /** Undefined when nothing is known of the id. */
  async job(id: string): Promise<JobView | undefined> {
    const stored = await (await this.#inspector()).job(id);
    return stored === undefined ? undefined : viewOf(stored, this.#tasks);
  }

  /** @param options.limit 1 to 1000, default 100 */
  async jobs(
    state: 'queued' | 'scheduled' | 'running',
    options: { readonly queue?: string; readonly limit?: number } = {},
  ): Promise<readonly JobView[]> {
    const { limit = 100, ...rest } = options;
    const stored = await (await this.#inspector()).jobs(state, { ...rest, limit: checkLimit(limit) });
    return stored.map((job) => viewOf(job, this.#tasks));
  }

  /** Removes every waiting job of a queue, a thousand at a time; returns how many went. */
  async purge(queue: string, options: StepOptions = {}): Promise<number> {
    const inspector = await this.#inspector();
    return steps(options, () => inspector.purge(queue, stepSize));
  }

  /** Version, clock, schema and settings of the broker, with advice. */
  async examine(): Promise<readonly Finding[]> {
    return (await this.#inspector()).examine();
  }
}

export class DeadLetters {
  readonly #inspector: () => Promise<Inspector>;
  readonly #tasks: TaskRegistry;

  constructor(inspector: () => Promise<Inspector>, tasks: TaskRegistry) {
    this.#inspector = inspector;
    this.#tasks = tasks;
  }

  /** Newest first. @param query.limit 1 to 1000, default 100 */
  async list(query: DeadLetterQuery & { readonly limit?: number; readonly cursor?: string } = {}): Promise<DeadLetterPage> {
    const { limit = 100, cursor, ...filter } = query;
    const page = await (await this.#inspector()).deadLetters(filterOf(filter), checkLimit(limit), cursor);
    return { items: page.items.map((letter) => letterOf(letter, this.#tasks)), cursor: page.cursor };
  }

  async show(id: string): Promise<DeadLetterView | undefined> {
    return (await this.list({ ids: [id], limit: 1 })).items[0];
  }

  /** Puts dead letters back in their queues with a new set of attempts; an empty query means all. Returns how many. */
  async redrive(query: DeadLetterQuery, options: StepOptions = {}): Promise<number> {
    const inspector = await this.#inspector();
    const filter = await deadUntilNow(inspector, filterOf(query));
    return steps(options, async () => (await inspector.redrive(filter, stepSize)).length);
  }

  /** Removes dead letters for good; an empty query means all. Returns how many. */
  async discard(query: DeadLetterQuery, options: StepOptions = {}): Promise<number> {
    const inspector = await this.#inspector();
    const filter = await deadUntilNow(inspector, filterOf(query));
    return steps(options, async () => (await inspector.discard(filter, stepSize)).length);
  }
}

/** Repeats a bounded step until it finds nothing more to do. */
async function steps(options: StepOptions, step: () => Promise<number>): Promise<number> {
  let done = 0;
  for (;;) {
    const count = await step();
    done += count;
    if (count > 0) options.onProgress?.(done);
    if (count < stepSize) return done;
  }
}

function filterOf(query: DeadLetterQuery): DeadLetterFilter {
  const { diedBefore, ...rest } = query;
  return { ...rest, ...(diedBefore === undefined ? {} : { diedBefore: diedBefore.getTime() }) };
}

/** Jobs that die while the steps go on, perhaps for the second time, are not taken. Their time is that of the broker's clock. */
async function deadUntilNow(inspector: Inspector, filter: DeadLetterFilter): Promise<DeadLetterFilter> {
  if (filter.diedBefore !== undefined) return filter;
  const [newest] = (await inspector.deadLetters(filter, 1, undefined)).items;
  return { ...filter, diedBefore: newest === undefined ? 0 : newest.diedAt + 1 };
}

function checkLimit(limit: number): number {
  if (!Number.isInteger(limit) || limit < 1 || limit > largestPage)
    throw new TaktlineError('INVALID_OPTION', `limit is ${limit}: expected 1 to ${largestPage}`);
  return limit;
}

function read(envelope: string | undefined, tasks: TaskRegistry): { readonly envelope: Envelope | undefined; readonly input: unknown } {
  if (envelope === undefined) return { envelope: undefined, input: undefined };
  try {
    const decoded = decodeEnvelope(envelope);
    const sensitivity = tasks.find(decoded.task)?.sensitivity ?? allSensitive;
    return { envelope: decoded, input: sensitivity.masked(decoded.input) };
  } catch {
    return { envelope: undefined, input: undefined };
  }
}

function viewOf(stored: StoredJob, tasks: TaskRegistry): JobView {
  const { envelope, input } = read(stored.envelope, tasks);
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

function letterOf(stored: StoredDeadLetter, tasks: TaskRegistry): DeadLetterView {
  const past = decodePast(stored.past);
  return {
    id: stored.id,
    task: stored.task,
    queue: stored.queue,
    code: stored.code,
    message: stored.message,
    enqueuedAt: iso(stored.enqueuedAt) as string,
    diedAt: iso(stored.diedAt) as string,
    input: read(stored.envelope, tasks).input,
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
