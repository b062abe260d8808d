/**
 * Runs one job to one settlement: read the envelope, find the task, check the input, run, and turn whatever came of it
 * into what the broker should do next. Never throws; a job that cannot even be read becomes a dead letter.
 */
import type { ClaimedJob, Settlement } from '../broker/broker.ts';
import type { Logger } from '../support/logger.ts';
import { type ErrorCode, TaktlineError } from '../support/taktline-error.ts';
import { decodeEnvelope, toJson } from '../task/codec.ts';
import { type AttemptRecord, decodePast, type ErrorRecord, encodePast, type JobPast, noPast, whenKnown, withAttempt } from '../task/job.ts';
import type { MakesOnce } from '../task/once.ts';
import { Discard, RetryLater } from '../task/outcome.ts';
import type { TaskRegistry } from '../task/registry.ts';
import { defaultResultTtlMs, type TaskDefinition } from '../task/task.ts';
import { validateInput } from '../task/validate.ts';
import { JobContext, ShutdownSignal } from './context.ts';

export interface ExecutorOptions {
  readonly tasks: TaskRegistry;
  readonly worker: string;
  readonly logger: Logger;
  /** The broker's time, as far as this process knows it. */
  readonly now: () => number;
  readonly unknownTaskGraceMs: number;
  /** Largest result, in bytes. */
  readonly payloadLimit: number;
  /** Of the worker. */
  readonly leaseMs: number;
  readonly effects: MakesOnce;
}

/** A job handed back because nobody here knows its task waits 1, 2, 4 ... seconds, at most this long. */
const slowestHandBackMs = 60_000;

export class Executor {
  readonly #options: ExecutorOptions;

  constructor(options: ExecutorOptions) {
    this.#options = options;
  }

  begin(job: ClaimedJob): JobContext {
    const { worker, logger, now, effects, leaseMs } = this.#options;
    return new JobContext(job, { worker, logger, effects, leaseMs, startedAt: now() });
  }

  /** @param begins told of the task as soon as it is known: from then on its code may block the loop */
  async execute(ctx: JobContext, begins: (task: TaskDefinition) => void = () => undefined): Promise<Settlement> {
    let past = noPast;
    try {
      if (ctx.job.past !== undefined) past = decodePast(ctx.job.past);
      const envelope = decodeEnvelope(ctx.job.envelope);
      const task = this.#options.tasks.find(envelope.task);
      if (task === undefined) return this.#handBackUnknown(ctx, past, envelope.task);
      past = whenKnown(past);
      ctx.definition = task;
      ctx.input = envelope.input;
      ctx.headers = envelope.headers;
      ctx.after(past);
      begins(task);
      const checked = validateInput(task, envelope.input);
      const input = checked instanceof Promise ? await checked : checked;
      ctx.checked = input;
      if (ctx.stopReason !== undefined) throw ctx.stopReason;
      return this.#came(ctx, past, await task.run(input, ctx));
    } catch (error) {
      try {
        return this.#threw(ctx, past, error);
      } catch {
        // A proxy, a getter that throws: what was thrown may fight back, and must not take the worker with it.
        return this.#threw(ctx, past, new Error('what the task threw cannot be read'));
      }
    }
  }

  /** What is known here of an attempt that another process runs, or ran. */
  elsewhere(job: ClaimedJob): JobContext {
    const ctx = this.begin(job);
    try {
      const { task, input, headers } = decodeEnvelope(job.envelope);
      const past = decodePast(job.past);
      ctx.definition = this.#options.tasks.find(task);
      ctx.input = input;
      ctx.headers = headers;
      ctx.after(past);
    } catch {
      // Whoever runs it next says so.
    }
    return ctx;
  }

  /** The settlement of an attempt that was stopped by force, since somebody asked for that. */
  terminated(ctx: JobContext): Settlement {
    return this.#cancelled(ctx, whenKnown(decodePast(ctx.job.past)), 'cancelled', 'its process was killed, as somebody had asked');
  }

