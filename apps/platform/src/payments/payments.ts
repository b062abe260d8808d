/**
 * Payments in the database. What the provider says of an intent is the only source of a payment's state: `take` brings it into
 * ours, whoever has asked (the job that charged, a webhook, the reconciliation), in whatever order and however often, and books,
 * tells and moves the order along once.
 */
import { isDeepStrictEqual } from 'node:util';
import { type Selectable, sql, type Updateable } from 'kysely';
import type { PlatformDatabase } from '../database/database.ts';
import { isTrue } from '../database/is-true.ts';
import type { PaymentAttemptsTable, PaymentStatus, PaymentsTable } from '../database/money-tables.ts';
import { book, captured } from '../ledger/ledger.ts';
import { type Money, money } from '../money/money.ts';
import { amountDue } from '../orders/award.ts';
import { isHeldForPayment } from '../orders/holds.ts';
import { isOver } from '../orders/order-states.ts';
import { lockOrder, type Order, type Orders, type PlatformTransaction } from '../orders/orders.ts';
import { noteRefunds } from './differences.ts';
import { type DisputeDeps, takeDisputes } from './disputes.ts';
import type { Intent, IntentStatus } from './gateway.ts';
import { nextRetry } from './retry-days.ts';

export type Payment = Selectable<PaymentsTable>;

export interface NewPayment {
  readonly order: number;
  readonly user: number;
  readonly amount: Money;
  readonly paymentMethod: string;
  readonly authoriseOnly: boolean;
}

/** Who has asked for an intent, so that what is on its way by one job is not taken for lost by another. */
export interface Asked {
  readonly job: string;
  /** It is the answer to the confirmation by that job, and not to a question. */
  readonly confirmed: boolean;
}

/** How long a job may take to charge. */
export const chargeLimitMs = 60_000;

/** What is to be done, in the same transaction, when something has become of a payment. */
export interface PaymentListeners extends Pick<DisputeDeps, 'disputed' | 'wonBack'> {
  readonly captured: (transaction: PlatformTransaction, payment: Payment, order: Order) => Promise<unknown>;
  readonly actionRequired: (transaction: PlatformTransaction, payment: Payment, order: Order) => Promise<unknown>;
  /** It will not be charged any more, such as when what was reserved has lapsed; its order, which goes on, needs another one. */
  readonly lost: (transaction: PlatformTransaction, payment: Payment, order: Order) => Promise<unknown>;
  /** Paid, or reserved, for an order that was cancelled meanwhile. */
  readonly unwanted: (transaction: PlatformTransaction, payment: Payment, order: Order) => Promise<unknown>;
  /** Declined; `retry_at` says when it is tried again, if it is. */
  readonly declined: (transaction: PlatformTransaction, payment: Payment, order: Order) => Promise<unknown>;
}

/**
 * `MISMATCH`: the provider's intent is not that of this payment, or of another amount. `CONFLICT`: the order has another payment.
 * `NOT_PAYABLE`: nothing is to be paid for this order, or not this. `ORDER_OVER`: not any more. `NOT_FOUND`: no such payment.
 */
export class PaymentError extends Error {
  override readonly name = 'PaymentError';
  readonly code: 'MISMATCH' | 'CONFLICT' | 'NOT_PAYABLE' | 'ORDER_OVER' | 'NOT_FOUND';

