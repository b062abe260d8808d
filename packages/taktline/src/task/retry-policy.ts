/**
 * When a failed attempt is tried again. The default is the specification's table: attempts at once, then after 60, 120,
 * 240 and 480 s, five in all, with up to 10% added at random so that jobs that failed together do not return together.
 */
import { type Duration, toMs } from '../support/durations.ts';
import { TaktlineError } from '../support/taktline-error.ts';
import { PermanentError } from './outcome.ts';

/** How long to wait after failure number `failures` (1 after the first attempt failed). */
export type Backoff =
  /** `initial * factor ** (failures - 1)`, at most `max` (default 1 day). */
  | { readonly type: 'exponential'; readonly initial: Duration; readonly factor?: number; readonly max?: Duration }
  | { readonly type: 'fixed'; readonly delay: Duration }
  | ((failures: number, error: unknown) => Duration);

/** Any class of errors, whatever its constructor takes. */
type ErrorClass = abstract new (...args: never[]) => Error;

type Errors = readonly ErrorClass[] | ((error: unknown) => boolean);

export interface RetryOptions {
  /** Executions in all, the first included. Default 5; 1 means never again. */
  readonly maxAttempts?: number;
  /** Default: exponential from 60 s, doubling. */
  readonly backoff?: Backoff;
  /** Share of the delay that is added at random, 0 to 1. Default 0.1. */
  readonly jitter?: number;
  /** Errors that are not retried: classes of errors, or a function that tells. `PermanentError` never is. */
  readonly giveUpOn?: Errors;
  /**
   * Errors that are no failed attempt, since what the job needs is away: it runs again after the first delay, as with `retryLater`,
   * for as long as that lasts. None by default.
   */
  readonly waitOn?: Errors;
}

export interface RetryPolicy {
  readonly maxAttempts: number;
  delayMs(failures: number, error: unknown): number;
  givesUpOn(error: unknown): boolean;
  waitsOn(error: unknown): boolean;
}

export const defaultMaxAttempts = 5;
const defaultBackoff: Backoff = { type: 'exponential', initial: '60s', factor: 2 };
const dayMs = 86_400_000;

/** @param random in [0, 1), for tests */
export function retryPolicy(options: RetryOptions = {}, random: () => number = Math.random): RetryPolicy {
  const { maxAttempts = defaultMaxAttempts, backoff = defaultBackoff, jitter = 0.1, giveUpOn = [], waitOn = [] } = options;
  if (!Number.isInteger(maxAttempts) || maxAttempts < 1 || maxAttempts > 1000) {
    throw new TaktlineError('INVALID_OPTION', `retry.maxAttempts is ${maxAttempts}: expected a whole number from 1 to 1000`);
  }
  if (!(jitter >= 0 && jitter <= 1)) {
    throw new TaktlineError('INVALID_OPTION', `retry.jitter is ${jitter}: expected a number from 0 to 1`);
  }
  const base = baseDelay(backoff);
  return {
    maxAttempts,
    delayMs: (failures, error) => Math.round(base(failures, error) * (1 + jitter * random())),
    givesUpOn: (error) => error instanceof PermanentError || isOneOf(giveUpOn, error),
    waitsOn: (error) => !(error instanceof PermanentError) && isOneOf(waitOn, error),
  };
}

function isOneOf(errors: Errors, error: unknown): boolean {
  return typeof errors === 'function' ? errors(error) : errors.some((type) => error instanceof type);
}

function baseDelay(backoff: Backoff): (failures: number, error: unknown) => number {
  if (typeof backoff === 'function') return (failures, error) => toMs(backoff(failures, error), 'the delay that retry.backoff returned');
  if (backoff.type === 'fixed') {
    const delayMs = toMs(backoff.delay, 'retry.backoff.delay');
    return () => delayMs;
  }
  if (backoff.type !== 'exponential') {
    throw new TaktlineError(
      'INVALID_OPTION',
      `retry.backoff.type is ${JSON.stringify((backoff as { type: unknown }).type)}: expected 'exponential', 'fixed' or a function`,
    );
  }
  const initialMs = toMs(backoff.initial, 'retry.backoff.initial');
  const factor = backoff.factor ?? 2;
  if (!(factor >= 1 && factor <= 100)) {
    throw new TaktlineError('INVALID_OPTION', `retry.backoff.factor is ${factor}: expected a number from 1 to 100`);
  }
  const maxMs = backoff.max === undefined ? dayMs : toMs(backoff.max, 'retry.backoff.max');
  return (failures) => Math.min(maxMs, initialMs * factor ** (failures - 1));
}
