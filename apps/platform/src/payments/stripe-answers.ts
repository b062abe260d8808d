/**
 * Reads Stripe's answers, and believes only what is whole and fits together. A wrong answer is no answer: nothing may be booked by the
 * body of another payment, or by one that a proxy has mangled.
 */
import { z } from 'zod';
import { type Dispute, GatewayError, type Intent, type IntentStatus, type Refund } from './gateway.ts';
import { fromStripeAmount } from './stripe-amounts.ts';
import { declineOf } from './stripe-errors.ts';

/** Where our id stands in Stripe's objects. */
export const referenceKey = 'reference';

const statuses = {
  requires_payment_method: 'requires_payment_method',
  requires_confirmation: 'requires_payment_method',
  requires_action: 'requires_action',
  processing: 'processing',
  requires_capture: 'authorised',
  succeeded: 'captured',
  canceled: 'cancelled',
} as const satisfies Record<string, IntentStatus>;

export const idSchema = z.string().regex(/^\w{1,255}$/);
const amountSchema = z.int().min(0);
const currencySchema = z.string().regex(/^[a-z]{3}$/);
const metadataSchema = z.record(z.string(), z.string());
const wordSchema = z.string().nullish();

const chargeSchema = z.object({
  object: z.literal('charge'),
  id: idSchema,
  payment_intent: idSchema,
  amount: amountSchema,
  amount_captured: amountSchema,
  amount_refunded: amountSchema,
  disputed: z.boolean(),
});

const intentSchema = z
  .object({
    object: z.literal('payment_intent'),
    id: idSchema,
    amount: amountSchema,
    amount_received: amountSchema,
    currency: currencySchema,
    status: z.enum(Object.keys(statuses) as (keyof typeof statuses)[]),
    created: z.int().positive(),
    metadata: metadataSchema,
    latest_charge: z.union([z.null(), idSchema, chargeSchema]),
    payment_method: idSchema.nullish(),
    next_action: z.object({ redirect_to_url: z.object({ url: z.url({ protocol: /^https?$/ }).nullish() }).nullish() }).nullish(),
    last_payment_error: z.object({ code: wordSchema, decline_code: wordSchema, advice_code: wordSchema }).nullish(),
  })
  .refine(({ status, amount, amount_received: received }) => (status === 'succeeded' ? received > 0 && received <= amount : received === 0))
  // What was refunded, and whether it is disputed, only the charge tells.
  .refine(({ status, latest_charge: charge }) => status !== 'succeeded' || (charge !== null && typeof charge === 'object'))
  .refine(
    ({ id, amount_received: received, latest_charge: charge }) =>
      charge === null || typeof charge === 'string' || (charge.payment_intent === id && charge.amount_captured === received),
  );

const refundSchema = z.object({
  object: z.literal('refund'),
  id: idSchema,
  amount: amountSchema,
  currency: currencySchema,
  payment_intent: idSchema,
  status: z.enum(['pending', 'requires_action', 'succeeded', 'failed', 'canceled']),
  metadata: metadataSchema.nullish(),
});

const disputeStatuses = {
  warning_needs_response: 'inquiry',
  warning_under_review: 'inquiry',
  warning_closed: 'inquiry',
  // Ended before the bank took anything.
  prevented: 'inquiry',
  needs_response: 'open',
  under_review: 'open',
  appeal_needs_response: 'open',
  appeal_under_review: 'open',
  won: 'won',
  lost: 'lost',
} as const satisfies Record<string, Dispute['status']>;

const disputeSchema = z.object({
  object: z.literal('dispute'),
  id: idSchema,
  amount: amountSchema.min(1),
  currency: currencySchema,
  payment_intent: idSchema,
  status: z.enum(Object.keys(disputeStatuses) as (keyof typeof disputeStatuses)[]),
});

const searchSchema = z.object({
  object: z.literal('search_result'),
  has_more: z.literal(false),
  data: z.array(z.object({ id: idSchema })),
});

const eventSchema = z.object({
  object: z.literal('event'),
  id: idSchema,
  type: z.string(),
  data: z.object({ object: z.looseObject({ object: z.string() }) }),
});

/**
 * undefined: it has no reference, so was not made by us.
 *
 * @param id that was asked for, where one was
 * @throws GatewayError `GATEWAY_UNKNOWN` unless it is an intent, and the right one
 */