  /** The settlement of an attempt that went over its hard time limit. */
  overran(ctx: JobContext): Settlement {
    const error = new TaktlineError('TIME_LIMIT', `the attempt took longer than its time limit of ${ctx.definition?.timeLimitMs ?? 0} ms`);
    return this.#failed(ctx, whenKnown(decodePast(ctx.job.past)), error);
  }

  /** The settlement of an attempt that this worker does not finish. */
  handedBack(ctx: JobContext, reason = 'the worker stopped'): Settlement {
    const past = whenKnown(decodePast(ctx.job.past));
    const record = this.#record(ctx, 'handed-back', { reason });
    return { kind: 'release', job: ctx.job, lane: ctx.job.lane, past: encodePast(withAttempt(past, record)) };
  }

  #came(ctx: JobContext, past: JobPast, value: unknown): Settlement {
    if (value instanceof RetryLater) {
      const record = this.#record(ctx, 'deferred', { reason: ctx.scrub(value.reason) });
      return {
        kind: 'reschedule',
        job: ctx.job,
        delayMs: value.delayMs,
        past: encodePast(withAttempt(past, record, { deferrals: past.deferrals + 1 })),
      };
    }
    if (value instanceof Discard) return this.#cancelled(ctx, past, 'discarded', value.reason);
    const definition = ctx.definition as NonNullable<JobContext['definition']>;
    const keepMs = definition.resultTtlMs;
    const { job } = ctx;
    if (keepMs === 0) return { kind: 'end', job, state: 'succeeded', keepMs };
    const result = value === undefined ? 'null' : toJson(value, `the result of task ${JSON.stringify(definition.name)}`);
    // Three bytes a character is the most that UTF-8 needs, so most results are never measured.
    if (result.length * 3 > this.#options.payloadLimit && Buffer.byteLength(result) > this.#options.payloadLimit) {
      throw new TaktlineError(
        'PAYLOAD_TOO_LARGE',
        `the result of task ${JSON.stringify(definition.name)} has ${Buffer.byteLength(result)} bytes; at most ${this.#options.payloadLimit} are allowed`,
      );
    }
    return job.past === undefined
      ? { kind: 'end', job, state: 'succeeded', result, keepMs }
      : { kind: 'end', job, state: 'succeeded', result, past: job.past, keepMs };
  }

  #threw(ctx: JobContext, past: JobPast, error: unknown): Settlement {
    if (error instanceof RetryLater || error instanceof Discard) return this.#came(ctx, past, error);
    const reason = ctx.stopReason;
    if (reason instanceof ShutdownSignal || (reason instanceof TaktlineError && reason.code === 'LEASE_LOST')) return this.handedBack(ctx);
    if (reason instanceof TaktlineError && reason.code === 'JOB_CANCELLED')
      return this.#cancelled(ctx, past, 'cancelled', 'cancelled while it ran');
    return this.#failed(ctx, past, reason ?? error);
  }

  #cancelled(ctx: JobContext, past: JobPast, outcome: 'cancelled' | 'discarded', reason: string): Settlement {
    const record = this.#record(ctx, outcome, { reason: ctx.scrub(reason) });
    return {
      kind: 'end',
      job: ctx.job,
      state: 'cancelled',
      past: encodePast(withAttempt(past, record)),
      keepMs: ctx.definition?.resultTtlMs || defaultResultTtlMs,
    };
  }

  #failed(ctx: JobContext, past: JobPast, error: unknown): Settlement {
    const failures = past.failures + 1;
    const described = describeError(error, (text) => ctx.scrub(text));
    const next = withAttempt(past, this.#record(ctx, 'failed', { error: described }), { failures });
    const { job, definition } = ctx;
    // What cannot be read, checked or stored fails the same way each time.
    const final = definition === undefined || (error instanceof TaktlineError && permanentCodes.has(error.code));
    let delayMs: number | undefined;
    try {
      if (!final && definition.retry.waitsOn(error))
        return this.#came(ctx, past, new RetryLater(definition.retry.delayMs(1, error), described.message));
      if (!final && failures < definition.retry.maxAttempts && !definition.retry.givesUpOn(error))
        delayMs = definition.retry.delayMs(failures, error);
    } catch (broken) {
      this.#options.logger.error('the retry policy of the task threw: the job is not retried', {
        job: job.id,
        task: definition?.name,
        error: describeError(broken, (text) => ctx.scrub(text)).type,
      });
    }
    if (delayMs !== undefined) return { kind: 'reschedule', job, delayMs, past: encodePast(next) };
    return {
      kind: 'bury',
      job,
      task: definition?.name ?? '',
      code: described.code ?? 'TASK_ERROR',
      message: described.message,
      past: encodePast(next),
    };
  }

  #handBackUnknown(ctx: JobContext, past: JobPast, task: string): Settlement {
    const now = this.#options.now();
    const unknownSince = past.unknownSince ?? now;
    const unknownTimes = (past.unknownTimes ?? 0) + 1;
    const { job } = ctx;
    const shown = task.slice(0, 200).replace(/\p{C}/gu, '?');
    if (now - unknownSince >= this.#options.unknownTaskGraceMs) {
      const error: ErrorRecord = {
        type: 'TaktlineError',
        code: 'UNKNOWN_TASK_GRACE',
        message: `no worker knew the task for ${Math.round((now - unknownSince) / 1000)} s`,
      };
      return {
        kind: 'bury',
        job,
        task: shown,
        code: 'UNKNOWN_TASK_GRACE',
        message: error.message,
        past: encodePast(withAttempt(past, this.#record(ctx, 'unknown-task', { error }))),
      };
    }
    // Only the first one is worth a log line; the count is on the job.
    if (unknownTimes === 1)
      this.#options.logger.warn('unknown task: handed back for a worker that knows it', { job: job.id, task: shown, queue: job.queue });
    const delayMs = Math.min(slowestHandBackMs, 1_000 * 2 ** (unknownTimes - 1));
    return { kind: 'reschedule', job, delayMs, past: encodePast({ ...past, unknownSince, unknownTimes }) };
  }

  #record(
    ctx: JobContext,
    outcome: AttemptRecord['outcome'],
    more: { readonly error?: ErrorRecord; readonly reason?: string },
  ): AttemptRecord {
    // Each claim tells the broker's time anew, within a millisecond or two: an attempt must not seem to end before it began.
    const endedAt = Math.max(ctx.startedAt, this.#options.now());
    return { attempt: ctx.attempt, outcome, startedAt: ctx.startedAt, endedAt, worker: this.#options.worker, ...more };
  }
}

const permanentCodes = new Set<ErrorCode>(['INVALID_INPUT', 'BAD_ENVELOPE', 'PAYLOAD_TOO_LARGE']);

/** An error as it is stored: masked, trimmed, without characters that a database or a terminal chokes on. */
export function describeError(error: unknown, scrub: (text: string) => string): ErrorRecord {
  const clean = (text: string, limit: number) =>
    scrub(text)
      .replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, '')
      .slice(0, limit)
      .toWellFormed();
  if (!(error instanceof Error))
    return { type: typeof error, message: clean(typeof error === 'string' ? error : `a ${typeof error} was thrown, not an Error`, 2_000) };
  const code = textOf(error, 'code');
  const frames = (textOf(error, 'stack') ?? '')
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
    .slice(0, 10);
  return {
    type: clean(className(error), 100),
    ...(code !== undefined && /^[A-Za-z0-9_.:-]{1,100}$/.test(code) ? { code } : {}),
    message: clean(textOf(error, 'message') ?? '', 2_000),
    ...(frames.length === 0 ? {} : { stack: clean(frames.map((frame) => frame.trim()).join('\n'), 4_000) }),
  };
}

/** A field of an error, when it is text: anybody may have put anything there. */
function textOf(error: Error, field: string): string | undefined {
  const value = (error as unknown as Record<string, unknown>)[field];
  return typeof value === 'string' ? value : undefined;
}

/** Most classes of errors set no name of their own; then that of the class says more than the inherited `Error`. */
function className(error: Error): string {
  const name = textOf(error, 'name') ?? '';
  if (name !== '' && name !== 'Error') return name;
  const made = (error as { constructor?: unknown }).constructor;
  return typeof made === 'function' && made.name !== '' ? made.name : 'Error';
}
