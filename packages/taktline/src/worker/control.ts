/**
 * Answers what is asked of this worker from outside: `taktline inspect` and `taktline control`. A request comes with a
 * pulse, at least once; each is answered once. What cannot be done is an answer too, and never ends the worker.
 */
import type { ClaimedJob, QueueDeclaration, WorkerRequest } from '../broker/broker.ts';
import type { Logger } from '../support/logger.ts';
import { messageOf } from '../support/message-of.ts';
import { TaktlineError } from '../support/taktline-error.ts';
import { decodeEnvelope } from '../task/codec.ts';
import type { TaskRegistry } from '../task/registry.ts';
import { allSensitive } from '../task/sensitive.ts';
import { type Bounds, checkBounds } from './autoscaler.ts';
import type { PoolStats, RunningJob } from './pools/pool.ts';

/** What can be asked. Names are Celery's. */
export type ControlRequest =
  | { readonly verb: 'ping' | 'report' | 'stats' | 'active' | 'reserved' | 'revoked' | 'registered' | 'active_queues' | 'pool_restart' }
  | { readonly verb: 'add_consumer' | 'cancel_consumer'; readonly queue: string }
  | { readonly verb: 'pool_grow' | 'pool_shrink'; readonly by: number }
  /** Without bounds the size stays as it is. */
  | { readonly verb: 'autoscale'; readonly bounds?: Bounds }
  | { readonly verb: 'time_limit'; readonly task: string; readonly softMs: number; readonly hardMs: number }
  /** Stops running jobs by force; those that are not here are left out of the answer. */
  | { readonly verb: 'terminate'; readonly ids: readonly string[] }
  | { readonly verb: 'shutdown'; readonly now: boolean };

export type ControlVerb = ControlRequest['verb'];

/** A job that this worker holds, as a person may see it. */
export interface HeldJob {
  readonly id: string;
  readonly task: string;
  readonly queue: string;
  /** Undefined until it has begun. */
  readonly startedAt: number | undefined;
  /** Masked; left out where it is large. */
  readonly input: unknown;
}

export interface HeldJobs {
  readonly jobs: readonly HeldJob[];
  /** How many there are; `jobs` has the first ones. */
  readonly total: number;
}

export interface WorkerStats {
  readonly pid: number;
  readonly upMs: number;
  readonly pool: PoolStats;
  /** Jobs that have ended here, by task. */
  readonly finished: Readonly<Record<string, number>>;
  readonly running: number;
  readonly reserved: number;
  readonly autoscale: Bounds | undefined;
  readonly rssBytes: number;
  readonly cpuMs: number;
}

export type ControlAnswer =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly code: string; readonly message: string };

/** The worker, as far as it can be asked and told. */
export interface Controlled {
  stats(): WorkerStats;
  running(): readonly RunningJob[];
  /** Claimed, and not begun. */
  reserved(): readonly ClaimedJob[];
  /** Of what runs: those that were asked to stop. */
  stopping(): readonly RunningJob[];
  queues(): readonly QueueDeclaration[];
  addQueue(name: string): Promise<void>;
  removeQueue(name: string): Promise<void>;
  /** By so many children, or slots; ends autoscaling. Returns the new size. */
  resize(by: number): number;
  restartPool(): boolean;
  autoscale(bounds: Bounds | undefined): void;
  limit(task: string, softMs: number, hardMs: number): void;
  terminate(job: RunningJob): boolean;
  shutDown(now: boolean): void;
}

export interface ControlOptions {
  readonly worker: Controlled;
  readonly tasks: TaskRegistry;
  readonly logger: Logger;
  answer(request: string, body: string): Promise<void>;
}

/** An answer has 1 MiB at most. */
const mostJobs = 400;
const largestInput = 2_000;
/** Requests whose answers are remembered: they may be told once more before the broker knows. */
const rememberedAtMost = 1_000;

interface Taken {
  readonly answer: Promise<string>;
  /** The broker has it, or it is on its way there. */
  sent: boolean;
}

export class Control {
  readonly #options: ControlOptions;
  readonly #taken = new Map<string, Taken>();

  constructor(options: ControlOptions) {
    this.#options = options;
  }

