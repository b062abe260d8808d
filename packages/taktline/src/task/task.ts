/**
 * A task as data: its name, its input schema, its options with every default filled in, and the function that runs it.
 * Pure; what binds it to a broker is in app/.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import { type Duration, toMs } from '../support/durations.ts';
import type { Logger } from '../support/logger.ts';
import { TaktlineError } from '../support/taktline-error.ts';
import type { Transaction } from '../support/transaction.ts';
import { queueNamePattern } from './names.ts';
import type { Outcome } from './outcome.ts';
import { type RetryOptions, type RetryPolicy, retryPolicy } from './retry-policy.ts';
import { type Sensitivity, sensitivityOf } from './sensitive.ts';

/** What a running task is given beside its input. */
export interface TaskContext {
  /** The job's id. */
  readonly id: string;
  readonly task: string;
  readonly queue: string;
  /** 1 for the first execution; failures, deferrals and losses before this one are counted. */
  readonly attempt: number;
  /** Failed attempts before this one. When it fails as number `maxAttempts`, the job is a dead letter. */
  readonly failures: number;
  readonly maxAttempts: number;
  /** What the enqueuer sent along: trace, tenant, subject. */
  readonly headers: Readonly<Record<string, string>>;
  /**
   * Aborts when the attempt should stop. Its reason is a `TaktlineError` with code `JOB_CANCELLED`, `TIME_LIMIT` or
   * `LEASE_LOST`, or a `ShutdownSignal` when the worker stops.
   */
  readonly signal: AbortSignal;
  /** Adds the job's id, task, attempt and worker to each line; sensitive values of the input are masked. */
  readonly log: Logger;
  /** Shows how far the job is, as any small JSON value. Sent about once a second, the newest value only. */
  progress(value: unknown): void;
  /** What tells the effect of this job from all others: what the task's `effectKey` makes of the input, else the job's id. */
  readonly effectKey: string;
  /**
   * Makes an effect in the caller's database once, whatever is run again: `effect` runs, and what it returns is stored, in the
   * given transaction. A second call for the same task and key, of whatever attempt or job, does not run it and gets the stored
   * outcome, as JSON gives it back. Known for 90 days, unless `createApp({ outbox: { effectsTtl } })` says otherwise.
   *
   * What `effect` does outside of that database is not undone when the transaction fails; docs/outbox.md says what helps there.
   *
   * @throws TaktlineError `LEASE_LOST` when a later attempt of the job has made an effect: let it end the transaction
   */
  once<Value>(transaction: Transaction, key: string, effect: () => Value | Promise<Value>): Promise<Value>;
  /** For long loops: lets other work of this process go on, and throws the signal's reason when the attempt should stop. */
  heartbeat(): Promise<void>;
}

/** Any Standard Schema (https://standardschema.dev): zod, valibot, arktype and others. */
export type InputSchema = StandardSchemaV1;

/** What a caller hands in, by the schema; tasks without a schema take no input. */
export type InputOf<Schema extends InputSchema | undefined> = Schema extends InputSchema ? StandardSchemaV1.InferInput<Schema> : undefined;
/** What `run` receives: the schema's output. */
export type RunInputOf<Schema extends InputSchema | undefined> = Schema extends InputSchema
  ? StandardSchemaV1.InferOutput<Schema>
  : undefined;

export interface TaskOptions<Schema extends InputSchema | undefined, Result> {
  /** Names the task on every worker; letters, digits and `._:-`, at most 200 characters. */
  readonly name: string;
  /** Where its jobs wait, unless a call says otherwise. One of the app's queues. */
  readonly queue: string;
  /** Checked when a job is enqueued and again before it runs. */
  readonly input?: Schema;
  readonly retry?: RetryOptions;
  /** `ctx.signal` aborts after this long. Default: the time limit. */
  readonly softTimeLimit?: Duration;
  /** An attempt that takes longer has failed. Default 10 minutes. */
  readonly timeLimit?: Duration;
  /** How long a result can be read; `false` keeps none. Default 1 hour, at most 7 days. */
  readonly resultTtl?: Duration | false;
  /** 1 (last) to 10 (first) among the jobs of a queue. Default 5. */
  readonly priority?: number;
  /**
   * Paths of input fields that no person may read, such as `card.number` or `items[].email`, beside those that the
   * schema marks. Where the schema cannot say (no JSON Schema) and this is left out, the whole input is masked.
   */
  readonly sensitive?: readonly string[];
  /** Written into each job, so that a later release can tell older inputs apart. Default 1. */
  readonly inputVersion?: number;
  /**
   * `processes` for code that keeps the event loop busy or has to be stopped whatever it does: a worker then runs its jobs
   * in child processes, unless it is told otherwise. Default `inline`.
   */
  readonly pool?: 'inline' | 'processes';
  /** Its failures are worth waking somebody: monitors tell people of them at once. Default false. */
  readonly critical?: boolean;
  /** A person may change the input of a dead letter before putting it back. Default false. */
  readonly editable?: boolean;
  /**
   * What tells the effect of one job from that of another, such as `(input) => input.orderId`; `ctx.effectKey` has it. Tasks of
   * queues that are declared `keepUntilEnd` need one: after a loss of data a job may run again though it had ended.
   */
  readonly effectKey?: (input: RunInputOf<Schema>) => string;
  /** The work. What it returns is the job's result and must be JSON. */
  readonly run: (input: RunInputOf<Schema>, ctx: TaskContext) => Result | Outcome | Promise<Result | Outcome>;
}

