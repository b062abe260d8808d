/**
 * What a task can ask for that is neither a result nor an error: to be run later, or to be dropped. A task returns one
 * of these, or throws it from deeper code.
 */
import { type Duration, toMs } from '../support/durations.ts';

/** The task wants to run again later; it is no failed attempt. Made by `retryLater()`. */
export class RetryLater {
  readonly delayMs: number;
  readonly reason: string;
  constructor(delayMs: number, reason: string) {
    this.delayMs = delayMs;
    this.reason = reason;
  }
}

/** The task wants to end without a result and without a dead letter. Made by `discard()`. */
export class Discard {
  readonly reason: string;
  constructor(reason: string) {
    this.reason = reason;
  }
}

export type Outcome = RetryLater | Discard;

/**
 * Run this job again after `delay`, without counting a failed attempt.
 *
 * @example
 * run: async (input) => (await office.isOpen()) ? send(input) : retryLater('15m', 'the office is closed')
 */
export function retryLater(delay: Duration, reason = ''): RetryLater {
  return new RetryLater(toMs(delay, 'retryLater'), reason);
}

/** End this job as cancelled, with a reason that stays on it; no retry, no dead letter. */
export function discard(reason: string): Discard {
  return new Discard(reason);
}

/** An error that must not be retried: the job becomes a dead letter at once. */
export class PermanentError extends Error {
  override readonly name: string = 'PermanentError';
}
