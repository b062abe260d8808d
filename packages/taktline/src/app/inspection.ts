/**
 * What a person may see of an app: queues, workers, jobs and dead letters, with sensitive fields masked by the tasks'
 * schemas, or by what workers have described of them. The input of a task that nobody describes is masked whole.
 */
import type { DeadLetterFilter, Finding, Inspector, QueueCounts, StoredDeadLetter, StoredJob, WorkerRecord } from '../broker/inspector.ts';
import { TaktlineError } from '../support/taktline-error.ts';
import { taskNameOf } from '../task/codec.ts';
import type { WorkerEvent } from '../worker/event-feed.ts';
import type { Catalogue, CatalogueEntry } from './catalogue.ts';
import { type HistoryQuery, type HistoryRow, readHistory } from './history.ts';
import { type DeadLetterView, type FindTask, type JobView, letterOf, viewOf } from './job-views.ts';
import { livingWorkers } from './visit.ts';
import { type Reason, whyNot } from './why.ts';

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
  readonly #catalogue: Catalogue;
  readonly deadLetters: DeadLetters;

  constructor(inspector: () => Promise<Inspector>, catalogue: Catalogue) {
    this.#inspector = inspector;
    this.#catalogue = catalogue;
    this.deadLetters = new DeadLetters(inspector, catalogue);
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
    return stored === undefined ? undefined : viewOf(stored, await findTasks(this.#catalogue, [stored]));
  }

  /** @param options.limit 1 to 1000, default 100 */
  async jobs(
    state: 'queued' | 'scheduled' | 'running',
    options: { readonly queue?: string; readonly limit?: number } = {},
  ): Promise<readonly JobView[]> {
    const { limit = 100, ...rest } = options;
    const stored = await (await this.#inspector()).jobs(state, { ...rest, limit: checkLimit(limit) });
    const find = await findTasks(this.#catalogue, stored);
    return stored.map((job) => viewOf(job, find));
  }

  /** Removes every waiting job of a queue, a thousand at a time; returns how many went. */
  async purge(queue: string, options: StepOptions = {}): Promise<number> {
    const inspector = await this.#inspector();
    return steps(options, () => inspector.purge(queue, stepSize));
  }

  /** Why a job is not running: the first thing that stands in its way. Undefined when nothing is known of the id. */
  async why(id: string): Promise<Reason | undefined> {
    const inspector = await this.#inspector();
    const job = await inspector.job(id);
    if (job === undefined) return undefined;
    const [queues, workers, place] = await Promise.all([
      inspector.queues(),
      inspector.workers(),
      job.state === 'queued' ? inspector.place(id) : undefined,
    ]);
    return whyNot({
      job,
      task: job.envelope === undefined ? undefined : taskNameOf(job.envelope),
      queue: queues.find(({ name }) => name === job.queue),
      workers: livingWorkers(workers),
      place,
      now: Date.now(),
    });
  }

  /** What came of jobs in the last hours, with rates and percentiles; counted by the workers. */
  async history(query: HistoryQuery = {}): Promise<readonly HistoryRow[]> {
    return readHistory(await this.#inspector(), Date.now(), query);
  }

  /** The tasks that workers have described in the last 30 days, sorted by name. */
  catalogue(): Promise<readonly CatalogueEntry[]> {
    return this.#catalogue.list();
  }

  /**
   * Tells what happens in the workers from now on, as well as it can: events are not kept. Workers begin to tell within
   * about a second, and stop some seconds after nobody listens any more.
   *
   * @returns a function that ends it
   */
  async watch(listener: (event: WorkerEvent) => void): Promise<() => Promise<void>> {
    return (await this.#inspector()).watch((text) => {
      for (const event of eventsOf(text)) listener(event);
    });
  }

  /** Version, clock, schema and settings of the broker, with advice. */
  async examine(): Promise<readonly Finding[]> {
    return (await this.#inspector()).examine();
  }
}

export class DeadLetters {
  readonly #inspector: () => Promise<Inspector>;
  readonly #catalogue: Catalogue;

  constructor(inspector: () => Promise<Inspector>, catalogue: Catalogue) {
    this.#inspector = inspector;
    this.#catalogue = catalogue;
  }

  /** Newest first. @param query.limit 1 to 1000, default 100 */
  async list(query: DeadLetterQuery & { readonly limit?: number; readonly cursor?: string } = {}): Promise<DeadLetterPage> {
    const { limit = 100, cursor, ...filter } = query;
    const page = await (await this.#inspector()).deadLetters(filterOf(filter), checkLimit(limit), cursor);
    const find = await findTasks(this.#catalogue, page.items);
    return { items: page.items.map((letter) => letterOf(letter, find)), cursor: page.cursor };
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

/** Tasks of these jobs, by their names. */
function findTasks(catalogue: Catalogue, jobs: readonly Pick<StoredJob | StoredDeadLetter, 'envelope'>[]): Promise<FindTask> {
  return catalogue.finder(new Set(jobs.flatMap(({ envelope }) => (envelope === undefined ? [] : [taskNameOf(envelope)]))));
}

/** Anybody who can reach the broker may have told them. */
function eventsOf(text: string): readonly WorkerEvent[] {
  try {
    const events: unknown = JSON.parse(text);
    return Array.isArray(events)
      ? events.filter((event: Partial<WorkerEvent>) => typeof event?.type === 'string' && typeof event.at === 'number')
      : [];
  } catch {
    return [];
  }
}
