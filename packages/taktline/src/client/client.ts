/**
 * Turns calls into jobs: checks the input, encodes it once, and sends what comes together in one batch.
 */
import type { Broker, CancelReply, EnqueueReply, NewJob } from '../broker/broker.ts';
import { type Duration, toMs } from '../support/durations.ts';
import { newId } from '../support/ids.ts';
import { TaktlineError } from '../support/taktline-error.ts';
import { checkHeaders, encodeEnvelope, encodeHead, fingerprint, toJson } from '../task/codec.ts';
import { checkJobId } from '../task/names.ts';
import { checkPriority, longestResultTtlMs, type TaskDefinition } from '../task/task.ts';
import { validateInput } from '../task/validate.ts';
import { Coalescer } from './coalescer.ts';
import { JobHandle } from './handle.ts';
import { ResultWaiter } from './result-waiter.ts';

export interface EnqueueOptions {
  /** Run it this long from now. Not beside `eta`. */
  readonly countdown?: Duration;
  /** Run it not before this time: a date, or milliseconds since the epoch. */
  readonly eta?: Date | number;
  /** A job that still waits then is not run: a date, or a duration from now. */
  readonly expires?: Date | Duration;
  /** 1 (last) to 10 (first) within its queue. Default: the task's. */
  readonly priority?: number;
  /** Default: the task's. */
  readonly queue?: string;
  /** Sent along to `ctx.headers`: trace, tenant, subject. At most 8 KiB. */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface EnqueueOneOptions extends EnqueueOptions {
  /**
   * Names the job: a second job of this id is not made for as long as `dedupeFor`, whatever its queue. The call then
   * succeeds with the handle of the first, or fails with `ID_CONFLICT` when task or input differ.
   */
  readonly id?: string;
  /** How long the id stays taken. Default 7 days. */
  readonly dedupeFor?: Duration;
}

export interface EnqueueManyOptions<Input> extends EnqueueOptions {
  /** Gives each job its id, as `id` does for one. */
  readonly id?: (input: Input, index: number) => string;
  readonly dedupeFor?: Duration;
}

export interface ClientOptions {
  readonly broker: () => Promise<Broker>;
  /** Names of the declared queues. */
  readonly queues: ReadonlySet<string>;
  readonly payloadLimit: number;
}

const batchItems = 1_000;
const batchBytes = 4 * 1024 * 1024;
export const defaultDedupeMs = longestResultTtlMs;

export class Client {
  readonly #options: ClientOptions;
  readonly #sender: Coalescer<NewJob, EnqueueReply>;
  readonly #waiter: ResultWaiter;
  /** Calls that are not over. */
  readonly #calls = new Set<Promise<unknown>>();

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#sender = new Coalescer({
      send: async (jobs) => (await options.broker()).enqueue(jobs),
      mostItems: batchItems,
      mostBytes: batchBytes,
    });
    this.#waiter = new ResultWaiter(options.broker);
  }

  enqueue<Result>(task: TaskDefinition, input: unknown, options: EnqueueOneOptions = {}): Promise<JobHandle<Result>> {
    return this.#tracked(this.#enqueue<Result>(task, input, options));
  }

  enqueueMany<Input, Result>(
    task: TaskDefinition,
    inputs: readonly Input[],
    options: EnqueueManyOptions<Input> = {},
  ): Promise<JobHandle<Result>[]> {
    return this.#tracked(this.#enqueueMany<Input, Result>(task, inputs, options));
  }

  async #enqueue<Result>(task: TaskDefinition, input: unknown, options: EnqueueOneOptions): Promise<JobHandle<Result>> {
    const prepared = this.#prepare(task, options);
    const job = await this.#job(task, input, prepared, options.id, options.dedupeFor);
    return this.#send(task, job);
  }

  async #enqueueMany<Input, Result>(
    task: TaskDefinition,
    inputs: readonly Input[],
    options: EnqueueManyOptions<Input>,
  ): Promise<JobHandle<Result>[]> {
    const { id: idOf, dedupeFor, ...shared } = options;
    const prepared = this.#prepare(task, shared);
    const jobs: NewJob[] = [];
    // Everything is checked before anything is sent: one bad input among many enqueues none.
    for (const [index, input] of inputs.entries()) {
      try {
        const job = this.#job(task, input, prepared, idOf?.(input, index), dedupeFor);
        jobs.push(job instanceof Promise ? await job : job);
      } catch (error) {
        throw error instanceof TaktlineError
          ? new TaktlineError(error.code, `input ${index} of ${inputs.length}: ${error.message}`, { cause: error.cause })
          : error;
      }
    }
    const replies = await this.#sendAll(jobs);
    const conflicts = jobs.filter((_, index) => replies[index] === 'conflict');
    if (conflicts.length > 0) {
      const shown = conflicts.slice(0, 3).map(({ id }) => JSON.stringify(id));
      throw new TaktlineError(
        'ID_CONFLICT',
        `${conflicts.length} of ${jobs.length} ids already name jobs with another task or input (${shown.join(', ')}${conflicts.length > 3 ? ', ...' : ''}); the others were enqueued`,
      );
    }
    return jobs.map((job) => this.#handle(task, job));
  }

  /** Sends batches, two at a time: one is packed while another is stored. */
  async #sendAll(jobs: readonly NewJob[]): Promise<readonly EnqueueReply[]> {
    const broker = await this.#options.broker();
    const replies: EnqueueReply[] = [];
    let from = 0;
    let sent = 0;
    const lane = async (): Promise<void> => {
      while (from < jobs.length) {
        const start = from;
        let bytes = 0;
        while (from < jobs.length && from - start < batchItems && bytes < batchBytes) bytes += (jobs[from++] as NewJob).envelope.length;
        const batch = jobs.slice(start, from);
        try {
          for (const [index, reply] of (await broker.enqueue(batch)).entries()) replies[start + index] = reply;
          sent += batch.length;
        } catch (error) {
          // The other lane ends with its batch.
          from = jobs.length;
          throw error;
        }
      }
    };
    const failed = (await Promise.allSettled([lane(), lane()])).find((ended) => ended.status === 'rejected');
    if (failed === undefined) return replies;
    const error: unknown = failed.reason;
    if (!(error instanceof TaktlineError)) throw error;
    throw new TaktlineError(
      error.code,
      `${error.message}. ${sent} of ${jobs.length} jobs are known to be enqueued; give each its id to send all of them again and make none twice`,
      { cause: error.cause },
    );
  }

  /** A handle of a job that was enqueued elsewhere. */
  handle<Result>(id: string, resultKept = true): JobHandle<Result> {
    return new JobHandle(checkJobId(id), { resultKept, waiter: this.#waiter, broker: this.#options.broker });
  }

  async cancel(ids: readonly string[]): Promise<readonly CancelReply[]> {
    return (await this.#options.broker()).cancel(ids.map(checkJobId));
  }

  /** Waits for the calls that are under way. */
  async close(): Promise<void> {
    while (this.#calls.size > 0) await Promise.allSettled(this.#calls);
    this.#waiter.close();
  }

  #tracked<Made>(call: Promise<Made>): Promise<Made> {
    this.#calls.add(call);
    const over = () => void this.#calls.delete(call);
    call.then(over, over);
    return call;
  }

  async #send<Result>(task: TaskDefinition, job: NewJob): Promise<JobHandle<Result>> {
    const reply = await this.#sender.add(job, job.envelope.length).catch((error: unknown) => {
      if (!(error instanceof TaktlineError) || error.code !== 'BROKER_UNAVAILABLE') throw error;
      throw new TaktlineError(
        error.code,
        `${error.message}. Whether the job was enqueued is not known: sent again with { id: '${job.id}' } it is made once`,
        { cause: error.cause, jobId: job.id },
      );
    });
    if (reply === 'conflict') {
      throw new TaktlineError('ID_CONFLICT', `id ${JSON.stringify(job.id)} already names a job with another task or input`, {
        jobId: job.id,
      });
    }
    return this.#handle(task, job);
  }

  #handle<Result>(task: TaskDefinition, job: NewJob): JobHandle<Result> {
    return new JobHandle(job.id, { resultKept: task.resultTtlMs > 0, waiter: this.#waiter, broker: this.#options.broker });
  }

  #prepare(task: TaskDefinition, options: EnqueueOptions): Prepared {
    const queue = options.queue ?? task.queue;
    if (!this.#options.queues.has(queue)) {
      throw new TaktlineError(
        'UNKNOWN_QUEUE',
        `queue ${JSON.stringify(queue)} is not declared in createApp({ queues }); declared are ${[...this.#options.queues].join(', ')}`,
      );
    }
    if (options.eta !== undefined && options.countdown !== undefined)
      throw new TaktlineError('INVALID_OPTION', 'give countdown or eta, not both');
    const headers = options.headers === undefined ? undefined : checkHeaders(options.headers);
    return {
      what: `the input of task ${JSON.stringify(task.name)}`,
      head: encodeHead({ task: task.name, inputVersion: task.inputVersion, headers }),
      job: {
        queue,
        priority: options.priority === undefined ? task.priority : checkPriority(options.priority, 'priority'),
        ...(options.eta === undefined ? {} : { eta: time(options.eta, 'eta') }),
        ...(options.countdown === undefined ? {} : { countdownMs: toMs(options.countdown, 'countdown') }),
        ...(options.expires === undefined
          ? {}
          : options.expires instanceof Date
            ? { expiresAt: time(options.expires, 'expires') }
            : { expiresInMs: toMs(options.expires, 'expires') }),
      },
    };
  }

  /** A promise only where the schema makes one: a synchronous schema costs no turn of the loop. */
  #job(
    task: TaskDefinition,
    input: unknown,
    prepared: Prepared,
    id: string | undefined,
    dedupeFor: Duration | undefined,
  ): NewJob | Promise<NewJob> {
    const json = toJson(input, prepared.what);
    if (task.input === undefined) {
      if (input !== undefined && input !== null)
        throw new TaktlineError('INVALID_INPUT', `${prepared.what}: it has no input schema and takes none`);
      return this.#encode(task, json, prepared, id, dedupeFor);
    }
    // What is checked is what will run: a Date that JSON turns into a string is refused here, not on the worker.
    const checked = validateInput(task, JSON.parse(json));
    if (checked instanceof Promise) return checked.then(() => this.#encode(task, json, prepared, id, dedupeFor));
    return this.#encode(task, json, prepared, id, dedupeFor);
  }

  #encode(
    task: TaskDefinition,
    json: string,
    { head, job, what }: Prepared,
    id: string | undefined,
    dedupeFor: Duration | undefined,
  ): NewJob {
    const envelope = encodeEnvelope(head, json);
    const { payloadLimit } = this.#options;
    // Three bytes a character is the most that UTF-8 needs, so most inputs are never measured.
    if (envelope.length * 3 > payloadLimit && Buffer.byteLength(envelope) > payloadLimit) {
      throw new TaktlineError(
        'PAYLOAD_TOO_LARGE',
        `${what} has ${Buffer.byteLength(envelope)} bytes; at most ${payloadLimit} are allowed: store it elsewhere and send a reference`,
      );
    }
    if (id === undefined) return { id: newId(), envelope, ...job };
    const forMs = toMs(dedupeFor ?? defaultDedupeMs, 'dedupeFor');
    return { id: checkJobId(id), envelope, ...job, unique: { fingerprint: fingerprint(task.name, json), forMs } };
  }
}

interface Prepared {
  /** For errors. */
  readonly what: string;
  readonly head: string;
  readonly job: Omit<NewJob, 'id' | 'envelope' | 'unique'>;
}

function time(value: Date | number, name: string): number {
  const ms = typeof value === 'number' ? value : value.getTime();
  if (!Number.isFinite(ms) || ms < 0 || ms > 8.64e15) throw new TaktlineError('INVALID_OPTION', `${name} is not a valid time`);
  return Math.round(ms);
}
