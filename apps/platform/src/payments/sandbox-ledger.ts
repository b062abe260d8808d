/**
 * What the sandbox knows: intents, charges, refunds, disputes, and answers kept under idempotency keys. With a file, each call's
 * changes are one line of it, written before the call is answered: a kill loses nothing that anybody was told, and no line holds half
 * of a call. What was charged twice shows here, which is what the ledger is for.
 */
import { appendFileSync, closeSync, openSync, readFileSync, truncateSync } from 'node:fs';
import { fromStripeAmount } from './stripe-amounts.ts';

/** Amounts are in Stripe's units, times in milliseconds since the Unix epoch. */
export interface SandboxIntent {
  readonly id: string;
  readonly reference: string | undefined;
  readonly amount: number;
  /** As Stripe writes it, such as `eur`. */
  readonly currency: string;
  readonly manual: boolean;
  readonly status: 'requires_payment_method' | 'requires_action' | 'processing' | 'requires_capture' | 'succeeded' | 'canceled';
  readonly paymentMethod: string | undefined;
  readonly returnUrl: string | undefined;
  readonly created: number;
  readonly attempts: number;
  /** How often it was asked for while it was processing. */
  readonly questions: number;
  readonly charge: string | undefined;
  readonly error: { readonly code: string; readonly declineCode: string | undefined } | undefined;
  /** Of one that nobody but time has cancelled. */
  readonly lapsed?: boolean;
}

/** A try to take money; what failed is one as well. */
export interface SandboxCharge {
  readonly id: string;
  readonly intent: string;
  readonly reference: string | undefined;
  readonly amount: number;
  readonly currency: string;
  readonly succeeded: boolean;
  readonly captured: number;
  /** What was reserved and then let go. */
  readonly released: number;
  /** What was given back of what was captured. */
  readonly refunded: number;
  readonly disputed: boolean;
  readonly created: number;
}

export interface SandboxRefund {
  readonly id: string;
  readonly intent: string;
  readonly charge: string;
  /** undefined: what is released is a refund to Stripe. */
  readonly reference: string | undefined;
  readonly amount: number;
  readonly currency: string;
  readonly status: 'pending' | 'succeeded' | 'failed';
  readonly created: number;
}

export interface SandboxDispute {
  readonly id: string;
  readonly intent: string;
  readonly charge: string;
  readonly amount: number;
  readonly currency: string;
  readonly status: SandboxDisputeStatus;
  readonly created: number;
}

/** Those that begin with `warning` are inquiries: no money moves. */
export type SandboxDisputeStatus = 'warning_needs_response' | 'warning_closed' | 'needs_response' | 'won' | 'lost';

/** An answer that is given again to the same call. */
export interface KeptAnswer {
  readonly id: string;
  /** What was asked for, so that a key is not taken for another call. */
  readonly call: string;
  readonly status: number;
  readonly body: string;
  readonly at: number;
}

interface Tables {
  readonly intent: SandboxIntent;
  readonly charge: SandboxCharge;
  readonly refund: SandboxRefund;
  readonly dispute: SandboxDispute;
  readonly answer: KeptAnswer;
}

export type Change = { [Table in keyof Tables]: { readonly table: Table; readonly row: Tables[Table] } }[keyof Tables];

export interface DoubleCharge {
  readonly reference: string;
  /** More than one. */
  readonly charges: readonly SandboxCharge[];
}

/** The file holds what is no ledger. */
export class SandboxFileError extends Error {
  override readonly name = 'SandboxFileError';
  readonly code = 'SANDBOX_FILE';
}

export class SandboxLedger {
  readonly intents = new Map<string, SandboxIntent>();
  readonly refunds = new Map<string, SandboxRefund>();
  readonly disputes = new Map<string, SandboxDispute>();
  readonly answers = new Map<string, KeptAnswer>();
  readonly #charges = new Map<string, SandboxCharge>();
  readonly #chargesByReference = new Map<string, Set<string>>();
  readonly #intentsByReference = new Map<string, Set<string>>();
  readonly #unsaved: Change[] = [];
  readonly #file: number | undefined;

