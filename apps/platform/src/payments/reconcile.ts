/**
 * Compares the payments of a stretch of time with the provider's intents. What the provider knows better of a payment's status is
 * taken over; whatever moves money, or should not be, is written down for a person.
 */
import type { PlatformDatabase } from '../database/database.ts';
import type { Intent, PaymentGateway } from './gateway.ts';
import { type Payment, PaymentError, type Payments, referenceOf } from './payments.ts';

/**
 * `unknown_intent`: the provider has money of an intent that is none of ours. `amount`: of another amount than the payment.
 * `double`: two intents of one payment were charged. `captured`, `refunded`: the sums differ. `missing`: the provider has no such
 * intent. `taken_over`: the status differed, and is the provider's now.
 */
export type DifferenceKind = 'unknown_intent' | 'amount' | 'double' | 'captured' | 'refunded' | 'missing' | 'taken_over';

export interface Reconciliation {
  readonly compared: number;
  readonly differences: Readonly<Partial<Record<DifferenceKind, number>>>;
}

/** The newest quarter of an hour is left out: there both sides are still at work. */
export const behindMs = 15 * 60_000;
/** Each run looks at what the last ones have looked at too. */
export const overlapMs = 24 * 3_600_000;

export interface ReconcileDeps {
  readonly database: PlatformDatabase;
  readonly payments: Payments;
  readonly gateway: PaymentGateway;
}

/**
 * @param from till milliseconds since the Unix epoch
 * @param progress told now and then how many were compared
 */
export async function reconcilePayments(
  deps: ReconcileDeps,
  from: number,
  till: number,
  signal: AbortSignal,
  progress: (compared: number) => void = () => undefined,
): Promise<Reconciliation> {
  const { database, gateway } = deps;
  const counts: Partial<Record<DifferenceKind, number>> = {};
  const note = async (kind: DifferenceKind, intent: string, payment: Payment | undefined, detail: object): Promise<void> => {
    counts[kind] = (counts[kind] ?? 0) + 1;
    await noteDifference(database, kind, intent, payment, detail);
  };
  const seen = new Set<string>();
  let compared = 0;
  for await (const intent of gateway.list(from, till, signal)) {
    seen.add(intent.id);
    await compareIntent(deps, intent, note);
    compared += 1;
    if (compared % 100 === 0) progress(compared);
  }
  for await (const payment of paymentsMade(database, from, till)) {
    if (payment.intent === null || seen.has(payment.intent)) continue;
    // Made shortly before or after by the other clock.
    const intent = await gateway.find(payment.intent, signal);
    if (intent === undefined) await note('missing', payment.intent, payment, { status: payment.status });
    else await compareIntent(deps, intent, note);
    compared += 1;
  }
  return { compared, differences: counts };
}

type Note = (kind: DifferenceKind, intent: string, payment: Payment | undefined, detail: object) => Promise<void>;

async function compareIntent({ payments }: ReconcileDeps, intent: Intent, note: Note): Promise<void> {
  const payment = await payments.findByIntent(intent.id);
  const holdsMoney = intent.capturedMinor > 0 || intent.status === 'authorised';
  if (payment === undefined) {
    // One that was made beside the payment's own, and never charged, means nothing.
    if (holdsMoney) {
      const known = /^payment-\d+$/.test(intent.reference);
      await note(known ? 'double' : 'unknown_intent', intent.id, undefined, { status: intent.status, captured: intent.capturedMinor });
    }
    return;
  }
  let after: Payment;
  try {
    after = await payments.take(payment.id, intent);
  } catch (error) {
    if (!(error instanceof PaymentError)) throw error;
    await note('amount', intent.id, payment, { ours: payment.amount_minor, theirs: intent.amount.minor, reference: referenceOf(payment) });
    return;
  }
  if (after.status !== payment.status) await note('taken_over', intent.id, payment, { before: payment.status, now: after.status });
  if (after.captured_minor !== intent.capturedMinor) {
    await note('captured', intent.id, payment, { ours: after.captured_minor, theirs: intent.capturedMinor });
  }
  if (after.refunded_minor !== intent.refundedMinor) {
    await note('refunded', intent.id, payment, { ours: after.refunded_minor, theirs: intent.refundedMinor });
  }
}

/** An open one of the same kind is not written down again; what was taken over is closed at once. */
export async function noteDifference(
  database: PlatformDatabase,
  kind: DifferenceKind,
  intent: string,
  payment: Payment | undefined,
  detail: object,
): Promise<void> {
  const row = database.insertInto('payment_differences').values({
    payment_id: payment?.id ?? null,
    intent,
    kind,
    detail: JSON.stringify(detail),
  });
  if (kind !== 'taken_over') {
    await row.onConflict((conflict) => conflict.columns(['intent', 'kind']).where('resolved_at', 'is', null).doNothing()).execute();
    return;
  }
  const { id } = await row.returning('id').executeTakeFirstOrThrow();
  await database
    .updateTable('payment_differences')
    .set({ resolution: 'taken over', resolved_at: new Date() })
    .where('id', '=', id)
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
