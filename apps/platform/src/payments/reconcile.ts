/**
 * Compares payments with the provider's intents: all that were made in a stretch of time, and each day those that can still move, however
 * old. What the provider knows better of a payment's status is taken over; whatever moves money, or should not be, is written down for a
 * person.
 */
import type { PlatformDatabase } from '../database/database.ts';
import { type DifferenceKind, noteDifference, noteRefunds } from './differences.ts';
import type { Intent, PaymentGateway } from './gateway.ts';
import { type Payment, PaymentError, type Payments, referenceOf } from './payments.ts';

export interface Reconciliation {
  readonly compared: number;
  readonly differences: Readonly<Partial<Record<DifferenceKind, number>>>;
  /** False when the time was over before that: the next run goes on. */
  readonly complete: boolean;
}

/** The newest quarter of an hour is left out: there both sides are still at work. */
export const behindMs = 15 * 60_000;
/** Each run looks at what the last ones have looked at too. */
const overlapMs = 24 * 3_600_000;
/** What is noted as compared at once. */
const sliceMs = 3_600_000;
const dayMs = 86_400_000;
/** Of payments that can still move, in one run. */
const mostMoving = 5_000;

export interface ReconcileDeps {
  readonly database: PlatformDatabase;
  readonly payments: Payments;
  readonly gateway: PaymentGateway;
}

/** In milliseconds since the Unix epoch. */
export interface Stretch {
  /** Default where the last run has ended, and a day before `till` at least. */
  readonly from?: number | undefined;
  readonly till: number;
}

export interface ReconcileOptions {
  readonly signal: AbortSignal;
  /** Asked before each payment: false ends the run. */
  readonly hasTime: () => boolean;
  /** Told now and then how many were compared. */
  readonly progress: (compared: number) => void;
}

export function reconcilePayments(deps: ReconcileDeps, stretch: Stretch, options: ReconcileOptions): Promise<Reconciliation> {
  return new Comparison(deps, options).run(stretch);
}

class Comparison {
  readonly #deps: ReconcileDeps;
  readonly #options: ReconcileOptions;
  readonly #counts: Partial<Record<DifferenceKind, number>> = {};
  #compared = 0;

