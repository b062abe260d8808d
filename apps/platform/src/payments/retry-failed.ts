/** Has payments charged again whose day has come, and asks for those that nobody has heard of for a while. */
import type { PlatformDatabase } from '../database/database.ts';
import type { PlatformTransaction } from '../orders/orders.ts';

/** One that is unknown or unfinished for so long has lost its job. */
const forgottenMs = 30 * 60_000;

export interface RetriedPayments {
  /** Due by their day. */
  readonly due: number;
  /** Unfinished for too long. */
  readonly forgotten: number;
}

/**
 * Enqueues `payment.charge` for each, in the transaction that marks it, so that the next run leaves it alone.
 *
 * @param limit payments at most
 */
export async function retryFailed(
  database: PlatformDatabase,
  limit: number,
  now: number,
  chargeAgain: (transaction: PlatformTransaction, payments: readonly number[]) => Promise<unknown>,
): Promise<RetriedPayments> {
  return database.transaction().execute(async (transaction) => {
    const due = await transaction
      .selectFrom('payments')
      .select('id')
      .where('retry_at', '<=', new Date(now))
      .where('updated_at', '<=', new Date(now - 60_000))
      .orderBy('retry_at')
      .limit(limit)
      .forUpdate()
      .skipLocked()
      .execute();
    const forgotten = await transaction
      .selectFrom('payments')
      .select('id')
      .where('status', 'in', ['created', 'processing', 'unknown'])
      .where('updated_at', '<=', new Date(now - forgottenMs))
      .orderBy('updated_at')
      .limit(Math.max(0, limit - due.length))
      .forUpdate()
      .skipLocked()
      .execute();
    const ids = [...due, ...forgotten].map(({ id }) => id);
    if (ids.length > 0) {
      await transaction
        .updateTable('payments')
        .set({ updated_at: new Date(now) })
        .where('id', 'in', ids)
        .execute();
      await chargeAgain(transaction, ids);
    }
    return { due: due.length, forgotten: forgotten.length };
  });
}
