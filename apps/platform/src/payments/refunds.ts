/**
 * Money that goes back. A refund is asked for in the transaction of what causes it, within what was captured; its job then has the
 * provider make it, and the ledger follows.
 */
import { type RawBuilder, type Selectable, sql } from 'kysely';
import type { PlatformDatabase } from '../database/database.ts';
import type { RefundsTable } from '../database/money-tables.ts';
import { book, inEscrow, refunded } from '../ledger/ledger.ts';
import { mustBeChargeable } from '../money/chargeable.ts';
import { type Money, money, subtract } from '../money/money.ts';
import type { Order, PlatformTransaction } from '../orders/orders.ts';
import { GatewayError, type Refund as GatewayRefund, type PaymentGateway } from './gateway.ts';
import { lockPaymentAndOrder } from './payments.ts';

export type StoredRefund = Selectable<RefundsTable>;

/**
 * `REFUND_TOO_LARGE`: more than was captured and is held yet. `NOT_FAILED`: what is to be replaced or waived has not failed, or is
 * replaced or waived already. `NOT_CAPTURED`: nothing was captured of this payment. `NOTHING_TO_TAKE_OVER`: no more went back at the
 * provider than with us.
 */
export class RefundError extends Error {
  override readonly name = 'RefundError';
  readonly code: 'REFUND_TOO_LARGE' | 'NOT_FAILED' | 'NOT_CAPTURED' | 'NOTHING_TO_TAKE_OVER';