  /** What the last pulse has told. */
  take(requests: readonly WorkerRequest[]): void {
    for (const request of requests) {
      let taken = this.#taken.get(request.id);
      if (taken === undefined) {
        taken = { answer: this.#answer(request), sent: false };
        this.#taken.set(request.id, taken);
        if (this.#taken.size > rememberedAtMost) this.#taken.delete(this.#taken.keys().next().value as string);
      }
      // What was done is not done twice; an answer that did not get through is sent again.
      if (!taken.sent) void this.#send(request, taken);
    }
  }

  async #send(request: WorkerRequest, taken: Taken): Promise<void> {
    taken.sent = true;
    const answer = await taken.answer;
    try {
      await this.#options.answer(request.id, answer);
    } catch (error) {
      taken.sent = false;
      this.#options.logger.warn('an answer did not reach the broker', { error: messageOf(error) });
      return;
    }
    // Not before: who stops answers no more.
    const asked = parsed(request.body);
    if (asked?.verb === 'shutdown') this.#options.worker.shutDown(asked.now);
  }

  async #answer({ body }: WorkerRequest): Promise<string> {
    let answer: ControlAnswer;
    try {
      answer = { ok: true, value: await this.#do(parsed(body)) };
    } catch (error) {
      const ours = error instanceof TaktlineError;
      answer = { ok: false, code: ours ? error.code : 'INVALID_OPTION', message: ours ? error.message : 'the request cannot be read' };
    }
    return JSON.stringify(answer);
  }

  async #do(asked: ControlRequest | undefined): Promise<unknown> {
    const { worker, logger, tasks } = this.#options;
    if (asked === undefined) throw new TaktlineError('INVALID_OPTION', 'the request cannot be read');
    if (changes.has(asked.verb)) logger.info('asked from outside', { ...asked });
    switch (asked.verb) {
      case 'ping':
        return 'pong';
      case 'report':
        return { node: process.version, platform: process.platform, arch: process.arch, ...worker.stats() };
      case 'stats':
        return worker.stats();
      case 'active':
        return this.#shown(worker.running());
      case 'revoked':
        return this.#shown(worker.stopping());
      case 'reserved':
        return this.#shown(worker.reserved().map((job) => ({ job, task: undefined, startedAt: undefined })));
      case 'registered':
        return tasks.names();
      case 'active_queues':
        return worker.queues();
      case 'add_consumer':
        await worker.addQueue(name(asked.queue));
        return worker.queues().map(({ name }) => name);
      case 'cancel_consumer':
        await worker.removeQueue(name(asked.queue));
        return worker.queues().map(({ name }) => name);
      case 'pool_grow':
        return worker.resize(whole(asked.by));
      case 'pool_shrink':
        return worker.resize(-whole(asked.by));
      case 'pool_restart':
        if (worker.restartPool()) return 'restarting';
        throw new TaktlineError(
          'INVALID_OPTION',
          'the inline pool has no children: shut the worker down, and its supervisor starts another',
        );
      case 'autoscale':
        worker.autoscale(asked.bounds === undefined ? undefined : checkBounds(asked.bounds));
        return worker.stats().autoscale ?? null;
      case 'time_limit':
        worker.limit(name(asked.task), whole(asked.softMs), whole(asked.hardMs));
        return { task: asked.task, softMs: asked.softMs, hardMs: asked.hardMs };
      case 'terminate': {
        const ids = new Set(Array.isArray(asked.ids) ? asked.ids : []);
        return worker.running().flatMap((job) => (ids.has(job.job.id) ? [{ id: job.job.id, terminated: worker.terminate(job) }] : []));
      }
      case 'shutdown':
        return 'stopping';
      default:
        throw new TaktlineError('INVALID_OPTION', 'this worker does not know what was asked: it may be of an older release');
    }
  }

  #shown(jobs: readonly (Pick<RunningJob, 'job'> & { readonly startedAt: number | undefined })[]): HeldJobs {
    return {
      total: jobs.length,
      jobs: jobs.slice(0, mostJobs).map(({ job, startedAt }) => {
        const { task, input } = this.#read(job);
        return { id: job.id, task, queue: job.queue, startedAt, input };
      }),
    };
  }

  #read({ envelope }: ClaimedJob): { readonly task: string; readonly input: unknown } {
    try {
      const { task, input } = decodeEnvelope(envelope);
      const { sensitivity = allSensitive } = this.#options.tasks.find(task) ?? {};
      return { task, input: envelope.length > largestInput ? undefined : sensitivity.masked(input) };
    } catch {
      return { task: '', input: undefined };
    }
  }
}

/** What changes something is worth a line in the log. */
const changes: ReadonlySet<ControlVerb> = new Set([
  'add_consumer',
  'cancel_consumer',
  'pool_grow',
  'pool_shrink',
  'pool_restart',
  'autoscale',
  'time_limit',
  'terminate',
  'shutdown',
]);

/** Anybody who can write to the broker may have made it. */
function parsed(body: string): ControlRequest | undefined {
  try {
    const asked: unknown = JSON.parse(body);
    return typeof asked === 'object' && asked !== null && 'verb' in asked ? (asked as ControlRequest) : undefined;
  } catch {
    return undefined;
  }
}

function name(text: unknown): string {
  if (typeof text === 'string') return text;
  throw new TaktlineError('INVALID_OPTION', 'a name is missing in what was asked');
}

function whole(number: unknown): number {
  if (typeof number === 'number' && Number.isInteger(number) && number >= 1) return number;
  throw new TaktlineError('INVALID_OPTION', `${String(number)} is not a whole number from 1`);
}
