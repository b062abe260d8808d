/**
 * Money that goes back. A refund is asked for in the transaction of what causes it, within what was captured; its job then has the
 * provider make it, and the ledger follows.
 */
import { type Selectable, sql } from 'kysely';
import type { PlatformDatabase } from '../database/database.ts';
import type { RefundsTable } from '../database/money-tables.ts';
import { book, refunded } from '../ledger/ledger.ts';
import { type Money, money, subtract } from '../money/money.ts';
import type { Order, PlatformTransaction } from '../orders/orders.ts';
import type { PaymentGateway } from './gateway.ts';
import { lockPayment, lockPaymentAndOrder, type Payment } from './payments.ts';

export type StoredRefund = Selectable<RefundsTable>;

/** More than was captured and has not gone back yet. */
export class RefundError extends Error {
  override readonly name = 'RefundError';
  readonly code = 'REFUND_TOO_LARGE';
}

export type TellRefund = (transaction: PlatformTransaction, refund: StoredRefund, order: Order) => Promise<unknown>;

export interface RefundRequest {
  readonly payment: number;
  readonly amount: Money;
  /** What it is for, such as `cancel:7`: the same twice is one refund. */
  readonly reference: string;
  readonly reason: string;
}

/**
 * Notes a refund.
 *
 * @returns it, and whether it is new
 * @throws RefundError
 */
export async function requestRefund(
  transaction: PlatformTransaction,
  { payment: id, amount, reference, reason }: RefundRequest,
): Promise<{ readonly refund: StoredRefund; readonly fresh: boolean }> {
  const payment = await lockPayment(transaction, id);
  const there = await transaction.selectFrom('refunds').selectAll().where('reference', '=', reference).executeTakeFirst();
  if (there !== undefined) return { refund: there, fresh: false };
  const left = await refundable(transaction, payment);
  // Also for a different currency.
  if (subtract(left, amount).minor < 0 || amount.minor <= 0) {
    throw new RefundError('at most what was captured and has not gone back can be refunded');
  }
  const refund = await transaction
    .insertInto('refunds')
    .values({ payment_id: id, reference, amount_minor: amount.minor, currency: amount.currency, reason })
    .returningAll()
    .executeTakeFirstOrThrow();
  return { refund, fresh: true };
}

/** What is left of a payment, also of refunds that are under way. */
export async function refundable(transaction: PlatformTransaction, payment: Payment): Promise<Money> {
  const { sum } = await transaction
    .selectFrom('refunds')
    .select(sql<number>`coalesce(sum(amount_minor), 0)::bigint`.as('sum'))
    .where('payment_id', '=', payment.id)
    .where('status', '<>', 'failed')
    .executeTakeFirstOrThrow();
  return money(payment.disputed ? 0 : payment.captured_minor - sum, payment.currency);
}

/**
 * Has the provider give it back. May be called again and again.
 *
 * @param tell in the transaction that notes its success
 * @throws GatewayError
 */
export async function makeRefund(
  database: PlatformDatabase,
  gateway: PaymentGateway,
  id: number,
  tell: TellRefund,
  signal: AbortSignal,
): Promise<StoredRefund> {
  const refund = await database.selectFrom('refunds').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
  if (refund.status !== 'requested') return refund;
  const payment = await database.selectFrom('payments').selectAll().where('id', '=', refund.payment_id).executeTakeFirstOrThrow();
  if (payment.intent === null) throw new Error(`payment ${payment.id} has no intent`);
  const made = await gateway.refund(payment.intent, money(refund.amount_minor, refund.currency), `refund-${refund.id}`, signal);
  if (made.status === 'pending') return refund;
  return settleRefund(database, refund, made.id, made.status, tell);
}

async function settleRefund(
  database: PlatformDatabase,
  { id, payment_id: payment }: StoredRefund,
  gatewayId: string,
  status: 'succeeded' | 'failed',
  tell: TellRefund,
): Promise<StoredRefund> {
  return database.transaction().execute(async (transaction) => {
    const { order } = await lockPaymentAndOrder(transaction, payment);
    const refund = await transaction.selectFrom('refunds').selectAll().where('id', '=', id).forUpdate().executeTakeFirstOrThrow();
    if (refund.status !== 'requested') return refund;
    if (status === 'succeeded') {
      await transaction
        .updateTable('payments')
        .set((update) => ({ refunded_minor: update('refunded_minor', '+', refund.amount_minor), updated_at: new Date() }))
        .where('id', '=', refund.payment_id)
        .execute();
      await book(transaction, refunded(order.id, id, money(refund.amount_minor, refund.currency)));
      await tell(transaction, refund, order);
    }
    return transaction
      .updateTable('refunds')
      .set({ status, gateway_id: gatewayId, settled_at: new Date() })
      .where('id', '=', id)
      .returningAll()
      .executeTakeFirstOrThrow();
  });
}
