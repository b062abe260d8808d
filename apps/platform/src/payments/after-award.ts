/**
 * What orders make of their payments: take the money that was reserved when the work begins, let it go or give it back when an order
 * is cancelled, and pay the manufacturer when the parts are accepted.
 */
import { PermanentError } from 'taktline';
import type { PlatformDatabase } from '../database/database.ts';
import { netOf } from '../invoices/tax.ts';
import { accepted, book, cancelled, paidOut, platformFee, timeOf } from '../ledger/ledger.ts';
import { type Money, money, subtract } from '../money/money.ts';
import { lockOrder, type Order, type PlatformTransaction } from '../orders/orders.ts';
import { hasOpenDifference } from './differences.ts';
import { GatewayError, type Intent, type PaymentGateway } from './gateway.ts';
import { type Payment, type Payments, paymentOf } from './payments.ts';
import { freeInEscrow, freeToPayOut, requestRefund, type StoredRefund } from './refunds.ts';

/**
 * Takes what was authorised, all of it or so much. Again and again, it takes it once.
 *
 * @returns the payment, captured; or cancelled, when the authorisation has lapsed
 * @throws GatewayError, PermanentError
 */
export async function capture(
  payments: Payments,
  gateway: PaymentGateway,
  payment: Payment,
  amount: Money,
  signal: AbortSignal,
): Promise<Payment> {
  if (payment.status === 'captured') return payment;
  if (payment.intent === null || payment.status !== 'authorised') {
    throw new PermanentError(`payment ${payment.id} is ${payment.status}: there is nothing to capture`);
  }
  const after = await payments.take(
    payment.id,
    await orAsk(gateway, payment.intent, signal, (intent) => gateway.capture(intent, amount, signal)),
  );
  if (after.status === 'captured' || after.status === 'cancelled') return after;
  throw new PermanentError(`payment ${payment.id} is ${after.status} after its capture: nothing was taken`);
}

/** Lets go what was authorised, and of one that was never charged ends the intent. @throws GatewayError */
export async function release(payments: Payments, gateway: PaymentGateway, payment: Payment, signal: AbortSignal): Promise<Payment> {
  if (payment.status === 'captured' || payment.status === 'cancelled' || payment.intent === null) return payment;
  return payments.take(payment.id, await orAsk(gateway, payment.intent, signal, (intent) => gateway.cancel(intent, signal)));
}

/** What cannot be done in the state that the intent is in may have been done before. */
async function orAsk(
  gateway: PaymentGateway,
  intent: string,
  signal: AbortSignal,
  call: (intent: string) => Promise<Intent>,
): Promise<Intent> {
  try {
    return await call(intent);
  } catch (error) {
    if (!(error instanceof GatewayError) || error.code !== 'GATEWAY_STATE') throw error;
    const found = await gateway.find(intent, signal);
    if (found === undefined) throw new PermanentError('the payment provider does not know the intent of this payment', { cause: error });
    return found;
  }
}

export interface Payout {
  readonly amount: Money;
  readonly fee: Money;
  /** As the ledger has it, such as `payout:7`; undefined when there was nothing to pay out. */
  readonly reference: string | undefined;
}

export type TellPayout = (transaction: PlatformTransaction, payout: Payout, order: Order) => Promise<unknown>;

/**
 * A cancelled order, when the provider has let go or captured what it should: what is in escrow goes back, less the fee, which is paid
 * out to the manufacturer. Again and again, it does so once.
 *
 * @param tell of the payout, in the same transaction
 * @returns the refund, where something is to go back
 */
export async function settleCancelled(transaction: PlatformTransaction, order: Order, tell: TellPayout): Promise<StoredRefund | undefined> {
  const payment = await paymentOf(transaction, order.id);
  if (payment === undefined || payment.captured_minor === 0) return undefined;
  await payFee(transaction, order, tell);
  const back = await freeInEscrow(transaction, order);
  if (back.minor <= 0) return undefined;
  const { refund } = await requestRefund(transaction, {
    payment: payment.id,
    amount: back,
    reference: `cancel:${order.id}`,
    reason: 'order cancelled',
  });
  return refund;
}

async function payFee(transaction: PlatformTransaction, order: Order, tell: TellPayout): Promise<void> {
  const { id, manufacturer_id: maker, fee_minor, currency } = order;
  const free = await freeToPayOut(transaction, order);
  const cost = money(Math.min(fee_minor, free.minor), currency);
  if (maker === null || cost.minor === 0 || !(await book(transaction, cancelled(id, maker, cost)))) return;
  const fee = platformFee(cost);
  await sendOut(transaction, order, maker, { amount: subtract(cost, fee), fee, what: `cancel:${id}` }, tell);
}

/**
 * The parts are accepted: what is in escrow becomes the manufacturer's, less the fee, and is paid out; but for what the buyer is to get
 * back yet. Called again, it pays out what has become free since.
 *
 * @param tell in the same transaction
 */
export async function payOut(database: PlatformDatabase, id: number, tell: TellPayout): Promise<Payout> {
  return database.transaction().execute(async (transaction) => {
    const order = await lockOrder(transaction, id);
    if (order.state !== 'closed' || order.manufacturer_id === null) {
      throw new PermanentError(`order ${id} is ${order.state}: there is nothing to pay out`);
    }
    if (await hasOpenDifference(transaction, id, 'refunded')) {
      throw new PermanentError(
        `the payment provider has given back another sum for order ${id} than we: resolve the difference, then redrive this job`,
      );
    }
    const held = await freeToPayOut(transaction, order);
    // Of what was earned: the tax is not.
    const fee = platformFee(netOf(held, order.tax_rate));
    const amount = subtract(held, fee);
    if (amount.minor === 0) return { amount, fee, reference: undefined };
    const { times } = await transaction
      .selectFrom('ledger_transactions')
      .select(({ fn }) => fn.countAll<number>().as('times'))
      .where('order_id', '=', id)
      .where('kind', '=', 'accept')
      .executeTakeFirstOrThrow();
    const time = times + 1;
    await book(transaction, accepted(id, order.manufacturer_id, held, fee, time));
    return sendOut(transaction, order, order.manufacturer_id, { amount, fee, what: timeOf(id, time) }, tell);
  });
}

async function sendOut(
  transaction: PlatformTransaction,
  order: Order,
  maker: number,
  { amount, fee, what }: { readonly amount: Money; readonly fee: Money; readonly what: string },
  tell: TellPayout,
): Promise<Payout> {
  const payout = paidOut(order.id, maker, amount, what);
  await book(transaction, payout);
  const told = { amount, fee, reference: payout.key };
  await tell(transaction, told, order);
  return told;
}
