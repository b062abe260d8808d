/** The sandbox's rows as Stripe's JSON: the fields that the adapter reads, and those that tell a person who looks on what they see. */
import { randomBytes } from 'node:crypto';
import type { SandboxCharge, SandboxDispute, SandboxIntent, SandboxLedger, SandboxRefund } from './sandbox-ledger.ts';

/** A webhook's content. */
export interface SandboxEvent {
  readonly id: string;
  readonly object: 'event';
  readonly type: string;
  readonly created: number;
  readonly data: { readonly object: object };
}

/** @param prefix as Stripe has it, such as `pi` */
export function newId(prefix: string): string {
  return `${prefix}_${randomBytes(12).toString('hex')}`;
}

export function seconds(ms: number): number {
  return Math.floor(ms / 1000);
}

export interface IntentView {
  readonly ledger: SandboxLedger;
  readonly actionUrl: (intent: string) => string;
}

/** @param expanded whether the charge is told, or its id only */
export function intentObject(intent: SandboxIntent, { ledger, actionUrl }: IntentView, expanded: boolean): object {
  const charge = ledger.charge(intent.charge);
  return {
    id: intent.id,
    object: 'payment_intent',
    amount: intent.amount,
    amount_capturable: intent.status === 'requires_capture' ? intent.amount : 0,
    amount_received: charge?.captured ?? 0,
    cancellation_reason: intent.lapsed === true ? 'automatic' : null,
    capture_method: intent.manual ? 'manual' : 'automatic',
    created: seconds(intent.created),
    currency: intent.currency,
    last_payment_error: intent.error === undefined ? null : declineObject(intent.error),
    latest_charge: charge === undefined ? null : expanded ? chargeObject(charge) : charge.id,
    livemode: false,
    metadata: metadataOf(intent),
    next_action:
      intent.status === 'requires_action'
        ? { type: 'redirect_to_url', redirect_to_url: { url: actionUrl(intent.id), return_url: intent.returnUrl ?? null } }
        : null,
    payment_method: intent.paymentMethod ?? null,
    allowed_payment_method_types: ['card'],
    status: intent.status,
  };
}

export function declineObject({ code, declineCode }: NonNullable<SandboxIntent['error']>): object {
  return {
    type: code === 'payment_intent_authentication_failure' ? 'invalid_request_error' : 'card_error',
    code,
    ...(declineCode === undefined ? {} : { decline_code: declineCode }),
    message: 'Your card was declined.',
  };
}

export function chargeObject(charge: SandboxCharge): object {
  return {
    id: charge.id,
    object: 'charge',
    amount: charge.amount,
    amount_captured: charge.captured,
    amount_refunded: charge.refunded + charge.released,
    captured: charge.captured > 0,
    created: seconds(charge.created),
    currency: charge.currency,
    disputed: charge.disputed,
    livemode: false,
    metadata: metadataOf(charge),
    payment_intent: charge.intent,
    refunded: charge.refunded + charge.released === charge.amount,
    status: charge.succeeded ? 'succeeded' : 'failed',
  };
}

export function refundObject(refund: SandboxRefund): object {
  return {
    id: refund.id,
    object: 'refund',
    amount: refund.amount,
    charge: refund.charge,
    created: seconds(refund.created),
    currency: refund.currency,
    metadata: metadataOf(refund),
    payment_intent: refund.intent,
    reason: null,
    status: refund.status,
  };
}

export function disputeObject(dispute: SandboxDispute): object {
  return {
    id: dispute.id,
    object: 'dispute',
    amount: dispute.amount,
    charge: dispute.charge,
    created: seconds(dispute.created),
    currency: dispute.currency,
    livemode: false,
    payment_intent: dispute.intent,
    reason: 'fraudulent',
    status: dispute.status,
  };
}

export function eventObject(type: string, object: object, now: number): SandboxEvent {
  return { id: newId('evt'), object: 'event', type, created: seconds(now), data: { object } };
}

function metadataOf({ reference }: { readonly reference: string | undefined }): object {
  return reference === undefined ? {} : { reference };
}