  constructor(deps: ReconcileDeps, options: ReconcileOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /** What nobody has compared comes first. */
  async run({ from, till }: Stretch): Promise<Reconciliation> {
    const { database } = this.#deps;
    const overlap = till - overlapMs;
    const begin = from ?? (await comparedTill(database)) ?? overlap;
    const mark = from === undefined ? (at: number) => noteCompared(database, at) : async () => {};
    const complete =
      (await this.#stretch(begin, till, mark)) &&
      (await this.#moving(overlap)) &&
      (from !== undefined || (await this.#stretch(overlap, Math.min(begin, till), async () => {})));
    return { compared: this.#compared, differences: this.#counts, complete };
  }

  async #stretch(from: number, till: number, done: (till: number) => Promise<void>): Promise<boolean> {
    for (let begin = from; begin < till; begin += sliceMs) {
      const end = Math.min(begin + sliceMs, till);
      if (!(await this.#slice(begin, end))) return false;
      await done(end);
    }
    return true;
  }

  async #slice(from: number, till: number): Promise<boolean> {
    const { database, gateway } = this.#deps;
    const seen = new Set<string>();
    for await (const intent of gateway.list(from, till, this.#options.signal)) {
      if (!this.#options.hasTime()) return false;
      seen.add(intent.id);
      await this.#compare(intent);
    }
    for await (const payment of paymentsMade(database, from, till)) {
      if (payment.intent === null || seen.has(payment.intent)) continue;
      if (!this.#options.hasTime()) return false;
      // Made shortly before or after by the other clock.
      await this.#ask(payment, payment.intent);
    }
    return true;
  }

  /** Money comes and goes long after an intent was made, and what should tell of it can be lost. */
  async #moving(madeBefore: number): Promise<boolean> {
    const { database } = this.#deps;
    for (const payment of await paymentsThatMove(database, madeBefore)) {
      if (!this.#options.hasTime()) return false;
      if (payment.intent === null) continue;
      // First, so that one for which the provider has no usable answer does not stand before the others for ever.
      await database.updateTable('payments').set({ looked_at: new Date() }).where('id', '=', payment.id).execute();
      await this.#ask(payment, payment.intent);
    }
    return true;
  }

  async #ask(payment: Payment, id: string): Promise<void> {
    const intent = await this.#deps.gateway.find(id, this.#options.signal);
    if (intent === undefined) await this.#note('missing', id, payment, { status: payment.status });
    else await this.#compare(intent);
  }

  async #compare(intent: Intent): Promise<void> {
    this.#compared += 1;
    if (this.#compared % 100 === 0) this.#options.progress(this.#compared);
    const { database, payments } = this.#deps;
    const payment = await payments.findByIntent(intent.id);
    const holdsMoney = intent.capturedMinor > 0 || intent.status === 'authorised';
    if (payment === undefined) {
      // One that was made beside the payment's own, and never charged, means nothing.
      if (!holdsMoney) return;
      const known = /^payment-\d+$/.test(intent.reference);
      await this.#note(known ? 'double' : 'unknown_intent', intent.id, undefined, {
        status: intent.status,
        captured: intent.capturedMinor,
      });
      return;
    }
    let after: Payment;
    try {
      after = await payments.take(payment.id, intent);
    } catch (error) {
      if (!(error instanceof PaymentError)) throw error;
      const detail = { ours: payment.amount_minor, theirs: intent.amount.minor, reference: referenceOf(payment) };
      await this.#note('amount', intent.id, payment, detail);
      return;
    }
    if (after.status !== payment.status) {
      await this.#note('taken_over', intent.id, payment, { before: payment.status, now: after.status });
    }
    if (after.captured_minor !== intent.capturedMinor) {
      await this.#note('captured', intent.id, payment, { ours: after.captured_minor, theirs: intent.capturedMinor });
    }
    // Taking it has noted it already.
    if (await noteRefunds(database, after, intent)) this.#count('refunded');
  }

  async #note(kind: DifferenceKind, intent: string, payment: Payment | undefined, detail: object): Promise<void> {
    this.#count(kind);
    await noteDifference(this.#deps.database, { kind, intent, payment: payment?.id, detail });
  }

  #count(kind: DifferenceKind): void {
    this.#counts[kind] = (this.#counts[kind] ?? 0) + 1;
  }
}

async function comparedTill(database: PlatformDatabase): Promise<number | undefined> {
  const row = await database.selectFrom('reconciliation').select('till').executeTakeFirst();
  return row?.till.getTime();
}

async function noteCompared(database: PlatformDatabase, at: number): Promise<void> {
  const till = new Date(at);
  await database
    .insertInto('reconciliation')
    .values({ till })
    .onConflict((conflict) => conflict.column('one').doUpdateSet({ till }).where('reconciliation.till', '<', till))
    .execute();
}

/** That nothing final has become of, and whose day has come. */
function paymentsThatMove(database: PlatformDatabase, madeBefore: number): Promise<readonly Payment[]> {
  const lookedAt = new Date(Date.now() - dayMs);
  return database
    .selectFrom('payments')
    .selectAll()
    .where('id', 'in', (query) =>
      query
        .selectFrom('payments as moving')
        .select('moving.id')
        .where('moving.status', 'in', ['requires_action', 'processing', 'authorised'])
        .unionAll(
          query
            .selectFrom('orders')
            .innerJoin('payments as held', 'held.order_id', 'orders.id')
            .select('held.id')
            .where('held.status', '=', 'captured')
            .where('orders.state', 'not in', ['closed', 'cancelled']),
        ),
    )
    .where('created_at', '<', new Date(madeBefore))
    .where(({ or, eb }) => or([eb('looked_at', 'is', null), eb('looked_at', '<', lookedAt)]))
    .orderBy('looked_at', (order) => order.asc().nullsFirst())
    .orderBy('id')
    .limit(mostMoving)
    .execute();
}

const pageSize = 500;

async function* paymentsMade(database: PlatformDatabase, from: number, till: number): AsyncIterable<Payment> {
  for (let after = 0; ; ) {
    const page = await database
      .selectFrom('payments')
      .selectAll()
      .where('created_at', '>=', new Date(from))
      .where('created_at', '<', new Date(till))
      .where('id', '>', after)
      .orderBy('id')
      .limit(pageSize)
      .execute();
    yield* page;
    const last = page.at(-1);
    if (last === undefined || page.length < pageSize) return;
    after = last.id;
  }
}
