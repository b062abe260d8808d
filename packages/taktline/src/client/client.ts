/**
 * Turns calls into jobs: checks the input, encodes it once, and sends what comes together in one batch.
 */
import { createHash } from 'node:crypto';
import type { Broker, CancelReply, EnqueueReply, NewJob } from '../broker/broker.ts';
import { type Duration, toMs } from '../support/durations.ts';
import { newId } from '../support/ids.ts';
import { TaktlineError } from '../support/taktline-error.ts';
import { checkHeaders, encodeEnvelope, encodeHead, toJson } from '../task/codec.ts';
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

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#sender = new Coalescer({
      send: async (jobs) => (await options.broker()).enqueue(jobs),
      mostItems: batchItems,
      mostBytes: batchBytes,
    });
    this.#waiter = new ResultWaiter(options.broker);
  }

  async enqueue<Result>(task: TaskDefinition, input: unknown, options: EnqueueOneOptions = {}): Promise<JobHandle<Result>> {
    const prepared = this.#prepare(task, options);
    const { id, ...given } = options;
    const job = await this.#job(task, input, prepared, id, given.dedupeFor);
    return this.#send(task, job);
  }

  async enqueueMany<Input, Result>(
    task: TaskDefinition,
    inputs: readonly Input[],
    options: EnqueueManyOptions<Input> = {},
  ): Promise<JobHandle<Result>[]> {
    const { id: idOf, dedupeFor, ...shared } = options;
    const prepared = this.#prepare(task, shared);
    const jobs: NewJob[] = [];
    // Everything is checked before anything is sent: one bad input among many enqueues none.
    for (const [index, input] of inputs.entries()) {
      try {
        jobs.push(await this.#job(task, input, prepared, idOf?.(input, index), dedupeFor));
      } catch (error) {
        throw error instanceof TaktlineError
          ? new TaktlineError(error.code, `input ${index} of ${inputs.length}: ${error.message}`, { cause: error.cause })
          : error;
      }
    }
    const broker = await this.#options.broker();
    const handles: JobHandle<Result>[] = [];
    for (let from = 0; from < jobs.length; ) {
      let to = from;
      for (let bytes = 0; to < jobs.length && to - from < batchItems && bytes < batchBytes; to++)
        bytes += (jobs[to] as NewJob).envelope.length;
      const batch = jobs.slice(from, to);
      const replies = await broker.enqueue(batch).catch((error: unknown) => {
        throw from === 0 ? error : partly(error, from, jobs.length);
      });
      for (const [index, job] of batch.entries()) handles.push(this.#handle(task, job, replies[index] as EnqueueReply));
      from = to;
    }
    return handles;
  }

  /** A handle of a job that was enqueued elsewhere. */
  handle<Result>(id: string, resultKept = true): JobHandle<Result> {
    return new JobHandle(checkJobId(id), { resultKept, waiter: this.#waiter, broker: this.#options.broker });
  }

  async cancel(ids: readonly string[]): Promise<readonly CancelReply[]> {
    return (await this.#options.broker()).cancel(ids.map(checkJobId));
  }

  async close(): Promise<void> {
    await this.#sender.drained();
    this.#waiter.close();
  }

  async #send<Result>(task: TaskDefinition, job: NewJob): Promise<JobHandle<Result>> {
    try {
      return this.#handle(task, job, await this.#sender.add(job, job.envelope.length));
    } catch (error) {
      if (!(error instanceof TaktlineError) || error.code !== 'BROKER_UNAVAILABLE') throw error;
      throw new TaktlineError(
        error.code,
        `${error.message}. Whether the job was enqueued is not known: sent again with { id: '${job.id}' } it is made once`,
        { cause: error.cause, jobId: job.id },
      );
    }
  }

  #handle<Result>(task: TaskDefinition, job: NewJob, reply: EnqueueReply): JobHandle<Result> {
    if (reply === 'conflict') {
      throw new TaktlineError('ID_CONFLICT', `id ${JSON.stringify(job.id)} already names a job with another task or input`, {
        jobId: job.id,
      });
    }
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

  async #job(
    task: TaskDefinition,
    input: unknown,
    { head, job }: Prepared,
    id: string | undefined,
    dedupeFor: Duration | undefined,
  ): Promise<NewJob> {
    const json = toJson(input, `the input of task ${JSON.stringify(task.name)}`);
    if (task.input !== undefined) {
      // What is checked is what will run: a Date that JSON turns into a string is refused here, not on the worker.
      const checked = validateInput(task, JSON.parse(json));
      if (checked instanceof Promise) await checked;
    } else if (input !== undefined && input !== null) {
      throw new TaktlineError('INVALID_INPUT', `task ${JSON.stringify(task.name)} has no input schema and takes no input`);
    }
    const envelope = encodeEnvelope(head, json);
    const { payloadLimit } = this.#options;
    if (envelope.length * 3 > payloadLimit) {
      const bytes = Buffer.byteLength(envelope);
      if (bytes > payloadLimit) {
        throw new TaktlineError(
          'PAYLOAD_TOO_LARGE',
          `the input of task ${JSON.stringify(task.name)} has ${bytes} bytes; at most ${payloadLimit} are allowed: store it elsewhere and send a reference`,
        );
      }
    }
    if (id === undefined) return { id: newId(), envelope, ...job };
    const forMs = toMs(dedupeFor ?? defaultDedupeMs, 'dedupeFor');
    const fingerprint = createHash('sha256').update(`${task.name}\0${json}`).digest('base64url').slice(0, 22);
    return { id: checkJobId(id), envelope, ...job, unique: { fingerprint, forMs } };
  }
}

interface Prepared {
  readonly head: string;
  readonly job: Omit<NewJob, 'id' | 'envelope' | 'unique'>;
}

function time(value: Date | number, name: string): number {
  const ms = typeof value === 'number' ? value : value.getTime();
  if (!Number.isFinite(ms) || ms < 0 || ms > 8.64e15) throw new TaktlineError('INVALID_OPTION', `${name} is not a valid time`);
  return Math.round(ms);
}

function partly(error: unknown, sent: number, all: number): unknown {
  if (!(error instanceof TaktlineError)) return error;
  return new TaktlineError(error.code, `${error.message}. The first ${sent} of ${all} jobs were enqueued before`, { cause: error.cause });
}
