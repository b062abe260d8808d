/**
 * The payment tasks with their options: queues, limits, retries. What they do is in charge.ts, after-award.ts, refunds.ts,
 * retry-failed.ts and reconcile.ts; what follows from what the provider says is in payments.ts.
 */
import { type App, type Duration, discard, PermanentError, retryLater, type TaskContext } from 'taktline';
import type { PlatformDatabase } from '../database/database.ts';
import { orNever, retryPolicy } from '../failures.ts';
import { InvoiceDocumentError, invoiceNumber } from '../invoices/invoice-document.ts';
import { InvoicePdfError } from '../invoices/invoice-pdf.ts';
import { type IssuedInvoice, issueInvoices } from '../invoices/invoices.ts';
import { money } from '../money/money.ts';
import { eventsOf, isOver, type OrderState } from '../orders/order-states.ts';
import { lockOrder, type Order, type Orders, type PlatformTransaction } from '../orders/orders.ts';
import { isFirstTime } from '../orders/reminders.ts';
import { capture, type Payout, payOut, release, settleCancelled } from './after-award.ts';
import { charge } from './charge.ts';
import { noteDifference } from './differences.ts';
import type { StoredDispute } from './disputes.ts';
import type { PaymentGateway } from './gateway.ts';
import {
  amountOf,
  batchInput,
  paymentInput,
  paymentOrderInput,
  processPaymentInput,
  reconcileInput,
  refundInput,
} from './payment-input.ts';
import { chargeLimitMs, lockPaymentAndOrder, type Payment, PaymentError, Payments, paymentOf } from './payments.ts';
import { behindMs, reconcilePayments } from './reconcile.ts';
import { makeRefund, type RefundRequest, requestRefund, type StoredRefund, type TakenOver, takeOverRefund } from './refunds.ts';
import { retryFailed } from './retry-failed.ts';

/** Less than its soft limit: one run stops, and the next goes on. */
const reconcileForMs = 8 * 60_000;

type Tell<Subject> = (transaction: PlatformTransaction, subject: Subject, order: Order) => Promise<unknown>;

/** What people are told; each is enqueued in the transaction of what it tells. */
export interface PaymentMails {
  readonly receipt: Tell<Payment>;
  readonly actionRequired: Tell<Payment>;
  /** It is tried again on `retry_at`, or not any more. @param occasion which of the payment's declines it is */
  readonly declined: (transaction: PlatformTransaction, payment: Payment, order: Order, occasion: string) => Promise<unknown>;
  readonly disputed: Tell<StoredDispute>;
  /** What was reserved is not there any more: the buyer has to pay again. */
  readonly lost: Tell<Payment>;
  readonly refunded: Tell<StoredRefund>;
  readonly paidOut: Tell<Payout>;
  readonly issued: Tell<IssuedInvoice>;
  /** The buyer has to see to it. */
  readonly due: (transaction: PlatformTransaction, order: Order, payment: number | undefined) => Promise<unknown>;
}

export interface PaymentDeps {
  readonly database: PlatformDatabase;
  readonly gateway: PaymentGateway;
  readonly orders: Orders;
  readonly mails: PaymentMails;
  /** Where a day begins: an IANA name. */
  readonly zone: string;
  /** Pause before the second attempt; each further one is twice as long. Default 60 s, as the specification has it. */
  readonly retryInitial?: Duration;
  readonly now?: () => number;
  /** How fast `now` goes. Default 1. */
  readonly speed?: number;
}

export type PaymentTasks = ReturnType<typeof paymentTasks>;

/** Nothing is captured before the work on an order begins. */
const beforeWork: ReadonlySet<OrderState> = new Set<OrderState>(['awarded', 'payment_authorised']);

