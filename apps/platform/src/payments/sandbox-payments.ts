/**
 * How payments move in the sandbox: the states of an intent, and what each step does to its charge. Steps are pure: they give the
 * changes and events, and leave it to the caller to store and to tell them. A charged intent is never charged again, as with Stripe.
 */
import { type CardAnswer, type SandboxCard, sandboxCard } from './sandbox-cards.ts';
import type { Change, SandboxCharge, SandboxDispute, SandboxIntent, SandboxLedger, SandboxRefund } from './sandbox-ledger.ts';
import { newId } from './sandbox-objects.ts';

export interface StripeErrorFields {
  readonly type?: string;
  readonly code?: string;
  readonly param?: string;
  readonly message?: string;
}

/** What Stripe answers instead, as `error` in its JSON. */
export class StripeFault extends Error {
  override readonly name = 'StripeFault';
  readonly code = 'STRIPE_FAULT';
  readonly status: number;
  readonly error: StripeErrorFields;
  /** Of calls that were begun, Stripe keeps the answer under the idempotency key; not of those that it refuses at sight. */
  readonly begun: boolean;

  constructor(status: number, error: StripeErrorFields, begun = false) {
    super(`the sandbox refuses the call (${status}, ${error.code ?? error.param ?? 'no code'})`);
    this.status = status;
    this.error = { type: 'invalid_request_error', ...error };
    this.begun = begun;
  }
}

export interface Step {
  readonly changes: readonly Change[];
  readonly events: readonly string[];
}

export interface ConfirmStep extends Step {
  readonly declined: boolean;
  readonly answer: CardAnswer | undefined;
}

export interface PaymentRules {
  readonly ledger: SandboxLedger;
  readonly now: () => number;
  readonly softDeclines: number;
}

export function confirmIntent(
  rules: PaymentRules,
  intent: SandboxIntent,
  given: { readonly paymentMethod: string; readonly returnUrl: string | undefined },
): ConfirmStep {
  if (intent.status !== 'requires_payment_method' && intent.status !== 'requires_action') throw unexpectedState(intent);
  const card = sandboxCard(given.paymentMethod, rules.softDeclines);
  if (card === undefined) throw missing('payment_method', 'PaymentMethod', given.paymentMethod, 400);
  const tried: SandboxIntent = { ...intent, ...given, attempts: intent.attempts + 1, questions: 0, error: undefined };
  const outcome = card.outcome(tried.attempts);
  const step = { declined: false, answer: card.answer };
  switch (outcome.kind) {
    case 'charged':
      return { ...step, ...chargeIntent(rules, tried) };
    case 'action':
      return { ...step, changes: [intentRow({ ...tried, status: 'requires_action' })], events: ['payment_intent.requires_action'] };
    case 'processing':
      return { ...step, changes: [intentRow({ ...tried, status: 'processing' })], events: ['payment_intent.processing'] };
    case 'unauthenticated':
      return { ...step, declined: true, ...failAuthentication(tried) };
    case 'declined':
      return { ...step, declined: true, ...failIntent(rules, tried, { code: outcome.code, declineCode: outcome.declineCode }) };
  }
}

/** The money is taken, or reserved where it is to be captured later. */
export function chargeIntent(rules: PaymentRules, intent: SandboxIntent): Step {
  const charge = newCharge(rules, intent, { succeeded: true, captured: intent.manual ? 0 : intent.amount });
  const status = intent.manual ? 'requires_capture' : 'succeeded';
  return {
    changes: [chargeRow(charge), intentRow({ ...intent, status, charge: charge.id })],
    events: [intent.manual ? 'payment_intent.amount_capturable_updated' : 'payment_intent.succeeded'],
  };
}

/** The buyer did not prove to be the card's owner: nothing was tried, so there is no charge of it. */
export function failAuthentication(intent: SandboxIntent): Step {
  const error = { code: 'payment_intent_authentication_failure', declineCode: undefined };
  return { changes: [intentRow({ ...intent, status: 'requires_payment_method', error })], events: ['payment_intent.payment_failed'] };
}

export function failIntent(rules: PaymentRules, intent: SandboxIntent, error: NonNullable<SandboxIntent['error']>): Step {
  const charge = newCharge(rules, intent, { succeeded: false, captured: 0 });
  return {
    changes: [chargeRow(charge), intentRow({ ...intent, status: 'requires_payment_method', charge: charge.id, error })],
    events: ['payment_intent.payment_failed'],
  };
}

/** @param amount undefined for all of it */
export function captureIntent(rules: PaymentRules, intent: SandboxIntent, amount = intent.amount): Step {
  const charge = rules.ledger.charge(intent.charge);
  if (intent.status !== 'requires_capture' || charge === undefined) throw unexpectedState(intent);
  if (amount > intent.amount) throw new StripeFault(400, { code: 'amount_too_large', param: 'amount_to_capture' }, true);
  return {
    changes: [...release(rules, { ...charge, captured: amount }, intent.amount - amount), intentRow({ ...intent, status: 'succeeded' })],
    events: ['payment_intent.succeeded'],
  };
}

export function cancelIntent(rules: PaymentRules, intent: SandboxIntent): Step {
  const charge = rules.ledger.charge(intent.charge);
  const cancelled = intentRow({ ...intent, status: 'canceled' });
  const events = ['payment_intent.canceled'];
  switch (intent.status) {
    case 'requires_payment_method':
    case 'requires_action':
      return { changes: [cancelled], events };
    case 'requires_capture':
      return { changes: [...(charge === undefined ? [] : release(rules, charge, charge.amount)), cancelled], events };
    default:
      throw unexpectedState(intent);
  }
}

