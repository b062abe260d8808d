/** Has payments charged again whose day has come, and asks for those that nobody has heard of for a while. */
import type { PlatformDatabase } from '../database/database.ts';
import type { PlatformTransaction } from '../orders/orders.ts';

/** One that is unknown or unfinished for so long has lost its job. */
const forgottenMs = 30 * 60_000;
/** One that somebody has in hand, or had a moment ago, is left to him. */
const inHandMs = 60_000;

export interface RetryRound {
  /** Payments at most. */
  readonly limit: number;
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
  /** How fast `now` goes: what jobs take is real time. */
  readonly speed: number;
}

export interface RetriedPayments {
  /** Due by their day. */
  readonly due: number;
  /** Unfinished for too long. */
  readonly forgotten: number;
}

/**
 * Enqueues `payment.charge` for each, in the transaction that marks it, so that the next run leaves it alone.
 */
export async function retryFailed(
  database: PlatformDatabase,
  { limit, now, speed }: RetryRound,
  chargeAgain: (transaction: PlatformTransaction, payments: readonly number[]) => Promise<unknown>,
): Promise<RetriedPayments> {
  return database.transaction().execute(async (transaction) => {
    const due = await transaction
      .selectFrom('payments')
      .select('id')
      .where('status', '=', 'failed')
      .where('retry_at', '<=', new Date(now))
      .where('updated_at', '<=', new Date(now - inHandMs * speed))
      .orderBy('retry_at')
      .limit(limit)
      .forUpdate()
      .skipLocked()
      .execute();
    const forgotten = await transaction
      .selectFrom('payments')
      .select('id')
      .where((payment) =>
        payment.or([
          payment('status', 'in', ['created', 'processing', 'unknown']),
          // The buyer has chosen another payment method than the one that he was to confirm.
          payment.and([
            payment('status', '=', 'requires_action'),
            payment('tried_method', 'is distinct from', payment.ref('payment_method')),
          ]),
        ]),
      )
      .where('updated_at', '<=', new Date(now - forgottenMs * speed))
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
