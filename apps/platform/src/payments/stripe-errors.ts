/**
 * What Stripe's errors mean to a payment: did nothing happen, may something have happened, is there a use in trying again. Only the
 * words of Stripe's own lists are carried over. Its sentences, and the SDK's errors as causes, can hold what nobody may read in a log.
 */
import { Stripe } from 'stripe';
import { type Decline, GatewayError, type GatewayErrorCode } from './gateway.ts';
import { NoAnswerError, NotSentError } from './stripe-http.ts';

/**
 * Codes after which the same payment method cannot succeed: the card or the account is gone or wrong (what a buyer mistyped stays so
 * in what is stored), does not do such payments, or the issuer or the card network forbids another try. By
 * docs.stripe.com/declines/codes; codes that are not here, also those to come, count as soft.
 */
const hardCodes = new Set([
  'card_not_supported',
  'currency_not_supported',
  'do_not_try_again',
  'expired_card',
  'fraudulent',
  'highest_risk_level',
  'incorrect_address',
  'incorrect_cvc',
  'incorrect_number',
  'incorrect_pin',
  'incorrect_postal_code',
  'incorrect_zip',
  'invalid_account',
  'invalid_cvc',
  'invalid_expiry_month',
  'invalid_expiry_year',
  'invalid_number',
  'invalid_pin',
  'lost_card',
  'merchant_blacklist',
  'new_account_information_available',
  'not_permitted',
  'offline_pin_required',
  'online_or_offline_pin_required',
  'pickup_card',
  'pin_try_exceeded',
  'previously_declined_do_not_retry',
  'restricted_card',
  'revocation_of_all_authorizations',
  'revocation_of_authorization',
  'security_violation',
  'service_not_allowed',
  'stolen_card',
  'stop_payment_order',
  'testmode_decline',
  'transaction_not_allowed',
]);

/** The intent or its charge is not in a state for this. */
const stateCodes = new Set([
  'capture_charge_authorization_expired',
  'capture_unauthorized_payment',
  'charge_already_captured',
  'charge_already_refunded',
  'charge_disputed',
  'charge_expired_for_capture',
  'charge_not_refundable',
  'intent_invalid_state',
  'payment_intent_unexpected_state',
  'refund_disputed_payment',
  'status_transition_invalid',
]);

/** Stripe's fields of a declined attempt, in an error and in `last_payment_error`. */
export interface StripeDecline {
  readonly code?: string | null | undefined;
  readonly decline_code?: string | null | undefined;
  readonly advice_code?: string | null | undefined;
}

export function declineOf({ code, decline_code, advice_code }: StripeDecline): Decline {
  const reason = word(decline_code) ?? word(code) ?? 'unknown';
  return { code: reason, hard: hardCodes.has(reason) || advice_code === 'do_not_try_again' };
}

/** The error that says the issuer declined, or did not believe that it is the buyer; undefined for any other. */
export function cardErrorOf(error: unknown): Stripe.errors.StripeError | undefined {
  if (error instanceof Stripe.errors.StripeCardError) return error;
  // Of another type, although it is about the card.
  const isOther = error instanceof Stripe.errors.StripeError && error.code === 'payment_intent_authentication_failure';
  return isOther ? error : undefined;
}

/** An error that Stripe kept under an idempotency key and told again: this call did nothing. */
export function isReplayedFailure(error: unknown): boolean {
  return error instanceof Stripe.errors.StripeError && (error.statusCode ?? 0) >= 500 && error.headers?.['idempotent-replayed'] === 'true';
}

export function isNotFound(error: unknown): boolean {
  return error instanceof Stripe.errors.StripeError && error.statusCode === 404;
}

/**
 * Any error of a call in our terms.
 *
 * @param what was to be done, such as `confirm a payment`
 */
export function gatewayErrorOf(error: unknown, what: string): GatewayError {
  if (error instanceof GatewayError) return error;
  if (error instanceof NotSentError) {
    return new GatewayError('GATEWAY_UNREACHABLE', `could not ${what}, Stripe was not reached: ${error.message}; try again later`);
  }
  const status = error instanceof Stripe.errors.StripeError ? (error.statusCode ?? 0) : 0;
  if (!(error instanceof Stripe.errors.StripeError) || status < 400 || status >= 500) {
    return new GatewayError('GATEWAY_UNKNOWN', `no usable answer to: ${what}${details(error)}; ask what became of it before anything else`);
  }
  const code = codeOf(status, error.code);
  return new GatewayError(code, `could not ${what}: Stripe ${advice[code]}${details(error)}`);
}

/** 401, 403: our key is wrong, which says nothing of the payment. 409: another call with the same idempotency key is under way. 429: too many calls, or the object is locked. */
function codeOf(status: number, code: string | undefined): keyof typeof advice {
  if (status === 401 || status === 403) return 'GATEWAY_UNREACHABLE';
  if (status === 409 || status === 429 || code === 'rate_limit' || code === 'lock_timeout') return 'GATEWAY_BUSY';
  return code !== undefined && stateCodes.has(code) ? 'GATEWAY_STATE' : 'GATEWAY_REFUSED';
}

const advice = {
  GATEWAY_UNREACHABLE: 'does not take our key: correct STRIPE_SECRET_KEY, or what it may do',
  GATEWAY_BUSY: 'is busy with it or with us; try again later',
  GATEWAY_STATE: 'cannot do that in the state the payment is in; ask for its state',
  GATEWAY_REFUSED: 'refuses the call; see its code in docs.stripe.com/error-codes',
} as const satisfies Partial<Record<GatewayErrorCode, string>>;

/** Status, code, field and request id, as far as they have the form of such: what an operator needs to look it up. */
function details(error: unknown): string {
  if (error instanceof NoAnswerError) return ` (${error.message})`;
  if (!(error instanceof Stripe.errors.StripeError)) return '';
  const { statusCode, code, param, requestId } = error;
  const id = requestId !== undefined && /^req_\w{1,60}$/.test(requestId) ? requestId : undefined;
  const known = [statusCode?.toString(), word(code), word(param?.replaceAll(/[[\].]/g, '_')), id].filter((part) => part !== undefined);
  return known.length === 0 ? '' : ` (${known.join(', ')})`;
}

/** One of Stripe's words. None has a digit: a card's number cannot pass. */
function word(text: string | null | undefined): string | undefined {
  return typeof text === 'string' && /^[a-z][a-z_]{1,60}$/.test(text) ? text : undefined;
}
