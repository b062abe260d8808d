/**
 * What orders make of their payments: take the money that was reserved when the work begins, let it go or give it back when an order
 * is cancelled, and pay the manufacturer when the parts are accepted.
 */
import { PermanentError } from 'taktline';
import type { PlatformDatabase } from '../database/database.ts';
import { netOf } from '../invoices/tax.ts';
import { accepted, book, cancelled, paidOut, platformFee } from '../ledger/ledger.ts';
import { type Money, money, subtract } from '../money/money.ts';
import { lockOrder, type Order, type PlatformTransaction } from '../orders/orders.ts';
import { GatewayError, type Intent, type PaymentGateway } from './gateway.ts';
import { type Payment, type Payments, paymentOf } from './payments.ts';
import { freeInEscrow, requestRefund, type StoredRefund } from './refunds.ts';

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

/**
 * A cancelled order: what is in escrow goes back, less the fee, which goes to the manufacturer. In the transaction that cancels.
 *
 * @returns the refund, where something is to go back
 */
export async function settleCancelled(transaction: PlatformTransaction, order: Order): Promise<StoredRefund | undefined> {
  const payment = await paymentOf(transaction, order.id);
  if (payment === undefined || payment.captured_minor === 0) return undefined;
  const held = await freeInEscrow(transaction, order);
  const fee = money(Math.max(0, Math.min(order.fee_minor, held.minor)), order.currency);
  if (fee.minor > 0 && order.manufacturer_id !== null) await book(transaction, cancelled(order.id, order.manufacturer_id, fee));
  const back = subtract(held, fee);
  if (back.minor <= 0) return undefined;
  const { refund } = await requestRefund(transaction, {
    payment: payment.id,
    amount: back,
    reference: `cancel:${order.id}`,
    reason: 'order cancelled',
  });
  return refund;
}

export interface Payout {
  readonly amount: Money;
  readonly fee: Money;
  /** False when it was made before. */
  readonly fresh: boolean;
}

/**
 * The parts are accepted: what is in escrow becomes the manufacturer's, less the fee, and is paid out.
 *
 * @param tell in the same transaction
 */
export async function payOut(
  database: PlatformDatabase,
  id: number,
  tell: (transaction: PlatformTransaction, payout: Payout, order: Order) => Promise<unknown>,
): Promise<Payout> {
  return database.transaction().execute(async (transaction) => {
    const order = await lockOrder(transaction, id);
    if (order.state !== 'closed' || order.manufacturer_id === null) {
      throw new PermanentError(`order ${id} is ${order.state}: there is nothing to pay out`);
    }
    const held = await freeInEscrow(transaction, order);
    // Of what was earned: the tax is not.
    const fee = platformFee(netOf(held, order.tax_rate));
    const amount = subtract(held, fee);
    const fresh = await book(transaction, accepted(id, order.manufacturer_id, held, fee));
    const payout = { amount, fee, fresh };
    if (fresh) {
      await book(transaction, paidOut(id, order.manufacturer_id, amount));
      await tell(transaction, payout, order);
    }
    return payout;
  });
}