  constructor(code: PaymentError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

export class Payments {
  readonly #database: PlatformDatabase;
  readonly #orders: Orders;
  readonly #listeners: () => PaymentListeners;
  readonly #now: () => number;
  /** By the clock of `now`: a try of which nothing was heard for so long is not on its way any more. */
  readonly #lostAfterMs: number;

  /**
   * @param listeners asked when they are first needed: the tasks behind them work with this class
   * @param speed how fast `now` goes
   */
  constructor(
    database: PlatformDatabase,
    orders: Orders,
    listeners: () => PaymentListeners,
    now: () => number = Date.now,
    speed: number = 1,
  ) {
    this.#database = database;
    this.#orders = orders;
    this.#listeners = listeners;
    this.#now = now;
    this.#lostAfterMs = chargeLimitMs * speed;
  }

  /**
   * The payment of an order: the one that there is, or a new one. One that waits for another try, or for the buyer to confirm, takes a
   * new payment method.
   *
   * @throws PaymentError `NOT_PAYABLE`, `CONFLICT`
   */
  async begin(transaction: PlatformTransaction, { order: id, user, amount, paymentMethod, authoriseOnly }: NewPayment): Promise<Payment> {
    const order = await lockOrder(transaction, id);
    if (order.buyer_id !== user) throw new PaymentError('NOT_PAYABLE', 'this is the order of another user');
    const there = await ofOrder(transaction, id).forUpdate().executeTakeFirst();
    if (there === undefined && isOver(order.state)) throw new PaymentError('ORDER_OVER', `order ${id} is ${order.state}`);
    if (there !== undefined) {
      if (there.amount_minor !== amount.minor || there.currency !== amount.currency) {
        throw new PaymentError('CONFLICT', `order ${id} has a payment of another amount already`);
      }
      const canChange = there.status === 'failed' || there.status === 'requires_action';
      if (there.payment_method === paymentMethod || !canChange || isOver(order.state)) return there;
      return transaction
        .updateTable('payments')
        .set({
          payment_method: paymentMethod,
          ...(there.status === 'failed' ? { retry_at: new Date(this.#now()) } : {}),
          version: there.version + 1,
          updated_at: new Date(this.#now()),
        })
        .where('id', '=', there.id)
        .returningAll()
        .executeTakeFirstOrThrow();
    }
    const due = amountDue(order);
    if (due === undefined) throw new PaymentError('NOT_PAYABLE', 'this order has no price yet');
    if (due.minor !== amount.minor || due.currency !== amount.currency) {
      throw new PaymentError('NOT_PAYABLE', 'the amount is not the price of the order with its tax');
    }
    if (order.state !== 'awarded' && order.held_state !== 'awarded') {
      throw new PaymentError('NOT_PAYABLE', `an order that is ${order.state} is not to be paid`);
    }
    return transaction
      .insertInto('payments')
      .values({
        order_id: id,
        user_id: user,
        amount_minor: amount.minor,
        currency: amount.currency,
        authorise_only: authoriseOnly,
        payment_method: paymentMethod,
      })
      .returningAll()
      .executeTakeFirstOrThrow();
  }

  async find(id: number): Promise<Payment> {
    const payment = await this.#database.selectFrom('payments').selectAll().where('id', '=', id).executeTakeFirst();
    if (payment === undefined) throw new PaymentError('NOT_FOUND', `there is no payment ${id}`);
    return payment;
  }

  findByIntent(intent: string): Promise<Payment | undefined> {
    return this.#database.selectFrom('payments').selectAll().where('intent', '=', intent).executeTakeFirst();
  }

  /** The first intent that is noted is the payment's; one that was made beside it is never confirmed. */
  async noteIntent(id: number, gateway: string, intent: string): Promise<Payment> {
    await this.#database
      .updateTable('payments')
      .set({ gateway, intent, updated_at: new Date(this.#now()) })
      .where('id', '=', id)
      .where('intent', 'is', null)
      .execute();
    return this.find(id);
  }

  /**
   * Notes that the provider is asked to charge now. Until it has said what came of it nobody knows. The payment of an order that is
   * over ends instead.
   *
   * @returns undefined when that is not to be done any more
   */
  async beginAttempt(id: number, job: string): Promise<Payment | undefined> {
    return this.#database.transaction().execute(async (transaction) => {
      const { order, payment } = await lockPaymentAndOrder(transaction, id);
      if (isOver(order.state)) {
        if (payment.status !== 'created' && payment.status !== 'failed') return undefined;
        await transaction
          .updateTable('payments')
          .set({ status: 'cancelled', retry_at: null, version: payment.version + 1, updated_at: new Date(this.#now()) })
          .where('id', '=', id)
          .execute();
        return undefined;
      }
      if (!isChargeable(payment, this.#now())) return undefined;
      const { last } = await transaction
        .selectFrom('payment_attempts')
        .select(sql<number>`coalesce(max(number), 0)`.as('last'))
        .where('payment_id', '=', id)
        .executeTakeFirstOrThrow();
      await transaction
        .insertInto('payment_attempts')
        .values({ payment_id: id, number: last + 1, job_id: job, begun_at: new Date(this.#now()) })
        .execute();
      return transaction
        .updateTable('payments')
        .set({
          status: 'unknown',
          tried_method: payment.payment_method,
          retry_at: null,
          version: payment.version + 1,
          updated_at: new Date(this.#now()),
        })
        .where('id', '=', id)
        .returningAll()
        .executeTakeFirstOrThrow();
    });
  }

  /**
   * Takes over what the provider says of a payment's intent. What is known already changes nothing, and waits for no lock.
   *
   * @param asked undefined: by no job that charges
   * @throws PaymentError `MISMATCH`
   */
  async take(id: number, intent: Intent, asked?: Asked): Promise<Payment> {
    const taken = await this.#takeStatus(id, intent, asked);
    return taken.refunded_minor === intent.refundedMinor && intent.disputes.length === 0 ? taken : this.#takeBack(id, intent);
  }

  async #takeStatus(id: number, intent: Intent, asked: Asked | undefined): Promise<Payment> {
    const seen = await this.find(id);
    if ((await this.#news(this.#database, seen, intent, asked)) === undefined) return seen;
    return this.#database.transaction().execute(async (transaction) => {
      const { order, payment } = await lockPaymentAndOrder(transaction, id);
      return this.#take(transaction, payment, order, intent, asked);
    });
  }

  /** What has gone back past us, or was taken back. */
  async #takeBack(id: number, intent: Intent): Promise<Payment> {
    return this.#database.transaction().execute(async (transaction) => {
      const locked = await lockPaymentAndOrder(transaction, id);
      await noteRefunds(transaction, locked.payment, intent);
      await takeDisputes(transaction, { ...this.#listeners(), orders: this.#orders }, locked, intent);
      return lockPayment(transaction, id);
    });
  }

  async #take(transaction: PlatformTransaction, before: Payment, order: Order, intent: Intent, asked: Asked | undefined): Promise<Payment> {
    const news = await this.#news(transaction, before, intent, asked);
    if (news === undefined) return before;
    const { declined, neverArrived, set } = news;
    const now = new Date(this.#now());
    const payment = await transaction
      .updateTable('payments')
      .set({ ...set, version: before.version + 1, updated_at: now })
      .where('id', '=', before.id)
      .returningAll()
      .executeTakeFirstOrThrow();
    if (before.status === 'unknown') await endAttempt(transaction, payment, neverArrived ? 'never_arrived' : payment.status, now);
    await this.#tell(transaction, before, payment, order, declined);
    return payment;
  }

  /** What an intent changes of a payment; undefined for nothing. @throws PaymentError `MISMATCH` */
  async #news(
    database: Pick<PlatformDatabase, 'selectFrom'>,
    before: Payment,
    intent: Intent,
    asked: Asked | undefined,
  ): Promise<News | undefined> {
    mustMatch(before, intent);
    if (isStale(before, intent)) return undefined;
    const now = new Date(this.#now());
    const open = before.status === 'unknown' ? await openAttempt(database, before.id) : undefined;
    const isOwn = open !== undefined && open.job_id === asked?.job;
    const answered = isOwn && asked.confirmed;
    const declined = isDeclined(before, intent, answered);
    const neverArrived = !answered && !declined && isUntouched(before, intent);
    // By another job, whose confirmation may be on its way.
    if (neverArrived && open !== undefined && !isOwn && open.begun_at.getTime() > now.getTime() - this.#lostAfterMs) return undefined;
    const status = statusOf(before, intent, declined);
    const firstDeclined = declined ? (before.first_declined_at ?? now) : before.first_declined_at;
    const next = (): Date | null => {
      if (status !== 'failed') return null;
      // A further try is made again.
      if (neverArrived) return now;
      if (!declined || firstDeclined === null) return before.retry_at;
      if (intent.decline?.hard ?? true) return null;
      return waitsWithAnother(before) ? now : (nextRetry(firstDeclined, now) ?? null);
    };
    const retryAt = next();
    const set = {
      status,
      charge: intent.charge ?? before.charge,
      captured_minor: Math.max(before.captured_minor, intent.capturedMinor),
      action_url: status === 'requires_action' ? (intent.actionUrl ?? null) : null,
      retry_at: retryAt,
      ...(declined
        ? {
            decline_code: intent.decline?.code ?? null,
            // After the last try it is as final as a hard one.
            declined_hard: retryAt === null,
            first_declined_at: firstDeclined,
          }
        : {}),
      ...(neverArrived ? { tried_method: null } : {}),
    };
    const changed = Object.entries(set).some(([column, value]) => !isDeepStrictEqual(before[column as keyof Payment], value));
    return changed ? { declined, neverArrived, set } : undefined;
  }

  /** The provider does not take it at all, such as a payment method that it does not know. As final as a hard decline. */
  async refuse(id: number): Promise<Payment> {
    return this.#database.transaction().execute(async (transaction) => {
      const { order, payment: before } = await lockPaymentAndOrder(transaction, id);
      const now = new Date(this.#now());
      if (before.status !== 'unknown' && before.status !== 'created') return before;
      const payment = await transaction
        .updateTable('payments')
        .set({
          status: 'failed',
          decline_code: 'refused',
          declined_hard: true,
          retry_at: null,
          version: before.version + 1,
          updated_at: now,
        })
        .where('id', '=', id)
        .returningAll()
        .executeTakeFirstOrThrow();
      if (before.status === 'unknown') await endAttempt(transaction, payment, payment.status, now);
      await this.#listeners().declined(transaction, payment, order);
      return payment;
    });
  }

  /** An order that was resumed: paid for during the hold, it goes on. */
  async goOnIfPaid(transaction: PlatformTransaction, order: Order): Promise<void> {
    if (order.state !== 'awarded') return;
    const payment = await paymentOf(transaction, order.id);
    if (payment !== undefined && isPaid(payment)) await this.#goOn(transaction, payment, order);
  }

  /** The order is paid for. One that was on hold for that is on hold no longer; what others have put on hold is theirs to resume. */
  async #goOn(transaction: PlatformTransaction, payment: Payment, order: Order): Promise<void> {
    const data = { payment: payment.id };
    const mayWait = order.state === 'on_hold' && order.held_state === 'awarded';
    const waits = mayWait && (await isTrue(transaction, isHeldForPayment(sql`${order.id}::bigint`)));
    const now = waits ? await this.#orders.applyTo(transaction, order, { event: 'resume', actor: 'system', data }) : order;
    if (now.state === 'awarded') await this.#orders.applyTo(transaction, now, { event: 'authorise_payment', actor: 'system', data });
  }

  /** Nothing will be charged by it: before the order goes on, it has to be paid for by another one. */
  async #lose(transaction: PlatformTransaction, payment: Payment, order: Order): Promise<void> {
    const data = { payment: payment.id, lapsed: true };
    const held = await this.#orders.applyTo(transaction, order, { event: 'lose_payment', actor: 'system', data });
    await this.#listeners().lost(transaction, payment, held);
  }

  /** What follows, once for each change. */
  async #tell(transaction: PlatformTransaction, before: Payment, payment: Payment, order: Order, declined: boolean): Promise<void> {
    const listeners = this.#listeners();
    const isNew = isPaid(payment) && !isPaid(before);
    if (payment.status === 'cancelled' && isPaid(before) && !isOver(order.state)) await this.#lose(transaction, payment, order);
    if (isNew && isOver(order.state)) await listeners.unwanted(transaction, payment, order);
    if (isNew) await this.#goOn(transaction, payment, order);
    if (payment.captured_minor > before.captured_minor) {
      if (payment.captured_minor === payment.amount_minor) await notePaid(transaction, order.id, payment.updated_at);
      await book(transaction, captured(order.id, payment.id, money(payment.captured_minor, payment.currency)));
      await listeners.captured(transaction, payment, order);
    }
    // One that is about to be tried by another method asks for nothing.
    if (payment.status === 'requires_action' && before.status !== 'requires_action' && !waitsWithAnother(payment)) {
      await listeners.actionRequired(transaction, payment, order);
    }
    if (declined) await listeners.declined(transaction, payment, order);
  }
}

async function lockPayment(transaction: PlatformTransaction, id: number): Promise<Payment> {
  const payment = await transaction.selectFrom('payments').selectAll().where('id', '=', id).forUpdate().executeTakeFirst();
  if (payment === undefined) throw new PaymentError('NOT_FOUND', `there is no payment ${id}`);
  return payment;
}

/** The order first, as all do that change one. @throws PaymentError `NOT_FOUND` */
export async function lockPaymentAndOrder(
  transaction: PlatformTransaction,
  id: number,
): Promise<{ readonly order: Order; readonly payment: Payment }> {
  const found = await transaction.selectFrom('payments').select('order_id').where('id', '=', id).executeTakeFirst();
  if (found === undefined) throw new PaymentError('NOT_FOUND', `there is no payment ${id}`);
  const order = await lockOrder(transaction, found.order_id);
  return { order, payment: await lockPayment(transaction, id) };
}

function isPaid({ status }: Payment): boolean {
  return status === 'authorised' || status === 'captured';
}

/** Of an order: the payment that is, or was, charged. */
export function paymentOf(database: Pick<PlatformDatabase, 'selectFrom'>, order: number): Promise<Payment | undefined> {
  return ofOrder(database, order).executeTakeFirst();
}

/** There is one at most: see the index payments_one. */
function ofOrder(database: Pick<PlatformDatabase, 'selectFrom'>, order: number) {
  return database
    .selectFrom('payments')
    .selectAll()
    .where('order_id', '=', order)
    .where('status', '<>', 'cancelled')
    .where('declined_hard', '=', false);
}

/** No change of the order that anybody would have to know of: its version stays. */
async function notePaid(transaction: PlatformTransaction, order: number, at: Date): Promise<void> {
  await transaction.updateTable('orders').set({ paid_at: at }).where('id', '=', order).execute();
}

async function openAttempt(
  database: Pick<PlatformDatabase, 'selectFrom'>,
  payment: number,
): Promise<Pick<Selectable<PaymentAttemptsTable>, 'job_id' | 'begun_at'> | undefined> {
  return database
    .selectFrom('payment_attempts')
    .select(['job_id', 'begun_at'])
    .where('payment_id', '=', payment)
    .where('ended_at', 'is', null)
    .executeTakeFirst();
}

async function endAttempt(
  transaction: PlatformTransaction,
  { id, decline_code }: Payment,
  outcome: PaymentStatus | 'never_arrived',
  now: Date,
): Promise<void> {
  await transaction
    .updateTable('payment_attempts')
    .set({ outcome, decline_code, ended_at: now })
    .where('payment_id', '=', id)
    .where('ended_at', 'is', null)
    .execute();
}

/** The name under which the provider knows a payment. */
export function referenceOf({ id }: Pick<Payment, 'id'>): string {
  return `payment-${id}`;
}

/** Whether the provider may be told to charge now: nothing was tried, it is time to try again, or the buyer has chosen another way. */
export function isChargeable(payment: Payment, now: number): boolean {
  const { status, declined_hard: hard, retry_at: retryAt } = payment;
  return (
    status === 'created' || waitsWithAnother(payment) || (status === 'failed' && !hard && retryAt !== null && retryAt.getTime() <= now)
  );
}

/** The buyer was to confirm a payment, and has chosen another payment method since. */
function waitsWithAnother({ status, payment_method: method, tried_method: tried }: Payment): boolean {
  return status === 'requires_action' && method !== tried;
}

function mustMatch(payment: Payment, { reference, amount }: Intent): void {
  if (reference !== referenceOf(payment)) throw new PaymentError('MISMATCH', `the intent of payment ${payment.id} is of another payment`);
  if (amount.minor !== payment.amount_minor || amount.currency !== payment.currency) {
    throw new PaymentError('MISMATCH', `the intent of payment ${payment.id} is of another amount`);
  }
}

const statuses: Readonly<Record<Exclude<IntentStatus, 'requires_payment_method'>, PaymentStatus>> = {
  requires_action: 'requires_action',
  processing: 'processing',
  authorised: 'authorised',
  captured: 'captured',
  cancelled: 'cancelled',
};

interface News {
  /** There is a decline that we had not heard of. */
  readonly declined: boolean;
  /** The provider was not asked to charge, although somebody was about to. */
  readonly neverArrived: boolean;
  readonly set: Updateable<PaymentsTable> & { readonly status: PaymentStatus };
}

/**
 * By a try to charge that we have not heard of; or without any, when the buyer has not confirmed that it is him.
 *
 * @param answered the intent is what the confirmation has come to
 */
function isDeclined(before: Payment, { status, decline, charge }: Intent, answered: boolean): boolean {
  if (status !== 'requires_payment_method' || decline === undefined) return false;
  return answered || charge !== (before.charge ?? undefined) || before.status === 'requires_action' || before.status === 'processing';
}

/** It stands as before the confirmation that nobody has heard of. */
function isUntouched(before: Payment, { status, paymentMethod }: Intent): boolean {
  if (before.status !== 'unknown') return false;
  return status === 'requires_payment_method' || (status === 'requires_action' && paymentMethod !== before.payment_method);
}

/** An older answer that comes late: what is paid, or has ended, is not charged anew. */
function isStale(before: Payment, { status }: Intent): boolean {
  const open = status === 'requires_payment_method' || status === 'requires_action' || status === 'processing';
  return open && (isPaid(before) || before.status === 'cancelled');
}

function statusOf(before: Payment, { status }: Intent, declined: boolean): PaymentStatus {
  if (before.status === 'captured') return before.status;
  if (status !== 'requires_payment_method') return statuses[status];
  if (declined) return 'failed';
  // It was asked to charge, and has not heard of that.
  if (before.status === 'unknown' || before.status === 'processing') return before.charge === null ? 'created' : 'failed';
  return before.status;
}
