/**
 * Reminders: of quotes that are due, of payments that wait for the buyer, of orders that are late, of steps whose time is over. Each
 * thing is reminded of once: what was told is written down with its mail, and asked for when the next are looked for.
 */
import { type RawBuilder, sql } from 'kysely';

import { actsFor, staffUsers } from '../accounts/acting-user.ts';
import { dayIn } from '../calendar/business-days.ts';
import type { PlatformDatabase } from '../database/database.ts';
import { isTrue } from '../database/is-true.ts';
import { isBegun, isHeldForPayment } from './holds.ts';
import { oneByOne } from './one-by-one.ts';
import type { OrderMails } from './order-mails.ts';
import type { OrderState } from './order-states.ts';
import { lockOrder, type Order, type PlatformTransaction } from './orders.ts';
import { isFirstTime } from './reminders.ts';

export interface ReminderDeps {
  readonly database: PlatformDatabase;
  readonly mails: OrderMails;
  /** Where a day begins. */
  readonly zone: string;
  readonly now: () => number;
  /** Tells the buyer of a payment that he has to see to, or to begin one. */
  readonly paymentDue: (transaction: PlatformTransaction, order: Order, payment: number | undefined) => Promise<unknown>;
}

export interface SentReminders {
  readonly quotes: number;
  readonly payments: number;
  readonly late: number;
  readonly steps: number;
}

const dayMs = 86_400_000;
/** A quote is reminded of so long before its time is over. */
const quoteAheadMs = 2 * dayMs;
/** A payment that waits for the buyer is reminded of after so long. */
const paymentAfterMs = dayMs;
/** In one run, of each kind. */
const most = 1_000;

type Side = 'buyer' | 'manufacturer' | 'staff';

/** Whose step it is when the time of a state is over, and what he is asked for. */
export const remindedSteps: ReadonlyMap<OrderState, { readonly side: Side; readonly note: string }> = new Map<
  OrderState,
  { readonly side: Side; readonly note: string }
>([
  [
    'payment_authorised',
    { side: 'manufacturer', note: 'It is paid for, and work on it has not begun. Please begin, or tell us why it waits.' },
  ],
  ['inspection', { side: 'manufacturer', note: 'It is made, and has not been sent yet. Please send it, or tell us why it waits.' }],
  ['rework', { side: 'manufacturer', note: 'The rework has not ended yet. Please finish it, or tell us why it takes longer.' }],
  ['on_hold', { side: 'staff', note: 'It has been on hold for two weeks. Please let it go on, or cancel it.' }],
  ['disputed', { side: 'staff', note: 'It has been disputed for two weeks. Please decide.' }],
]);

const toPay = { side: 'buyer', note: 'It is on hold until it is paid for. Please pay it in another way; else it is cancelled.' } as const;

interface Due {
  readonly id: number;
  readonly order_id: number;
  /** Which time of several. */
  readonly occasion: string;
}

interface Reminder {
  readonly kind: 'quote_due' | 'payment_due' | 'payment_missing' | 'order_late' | 'step_due';
  /** Rows of Due. */
  readonly due: RawBuilder<unknown>;
  readonly tell: (transaction: PlatformTransaction, order: Order, id: number) => Promise<unknown>;
}

export async function sendReminders(deps: ReminderDeps, signal: AbortSignal): Promise<SentReminders> {
  const { mails, now, zone, paymentDue } = deps;
  const failures: unknown[] = [];
  const send = (reminder: Reminder) => sendEach(deps, reminder, signal, failures);
  const waiting = new Date(now() - paymentAfterMs);

  const quotes = await send({
    kind: 'quote_due',
    due: sql`
      select q.id, q.order_id, floor(extract(epoch from q.expires_at))::bigint::text as occasion from platform.quotes q
      where q.state = 'requested' and q.expires_at > ${new Date(now())} and q.expires_at <= ${new Date(now() + quoteAheadMs)}`,
    tell: async (transaction, order, id) => {
      const quote = await transaction.selectFrom('quotes').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
      await mails.quoteReminder(transaction, quote, order);
    },
  });
  const toConfirm = await send({
    kind: 'payment_due',
    due: sql`
      select p.id, p.order_id, '1' as occasion from platform.payments p where p.status = 'requires_action' and p.updated_at <= ${waiting}`,
    tell: (transaction, order, id) => paymentDue(transaction, order, id),
  });
  // Whoever has named no card, or one that was declined for good, begins the payment himself.
  const missing = await send({
    kind: 'payment_missing',
    due: sql`
      select o.id, o.id as order_id, '1' as occasion from platform.orders o
      where o.state = 'awarded' and o.state_since <= ${waiting} and not exists (
        select 1 from platform.payments p where p.order_id = o.id and p.status <> 'cancelled' and not p.declined_hard)`,
    tell: (transaction, order) => paymentDue(transaction, order, undefined),
  });
  const late = await send({
    kind: 'order_late',
    due: sql`
      select o.id, o.id as order_id, '1' as occasion from platform.orders o
      where o.state in ('payment_authorised', 'in_production', 'inspection', 'rework') and o.due_on < ${dayIn(zone, new Date(now()))}`,
    tell: (transaction, order) => mails.late(transaction, order),
  });
  const steps = await send({
    kind: 'step_due',
    due: sql`
      select o.id, o.id as order_id, floor(extract(epoch from o.deadline))::bigint::text as occasion from platform.orders o
      where o.state = any (${[...remindedSteps.keys()]}) and o.deadline <= ${new Date(now())}`,
    tell: async (transaction, order) => {
      const { side, note } = await stepOf(transaction, order);
      for (const user of await usersOf(transaction, order, side)) await mails.stepDue(transaction, order, { user, note });
    },
  });
  if (failures.length > 0) throw failures[0];
  return { quotes, payments: toConfirm + missing, late, steps };
}

async function sendEach(
  { database }: ReminderDeps,
  { kind, due, tell }: Reminder,
  signal: AbortSignal,
  failures: unknown[],
): Promise<number> {
  const { rows } = await sql<Due>`
    select d.id, d.order_id, d.occasion from (${due}) d where not exists (
      select 1 from platform.reminders r where r.kind = ${kind} and r.subject = d.id::text and r.occasion = d.occasion)
    limit ${most}`.execute(database);
  return oneByOne(rows, failures, signal, ({ id, order_id, occasion }) =>
    database.transaction().execute(async (transaction) => {
      const order = await lockOrder(transaction, order_id);
      // Who has done it since is not reminded; and another run may be at it.
      const { rows: still } = await sql`select d.id from (${due}) d where d.id = ${id} and d.occasion = ${occasion}`.execute(transaction);
      if (still.length === 0 || !(await isFirstTime(transaction, { kind, subject: String(id), occasion }))) return false;
      await tell(transaction, order, id);
      return true;
    }),
  );
}

async function stepOf(
  transaction: PlatformTransaction,
  { id, state, held_state }: Order,
): Promise<{ readonly side: Side; readonly note: string }> {
  const step = remindedSteps.get(state) as { readonly side: Side; readonly note: string };
  if (held_state !== 'awarded') return step;
  const which = sql`${id}::bigint`;
  return (await isTrue(transaction, sql`${isHeldForPayment(which)} and not ${isBegun(which)}`)) ? toPay : step;
}

async function usersOf(transaction: PlatformTransaction, order: Order, side: Side): Promise<readonly number[]> {
  if (side === 'buyer') return [order.buyer_id];
  if (side === 'staff') return staffUsers(transaction);
  return order.manufacturer_id === null ? [] : [await actsFor(transaction, order.manufacturer_id)];
}
