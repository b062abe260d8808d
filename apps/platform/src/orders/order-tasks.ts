/**
 * The order tasks with their options: queues, limits, retries. What they do is in match-orders.ts, overdue.ts and send-reminders.ts;
 * which of them an event of an order enqueues stands in order-states.ts.
 */
import { type App, type Duration, PermanentError, retryLater } from 'taktline';
import { z } from 'zod';
import type { PlatformDatabase } from '../database/database.ts';
import { orNever, retryPolicy } from '../failures.ts';
import type { AssignOptions } from '../matching/assign.ts';
import type { Weights } from '../matching/score.ts';
import { askPending, matchOrder, processPending } from './match-orders.ts';
import { Offers } from './offers.ts';
import type { OrderMails } from './order-mails.ts';
import { OrderError, type Orders } from './orders.ts';
import { cancelOverdue, expireOffers, takeOverdueSteps } from './overdue.ts';
import { type ReminderDeps, sendReminders } from './send-reminders.ts';

export interface OrderDeps {
  readonly database: PlatformDatabase;
  readonly orders: Orders;
  readonly mails: OrderMails;
  readonly paymentDue: ReminderDeps['paymentDue'];
  /** Where a day begins. */
  readonly zone: string;
  /** What counts how much when candidates are scored. */
  readonly weights?: Weights;
  readonly assignment?: AssignOptions;
  readonly retryInitial?: Duration;
  readonly now?: () => number;
  /** How fast `now` goes. Default 1. */
  readonly speed?: number;
}

export type OrderTasks = ReturnType<typeof orderTasks>;

const id = z.int().min(1).max(Number.MAX_SAFE_INTEGER);
const orderInput = z.strictObject({ order_id: id });
const offerInput = z.strictObject({ offer_id: id });
const changeInput = z.strictObject({ order_id: id, version: z.int().min(1) });
const nothing = z.strictObject({});

/** Orders of which one kind of overdue step is taken, in one run. */
const overdueAtOnce = 1_000;
/** Orders of each mode that are matched in one run: their candidates are kept in memory. */
const matchedAtOnce = 2_000;

/** Defines the order tasks in an app that has the queues order.critical and order.normal. */
export function orderTasks(
  app: App,
  { database, orders, mails, paymentDue, zone, weights, assignment = {}, retryInitial, now = Date.now, speed = 1 }: OrderDeps,
) {
  const offers = new Offers(orders, now);
  const retry = retryPolicy(retryInitial);
  const normal = { queue: 'order.normal', retry } as const;
  const match = {
    database,
    orders,
    zone,
    now,
    ...(weights === undefined ? {} : { weights }),
    offered: async (...[transaction, offer, order]: Parameters<OrderMails['offered']>) => {
      await mails.offered(transaction, offer, order);
      // The broker's clock is the real one.
      const eta = new Date(Date.now() + (offer.expires_at.getTime() - now()) / speed);
      await expireOffer.enqueue({ offer_id: offer.id }, { transaction, eta });
    },
    asked: mails.quoteRequested,
  };

  const matchTask = app.task({
    name: 'order.match',
    queue: 'order.critical',
    input: orderInput,
    effectKey: ({ order_id }) => String(order_id),
    retry,
    softTimeLimit: '50s',
    timeLimit: '60s',
    run: async ({ order_id }) => orNever(OrderError, matchOrder(match, order_id)),
  });

  const expireOffer = app.task({
    ...normal,
    name: 'order.expireOffer',
    input: offerInput,
    run: async ({ offer_id }) => {
      const { expired, leftMs } = await database.transaction().execute((transaction) => offers.expire(transaction, offer_id));
      // The broker's clock is ahead of ours.
      return leftMs > 0 ? retryLater(Math.ceil(leftMs / speed), 'the offer has time left') : { expired };
    },
  });

  const notifyStatus = app.task({
    ...normal,
    name: 'order.notifyStatus',
    input: changeInput,
    run: ({ order_id, version }) =>
      database.transaction().execute(async (transaction) => {
        const change = await transaction
          .selectFrom('order_events')
          .selectAll()
          .where('order_id', '=', order_id)
          .where('version', '=', version)
          .forUpdate()
          .executeTakeFirst();
        if (change === undefined) throw new PermanentError(`order ${order_id} has no version ${version}`);
        const told = { state: change.to_state };
        // A job may run again, and somebody have another name by then: that would be another mail of the same id.
        if (change.told_at !== null) return told;
        const order = await transaction.selectFrom('orders').selectAll().where('id', '=', order_id).executeTakeFirstOrThrow();
        // As it was then: it may be further by now.
        await mails.changed(transaction, { ...order, state: change.to_state, version }, change);
        await transaction
          .updateTable('order_events')
          .set({ told_at: new Date(now()) })
          .where('order_id', '=', order_id)
          .where('version', '=', version)
          .execute();
        return told;
      }),
  });

  const processPendingTask = app.task({
    ...normal,
    name: 'order.processPending',
    input: nothing,
    softTimeLimit: '9m',
    timeLimit: '10m',
    // One order that fails does not stand in the way of the others, and the soft limit ends a run before its end: the next one goes on.
    run: async (_, ctx) => {
      const failures: unknown[] = [];
      const { signal } = ctx;
      const steps = { database, orders, offers, now: now(), zone, limit: overdueAtOnce, signal, failures };
      const expired = await expireOffers(steps);
      const cancelled = await cancelOverdue(steps);
      const overdue = await takeOverdueSteps(steps);
      const run = { limit: matchedAtOnce, signal, failures };
      const round = await processPending(match, assignment, run, ctx.log);
      const asked = await askPending(match, run);
      if (failures.length > 0) throw failures[0];
      return { ...round, expired, cancelled, overdue, asked };
    },
  });

  const sendRemindersTask = app.task({
    ...normal,
    name: 'order.sendReminders',
    input: nothing,
    softTimeLimit: '9m',
    timeLimit: '10m',
    run: (_, ctx) => sendReminders({ database, mails, zone, now, paymentDue }, ctx.signal),
  });

  return {
    matchOrders: matchTask,
    expireOffer,
    notifyStatus,
    processPendingOrders: processPendingTask,
    sendOrderReminders: sendRemindersTask,
    offers,
  };
}