/** Defines the payment tasks in an app that has the queues payment.critical, payment.normal and payment.batch. */
export function paymentTasks(app: App, { database, gateway, orders, mails, zone, retryInitial, now = Date.now, speed = 1 }: PaymentDeps) {
  const payments = new Payments(
    database,
    orders,
    () => ({
      captured: mails.receipt,
      actionRequired: mails.actionRequired,
      disputed: mails.disputed,
      lost: mails.lost,
      wonBack: (transaction, _, { id }) => payoutTask.enqueue({ order_id: id }, { transaction }),
      unwanted: (transaction, _, { id }) => releaseTask.enqueue({ order_id: id }, { transaction }),
      declined: (transaction, { id }) => handleFailed.enqueue({ payment_id: id }, { transaction }),
    }),
    now,
    speed,
  );
  const deps = {
    payments,
    gateway,
    missing: ({ id, intent, status }: Payment) =>
      noteDifference(database, { kind: 'missing', intent: intent ?? '', payment: id, detail: { status } }),
    now,
  };
  const inTransaction = <Result>(work: (transaction: PlatformTransaction) => Promise<Result>) => database.transaction().execute(work);
  const retry = retryPolicy(retryInitial);
  const critical = { queue: 'payment.critical', retry, softTimeLimit: '50s', timeLimit: chargeLimitMs, resultTtl: '1h' } as const;
  const long = { softTimeLimit: '9m', timeLimit: '10m' } as const;

  const process = app.task({
    ...critical,
    name: 'payment.process',
    input: processPaymentInput,
    effectKey: ({ order_id }) => String(order_id),
    run: async (input, ctx: TaskContext) => {
      try {
        const { id } = await inTransaction((transaction) =>
          payments.begin(transaction, {
            order: input.order_id,
            user: input.user_id,
            amount: amountOf(input),
            paymentMethod: input.payment_method_id,
            authoriseOnly: input.authorise_only,
          }),
        );
        return await orNever(PaymentError, charge(deps, id, ctx));
      } catch (error) {
        if (!(error instanceof PaymentError)) throw error;
        // Cancelled before its turn came: nobody has to see to that.
        if (error.code === 'ORDER_OVER') return discard(error.message);
        throw new PermanentError(error.message, { cause: error });
      }
    },
  });

  // Goes on with a payment: after a webhook, on the day of another try, or when its job was lost.
  const chargeTask = app.task({
    ...critical,
    name: 'payment.charge',
    input: paymentInput,
    effectKey: ({ payment_id }) => String(payment_id),
    run: ({ payment_id }, ctx) => orNever(PaymentError, charge(deps, payment_id, ctx)),
  });

  const captureTask = app.task({
    ...critical,
    name: 'payment.capture',
    input: paymentOrderInput,
    effectKey: ({ order_id }) => String(order_id),
    run: async ({ order_id }, ctx) => {
      const { state, held_state } = await database
        .selectFrom('orders')
        .select(['state', 'held_state'])
        .where('id', '=', order_id)
        .executeTakeFirstOrThrow();
      // What a cancelled order owes is taken by payment.release.
      if (state === 'cancelled') return discard('the order is cancelled');
      // It has lost its payment since; the next one is taken when the work begins again.
      if (beforeWork.has(held_state ?? state)) return discard('the order is to be paid for again');
      const payment = await requirePayment(order_id);
      const { id, status } = await capture(payments, gateway, payment, money(payment.amount_minor, payment.currency), ctx.signal);
      if (status === 'cancelled') return discard('the authorisation has lapsed: the order is to be paid for again');
      return { payment_id: id, status };
    },
  });

  // Of a cancelled order: what was reserved is let go, but for the fee; what was captured goes back, but for the fee.
  const releaseTask = app.task({
    ...critical,
    name: 'payment.release',
    input: paymentOrderInput,
    effectKey: ({ order_id }) => String(order_id),
    run: async ({ order_id }, ctx) => {
      const payment = await paymentOf(database, order_id);
      if (payment === undefined) return { payment_id: null, refund_id: null };
      const { fee_minor, currency } = await database.selectFrom('orders').selectAll().where('id', '=', order_id).executeTakeFirstOrThrow();
      if (payment.status === 'authorised' && fee_minor > 0) {
        const { status } = await capture(payments, gateway, payment, money(fee_minor, currency), ctx.signal);
        // It has lapsed, or another job has let it go before it knew that it was reserved.
        if (status === 'cancelled') ctx.log.warn('the fee of a cancelled order was not taken: nothing is reserved any more', { order_id });
      } else await release(payments, gateway, payment, ctx.signal);
      const refund = await inTransaction(async (transaction) => {
        const made = await settleCancelled(transaction, await lockOrder(transaction, order_id), mails.paidOut);
        if (made?.status === 'requested') await refundTask.enqueue({ refund_id: made.id }, { transaction });
        return made;
      });
      return { payment_id: payment.id, refund_id: refund?.id ?? null };
    },
  });

  const refundTask = app.task({
    ...critical,
    name: 'payment.refund',
    input: refundInput,
    effectKey: ({ refund_id }) => String(refund_id),
    run: async ({ refund_id }, ctx) => {
      const refund = await makeRefund(database, gateway, refund_id, refunded, ctx.signal);
      if (refund.status === 'requested') return retryLater('5m', 'the payment provider is still processing this refund');
      if (refund.status === 'failed') throw new PermanentError('the payment provider could not give this back: it needs a person');
      return { refund_id, status: refund.status };
    },
  });

  const payoutTask = app.task({
    name: 'payment.payout',
    queue: 'payment.normal',
    input: paymentOrderInput,
    retry,
    run: ({ order_id }) => payOut(database, order_id, mails.paidOut),
  });

  // The invoice of an order that is shipped, and credit notes for what went back of it.
  const generateInvoice = app.task({
    name: 'payment.generateInvoice',
    queue: 'payment.batch',
    input: paymentOrderInput,
    retry,
    softTimeLimit: '50s',
    timeLimit: '60s',
    run: async ({ order_id }) => {
      const issued = await orNever(
        InvoicePdfError,
        orNever(
          InvoiceDocumentError,
          inTransaction((transaction) => issueInvoices(transaction, order_id, { zone, now, tell: mails.issued })),
        ),
      );
      return { issued: issued.map(({ document }) => invoiceNumber(document)) };
    },
  });

  const refunded: PaymentMails['refunded'] = async (transaction, refund, order) => {
    await mails.refunded(transaction, refund, order);
    await generateInvoice.enqueue({ order_id: order.id }, { transaction });
  };

  // Dunning: the buyer is told, and after the last try the order waits for him.
  const handleFailed = app.task({
    name: 'payment.handleFailed',
    queue: 'payment.normal',
    input: paymentInput,
    retry,
    run: ({ payment_id }) =>
      inTransaction(async (transaction) => {
        const { order, payment } = await lockPaymentAndOrder(transaction, payment_id);
        // It may have come to something else meanwhile.
        if (payment.status !== 'failed' || isOver(order.state)) return { told: false, held: false };
        // Paid for by another one, or about to be.
        if (payment.declined_hard && (await paymentOf(transaction, order.id)) !== undefined) return { told: false, held: false };
        const occasion = await occasionOf(transaction, payment);
        const told = await isFirstTime(transaction, { kind: 'payment_failed', subject: `payment:${payment_id}`, occasion });
        if (told) await mails.declined(transaction, payment, order, occasion);
        const held = payment.declined_hard && eventsOf(order.state).includes('hold');
        if (held) await orders.applyTo(transaction, order, { event: 'hold', actor: 'system', data: { payment: payment_id } });
        return { told, held };
      }),
  });

  const retryFailedTask = app.task({
    name: 'payment.retryFailed',
    queue: 'payment.normal',
    input: batchInput,
    ...long,
    run: ({ limit }) =>
      retryFailed(database, { limit, now: now(), speed }, (transaction, due) =>
        chargeTask.enqueueMany(
          due.map((payment_id) => ({ payment_id })),
          { transaction },
        ),
      ),
  });

  const reconcile = app.task({
    name: 'payment.reconcile',
    queue: 'payment.batch',
    input: reconcileInput,
    retry,
    ...long,
    // By the provider's clock, which is the real one.
    run: ({ from, till = Date.now() - behindMs }, ctx) => {
      const end = Date.now() + reconcileForMs;
      const hasTime = () => Date.now() < end;
      const progress = (compared: number) => ctx.progress({ compared });
      return reconcilePayments({ database, payments, gateway }, { from, till }, { signal: ctx.signal, hasTime, progress });
    },
  });

  /** Each try is declined once at most, and there may be no charge by which to tell one from another. */
  async function occasionOf(transaction: PlatformTransaction, { id, declined_hard }: Payment): Promise<string> {
    const { tries } = await transaction
      .selectFrom('payment_attempts')
      .select(({ fn }) => fn.countAll<number>().as('tries'))
      .where('payment_id', '=', id)
      .executeTakeFirstOrThrow();
    return declined_hard ? `${tries}:final` : String(tries);
  }

  async function requirePayment(order: number): Promise<Payment> {
    const payment = await paymentOf(database, order);
    if (payment === undefined) throw new PermanentError(`order ${order} has no payment`);
    return payment;
  }

  return {
    processPayment: process,
    chargePayment: chargeTask,
    capturePayment: captureTask,
    releasePayment: releaseTask,
    refundPayment: refundTask,
    payOut: payoutTask,
    generateInvoice,
    handleFailedPayment: handleFailed,
    retryFailedPayments: retryFailedTask,
    reconcilePayments: reconcile,
    payments,
    /** Gives back a part of what was paid for an order. @throws RefundError */
    async giveBack(transaction: PlatformTransaction, order: Order, request: Omit<RefundRequest, 'payment'>): Promise<StoredRefund> {
      const payment = await paymentOf(transaction, order.id);
      if (payment === undefined) throw new PaymentError('NOT_FOUND', `order ${order.id} has no payment`);
      const { refund, fresh } = await requestRefund(transaction, { payment: payment.id, ...request });
      if (fresh) await refundTask.enqueue({ refund_id: refund.id }, { transaction });
      return refund;
    },
    /** What went back at the provider past us. @throws RefundError */
    takeOverRefund: (transaction: PlatformTransaction, request: TakenOver): Promise<StoredRefund> =>
      takeOverRefund(transaction, request, refunded),
    /** Somebody says that an intent has changed. @returns the job that looks at its payment; undefined when it is none of ours */
    async paymentChanged(intent: string): Promise<string | undefined> {
      const payment = await payments.findByIntent(intent);
      return payment === undefined ? undefined : (await chargeTask.delay({ payment_id: payment.id })).id;
    },
  };
}
