/**
 * When a payment that was declined softly is tried again: 1, 3, 7 and 14 days after the first decline, and then no more. Days that
 * have passed without a try are not made up for, and what the buyer tries in between takes none of them.
 */

const dayMs = 86_400_000;

const retryDays: readonly number[] = [1, 3, 7, 14];

/** @returns undefined when the last day is over */
export function nextRetry(firstDeclinedAt: Date, now: Date): Date | undefined {
  return retryDays.map((days) => new Date(firstDeclinedAt.getTime() + days * dayMs)).find((day) => day > now);
}
