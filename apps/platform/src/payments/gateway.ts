/**
 * What the platform needs of a payment provider. A payment has one intent there for its whole life, which can be charged once at
 * most: so whatever is lost on the way, asking for the intent tells what became of it, however late, and confirming it again
 * charges nobody twice. No key that the provider forgets after a day is leaned on.
 */
import type { Money } from '../money/money.ts';

/**
 * `requires_payment_method`: nothing was charged; new, or the last confirmation was declined. `requires_action`: the buyer has to
 * do something, such as 3-D Secure. `processing`: the provider does not know yet. `authorised`: reserved, to be captured.
 */
export type IntentStatus = 'requires_payment_method' | 'requires_action' | 'processing' | 'authorised' | 'captured' | 'cancelled';

/** Why a confirmation was declined. */
export interface Decline {
  /** The provider's word for it, such as `insufficient_funds`; never a card's number. */
  readonly code: string;
  /** Trying again with this payment method is useless, and card networks forbid it. */
  readonly hard: boolean;
}

export interface Intent {
  readonly id: string;
  /** The payment's id with us. */
  readonly reference: string;
  readonly status: IntentStatus;
  readonly amount: Money;
  /** Captured in all, refunds not taken off. */
  readonly capturedMinor: number;
  readonly refundedMinor: number;
  /** There is, or was, a dispute: what it came to stands in `disputes`, where `find` and `list` have told it. */
  readonly disputed: boolean;
  readonly disputes: readonly Dispute[];
  /** Where the buyer does what is required. */
  readonly actionUrl: string | undefined;
  /**
   * The provider's id of the last try to charge: each confirmation that has reached it gives another one. What ends before the issuer
   * is asked, such as a 3-D Secure that the buyer does not pass, is a decline without one.
   */
  readonly charge: string | undefined;
  /** By which it was tried last, where the provider says so. */
  readonly paymentMethod: string | undefined;
  /** Why that try was declined, where it was. */
  readonly decline: Decline | undefined;
  /** Milliseconds since the Unix epoch, by the provider's clock. */
  readonly createdAt: number;
}

/** The buyer's bank asks about a payment, or has taken it back, in whole or in part. */
export interface Dispute {
  readonly id: string;
  readonly amount: Money;
  /** `inquiry`: it only asks. `open` and `lost`: it has the money. `won`: we have it again. */
  readonly status: 'inquiry' | 'open' | 'won' | 'lost';
}

export interface Refund {
  readonly id: string;
  /** The refund's id with us. */
  readonly reference: string;
  readonly intent: string;
  readonly amount: Money;
  readonly status: 'pending' | 'succeeded' | 'failed';
}

export interface NewIntent {
  readonly reference: string;
  readonly amount: Money;
  /** The provider's id of how it is to be paid, such as `pm_123`. The confirmation decides. */
  readonly paymentMethod: string;
  /** Reserve only; `capture` takes the money. */
  readonly authoriseOnly: boolean;
}

/** What a call came to when it did not come to an answer. */
export type GatewayErrorCode =
  /** No answer, a broken one, or an error of the provider's: it may have happened or not. Ask, do not repeat. */
  | 'GATEWAY_UNKNOWN'
  /** The provider did nothing and wants to be left alone for a while. */
  | 'GATEWAY_BUSY'
  /** Never sent, since there was no connection; or not looked at, since the provider does not know our key. */
  | 'GATEWAY_UNREACHABLE'
  /** The provider refuses the call itself, such as an amount that it does not take. Trying again is useless. */
  | 'GATEWAY_REFUSED'
  /** The intent is in a state in which this cannot be done: ask what it is. */
  | 'GATEWAY_STATE';

export class GatewayError extends Error {
  override readonly name = 'GatewayError';
  readonly code: GatewayErrorCode;

  /** @param message in our words: what providers say can hold a card's or a person's data */
  constructor(code: GatewayErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/**
 * Every verb can throw GatewayError. It gives up when the signal aborts, and throws its reason; whether the call took effect is then
 * as unknown as after GATEWAY_UNKNOWN.
 */
export interface PaymentGateway {
  readonly name: string;
  /**
   * Makes an intent and charges nothing. The same again, within a day, gives the same one, as it was when it was made. Later, one
   * whose answer was lost is found by `findByReference`, or left to expire.
   */
  create(intent: NewIntent, signal?: AbortSignal): Promise<Intent>;
  /**
   * Charges it, or says what is missing; one that requires an action can be charged by another method instead. Declined: resolves, with
   * `decline`. Of an intent that was charged: GATEWAY_STATE.
   */
  confirm(id: string, paymentMethod: string, signal?: AbortSignal): Promise<Intent>;
  /** Takes what was authorised, or a part of it; the rest is released. */
  capture(id: string, amount: Money, signal?: AbortSignal): Promise<Intent>;
  /** Releases what was authorised; charged money stays charged. */
  cancel(id: string, signal?: AbortSignal): Promise<Intent>;
  /** Gives back. The same reference twice makes one refund, also after the provider has forgotten its idempotency keys. */
  refund(id: string, amount: Money, reference: string, signal?: AbortSignal): Promise<Refund>;
  /** undefined: there is no such intent. */
  find(id: string, signal?: AbortSignal): Promise<Intent | undefined>;
  /**
   * Of several, the one that went furthest. Only those made since `createdAfter` (milliseconds since the Unix epoch, by the provider's
   * clock). May miss one that was made within the last hour: for those, `create` gives the same one again.
   */
  findByReference(reference: string, createdAfter: number, signal?: AbortSignal): Promise<Intent | undefined>;
  /** Those with a reference: not what people gave back at the provider's own pages, which `refundedMinor` counts as well. */
  refunds(id: string, signal?: AbortSignal): Promise<readonly Refund[]>;
  /**
   * Intents that were made in that time (milliseconds since the Unix epoch, the end not included), in any order. Those without a
   * reference were not made by us, and are left out.
   */
  list(from: number, till: number, signal?: AbortSignal): AsyncIterable<Intent>;
  /**
   * What a webhook tells: its own id, by which one that comes twice is known, and the intent that has changed. undefined: it is of no
   * interest.
   *
   * @throws GatewayError `GATEWAY_REFUSED` when it is not signed by the provider, `GATEWAY_UNKNOWN` when it is and cannot be read
   */
  readWebhook(body: string, signature: string | undefined): { readonly event: string; readonly intent: string } | undefined;
}