  constructor(code: RefundError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

export type TellRefund = (transaction: PlatformTransaction, refund: StoredRefund, order: Order) => Promise<unknown>;

export interface RefundRequest {
  readonly payment: number;
  readonly amount: Money;
  /** What it is for, such as `cancel:7`: the same twice is one refund. */
  readonly reference: string;
  readonly reason: string;
  /** A refund of this payment that has failed, and that this one stands for. */
  readonly replaces?: number | undefined;
}

/**
 * Notes a refund.
 *
 * @returns it, and whether it is new
 * @throws RefundError, MoneyError
 */
export async function requestRefund(
  transaction: PlatformTransaction,
  { payment: id, amount, reference, reason, replaces }: RefundRequest,
): Promise<{ readonly refund: StoredRefund; readonly fresh: boolean }> {
  const { order, payment } = await lockPaymentAndOrder(transaction, id);
  const there = await transaction.selectFrom('refunds').selectAll().where('reference', '=', reference).executeTakeFirst();
  if (there !== undefined) return { refund: there, fresh: false };
  if (payment.captured_minor === 0) throw new RefundError('NOT_CAPTURED', 'nothing was captured of this payment');
  mustBeChargeable(amount);
  if (replaces !== undefined) await mustWait(transaction, id, replaces);
  // What was captured, and has neither gone back, nor been taken back, nor been paid out. Also for a different currency.
  if (subtract(await freeInEscrow(transaction, order), amount).minor < 0 || amount.minor <= 0) {
    throw new RefundError('REFUND_TOO_LARGE', 'at most what was captured, and has neither gone back nor been paid out, can be refunded');
  }
  const refund = await transaction
    .insertInto('refunds')
    .values({ payment_id: id, reference, amount_minor: amount.minor, currency: amount.currency, reason, replaces: replaces ?? null })
    .returningAll()
    .executeTakeFirstOrThrow();
  return { refund, fresh: true };
}

/** One that has failed is not to be given any more. What was reserved for it is free again. @throws RefundError `NOT_FAILED` */
export async function waiveRefund(transaction: PlatformTransaction, payment: number, id: number): Promise<StoredRefund> {
  await lockPaymentAndOrder(transaction, payment);
  await mustWait(transaction, payment, id);
  return transaction.updateTable('refunds').set({ waived_at: new Date() }).where('id', '=', id).returningAll().executeTakeFirstOrThrow();
}

export interface TakenOver {
  readonly payment: number;
  /** All that went back at the provider, in minor units. */
  readonly theirs: number;
  /** What says so, such as `difference:7`. */
  readonly reference: string;
}

/**
 * Takes over what went back at the provider past us, such as by somebody on its own pages: as a refund that has succeeded, which is
 * booked, told and credited like any other.
 *
 * @throws RefundError `NOTHING_TO_TAKE_OVER`
 */
export async function takeOverRefund(
  transaction: PlatformTransaction,
  { payment: id, theirs, reference }: TakenOver,
  tell: TellRefund,
): Promise<StoredRefund> {
  const { order, payment } = await lockPaymentAndOrder(transaction, id);
  const amount = money(theirs - payment.refunded_minor, payment.currency);
  if (amount.minor <= 0) throw new RefundError('NOTHING_TO_TAKE_OVER', 'no more went back at the payment provider than is known here');
  const held = await freeInEscrow(transaction, order);
  const refund = await transaction
    .insertInto('refunds')
    .values({
      payment_id: id,
      reference,
      amount_minor: amount.minor,
      currency: amount.currency,
      reason: 'given back at the payment provider',
    })
    .returningAll()
    .executeTakeFirstOrThrow();
  return settle(transaction, order, refund, { status: 'succeeded', held }, tell);
}

/** Failed, and neither replaced nor waived. */
const waits = sql<boolean>`(refunds.status = 'failed' and refunds.waived_at is null
  and not exists (select 1 from platform.refunds other where other.replaces = refunds.id))`;

async function mustWait(transaction: PlatformTransaction, payment: number, id: number): Promise<void> {
  const found = await transaction
    .selectFrom('refunds')
    .select('id')
    .where('id', '=', id)
    .where('payment_id', '=', payment)
    .where(waits)
    .executeTakeFirst();
  if (found === undefined)
    throw new RefundError('NOT_FAILED', 'name a refund of this payment that has failed and that nothing stands for yet');
}

/** Of an order's escrow: what no refund that is under way will take. Its order must be locked. */
export function freeInEscrow(transaction: PlatformTransaction, order: Pick<Order, 'id' | 'currency'>): Promise<Money> {
  return lessRefunds(transaction, order, sql<boolean>`refunds.status = 'requested'`);
}

/** Of that, what is the manufacturer's: a refund that has failed is owed to the buyer yet. Its order must be locked. */
export async function freeToPayOut(transaction: PlatformTransaction, order: Pick<Order, 'id' | 'currency'>): Promise<Money> {
  const free = await lessRefunds(transaction, order, sql<boolean>`(refunds.status = 'requested' or ${waits})`);
  return money(Math.max(0, free.minor), free.currency);
}

async function lessRefunds(
  transaction: PlatformTransaction,
  { id, currency }: Pick<Order, 'id' | 'currency'>,
  taken: RawBuilder<boolean>,
): Promise<Money> {
  const { sum } = await transaction
    .selectFrom('refunds')
    .innerJoin('payments', 'payments.id', 'refunds.payment_id')
    .select(sql<number>`coalesce(sum(refunds.amount_minor), 0)::bigint`.as('sum'))
    .where('payments.order_id', '=', id)
    .where(taken)
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
    return settle(transaction, order, refund, { status, gatewayId, held: money(refund.amount_minor, refund.currency) }, tell);
  });
}

interface Settlement {
  readonly status: 'succeeded' | 'failed';
  readonly gatewayId?: string | undefined;
  /** What of the escrow is there for it. */
  readonly held: Money;
}

/** Order, payment and refund must be locked. */
async function settle(
  transaction: PlatformTransaction,
  order: Order,
  refund: StoredRefund,
  { status, gatewayId, held }: Settlement,
  tell: TellRefund,
): Promise<StoredRefund> {
  if (status === 'succeeded') {
    await transaction
      .updateTable('payments')
      .set((update) => ({ refunded_minor: update('refunded_minor', '+', refund.amount_minor), updated_at: new Date() }))
      .where('id', '=', refund.payment_id)
      .execute();
    await book(transaction, refunded(order.id, refund.id, money(refund.amount_minor, refund.currency), held));
    await tell(transaction, refund, order);
  }
  return transaction
    .updateTable('refunds')
    .set({ status, ...(gatewayId === undefined ? {} : { gateway_id: gatewayId }), settled_at: new Date() })
    .where('id', '=', refund.id)
    .returningAll()
    .executeTakeFirstOrThrow();
}
