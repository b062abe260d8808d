/**
 * Turns calls into jobs: checks the input, encodes it once, and sends what comes together in one batch.
 */
import type { Broker, CancelReply, EnqueueReply, NewJob, QueueDeclaration } from '../broker/broker.ts';
import { type Duration, toMs } from '../support/durations.ts';
import { madeHere, newId } from '../support/ids.ts';
import { TaktlineError } from '../support/taktline-error.ts';
import type { Transaction } from '../support/transaction.ts';
import { checkHeaders, encodeEnvelope, encodeHead, fingerprint, toJson } from '../task/codec.ts';
import { checkJobId } from '../task/names.ts';
import { checkPriority, longestResultTtlMs, type TaskDefinition } from '../task/task.ts';
import { validateInput } from '../task/validate.ts';
import { Coalescer } from './coalescer.ts';
import { type HandleParts, JobHandle } from './handle.ts';
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
  /** Enqueues them with the caller's transaction, as `task.enqueue()` does; then about a thousand in a statement. */
  readonly transaction?: Transaction;
  /** Gives each job its key, as in `task.enqueue()`. */
  readonly key?: (input: Input, index: number) => string;
}

export interface EnqueueInOptions extends EnqueueOneOptions {
  /** The caller's open transaction: the job is enqueued when it commits, and is not when it is rolled back. */
  readonly transaction: Transaction;
  /**
   * Jobs of one key are handed to the broker in the order of their transactions, where one of these has waited for the other
   * (for a lock on the same order, say). At most 200 characters.
   */
  readonly key?: string;
}

/** A job of a transaction. */
export interface KeyedJob {
  readonly job: NewJob;
  readonly key: string | undefined;
}

/** Of a job that is enqueued later. */
export type PrepareOptions = Pick<EnqueueOptions, 'queue' | 'priority' | 'headers'> & { readonly expires?: Duration };

/** A job that was checked, and is not enqueued yet. */
export interface PreparedJob extends Pick<NewJob, 'queue' | 'priority' | 'envelope'> {
  readonly expiresInMs?: number;
  readonly fingerprint: string;
}

export interface ClientOptions {
  readonly broker: () => Promise<Broker>;
  /** The declared queues by name; undefined where only the broker knows them. */
  readonly queues: ReadonlyMap<string, QueueDeclaration> | undefined;
  readonly payloadLimit: number;
  /** Enqueues in a transaction of a caller's. */
  readonly enqueueIn: (transaction: Transaction, jobs: readonly KeyedJob[]) => Promise<readonly EnqueueReply[]>;
}

const batchItems = 1_000;
const batchBytes = 4 * 1024 * 1024;
export const defaultDedupeMs = longestResultTtlMs;

