/** What the tasks of the platform do about failures: when they are tried again, and what is not worth trying again. */
import { type Duration, PermanentError, retryLater } from 'taktline';
import { isUnreachable } from './database/database.ts';

/**
 * The specification's: at once, then after `initial`, and each time after twice as long.
 *
 * @param initial default 60 s
 */
export function retryPolicy(initial: Duration = '60s') {
  return { maxAttempts: 5, backoff: { type: 'exponential', initial, factor: 2 } } as const;
}

/** As long as the database is away the job comes again, and no attempt is used up: nothing says that it failed but a dead letter. */
export async function orWhenReachable<Result>(work: Promise<Result>, pause: Duration = '60s'): Promise<Result> {
  try {
    return await work;
  } catch (error) {
    if (isUnreachable(error)) throw retryLater(pause, 'the database cannot be reached');
    throw error;
  }
}

/** Fails for good by errors of that class: what they say stays so, however often it is tried. */
export async function orNever<Result>(lasting: abstract new (...args: never[]) => Error, work: Promise<Result>): Promise<Result> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof lasting) throw new PermanentError(error.message, { cause: error });
    throw error;
  }
}
