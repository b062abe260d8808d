/**
 * Money that goes back. A refund is asked for in the transaction of what causes it, within what was captured; its job then has the
 * provider make it, and the ledger follows.
 */
import { type Selectable, sql } from 'kysely';
import type { PlatformDatabase } from '../database/database.ts';
import type { RefundsTable } from '../database/money-tables.ts';
import { book, inEscrow, refunded } from '../ledger/ledger.ts';
import { type Money, money, subtract } from '../money/money.ts';
import type { Order, PlatformTransaction } from '../orders/orders.ts';
import { GatewayError, type Refund as GatewayRefund, type PaymentGateway } from './gateway.ts';
import { lockPaymentAndOrder } from './payments.ts';

export type StoredRefund = Selectable<RefundsTable>;

/** More than was captured and is held yet. */
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
  const { order } = await lockPaymentAndOrder(transaction, id);
  const there = await transaction.selectFrom('refunds').selectAll().where('reference', '=', reference).executeTakeFirst();
  if (there !== undefined) return { refund: there, fresh: false };
  // What was captured, and has neither gone back, nor been taken back, nor been paid out. Also for a different currency.
  if (subtract(await freeInEscrow(transaction, order), amount).minor < 0 || amount.minor <= 0) {
    throw new RefundError('at most what was captured, and has neither gone back nor been paid out, can be refunded');
  }
  const refund = await transaction
    .insertInto('refunds')
    .values({ payment_id: id, reference, amount_minor: amount.minor, currency: amount.currency, reason })
    .returningAll()
    .executeTakeFirstOrThrow();
  return { refund, fresh: true };
}

/** Of an order's escrow: what no refund that is under way will take. Its order must be locked. */
export async function freeInEscrow(transaction: PlatformTransaction, { id, currency }: Pick<Order, 'id' | 'currency'>): Promise<Money> {
  const { sum } = await transaction
    .selectFrom('refunds')
    .innerJoin('payments', 'payments.id', 'refunds.payment_id')
    .select(sql<number>`coalesce(sum(refunds.amount_minor), 0)::bigint`.as('sum'))
    .where('payments.order_id', '=', id)
    .where('refunds.status', '=', 'requested')
    .executeTakeFirstOrThrow();
  return subtract(await inEscrow(transaction, id, currency), money(sum, currency));
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
  const made = await askRefund(gateway, payment.intent, refund, signal);
  if (made === undefined) return settleRefund(database, refund, undefined, 'failed', tell);
  if (made.status === 'pending') return refund;
  return settleRefund(database, refund, made.id, made.status, tell);
}

/** @returns undefined when it cannot be made any more, such as after the buyer's bank has taken the money back */
async function askRefund(
  gateway: PaymentGateway,
  intent: string,
  { id, amount_minor, currency }: StoredRefund,
  signal: AbortSignal,
): Promise<GatewayRefund | undefined> {
  try {
    return await gateway.refund(intent, money(amount_minor, currency), `refund-${id}`, signal);
  } catch (error) {
    if (error instanceof GatewayError && error.code === 'GATEWAY_STATE') return undefined;
    throw error;
  }
}

async function settleRefund(
  database: PlatformDatabase,
  { id, payment_id: payment }: StoredRefund,
  gatewayId: string | undefined,
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
      .set({ status, ...(gatewayId === undefined ? {} : { gateway_id: gatewayId }), settled_at: new Date() })
      .where('id', '=', id)
      .returningAll()
      .executeTakeFirstOrThrow();
  });
}