export class Client {
  readonly #options: ClientOptions;
  readonly #sender: Sender;
  /** Calls of one turn for one transaction travel in one statement. */
  readonly #senders = new WeakMap<Transaction, Sender>();
  readonly #waiter: ResultWaiter;
  /** Calls that are not over, and not with the sender yet. */
  readonly #calls = new Set<Promise<unknown>>();
  /** What calls without options share. */
  readonly #plain = new WeakMap<TaskDefinition, Prepared>();
  readonly #handleParts: Readonly<Record<'kept' | 'unkept' | 'later', HandleParts>>;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#sender = new Coalescer({
      send: (calls) => this.#sendCalls(calls),
      mostItems: batchItems,
      mostBytes: batchBytes,
    });
    this.#waiter = new ResultWaiter(options.broker);
    const parts = { waiter: this.#waiter, broker: options.broker };
    this.#handleParts = {
      kept: { ...parts, resultKept: true },
      unkept: { ...parts, resultKept: false },
      later: { ...parts, resultKept: true, later: true },
    };
  }

  /** One promise a call, where nothing has to be waited for before: 100 callers at once made a quarter more calls by that. */
  enqueue<Result>(task: TaskDefinition, input: unknown, options?: EnqueueOneOptions): Promise<JobHandle<Result>> {
    try {
      const prepared = options === undefined ? this.#preparedPlain(task) : this.#prepare(task, options);
      const id = options?.id === undefined ? undefined : checkJobId(options.id);
      const json = this.#check(task, input, prepared);
      const send = (checked: string) => this.#send<Result>(task, encode(task, checked, prepared, id, options?.dedupeFor));
      return typeof json === 'string' ? send(json) : this.#tracked(json.then(send));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** The same in a caller's transaction. */
  enqueueIn<Result>(task: TaskDefinition, input: unknown, options: EnqueueInOptions): Promise<JobHandle<Result>> {
    return this.#tracked(this.#enqueueIn(task, input, options));
  }

  async #enqueueIn<Result>(task: TaskDefinition, input: unknown, options: EnqueueInOptions): Promise<JobHandle<Result>> {
    const { transaction, key, id, dedupeFor, ...shared } = options;
    const prepared = Object.keys(shared).length === 0 ? this.#preparedPlain(task) : this.#prepare(task, shared);
    const checked = this.#check(task, input, prepared);
    const json = typeof checked === 'string' ? checked : await checked;
    const job = encode(task, json, prepared, id === undefined ? undefined : checkIdIn(id), dedupeFor);
    const parts = this.#partsFor(task, true);
    return this.#senderIn(transaction).add(new Call(job, parts, checkKey(key)), job.envelope.length) as Promise<JobHandle<Result>>;
  }

  #senderIn(transaction: Transaction): Sender {
    if (typeof transaction !== 'object' || transaction === null)
      throw new TaktlineError('OUTBOX_TRANSACTION', 'transaction: expected a client of pg or a transaction of Kysely');
    let sender = this.#senders.get(transaction);
    if (sender === undefined) {
      const enqueue = (calls: readonly Call[]) => this.#options.enqueueIn(transaction, calls);
      sender = new Coalescer<Call, JobHandle<unknown>>({
        send: async (calls) => handlesOf(calls, await enqueue(calls)),
        mostItems: batchItems,
        mostBytes: batchBytes,
        // A connection does one thing after the other, and who has a transaction open should not wait for a turn of the loop.
        atOnce: 1,
        gather: (flush) => process.nextTick(flush),
      });
      this.#senders.set(transaction, sender);
    }
    return sender;
  }

  enqueueMany<Input, Result>(
    task: TaskDefinition,
    inputs: readonly Input[],
    options: EnqueueManyOptions<Input> = {},
  ): Promise<JobHandle<Result>[]> {
    return this.#tracked(this.#enqueueMany<Input, Result>(task, inputs, options));
  }

  async #enqueueMany<Input, Result>(
    task: TaskDefinition,
    inputs: readonly Input[],
    options: EnqueueManyOptions<Input>,
  ): Promise<JobHandle<Result>[]> {
    const { id: idOf, dedupeFor, transaction, key: keyOf, ...shared } = options;
    if (keyOf !== undefined && transaction === undefined)
      throw new TaktlineError('INVALID_OPTION', 'key: jobs have one only when they are enqueued in a transaction');
    const prepared = this.#prepare(task, shared);
    const jsons: string[] = [];
    // Everything is checked before anything is sent: one bad input among many enqueues none.
    for (let index = 0; index < inputs.length; index++) {
      try {
        const json = this.#check(task, inputs[index], prepared);
        jsons.push(typeof json === 'string' ? json : await json);
      } catch (error) {
        throw error instanceof TaktlineError
          ? new TaktlineError(error.code, `input ${index} of ${inputs.length}: ${error.message}`, { cause: error.cause })
          : error;
      }
    }
    const check = transaction === undefined ? checkJobId : checkIdIn;
    const ids = idOf === undefined ? undefined : inputs.map((input, index) => check(idOf(input, index)));
    const keys = keyOf === undefined ? undefined : inputs.map((input, index) => checkKey(keyOf(input, index)));
    const jobAt = (index: number) => encode(task, jsons[index] as string, prepared, ids?.[index], dedupeFor);
    if (transaction === undefined) return this.#sendAll(task, jsons, jobAt);
    const sender = this.#senderIn(transaction);
    const parts = this.#partsFor(task, true);
    const sent = jsons.map((json, index) => sender.add(new Call(jobAt(index), parts, keys?.[index]), json.length));
    // Not before the last is answered: whoever hears of the first refusal rolls back.
    const ended = await Promise.allSettled(sent);
    for (const one of ended) if (one.status === 'rejected') throw one.reason;
    return ended.map((one) => (one as PromiseFulfilledResult<JobHandle<unknown>>).value as JobHandle<Result>);
  }

  /** Sends batches, two at a time: one is packed while another is stored. */
  async #sendAll<Result>(task: TaskDefinition, jsons: readonly string[], jobAt: (index: number) => NewJob): Promise<JobHandle<Result>[]> {
    const broker = await this.#options.broker();
    const handles: JobHandle<Result>[] = [];
    const conflicts: string[] = [];
    const parts = this.#partsFor(task);
    let from = 0;
    let sent = 0;
    const lane = async (): Promise<void> => {
      while (from < jsons.length) {
        const start = from;
        const batch: NewJob[] = [];
        for (let bytes = 0; from < jsons.length && batch.length < batchItems && bytes < batchBytes; from++) {
          bytes += (jsons[from] as string).length;
          batch.push(jobAt(from));
        }
        try {
          const replies = await broker.enqueue(batch);
          for (let index = 0; index < batch.length; index++) {
            const { id } = batch[index] as NewJob;
            if (replies[index] === 'conflict') conflicts.push(id);
            else handles[start + index] = new JobHandle(id, parts);
          }
          sent += batch.length;
        } catch (error) {
          // The other lane ends with its batch.
          from = jsons.length;
          throw error;
        }
      }
    };
    const failed = (await Promise.allSettled([lane(), lane()])).find((ended) => ended.status === 'rejected');
    if (failed !== undefined) throw partly(failed.reason, sent, jsons.length);
    if (conflicts.length === 0) return handles;
    const shown = conflicts.slice(0, 3).map((id) => JSON.stringify(id));
    throw new TaktlineError(
      'ID_CONFLICT',
      `${conflicts.length} of ${jsons.length} ids already name jobs with another task or input (${shown.join(', ')}${conflicts.length > 3 ? ', ...' : ''}); the others were enqueued`,
    );
  }

  /** Checks an input and makes a job of it that is not enqueued yet. */
  async prepare(task: TaskDefinition, input: unknown, options: PrepareOptions): Promise<PreparedJob> {
    const prepared = this.#prepare(task, options);
    const json = await this.#check(task, input, prepared);
    return {
      queue: prepared.job.queue,
      priority: prepared.job.priority,
      ...(prepared.job.expiresInMs === undefined ? {} : { expiresInMs: prepared.job.expiresInMs }),
      envelope: encodeEnvelope(prepared.head, json),
      fingerprint: fingerprint(task.name, json),
    };
  }

  /** Enqueues what was prepared, as one more job. */
  enqueuePrepared(job: Omit<PreparedJob, 'fingerprint'>): Promise<JobHandle<unknown>> {
    const { queue, priority, envelope, expiresInMs } = job;
    const expiry = expiresInMs === undefined ? {} : { expiresInMs };
    const call = new Call({ id: newId(queue), queue, priority, envelope, ...expiry }, this.#handleParts.kept);
    return this.#sender.add(call, envelope.length);
  }

  /** A handle of a job that was enqueued elsewhere. */
  handle<Result>(id: string, resultKept = true): JobHandle<Result> {
    return new JobHandle(checkJobId(id), resultKept ? this.#handleParts.kept : this.#handleParts.unkept);
  }

  async cancel(ids: readonly string[]): Promise<readonly CancelReply[]> {
    return (await this.#options.broker()).cancel(ids.map(checkJobId));
  }

  /** Waits for the calls that are under way. */
  async close(): Promise<void> {
    while (this.#calls.size > 0) await Promise.allSettled(this.#calls);
    await this.#sender.idle();
    this.#waiter.close();
  }

  #tracked<Made>(call: Promise<Made>): Promise<Made> {
    this.#calls.add(call);
    const over = () => void this.#calls.delete(call);
    call.then(over, over);
    return call;
  }

  #send<Result>(task: TaskDefinition, job: NewJob): Promise<JobHandle<Result>> {
    return this.#sender.add(new Call(job, this.#partsFor(task)), job.envelope.length) as Promise<JobHandle<Result>>;
  }

  /** What each call gets: its handle, or its error. */
  async #sendCalls(calls: readonly Call[]): Promise<readonly (JobHandle<unknown> | Error)[]> {
    try {
      const broker = await this.#options.broker();
      return handlesOf(calls, await broker.enqueue(calls.map(({ job }) => job)));
    } catch (error) {
      if (!(error instanceof TaktlineError) || error.code !== 'BROKER_UNAVAILABLE') throw error;
      const { code, message, cause } = error;
      return calls.map(({ job: { id } }) => {
        const advice = `Whether the job was enqueued is not known: sent again under the id ${id} it is made once`;
        return new TaktlineError(code, `${message}. ${advice}`, { cause, jobId: id });
      });
    }
  }

  /** @param later the job comes to the broker some time later */
  #partsFor(task: TaskDefinition, later = false): HandleParts {
    const { kept, unkept, later: laterKept } = this.#handleParts;
    return task.resultTtlMs === 0 ? unkept : later ? laterKept : kept;
  }

  #preparedPlain(task: TaskDefinition): Prepared {
    let prepared = this.#plain.get(task);
    if (prepared === undefined) {
      prepared = this.#prepare(task, {});
      this.#plain.set(task, prepared);
    }
    return prepared;
  }

  #prepare(task: TaskDefinition, options: EnqueueOptions): Prepared {
    const queue = options.queue ?? task.queue;
    if (this.#options.queues?.has(queue) === false) {
      throw new TaktlineError(
        'UNKNOWN_QUEUE',
        `queue ${JSON.stringify(queue)} is not declared in createApp({ queues }); declared are ${[...this.#options.queues.keys()].join(', ')}`,
      );
    }
    if (queue !== task.queue) requireEffectKey(task, this.#options.queues?.get(queue));
    if (options.eta !== undefined && options.countdown !== undefined)
      throw new TaktlineError('INVALID_OPTION', 'give countdown or eta, not both');
    const headers = options.headers === undefined ? undefined : checkHeaders(options.headers);
    return {
      what: `the input of task ${JSON.stringify(task.name)}`,
      head: encodeHead({ task: task.name, inputVersion: task.inputVersion, headers }),
      plain: options.eta === undefined && options.countdown === undefined && options.expires === undefined,
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

  /** The input as JSON, checked. A promise only where the schema makes one: a synchronous schema costs no turn of the loop. */
  #check(task: TaskDefinition, input: unknown, { head, what }: Prepared): string | Promise<string> {
    const json = toJson(input, what);
    const { payloadLimit } = this.#options;
    // Three bytes a character is the most that UTF-8 needs, so most inputs are never measured.
    if ((head.length + json.length + 1) * 3 > payloadLimit) {
      const bytes = Buffer.byteLength(head) + Buffer.byteLength(json) + 1;
      if (bytes > payloadLimit) {
        throw new TaktlineError(
          'PAYLOAD_TOO_LARGE',
          `${what} has ${bytes} bytes; at most ${payloadLimit} are allowed: store it elsewhere and send a reference`,
        );
      }
    }
    if (task.input === undefined) {
      if (input === undefined || input === null) return json;
      throw new TaktlineError('INVALID_INPUT', `${what}: it has no input schema and takes none`);
    }
    // What is checked is what will run: a Date that JSON turns into a string is refused here, not on the worker.
    const checked = validateInput(task, JSON.parse(json));
    return checked instanceof Promise ? checked.then(() => json) : json;
  }
}

