/**
 * Charges a payment, or goes on where an earlier attempt has left it, at whatever point that was:
 *
 *   intent made -> its id stored -> "asked to charge" stored -> confirmed -> outcome taken over
 *
 * The intent can be charged once, and there is one for a payment: so what is unknown is asked for, and a confirmation that has
 * not arrived may be sent again, however late. No money is moved before the id is stored.
 */
import { type Discard, discard, PermanentError, type RetryLater, retryLater, type TaskContext } from 'taktline';
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
  /** The provider does not know its intent: a person has to see why. */
  readonly missing: (payment: Payment) => Promise<unknown>;
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

/** @throws GatewayError to be tried again */
export async function charge(
  { payments, gateway, missing, now = Date.now }: ChargeDeps,
  id: number,
  ctx: TaskContext,
): Promise<ChargeResult | RetryLater | Discard> {
  let payment = await payments.find(id);
  if (payment.intent === null) {
    const made = await intentFor(payment, gateway, ctx.signal);
    if (made === undefined) return resultOf(await payments.refuse(id));
    payment = await payments.noteIntent(id, gateway.name, made.id);
  } else {
    // What became of an earlier try, if there was one.
    const found = await gateway.find(payment.intent, ctx.signal);
    if (found === undefined) {
      // With the key of another account nothing is found, which says nothing of the payment: it is asked for again later.
      await missing(payment);
      return discard('the payment provider does not know the intent of this payment');
    }
    payment = await payments.take(id, found, { job: ctx.id, confirmed: false });
  }
  if (payment.status === 'processing') return retryLater(askAgain, 'the payment provider is still processing this payment');
  if (!isChargeable(payment, now())) return settled(payment);

  const begun = await payments.beginAttempt(id, ctx.id);
  if (begun === undefined) return settled(await payments.find(id));
  const answer = await confirm(gateway, begun, ctx.signal);
  if (answer === undefined) return resultOf(await payments.refuse(id));
  payment = await payments.take(id, answer.intent, { job: ctx.id, confirmed: answer.confirmed });
  if (payment.status === 'processing') return retryLater(askAgain, 'the payment provider is still processing this payment');
  return resultOf(payment);
}

/** One that was made by an attempt which did not live to store it is used again. @returns undefined when the provider does not take it */
async function intentFor(payment: Payment, gateway: PaymentGateway, signal: AbortSignal): Promise<Intent | undefined> {
  const reference = referenceOf(payment);
  const found = await gateway.findByReference(reference, payment.created_at.getTime() - clocksApartMs, signal);
  if (found !== undefined) return found;
  try {
    return await gateway.create(
      {
        reference,
        amount: money(payment.amount_minor, payment.currency),
        paymentMethod: payment.payment_method,
        authoriseOnly: payment.authorise_only,
      },
      signal,
    );
  } catch (error) {
    if (error instanceof GatewayError && error.code === 'GATEWAY_REFUSED') return undefined;
    throw error;
  }
}

interface Confirmed {
  readonly intent: Intent;
  /** False: it had to be asked for. */
  readonly confirmed: boolean;
}

/** @returns undefined when the provider does not take it */
async function confirm(gateway: PaymentGateway, payment: Payment, signal: AbortSignal): Promise<Confirmed | undefined> {
  try {
    return { intent: await gateway.confirm(intentOf(payment), payment.payment_method, signal), confirmed: true };
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    // It was charged already, by a try that we thought lost.
    if (error.code === 'GATEWAY_STATE') return { intent: await ask(gateway, payment, signal), confirmed: false };
    if (error.code === 'GATEWAY_REFUSED') return undefined;
    throw error;
  }
}

async function ask(gateway: PaymentGateway, payment: Payment, signal: AbortSignal): Promise<Intent> {
  const intent = await gateway.find(intentOf(payment), signal);
  if (intent === undefined) throw new PermanentError('the payment provider does not know the intent of this payment');
  return intent;
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
