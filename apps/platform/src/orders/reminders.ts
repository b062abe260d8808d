/** Nobody is told the same thing twice: whoever tells something writes down first that it is told, in the transaction that tells it. */
import type { PlatformTransaction } from './orders.ts';

export interface Occasion {
  /** Such as `quote_due`. */
  readonly kind: string;
  /** What it is about, such as `quote:7`. */
  readonly subject: string;
  /** Which time of several, such as a day. */
  readonly occasion: string;
}

/** @returns false when it was told before */
export async function isFirstTime(transaction: PlatformTransaction, occasion: Occasion): Promise<boolean> {
  const noted = await transaction
    .insertInto('reminders')
    .values(occasion)
    .onConflict((conflict) => conflict.doNothing())
    .returning('kind')
    .executeTakeFirst();
  return noted !== undefined;
}
