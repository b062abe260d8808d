/**
 * What a running task sees as `ctx`, and what the pool holds of it: when it began, whether it is settled, how to abort it.
 * The abort controller and the logger are made when a task asks for them; most tasks do not.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ClaimedJob } from '../broker/broker.ts';
import type { LogFields, Logger } from '../support/logger.ts';
import { TaktlineError } from '../support/taktline-error.ts';
import type { Transaction } from '../support/transaction.ts';
import type { JobPast } from '../task/job.ts';
import type { MakesOnce } from '../task/once.ts';
import { mask } from '../task/sensitive.ts';
import type { TaskContext, TaskDefinition } from '../task/task.ts';

/** The reason of `ctx.signal` when the worker stops; the job is handed back and runs again elsewhere. */
export class ShutdownSignal extends Error {
  override readonly name = 'ShutdownSignal';
  readonly code = 'SHUTDOWN';
}

export interface ContextParts {
  readonly worker: string;
  readonly logger: Logger;
  readonly effects: MakesOnce;
  /** Of the worker. */
  readonly leaseMs: number;
  /** By the broker's clock, for the record. */
  readonly startedAt: number;
}

const progressLimit = 10_000;

export class JobContext implements TaskContext {
  readonly job: ClaimedJob;
  /** By the broker's clock, for the record. */
  readonly startedAt: number;
  /** By the monotonic clock, for time limits: it never jumps. */
  readonly began = performance.now();
  /** Set once the task is known. */
  definition: TaskDefinition | undefined;
  /** As it was sent. */
  input: unknown;
  /** As the task gets it. */
  checked: unknown;
  attempt = 1;
  failures = 0;
  headers: Readonly<Record<string, string>> = {};
  /** The newest progress, as JSON, until it is sent. */
  told: string | undefined;
  settled = false;
  readonly #parts: ContextParts;
  #controller: AbortController | undefined;
  #reason: Error | undefined;
  #log: Logger | undefined;

  constructor(job: ClaimedJob, parts: ContextParts) {
    this.job = job;
    this.#parts = parts;
    this.startedAt = parts.startedAt;
  }

  /** Counts what came before this attempt. */
  after({ failures, deferrals, losses }: JobPast): void {
    this.failures = failures;
    this.attempt = failures + deferrals + losses + 1;
  }

  get id(): string {
    return this.job.id;
  }

  get task(): string {
    return this.definition?.name ?? '';
  }

  get queue(): string {
    return this.job.queue;
  }

  get ranMs(): number {
    return performance.now() - this.began;
  }

  get maxAttempts(): number {
    return this.definition?.retry.maxAttempts ?? 1;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#reason !== undefined) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  /** Why the attempt should stop, if it should. */
  get stopReason(): Error | undefined {
    return this.#reason;
  }

  get log(): Logger {
    this.#log ??= this.#jobLogger();
    return this.#log;
  }

  /** The first reason stays. */
  abort(reason: Error): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#controller?.abort(reason);
  }

  progress(value: unknown): void {
    const json = JSON.stringify(value ?? null);
    if (json === undefined || json.length > progressLimit) {
      throw new TaktlineError('INVALID_OPTION', `ctx.progress() takes a JSON value of at most ${progressLimit} characters`);
    }
    this.told = this.scrub(json);
  }

  get effectKey(): string {
    if (this.definition?.effectKey === undefined) return this.id;
    const key = this.definition.effectKey(this.checked);
    if (typeof key === 'string' && key !== '') return key;
    throw new TaktlineError('INVALID_OPTION', `task ${JSON.stringify(this.task)}: effectKey has to give a text`);
  }

  once<Value>(transaction: Transaction, key: string, effect: () => Value | Promise<Value>): Promise<Value> {
    const { effects, leaseMs } = this.#parts;
    return effects.once({ attempt: this, fence: this.job.claimedAt, leaseMs }, transaction, key, effect);
  }

  async heartbeat(): Promise<void> {
    await nextTurn();
    if (this.#reason !== undefined) throw this.#reason;
  }

  /** Free text of this job, with the sensitive values of its input cut out. */
  scrub(text: string): string {
    if (this.definition === undefined) return text;
    try {
      return this.definition.sensitivity.scrub(text, this.input);
    } catch {
      // Too deep an input, a text that is none: what cannot be scrubbed is not shown.
      return mask;
    }
  }

  #jobLogger(): Logger {
    const about = { job: this.id, task: this.task, attempt: this.attempt, worker: this.#parts.worker };
    const write = (level: 'debug' | 'info' | 'warn' | 'error') => (message: string, fields?: LogFields) =>
      this.#parts.logger[level](this.scrub(message), { ...about, ...(fields === undefined ? {} : this.#clean(fields)) });
    return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
  }

  #clean(fields: LogFields): LogFields {
    if (this.definition?.sensitivity.paths.length === 0) return fields;
    try {
      return JSON.parse(this.scrub(JSON.stringify(fields))) as LogFields;
    } catch {
      return { fields: 'left out: they could not be masked' };
    }
  }
}
