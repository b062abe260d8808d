/**
 * Charges a payment, or goes on where an earlier attempt has left it, at whatever point that was:
 *
 *   intent made -> its id stored -> "asked to charge" stored -> confirmed -> outcome taken over
 *
 * The intent can be charged once, and there is one for a payment: so what is unknown is asked for, and a confirmation that has
 * not arrived may be sent again, however late. No money is moved before the id is stored.
 */
import { PermanentError, type RetryLater, retryLater, type TaskContext } from 'taktline';
import { money } from '../money/money.ts';
import { GatewayError, type Intent, type PaymentGateway } from './gateway.ts';
import { isChargeable, type Payment, type Payments, referenceOf } from './payments.ts';

/** It is not known yet what came of a payment; the job's backoff decides when it is asked for again. */
export class PaymentUnsettledError extends Error {
  override readonly name = 'PaymentUnsettledError';
  readonly code = 'PAYMENT_UNSETTLED';
}

export interface ChargeDeps {
  readonly payments: Payments;
  readonly gateway: PaymentGateway;
  readonly now?: () => number;
}

export interface ChargeResult {
  readonly payment_id: number;
  readonly status: Payment['status'];
  readonly decline_code: string | null;
}

/** While the provider itself does not know. */
const askAgain = '1m';
/** An intent whose creation was answered too late may be so much older than we think. */
const clocksApartMs = 3_600_000;

/**
 * @throws GatewayError to be tried again; PermanentError when the provider does not take this payment at all
 */
export async function charge(
  { payments, gateway, now = Date.now }: ChargeDeps,
  id: number,
  ctx: TaskContext,
): Promise<ChargeResult | RetryLater> {
  let payment = await payments.find(id);
  if (payment.intent === null) payment = await payments.noteIntent(id, gateway.name, (await intentFor(payment, gateway, ctx.signal)).id);
  // What became of an earlier try, if there was one.
  else payment = await payments.take(id, await ask(gateway, payment, ctx.signal));
  if (payment.status === 'processing') return retryLater(askAgain, 'the payment provider is still processing this payment');
  if (!isChargeable(payment, now())) return settled(payment);

  const begun = await payments.beginAttempt(id, ctx.id);
  if (begun === undefined) return settled(await payments.find(id));
  const intent = await confirm(gateway, begun, ctx.signal);
  if (intent === undefined) return resultOf(await payments.refuse(id));
  payment = await payments.take(id, intent);
  if (payment.status === 'processing') return retryLater(askAgain, 'the payment provider is still processing this payment');
  return resultOf(payment);
}

/** One that was made by an attempt which did not live to store it is used again. */
async function intentFor(payment: Payment, gateway: PaymentGateway, signal: AbortSignal): Promise<Intent> {
  const reference = referenceOf(payment);
  const found = await gateway.findByReference(reference, payment.created_at.getTime() - clocksApartMs, signal);
  if (found !== undefined) return found;
  return refusedForGood(() =>
    gateway.create(
      {
        reference,
        amount: money(payment.amount_minor, payment.currency),
        paymentMethod: payment.payment_method,
        authoriseOnly: payment.authorise_only,
      },
      signal,
    ),
  );
}

/** @returns undefined when the provider does not take it */
async function confirm(gateway: PaymentGateway, payment: Payment, signal: AbortSignal): Promise<Intent | undefined> {
  try {
    return await gateway.confirm(intentOf(payment), payment.payment_method, signal);
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    // It was charged already, by a try that we thought lost.
    if (error.code === 'GATEWAY_STATE') return ask(gateway, payment, signal);
    if (error.code === 'GATEWAY_REFUSED') return undefined;
    throw error;
  }
}

async function ask(gateway: PaymentGateway, payment: Payment, signal: AbortSignal): Promise<Intent> {
  const intent = await gateway.find(intentOf(payment), signal);
  if (intent === undefined) throw new PermanentError('the payment provider does not know the intent of this payment');
  return intent;
}

async function refusedForGood<Answer>(call: () => Promise<Answer>): Promise<Answer> {
  try {
    return await call();
  } catch (error) {
    if (error instanceof GatewayError && error.code === 'GATEWAY_REFUSED') {
      throw new PermanentError('the payment provider does not take this payment', { cause: error });
    }
    throw error;
  }
}

function intentOf({ id, intent }: Payment): string {
  if (intent === null) throw new Error(`payment ${id} has no intent`);
  return intent;
}

/** @throws PaymentUnsettledError when another job has asked to charge, and has not heard what came of it */
function settled(payment: Payment): ChargeResult {
  if (payment.status === 'unknown') throw new PaymentUnsettledError(`payment ${payment.id} is being charged by another job`);
  return resultOf(payment);
}

function resultOf({ id, status, decline_code }: Payment): ChargeResult {
  return { payment_id: id, status, decline_code };
}