export interface TimeLimits {
  readonly softTimeLimitMs: number;
  readonly timeLimitMs: number;
}

/** A task with every option settled. */
export interface TaskDefinition extends TimeLimits {
  readonly name: string;
  readonly queue: string;
  readonly input: InputSchema | undefined;
  readonly retry: RetryPolicy;
  readonly resultTtlMs: number;
  readonly priority: number;
  readonly sensitivity: Sensitivity;
  readonly inputVersion: number;
  readonly pool: 'inline' | 'processes';
  readonly critical: boolean;
  readonly editable: boolean;
  readonly effectKey: ((input: unknown) => string) | undefined;
  readonly run: (input: unknown, ctx: TaskContext) => unknown;
}

export const defaultTimeLimitMs = 600_000;
export const defaultResultTtlMs = 3_600_000;
export const longestResultTtlMs = 604_800_000;
export const defaultPriority = 5;

const taskNamePattern = /^[A-Za-z_][A-Za-z0-9_.:-]{0,199}$/;

/** @throws TaktlineError `INVALID_OPTION` naming the option */
export function defineTask<Schema extends InputSchema | undefined, Result>(options: TaskOptions<Schema, Result>): TaskDefinition {
  const of = `task ${JSON.stringify(options.name)}`;
  if (typeof options.name !== 'string' || !taskNamePattern.test(options.name)) {
    throw new TaktlineError('INVALID_OPTION', `${of}: a task's name is letters, digits and ._:- and starts with a letter (at most 200)`);
  }
  if (!queueNamePattern.test(options.queue)) {
    throw new TaktlineError(
      'INVALID_OPTION',
      `${of}: queue is ${JSON.stringify(options.queue)}: expected the name of one of the app's queues`,
    );
  }
  if (typeof options.run !== 'function') throw new TaktlineError('INVALID_OPTION', `${of}: run has to be a function`);
  if (options.input !== undefined && typeof options.input?.['~standard']?.validate !== 'function') {
    throw new TaktlineError('INVALID_OPTION', `${of}: input is not a Standard Schema (zod 3.24+, valibot 1+, arktype 2+ make one)`);
  }
  const timeLimitMs = toMs(options.timeLimit ?? defaultTimeLimitMs, `${of}: timeLimit`);
  const softTimeLimitMs = toMs(options.softTimeLimit ?? timeLimitMs, `${of}: softTimeLimit`);
  if (timeLimitMs < 1 || softTimeLimitMs < 1 || softTimeLimitMs > timeLimitMs) {
    throw new TaktlineError('INVALID_OPTION', `${of}: softTimeLimit must be at most timeLimit, and both at least 1 ms`);
  }
  const resultTtlMs = options.resultTtl === false ? 0 : toMs(options.resultTtl ?? defaultResultTtlMs, `${of}: resultTtl`);
  if (resultTtlMs > longestResultTtlMs) throw new TaktlineError('INVALID_OPTION', `${of}: resultTtl is at most 7 days`);
  if (options.effectKey !== undefined && typeof options.effectKey !== 'function')
    throw new TaktlineError('INVALID_OPTION', `${of}: effectKey is a function of the input`);
  if (options.pool !== undefined && options.pool !== 'inline' && options.pool !== 'processes')
    throw new TaktlineError('INVALID_OPTION', `${of}: pool is inline or processes`);
  const inputVersion = options.inputVersion ?? 1;
  if (!Number.isInteger(inputVersion) || inputVersion < 1)
    throw new TaktlineError('INVALID_OPTION', `${of}: inputVersion is a whole number from 1`);
  return {
    name: options.name,
    queue: options.queue,
    input: options.input,
    retry: retryPolicy(options.retry),
    softTimeLimitMs,
    timeLimitMs,
    resultTtlMs,
    priority: checkPriority(options.priority ?? defaultPriority, `${of}: priority`),
    sensitivity: sensitivityOf(options.input, options.sensitive),
    inputVersion,
    pool: options.pool ?? 'inline',
    critical: options.critical ?? false,
    editable: options.editable ?? false,
    effectKey: options.effectKey as TaskDefinition['effectKey'],
    run: options.run as TaskDefinition['run'],
  };
}

/** @throws TaktlineError `INVALID_OPTION` unless it is a whole number from 1 to 10 */
export function checkPriority(priority: number, name: string): number {
  if (!Number.isInteger(priority) || priority < 1 || priority > 10) {
    throw new TaktlineError('INVALID_OPTION', `${name} is ${priority}: expected a whole number from 1 (last) to 10 (first)`);
  }
  return priority;
}