/** What was reserved and not captured in time is let go: after a week, with most cards. */
export function lapseIntent(rules: PaymentRules, intent: SandboxIntent): Step {
  if (intent.status !== 'requires_capture') throw unexpectedState(intent);
  return cancelIntent(rules, { ...intent, lapsed: true });
}

export function refundIntent(
  rules: PaymentRules,
  intent: SandboxIntent,
  { amount, reference }: { readonly amount: number; readonly reference: string | undefined },
): Step & { readonly refund: SandboxRefund } {
  const charge = rules.ledger.charge(intent.charge);
  if (intent.status !== 'succeeded' || charge === undefined) throw new StripeFault(400, { code: 'charge_not_refundable' }, true);
  if (rules.ledger.takenBack(charge.id) > 0) throw new StripeFault(400, { code: 'charge_disputed' }, true);
  const rest = charge.captured - charge.refunded;
  if (rest === 0) throw new StripeFault(400, { code: 'charge_already_refunded' }, true);
  if (amount > rest) throw new StripeFault(400, { param: 'amount' }, true);
  const status = cardOf(rules, intent)?.slowRefunds === true ? 'pending' : 'succeeded';
  const refund = newRefund(rules, charge, { amount, reference, status });
  return {
    refund,
    changes: [{ table: 'refund', row: refund }, chargeRow({ ...charge, refunded: charge.refunded + amount })],
    events: ['refund.created', 'charge.refunded'],
  };
}

export function settleRefund(rules: PaymentRules, refund: SandboxRefund, status: 'succeeded' | 'failed'): Step {
  const charge = rules.ledger.charge(refund.charge);
  const settled: Change = { table: 'refund', row: { ...refund, status } };
  if (status === 'succeeded' || charge === undefined) return { changes: [settled], events: ['refund.updated'] };
  return { changes: [settled, chargeRow({ ...charge, refunded: charge.refunded - refund.amount })], events: ['refund.failed'] };
}

export interface DisputeToMake {
  /** In Stripe's units. Default all that has not been given back. */
  readonly amount?: number;
  /** The bank only asks. */
  readonly inquiry?: boolean;
}

export function disputeIntent(
  rules: PaymentRules,
  intent: SandboxIntent,
  { amount, inquiry = false }: DisputeToMake,
): Step & { readonly dispute: string } {
  const charge = rules.ledger.charge(intent.charge);
  if (intent.status !== 'succeeded' || charge === undefined) throw unexpectedState(intent);
  // What was given back, or taken back, already cannot be taken back.
  const rest = charge.captured - charge.refunded - rules.ledger.takenBack(charge.id);
  if (rest < (amount ?? 1)) throw unexpectedState(intent);
  const row: SandboxDispute = {
    id: newId('dp'),
    intent: intent.id,
    charge: charge.id,
    amount: amount ?? rest,
    currency: charge.currency,
    status: inquiry ? 'warning_needs_response' : 'needs_response',
    created: rules.now(),
  };
  return {
    dispute: row.id,
    changes: [{ table: 'dispute', row }, chargeRow({ ...charge, disputed: true })],
    events: ['charge.dispute.created'],
  };
}

/** The bank, or a person, goes on with it. */
export function moveDispute(dispute: SandboxDispute, status: SandboxDispute['status']): Step {
  const ended = status !== 'needs_response' && status !== 'warning_needs_response';
  return {
    changes: [{ table: 'dispute', row: { ...dispute, status } }],
    events: [ended ? 'charge.dispute.closed' : 'charge.dispute.updated'],
  };
}

/** As Stripe's sentences do, this one repeats what was given. */
export function missing(param: string, what: string, id: string, status = 404): StripeFault {
  return new StripeFault(status, { code: 'resource_missing', param, message: `No such ${what}: '${id}'` });
}

function unexpectedState(intent: SandboxIntent): StripeFault {
  const message = `This PaymentIntent could not be used because it has a status of ${intent.status}.`;
  return new StripeFault(400, { code: 'payment_intent_unexpected_state', message }, true);
}

function cardOf(rules: PaymentRules, intent: SandboxIntent): SandboxCard | undefined {
  return intent.paymentMethod === undefined ? undefined : sandboxCard(intent.paymentMethod, rules.softDeclines);
}

/** Lets go what was reserved. Stripe lists it as a refund, one without metadata. */
function release(rules: PaymentRules, charge: SandboxCharge, amount: number): readonly Change[] {
  const row = chargeRow({ ...charge, released: amount });
  if (amount === 0) return [row];
  return [row, { table: 'refund', row: newRefund(rules, charge, { amount, reference: undefined, status: 'succeeded' }) }];
}

function newCharge(
  rules: PaymentRules,
  { id, reference, amount, currency }: SandboxIntent,
  outcome: Pick<SandboxCharge, 'succeeded' | 'captured'>,
): SandboxCharge {
  const nothing = { released: 0, refunded: 0, disputed: false };
  return { id: newId('ch'), intent: id, reference, amount, currency, ...nothing, created: rules.now(), ...outcome };
}

function newRefund(
  rules: PaymentRules,
  { id, intent, currency }: SandboxCharge,
  given: Pick<SandboxRefund, 'amount' | 'reference' | 'status'>,
): SandboxRefund {
  return { id: newId('re'), intent, charge: id, currency, created: rules.now(), ...given };
}

function intentRow(row: SandboxIntent): Change {
  return { table: 'intent', row };
}

function chargeRow(row: SandboxCharge): Change {
  return { table: 'charge', row };
}