function encode(
  task: TaskDefinition,
  json: string,
  { head, job, plain }: Prepared,
  id: string | undefined,
  dedupeFor: Duration | undefined,
): NewJob {
  const envelope = encodeEnvelope(head, json);
  // Written out where it can be, since to spread an object costs a microsecond in Node.js 20.
  if (id === undefined && plain) return { queue: job.queue, priority: job.priority, id: newId(job.queue), envelope };
  if (id === undefined) return { ...job, id: newId(job.queue), envelope };
  const forMs = toMs(dedupeFor ?? defaultDedupeMs, 'dedupeFor');
  return { ...job, id, envelope, unique: { fingerprint: fingerprint(task.name, json), forMs } };
}

function partly(error: unknown, sent: number, all: number): unknown {
  if (!(error instanceof TaktlineError)) return error;
  return new TaktlineError(
    error.code,
    `${error.message}. ${sent} of ${all} jobs are known to be enqueued; give each its id to send all of them again and make none twice`,
    { cause: error.cause },
  );
}

type Sender = Coalescer<Call, JobHandle<unknown>>;

/** One enqueue on its way. */
class Call {
  readonly job: NewJob;
  readonly parts: HandleParts;
  readonly key: string | undefined;

  constructor(job: NewJob, parts: HandleParts, key?: string) {
    this.job = job;
    this.parts = parts;
    this.key = key;
  }
}

