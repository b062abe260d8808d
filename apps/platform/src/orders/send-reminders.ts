/**
 * Reminders: of quotes that are due, of payments that wait for the buyer, of orders that are late. Each thing is reminded of once:
 * what was told is written down with its mail, and asked for when the next are looked for.
 */
import { sql } from 'kysely';
import { dayIn } from '../calendar/business-days.ts';
import type { PlatformDatabase } from '../database/database.ts';
import type { OrderMails } from './order-mails.ts';
import { lockOrder, type Order, type PlatformTransaction } from './orders.ts';
import { roundOf } from './quotes.ts';
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
}

const dayMs = 86_400_000;
/** A quote is reminded of so long before its time is over. */
const quoteAheadMs = 2 * dayMs;
/** A payment that waits for the buyer is reminded of after so long. */
const paymentAfterMs = dayMs;
/** In one run, of each kind. */
const most = 1_000;

type Kind = 'quote_due' | 'payment_due' | 'payment_missing' | 'order_late';

interface Due {
  readonly id: number;
  /** Which time of several. */
  readonly occasion: string;
}

/** Of a thing that is reminded of once in its life. */
const once = '1';

export async function sendReminders(deps: ReminderDeps, signal: AbortSignal): Promise<SentReminders> {
  const { database, mails, now, zone, paymentDue } = deps;
  const each = (kind: Kind, ids: readonly Due[], tell: (transaction: PlatformTransaction, id: number) => Promise<unknown>) =>
    eachOnce(database, kind, ids, signal, tell);

  const quotes = await database
    .selectFrom('quotes')
    .select(['id', 'expires_at'])
    .where('state', '=', 'requested')
    .where('expires_at', '>', new Date(now()))
    .where('expires_at', '<=', new Date(now() + quoteAheadMs))
    .where(notTold('quote_due', 'quotes.id', sql`floor(extract(epoch from quotes.expires_at))::bigint::text`))
    .limit(most)
    .execute();
  const payments = await database
    .selectFrom('payments')
    .select('id')
    .where('status', '=', 'requires_action')
    .where('updated_at', '<=', new Date(now() - paymentAfterMs))
    .where(notTold('payment_due', 'payments.id'))
    .limit(most)
    .execute();
  // Whoever has named no card begins the payment himself.
  const unpaid = await database
    .selectFrom('orders')
    .select('id')
    .where('state', '=', 'awarded')
    .where('state_since', '<=', new Date(now() - paymentAfterMs))
    .where(sql<boolean>`not exists (select 1 from platform.payments p where p.order_id = orders.id)`)
    .where(notTold('payment_missing', 'orders.id'))
    .limit(most)
    .execute();
  const late = await database
    .selectFrom('orders')
    .select('id')
    .where('state', 'in', ['awarded', 'payment_authorised', 'in_production', 'inspection', 'rework', 'shipped'])
    .where('due_on', '<', dayIn(zone, new Date(now())))
    .where(notTold('order_late', 'orders.id'))
    .limit(most)
    .execute();

  return {
    quotes: await each(
      'quote_due',
      quotes.map((quote) => ({ id: quote.id, occasion: roundOf(quote) })),
      async (transaction, id) => {
        const quote = await transaction.selectFrom('quotes').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
        await mails.quoteReminder(transaction, quote, await orderOf(transaction, quote.order_id));
      },
    ),
    payments:
      (await each('payment_due', idsOf(payments), async (transaction, id) => {
        const { order_id } = await transaction.selectFrom('payments').select('order_id').where('id', '=', id).executeTakeFirstOrThrow();
        await paymentDue(transaction, await orderOf(transaction, order_id), id);
      })) +
      (await each('payment_missing', idsOf(unpaid), async (transaction, id) =>
        paymentDue(transaction, await orderOf(transaction, id), undefined),
      )),
    late: await each('order_late', idsOf(late), async (transaction, id) => mails.late(transaction, await lockOrder(transaction, id))),
  };
}

async function eachOnce(
  database: PlatformDatabase,
  kind: Kind,
  due: readonly Due[],
  signal: AbortSignal,
  tell: (transaction: PlatformTransaction, id: number) => Promise<unknown>,
): Promise<number> {
  let told = 0;
  for (const { id, occasion } of due) {
    signal.throwIfAborted();
    const first = await database.transaction().execute(async (transaction) => {
      // Another run may be at it.
      if (!(await isFirstTime(transaction, { kind, subject: String(id), occasion }))) return false;
      await tell(transaction, id);
      return true;
    });
    if (first) told += 1;
  }
  return told;
}

function notTold(kind: Kind, column: string, occasion = sql`${once}`) {
  return sql<boolean>`not exists (
    select 1 from platform.reminders r where r.kind = ${kind} and r.subject = ${sql.ref(column)}::text and r.occasion = ${occasion})`;
}

function orderOf(transaction: PlatformTransaction, id: number): Promise<Order> {
  return transaction.selectFrom('orders').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
}

function idsOf(rows: readonly { readonly id: number }[]): readonly Due[] {
  return rows.map(({ id }) => ({ id, occasion: once }));
}
