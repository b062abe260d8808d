/** When a payment that was declined softly is tried again: 1, 3, 7 and 14 days after the first decline, and then no more. */

const dayMs = 86_400_000;

export const retryDays: readonly number[] = [1, 3, 7, 14];

/**
 * @param retries how often it was tried again already
 * @returns undefined when it was tried often enough
 */
export function nextRetry(firstDeclinedAt: Date, retries: number): Date | undefined {
  const days = retryDays[retries];
  return days === undefined ? undefined : new Date(firstDeclinedAt.getTime() + days * dayMs);
}
