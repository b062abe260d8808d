/**
 * Orders and money, put together: which task each event of an order enqueues, in the transaction that makes it happen, and who hears
 * of it. The picture of it is in docs/orders.md.
 */
import type { App, Duration } from 'taktline';
import { dayIn } from './calendar/business-days.ts';
import type { PlatformDatabase } from './database/database.ts';
import type { EmailTasks } from './email/email-tasks.ts';
import { mailPeople } from './email/mail-people.ts';
import type { AssignOptions } from './matching/assign.ts';
import type { Weights } from './matching/score.ts';
import { amountDue } from './orders/award.ts';
import {
  type Credit,
  closeNonConformances,
  type Found,
  grantCredit,
  openNonConformance,
  recordDelivery,
} from './orders/non-conformances.ts';
import { withdrawOffers } from './orders/offers.ts';
import { orderMails } from './orders/order-mails.ts';
import { beforeAward } from './orders/order-states.ts';
import { orderTasks } from './orders/order-tasks.ts';
import { type OrderChange, type OrderJobs, Orders, type PlatformTransaction } from './orders/orders.ts';
import { Quotes, withdrawQuotes } from './orders/quotes.ts';
import type { PaymentGateway } from './payments/gateway.ts';
import { reservation } from './payments/payment-input.ts';
import { paymentMails } from './payments/payment-mails.ts';
import { paymentTasks } from './payments/payment-tasks.ts';
import type { SignedLinks } from './signed-links.ts';

export interface MarketplaceDeps {
  readonly database: PlatformDatabase;
  readonly gateway: PaymentGateway;
  /** Where a day begins: an IANA name. */
  readonly timeZone: string;
  /** By which buyers open their invoices. Default: the mails have no link. */
  readonly invoiceLinks?: SignedLinks;
  readonly weights?: Weights;
  readonly assignment?: AssignOptions;
  /** Pause before a second attempt; default 60 s. */
  readonly retryInitial?: Duration;
  /** Milliseconds since the Unix epoch, for what is dated and what falls due. Default Date.now. */
  readonly now?: () => number;
  /** How fast `now` goes: 2 is twice as fast. Default 1; only the demo has more. */
  readonly speed?: number;
}

export type Marketplace = ReturnType<typeof marketplace>;

/** Defines the order and payment tasks in an app that has the platform's queues. */
export function marketplace(app: App, email: Pick<EmailTasks, 'enqueueIn'>, deps: MarketplaceDeps) {
  const { database, gateway, timeZone, now = Date.now, speed = 1 } = deps;
  const shared = { database, now, speed, ...(deps.retryInitial === undefined ? {} : { retryInitial: deps.retryInitial }) };
  const mail = mailPeople(email);
  const orders = new Orders((): OrderJobs => jobs, now);
  const mails = {
    orders: orderMails(mail, timeZone),
    payments: paymentMails(mail, { zone: timeZone, now, invoiceLinks: deps.invoiceLinks }),
  };
  const payments = paymentTasks(app, { ...shared, gateway, orders, mails: mails.payments, zone: timeZone });
  const ordering = orderTasks(app, {
    ...shared,
    orders,
    mails: mails.orders,
    paymentDue: mails.payments.due,
    zone: timeZone,
    ...(deps.weights === undefined ? {} : { weights: deps.weights }),
    ...(deps.assignment === undefined ? {} : { assignment: deps.assignment }),
  });

  const jobs: OrderJobs = {
    match: (transaction, { id, state }) =>
      beforeAward.has(state) ? ordering.matchOrders.enqueue({ order_id: id }, { transaction }) : Promise.resolve(),
    notify: (transaction, { id, version }) => ordering.notifyStatus.enqueue({ order_id: id, version }, { transaction }),
    authorise: (transaction, order) => {
      // A buyer who has named none is reminded, and pays by payment.process himself.
      const due = amountDue(order);
      if (order.payment_method === null || due === undefined) return Promise.resolve();
      return payments.processPayment.enqueue(reservation(order, due, order.payment_method), { transaction });
    },
    capture: (transaction, { id }) => payments.capturePayment.enqueue({ order_id: id }, { transaction }),
    payout: (transaction, { id }) => payments.payOut.enqueue({ order_id: id }, { transaction }),
    invoice: (transaction, { id }) => payments.generateInvoice.enqueue({ order_id: id }, { transaction }),
    release: (transaction, { id }) => payments.releasePayment.enqueue({ order_id: id }, { transaction }),
    recordDelivery: (transaction, order, change) => recordDelivery(transaction, order, change, timeZone, dayIn(timeZone, new Date(now()))),
    closeNonConformances: (transaction, { id }) => closeNonConformances(transaction, id, now()),
    goOn: (transaction, order) => payments.payments.goOnIfPaid(transaction, order),
    async freeCapacity(transaction, order) {
      const offers = await withdrawOffers(transaction, order.id, now());
      const quotes = await withdrawQuotes(transaction, order, now());
      for (const offer of offers) await mails.orders.withdrawn(transaction, order, { kind: 'offer', ...offer });
      for (const quote of quotes) await mails.orders.withdrawn(transaction, order, { kind: 'quote', ...quote });
    },
  };

  return {
    ...payments,
    ...ordering,
    orders,
    quotes: new Quotes(orders, timeZone, now),
    /** Parts are not as ordered. @throws NonConformanceError, OrderStateError */
    rejectParts: (transaction: PlatformTransaction, order: number, found: Found, by: Pick<OrderChange, 'actor' | 'actorId'>) =>
      openNonConformance(transaction, orders, order, found, by, mails.orders.notRight),
    /** The buyer keeps such parts, for less. @throws NonConformanceError, OrderStateError, RefundError, MoneyError */
    grantCredit: (transaction: PlatformTransaction, order: number, credit: Credit, by: Pick<OrderChange, 'actor' | 'actorId'>) =>
      grantCredit(transaction, orders, order, credit, by, now(), payments.giveBack),
  };
}