function handlesOf(calls: readonly Call[], replies: readonly EnqueueReply[]): readonly (JobHandle<unknown> | TaktlineError)[] {
  return calls.map(({ job: { id }, parts }, index) =>
    replies[index] === 'conflict'
      ? new TaktlineError('ID_CONFLICT', `id ${JSON.stringify(id)} already names a job with another task or input`, { jobId: id })
      : new JobHandle(id, parts),
  );
}

/** @throws TaktlineError `INVALID_OPTION` */
function checkIdIn(id: string): string {
  // Its first enqueue, if there was one, is sent again under it outside of a transaction, where it is waited for.
  if (madeHere(id)) throw new TaktlineError('INVALID_OPTION', `id ${JSON.stringify(id)} is one of a handle: give a name of your own`);
  return checkJobId(id);
}

/** @throws TaktlineError `INVALID_OPTION` */
function checkKey(key: string | undefined): string | undefined {
  if (key === undefined || (typeof key === 'string' && key !== '' && key.length <= 200)) return key;
  throw new TaktlineError('INVALID_OPTION', 'key: expected a text of 1 to 200 characters');
}

/**
 * A job of a queue that is kept until the end may run again after a loss of data, though it had ended unseen.
 *
 * @throws TaktlineError `INVALID_OPTION`
 */
export function requireEffectKey(task: TaskDefinition, queue: QueueDeclaration | undefined): void {
  if (queue?.keepUntilEnd !== true || task.effectKey !== undefined) return;
  throw new TaktlineError(
    'INVALID_OPTION',
    `task ${JSON.stringify(task.name)}: queue ${JSON.stringify(queue.name)} is declared keepUntilEnd, so the task has to declare effectKey, such as (input) => input.orderId`,
  );
}

interface Prepared {
  /** For errors. */
  readonly what: string;
  readonly head: string;
  readonly job: Omit<NewJob, 'id' | 'envelope' | 'unique'>;
  /** It has a queue and a priority, and nothing else. */
  readonly plain: boolean;
}

function time(value: Date | number, name: string): number {
  const ms = typeof value === 'number' ? value : value.getTime();
  if (!Number.isFinite(ms) || ms < 0 || ms > 8.64e15) throw new TaktlineError('INVALID_OPTION', `${name} is not a valid time`);
  return Math.round(ms);
}