export function readIntent(answer: unknown, id?: string): Intent | undefined {
  const intent = readAnswer(intentSchema, answer);
  believe(id === undefined || intent.id === id);
  const reference = intent.metadata[referenceKey];
  if (reference === undefined) return undefined;
  const { latest_charge: latest } = intent;
  const charge = typeof latest === 'string' ? null : latest;
  return {
    id: intent.id,
    reference,
    status: statuses[intent.status],
    amount: fromStripeAmount(intent.amount, intent.currency),
    capturedMinor: fromStripeAmount(intent.amount_received, intent.currency).minor,
    refundedMinor: fromStripeAmount(charge === null ? 0 : refundedOf(charge), intent.currency).minor,
    disputed: charge?.disputed ?? false,
    disputes: [],
    actionUrl: intent.status === 'requires_action' ? (intent.next_action?.redirect_to_url?.url ?? undefined) : undefined,
    charge: typeof latest === 'string' ? latest : latest?.id,
    paymentMethod: intent.payment_method ?? undefined,
    decline:
      statuses[intent.status] === 'requires_payment_method' && intent.last_payment_error != null
        ? declineOf(intent.last_payment_error)
        : undefined,
    createdAt: intent.created * 1000,
  };
}

/** What is released instead of captured Stripe counts as refunded; the buyer never paid it. */
function refundedOf({ amount, amount_captured: captured, amount_refunded: refunded }: z.output<typeof chargeSchema>): number {
  return captured === 0 ? 0 : Math.max(0, refunded - (amount - captured));
}

/**
 * undefined: it has no reference, so is a release, or was made by hand.
 *
 * @throws GatewayError `GATEWAY_UNKNOWN` unless it is a refund of this intent
 */
export function readRefund(answer: unknown, intent: string): Refund | undefined {
  const refund = readAnswer(refundSchema, answer);
  believe(refund.payment_intent === intent);
  const reference = refund.metadata?.[referenceKey];
  if (reference === undefined) return undefined;
  return {
    id: refund.id,
    reference,
    intent,
    amount: fromStripeAmount(refund.amount, refund.currency),
    status: refundStatuses[refund.status],
  };
}

const refundStatuses = {
  pending: 'pending',
  requires_action: 'pending',
  succeeded: 'succeeded',
  failed: 'failed',
  canceled: 'failed',
} as const satisfies Record<string, Refund['status']>;

/** @throws GatewayError `GATEWAY_UNKNOWN` unless it is a dispute of this intent */
export function readDispute(answer: unknown, { id: intent, amount: paid }: Intent): Dispute {
  const { id, amount, currency, payment_intent, status } = readAnswer(disputeSchema, answer);
  const taken = fromStripeAmount(amount, currency);
  believe(payment_intent === intent && taken.currency === paid.currency);
  return { id, amount: taken, status: disputeStatuses[status] };
}

/** Ids of what a search has found. It lags behind, so what else it tells is not to be believed. @throws GatewayError `GATEWAY_UNKNOWN` */
export function readSearch(answer: unknown): readonly string[] {
  return readAnswer(searchSchema, answer).data.map(({ id }) => id);
}

/** The event's id and the intent that it is about; undefined for what is of no interest. @throws GatewayError `GATEWAY_UNKNOWN` */
export function readEvent(event: unknown): { readonly event: string; readonly intent: string } | undefined {
  const { id, type, data } = readAnswer(eventSchema, event);
  // One that was made is being confirmed by whoever has made it.
  if (type === 'payment_intent.created') return undefined;
  if (type.startsWith('payment_intent.')) {
    const { id: intent, metadata } = readAnswer(z.object({ id: idSchema, metadata: metadataSchema }), data.object);
    return metadata[referenceKey] === undefined ? undefined : { event: id, intent };
  }
  if (!/^(?:charge\.refunded$|charge\.refund\.|charge\.dispute\.|refund\.)/.test(type)) return undefined;
  const { payment_intent: intent } = readAnswer(z.object({ payment_intent: idSchema.nullish() }), data.object);
  return intent == null ? undefined : { event: id, intent };
}

/** @throws GatewayError `GATEWAY_UNKNOWN` unless the answer is what was asked for */
export function believe(condition: boolean): asserts condition {
  if (!condition) throw notBelieved();
}

/** @throws GatewayError `GATEWAY_UNKNOWN` unless it has that shape */
export function readAnswer<T>(schema: z.ZodType<T>, answer: unknown): T {
  const result = schema.safeParse(answer);
  if (!result.success) throw notBelieved();
  return result.data;
}

function notBelieved(): GatewayError {
  return new GatewayError(
    'GATEWAY_UNKNOWN',
    'Stripe gave an answer to something else, or a broken one: ask what became of it before anything else',
  );
}
