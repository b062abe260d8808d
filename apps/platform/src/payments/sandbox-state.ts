/**
 * What all of the sandbox's parts change: the ledger, by steps of payments, and the events that tell of them. A step shows at once; it
 * is stored, with all that belongs to the same call, and only then told.
 */
import type { SandboxDispute, SandboxIntent, SandboxLedger } from './sandbox-ledger.ts';
import {
  chargeObject,
  disputeObject,
  eventObject,
  type IntentView,
  intentObject,
  refundObject,
  type SandboxEvent,
} from './sandbox-objects.ts';
import {
  chargeIntent,
  type DisputeToMake,
  disputeIntent,
  failAuthentication,
  failIntent,
  lapseIntent,
  missing,
  moveDispute,
  type PaymentRules,
  type Step,
  StripeFault,
  settleRefund,
} from './sandbox-payments.ts';

export interface SandboxStateOptions extends PaymentRules, IntentView {
  readonly emit: (event: SandboxEvent) => void;
}

export class SandboxState {
  readonly ledger: SandboxLedger;
  readonly rules: PaymentRules;
  readonly #options: SandboxStateOptions;
  readonly #events: SandboxEvent[] = [];

  constructor(options: SandboxStateOptions) {
    this.#options = options;
    this.ledger = options.ledger;
    this.rules = options;
  }

  /** @throws StripeFault when there is none */
  intent(id: string): SandboxIntent {
    const intent = this.ledger.intents.get(id);
    if (intent === undefined) throw missing('intent', 'payment_intent', id);
    return intent;
  }

  /** As Stripe's JSON. @param expanded whether the charge is told, or its id only */
  show(intent: SandboxIntent, expanded: boolean): object {
    return intentObject(intent, this.#options, expanded);
  }

  /** @param detail the refund or the dispute that the step is about */
  take({ changes, events }: Step, id: string, detail = ''): void {
    this.ledger.change(changes);
    for (const type of events) this.#events.push(eventObject(type, this.#subject(type, id, detail), this.rules.now()));
  }

  store(): void {
    this.ledger.save();
    for (const event of this.#events.splice(0)) this.#options.emit(event);
  }

  /** The buyer approves, or the bank comes to an end with it. @throws StripeFault unless it waits for that */
  approve(id: string): void {
    const intent = this.#waiting(id);
    this.take(chargeIntent(this.rules, intent), id);
    this.store();
  }

  /** @throws as approve */
  reject(id: string): void {
    const intent = this.#waiting(id);
    const step =
      intent.status === 'requires_action'
        ? failAuthentication(intent)
        : failIntent(this.rules, intent, { code: 'card_declined', declineCode: 'generic_decline' });
    this.take(step, id);
    this.store();
  }

  /** @throws StripeFault unless it is authorised, and not captured */
  lapse(id: string): void {
    this.take(lapseIntent(this.rules, this.intent(id)), id);
    this.store();
  }

  /** @throws StripeFault unless it is captured */
  dispute(id: string, dispute: DisputeToMake): string {
    const step = disputeIntent(this.rules, this.intent(id), dispute);
    this.take(step, id, step.dispute);
    this.store();
    return step.dispute;
  }

  /** @throws StripeFault when there is no such dispute */
  moveDispute(id: string, status: SandboxDispute['status']): void {
    const dispute = this.ledger.disputes.get(id);
    if (dispute === undefined) throw missing('id', 'dispute', id);
    this.take(moveDispute(dispute, status), dispute.intent, id);
    this.store();
  }

  /** One that has succeeded can fail yet: the buyer's bank sends it back. @throws StripeFault when there is no such refund, or it is settled */
  settleRefund(id: string, status: 'succeeded' | 'failed'): void {
    const refund = this.ledger.refunds.get(id);
    if (refund === undefined || refund.status === 'failed' || refund.status === status) throw missing('id', 'pending refund', id);
    this.take(settleRefund(this.rules, refund, status), refund.intent, id);
    this.store();
  }

  /** An answer about another intent than these; undefined where there is none. @param random from 0 to below 1 */
  answerAboutAnother(notThese: string, random: number): string | undefined {
    const others = [...this.ledger.intents.values()].filter(({ id }) => !notThese.includes(id));
    const other = others[Math.floor(random * others.length)];
    return other === undefined ? undefined : JSON.stringify(this.show(other, true));
  }

  #waiting(id: string): SandboxIntent {
    const intent = this.intent(id);
    if (intent.status === 'requires_action' || intent.status === 'processing') return intent;
    throw new StripeFault(400, { code: 'payment_intent_unexpected_state', message: 'It waits for nothing.' }, true);
  }

  #subject(type: string, id: string, detail: string): object {
    const refund = this.ledger.refunds.get(detail);
    const dispute = this.ledger.disputes.get(detail);
    const intent = this.intent(id);
    const charge = this.ledger.charge(intent.charge);
    if (type.startsWith('refund.') && refund !== undefined) return refundObject(refund);
    if (type.startsWith('charge.dispute.') && dispute !== undefined) return disputeObject(dispute);
    if (type.startsWith('charge.') && charge !== undefined) return chargeObject(charge);
    return this.show(intent, false);
  }
}
