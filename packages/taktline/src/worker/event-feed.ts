/**
 * Tells what happens in this worker to those who listen, while somebody does. Events leave in batches, four times a second
 * at most; of a worker that runs more jobs than a person can read the first ones of a batch are told, and how many were not.
 */
import type { Broker, ClaimedJob, Settlement } from '../broker/broker.ts';
import { taskNameOf } from '../task/codec.ts';
import { decodePast } from '../task/job.ts';
import type { Ran } from './pools/pool.ts';
import type { Outcome } from './recorder.ts';

/** What somebody who listens is told. Never an input, a result or an error's message. Names are Celery's, where it has the event. */
export type WorkerEvent =
  | { readonly type: 'worker-online' | 'worker-offline'; readonly at: number; readonly worker: string }
  | {
      readonly type: 'worker-heartbeat';
      readonly at: number;
      readonly worker: string;
      /** Jobs that run, and those that wait here for a slot. */
      readonly running: number;
      readonly held: number;
      readonly slots: number;
    }
  | {
      readonly type: 'task-started';
      readonly at: number;
      readonly worker: string;
      readonly job: string;
      readonly task: string;
      readonly queue: string;
    }
  | {
      readonly type: 'task-succeeded' | 'task-failed' | 'task-retried' | 'task-deferred' | 'task-revoked' | 'task-rejected';
      readonly at: number;
      readonly worker: string;
      readonly job: string;
      readonly task: string;
      readonly queue: string;
      readonly waitedMs: number;
      readonly ranMs: number;
      /** Of a failure. */
      readonly code?: string;
    }
  /** So many events of jobs happened beside those that were told. */
  | { readonly type: 'events-left-out'; readonly at: number; readonly worker: string; readonly count: number };

export interface EventFeedOptions {
  readonly worker: string;
  readonly now: () => number;
  publish(texts: readonly string[]): ReturnType<Broker['publish']>;
}

const flushMs = 250;
/** Events of jobs in one batch. */
const mostEvents = 200;
/** Bytes of one text; brokers take 7,000. One event has less than 2,000. */
const mostBytes = 6_500;

const types: Readonly<Record<Outcome, Exclude<WorkerEvent['type'], `worker-${string}` | 'events-left-out' | 'task-started'>>> = {
  succeeded: 'task-succeeded',
  failed: 'task-failed',
  retried: 'task-retried',
  deferred: 'task-deferred',
  cancelled: 'task-revoked',
  'handed-back': 'task-rejected',
  'unknown-task': 'task-rejected',
  lost: 'task-rejected',
};

export class EventFeed {
  readonly #options: EventFeedOptions;
  #watched = false;
  #events: WorkerEvent[] = [];
  #leftOut = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: EventFeedOptions) {
    this.#options = options;
  }

  /** Somebody listens; told with each pulse. */
  watched(watched: boolean, state: { readonly running: number; readonly held: number; readonly slots: number }): void {
    const begins = watched && !this.#watched;
    this.#watched = watched;
    if (!watched) {
      this.#events = [];
      this.#leftOut = 0;
      return;
    }
    const { worker, now } = this.#options;
    if (begins) this.#add({ type: 'worker-online', at: now(), worker });
    this.#add({ type: 'worker-heartbeat', at: now(), worker, ...state });
  }

  started(jobs: readonly ClaimedJob[]): void {
    if (!this.#watched) return;
    const { worker, now } = this.#options;
    const at = now();
    for (const job of jobs) {
      if (this.#full()) continue;
      this.#add({ type: 'task-started', at, worker, job: job.id, task: taskNameOf(job.envelope), queue: job.queue });
    }
  }

  settled(outcome: Outcome, settlement: Settlement, ran: Ran): void {
    if (!this.#watched || this.#full()) return;
    const { job } = settlement;
    const code = settlement.kind === 'bury' ? settlement.code : outcome === 'retried' ? lastCode(settlement) : undefined;
    this.#add({
      type: types[outcome],
      at: this.#options.now(),
      worker: this.#options.worker,
      job: job.id,
      task: ran.task,
      queue: job.queue,
      waitedMs: Math.max(0, Math.round(ran.startedAt - job.readyAt)),
      ranMs: Math.round(ran.ranMs),
      ...(code === undefined ? {} : { code }),
    });
  }

  /** The last word. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    if (!this.#watched) return;
    this.#add({ type: 'worker-offline', at: this.#options.now(), worker: this.#options.worker });
    clearTimeout(this.#timer);
    await this.#flush();
    this.#watched = false;
  }

  #full(): boolean {
    if (this.#events.length < mostEvents) return false;
    this.#leftOut += 1;
    return true;
  }

  #add(event: WorkerEvent): void {
    this.#events.push(event);
    if (this.#events.length > 1 || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => void this.#flush(), flushMs);
  }

  async #flush(): Promise<void> {
    this.#timer = undefined;
    const events = this.#events;
    const { now, worker, publish } = this.#options;
    if (this.#leftOut > 0) events.push({ type: 'events-left-out', at: now(), worker, count: this.#leftOut });
    this.#events = [];
    this.#leftOut = 0;
    // Nobody keeps events: what cannot be told now is not told.
    if (events.length > 0) await publish(texts(events)).catch(() => undefined);
  }
}

/** The events as JSON arrays, none of them too long. */
function texts(events: readonly WorkerEvent[]): string[] {
  const texts: string[] = [];
  let part: string[] = [];
  let length = 2;
  for (const event of events) {
    const json = JSON.stringify(event);
    const bytes = Buffer.byteLength(json) + 1;
    if (length + bytes > mostBytes && part.length > 0) {
      texts.push(`[${part.join(',')}]`);
      part = [];
      length = 2;
    }
    part.push(json);
    length += bytes;
  }
  if (part.length > 0) texts.push(`[${part.join(',')}]`);
  return texts;
}

function lastCode(settlement: Settlement): string | undefined {
  return 'past' in settlement ? decodePast(settlement.past).history.at(-1)?.error?.code : undefined;
}