  /**
   * @param file made where there is none; its folder must exist. Only one process may have it open.
   * @throws SandboxFileError, and what the file system says
   */
  constructor(file?: string) {
    if (file === undefined) return;
    this.#file = openSync(file, 'a+', 0o600);
    try {
      this.#load(file);
    } catch (error) {
      closeSync(this.#file);
      throw error;
    }
  }

  /** Shows at once, and lasts from `save` on. */
  change(changes: readonly Change[]): void {
    for (const change of changes) {
      this.#apply(change);
      if (this.#file !== undefined) this.#unsaved.push(change);
    }
  }

  /** Writes what was changed since the last time: all of it or, after a kill, nothing. */
  save(): void {
    const changes = this.#unsaved.splice(0);
    if (this.#file !== undefined && changes.length > 0) appendFileSync(this.#file, `${JSON.stringify(changes)}\n`);
  }

  /** The newest first. */
  intentsOf(reference: string): readonly SandboxIntent[] {
    const ids = [...(this.#intentsByReference.get(reference) ?? [])].toReversed();
    return ids.flatMap((id) => this.intents.get(id) ?? []);
  }

  charge(id: string | undefined): SandboxCharge | undefined {
    return id === undefined ? undefined : this.#charges.get(id);
  }

  /** Charges that took or reserved money for a payment of ours, the oldest first. More than one is one too many. */
  charges(reference: string): readonly SandboxCharge[] {
    const ids = [...(this.#chargesByReference.get(reference) ?? [])];
    return ids.flatMap((id) => this.#charges.get(id) ?? []).filter((charge) => charge.succeeded && charge.released < charge.amount);
  }

  /** Payments for which money was taken or reserved twice; also where it was given back later. */
  doubleCharges(): readonly DoubleCharge[] {
    return [...this.#chargesByReference.keys()]
      .map((reference) => ({ reference, charges: this.charges(reference) }))
      .filter(({ charges }) => charges.length > 1);
  }

  /** By currency, in our minor units: what was captured in all, and what of it was given back or is about to be. */
  totals(): ReadonlyMap<string, { readonly captured: number; readonly refunded: number }> {
    const totals = new Map<string, { captured: number; refunded: number }>();
    for (const charge of this.#charges.values()) {
      const { currency } = fromStripeAmount(0, charge.currency);
      const total = totals.get(currency) ?? { captured: 0, refunded: 0 };
      total.captured += inMinor(charge.captured, charge.currency);
      total.refunded += inMinor(charge.refunded, charge.currency);
      totals.set(currency, total);
    }
    return totals;
  }

  /** What a bank has of a charge. */
  takenBack(charge: string): number {
    return [...this.disputes.values()].reduce(
      (sum, dispute) => sum + (dispute.charge === charge && bankHas(dispute) ? dispute.amount : 0),
      0,
    );
  }

  /** By currency, in our minor units: what banks have taken back, and not returned. */
  disputed(): ReadonlyMap<string, number> {
    const sums = new Map<string, number>();
    for (const { amount, currency: theirs } of [...this.disputes.values()].filter(bankHas)) {
      const { minor, currency } = fromStripeAmount(amount, theirs);
      sums.set(currency, (sums.get(currency) ?? 0) + minor);
    }
    return sums;
  }

  /** Forgets answers that were kept before then. The oldest stand first. */
  forgetAnswers(before: number): void {
    for (const [id, { at }] of this.answers) {
      if (at >= before) break;
      this.answers.delete(id);
    }
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file);
  }

  #apply({ table, row }: Change): void {
    switch (table) {
      case 'intent':
        this.intents.set(row.id, row);
        note(this.#intentsByReference, row);
        break;
      case 'refund':
        this.refunds.set(row.id, row);
        break;
      case 'dispute':
        this.disputes.set(row.id, row);
        break;
      case 'answer':
        this.answers.delete(row.id);
        this.answers.set(row.id, row);
        break;
      case 'charge':
        this.#charges.set(row.id, row);
        note(this.#chargesByReference, row);
    }
  }

  /** A line that a kill cut off was never answered for: it is dropped, so that the next one begins on a line of its own. */
  #load(file: string): void {
    const text = readFileSync(file, 'utf8');
    const whole = text.slice(0, text.lastIndexOf('\n') + 1);
    if (whole.length < text.length) truncateSync(file, Buffer.byteLength(whole));
    for (const [place, line] of whole.split('\n').slice(0, -1).entries()) {
      try {
        for (const change of JSON.parse(line) as readonly Change[]) this.#apply(change);
      } catch {
        throw new SandboxFileError(`line ${place + 1} of the sandbox's file cannot be read: move the file away to begin anew`);
      }
    }
  }
}

function note(index: Map<string, Set<string>>, { id, reference }: SandboxIntent | SandboxCharge): void {
  if (reference === undefined) return;
  const ids = index.get(reference) ?? new Set();
  index.set(reference, ids.add(id));
}

function bankHas({ status }: SandboxDispute): boolean {
  return status === 'needs_response' || status === 'lost';
}

function inMinor(amount: number, currency: string): number {
  return fromStripeAmount(amount, currency).minor;
}
