/** Differences between our payments and the provider's intents, written down for a person. */
import type { Selectable } from 'kysely';
import type { PlatformDatabase } from '../database/database.ts';
import type { PaymentsTable } from '../database/money-tables.ts';
import type { PlatformTransaction } from '../orders/orders.ts';
import type { Intent } from './gateway.ts';

/**
 * `unknown_intent`: the provider has money of an intent that is none of ours. `amount`: of another amount than the payment.
 * `double`: two intents of one payment were charged. `captured`, `refunded`: the sums differ. `missing`: the provider has no such
 * intent. `won_back`: a bank has returned money of an order that is cancelled. `taken_over`: the status differed, and is the provider's
 * now.
 */
export type DifferenceKind = 'unknown_intent' | 'amount' | 'double' | 'captured' | 'refunded' | 'missing' | 'won_back' | 'taken_over';

export interface Difference {
  readonly kind: DifferenceKind;
  readonly intent: string;
  readonly payment: number | undefined;
  readonly detail: object;
}

/** Says nothing new while nothing has changed, also where somebody has resolved it. What was taken over is closed at once. */
export async function noteDifference(
  database: Pick<PlatformDatabase, 'insertInto' | 'selectFrom'>,
  { kind, intent, payment, detail }: Difference,
): Promise<void> {
  const row = { payment_id: payment ?? null, intent, kind, detail: JSON.stringify(detail) };
  if (kind === 'taken_over') {
    await database
      .insertInto('payment_differences')
      .values({ ...row, resolution: 'taken over', resolved_at: new Date() })
      .execute();
    return;
  }
  const last = await database
    .selectFrom('payment_differences')
    .select(({ eb, val }) => eb('detail', '=', eb.cast<never>(val(row.detail), 'jsonb')).as('same'))
    .where('intent', '=', intent)
    .where('kind', '=', kind)
    .orderBy('id', 'desc')
    .limit(1)
    .executeTakeFirst();
  if (last?.same === true) return;
  await database
    .insertInto('payment_differences')
    .values(row)
    // One that is open says it as it is now.
    .onConflict((conflict) => conflict.columns(['intent', 'kind']).where('resolved_at', 'is', null).doUpdateSet({ detail: row.detail }))
    .execute();
}

/** Whether one of that kind waits for a person. */
export async function hasOpenDifference(transaction: PlatformTransaction, order: number, kind: DifferenceKind): Promise<boolean> {
  const found = await transaction
    .selectFrom('payment_differences')
    .innerJoin('payments', 'payments.id', 'payment_differences.payment_id')
    .select('payment_differences.id')
    .where('payments.order_id', '=', order)
    .where('kind', '=', kind)
    .where('resolved_at', 'is', null)
    .executeTakeFirst();
  return found !== undefined;
}

/** Longer than any job that holds an answer of the provider's. */
const oldAnswerMs = 2 * 60_000;

/**
 * Notes that another sum went back at the provider than with us. A refund that is under way counts there and not here, and an answer
 * may be older than the end of one that has just ended: neither is a difference.
 *
 * @param payment locked, unless what is noted here was noted before
 * @returns whether there is one
 */
export async function noteRefunds(
  transaction: Pick<PlatformDatabase, 'insertInto' | 'selectFrom'>,
  { id, refunded_minor: ours }: Selectable<PaymentsTable>,
  { id: intent, refundedMinor: theirs }: Intent,
): Promise<boolean> {
  if (ours === theirs) return false;
  const moving = await transaction
    .selectFrom('refunds')
    .select('id')
    .where('payment_id', '=', id)
    .where(({ or, eb }) => or([eb('status', '=', 'requested'), eb('settled_at', '>', new Date(Date.now() - oldAnswerMs))]))
    .executeTakeFirst();
  if (moving !== undefined) return false;
  await noteDifference(transaction, { kind: 'refunded', intent, payment: id, detail: { ours, theirs } });
  return true;
}
