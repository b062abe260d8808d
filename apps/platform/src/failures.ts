/** What the tasks of the platform do about failures: when they are tried again, and what is not worth trying again. */
import { type Duration, PermanentError } from 'taktline';
import { isUnreachable } from './database/database.ts';

/**
 * The specification's: at once, then after `initial`, and each time after twice as long. As long as the database is away a job comes
 * again and uses no attempt up: a dead letter would be all that is left of it.
 *
 * @param initial default 60 s
 */
export function retryPolicy(initial: Duration = '60s') {
  return { maxAttempts: 5, backoff: { type: 'exponential', initial, factor: 2 }, waitOn: isUnreachable } as const;
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
