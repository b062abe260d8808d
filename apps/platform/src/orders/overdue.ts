/**
 * Steps that are taken for people who have let their time pass: an offer that nobody has answered expires, parts that nobody has
 * complained of are accepted, a shipment that nobody has confirmed counts as delivered, and an order whose offers and quotes have all
 * come to nothing is matched again. What nobody has taken by its day, and what nobody has paid for, is cancelled without a fee.
 */
import { type RawBuilder, sql } from 'kysely';
import { dayIn } from '../calendar/business-days.ts';
import type { PlatformDatabase } from '../database/database.ts';
import { isBegun, isHeldForPayment } from './holds.ts';
import type { Offers } from './offers.ts';
import { oneByOne } from './one-by-one.ts';
import { closeOver, mayBeTaken } from './openings.ts';
import { deadlines, type OrderEvent, type OrderState } from './order-states.ts';
import { lockOrder, type Orders } from './orders.ts';

/** What is done for whoever has not done it by the deadline of the order. */
const steps: ReadonlyMap<OrderState, OrderEvent> = new Map<OrderState, OrderEvent>([
  ['delivered', 'accept_parts'],
  ['shipped', 'deliver'],
  ['sourcing', 'match_again'],
  ['quoted', 'match_again'],
]);

/** States whose deadline is seen to here. That of an award counts from the award: a hold gives no more time. */
export const overdueStates: ReadonlySet<OrderState> = new Set<OrderState>([...steps.keys(), 'awarded']);

export interface OverdueDeps {
  readonly database: PlatformDatabase;
  readonly orders: Orders;
  readonly offers: Offers;
  readonly now: number;
  /** Where a day begins. */
  readonly zone: string;
  /** Of each kind of step, in one run. */
  readonly limit: number;
  readonly signal: AbortSignal;
  /** Where what goes wrong is put. */
  readonly failures: unknown[];
}

/** Their own jobs do it to the minute; this is for those whose job was lost, came too early, or has died. @returns how many have expired */
export async function expireOffers({ database, offers, now, limit, signal, failures }: OverdueDeps): Promise<number> {
  let expired = 0;
  for (let last = limit; last === limit; expired += last) {
    const over = await database
      .selectFrom('offers')
      .select('id')
      .where('state', '=', 'open')
      .where('expires_at', '<=', new Date(now))
      .orderBy('expires_at')
      .limit(limit)
      .execute();
    last = await oneByOne(over, failures, signal, ({ id }) =>
      database.transaction().execute(async (transaction) => (await offers.expire(transaction, id)).expired),
    );
  }
  return expired;
}

/** @returns how many orders went on */
export async function takeOverdueSteps(deps: OverdueDeps): Promise<number> {
  let taken = 0;
  // Each state by itself: many of one kind do not keep the others waiting.
  for (const [state, event] of steps) taken += await takeStep(deps, state, event);
  return taken;
}

/** @returns how many orders were cancelled */
export async function cancelOverdue(deps: OverdueDeps): Promise<number> {
  const today = dayIn(deps.zone, new Date(deps.now));
  const unplaced = await cancelThose(
    deps,
    sql`select id, due_on as since from platform.orders where state in ('submitted', 'sourcing', 'quoted') and due_on < ${today}`,
    'nobody has taken it by the day on which it was due',
  );
  // Not where the money is there, or will be asked for again, nor where the staff has put it on hold, or work has begun: a person decides.
  const unpaid = await cancelThose(
    deps,
    sql`
      select o.id, o.state_since as since from platform.orders o
      where (o.state = 'awarded' or (o.state = 'on_hold' and o.held_state = 'awarded' and ${isHeldForPayment(sql.ref('o.id'))}))
        and ${new Date(deps.now - (deadlines.awarded ?? 0))} >= (
          select max(e.at) from platform.order_events e
          where e.order_id = o.id and ((e.to_state = 'awarded' and e.from_state <> 'on_hold') or e.event = 'lose_payment'))
        and not ${isBegun(sql.ref('o.id'))}
        and not exists (select 1 from platform.payments p
          where p.order_id = o.id and (p.status in ('authorised', 'captured') or p.retry_at is not null))`,
    'it was not paid for',
  );
  return unplaced + unpaid;
}

/** @param overdue gives orders, and since when: those of longest ago come first */
async function cancelThose(
  { database, orders, limit, signal, failures }: OverdueDeps,
  overdue: RawBuilder<unknown>,
  reason: string,
): Promise<number> {
  const { rows } = await sql<{ id: number }>`select id from (${overdue}) overdue order by since limit ${limit}`.execute(database);
  return oneByOne(rows, failures, signal, ({ id }) =>
    database.transaction().execute(async (transaction) => {
      const order = await lockOrder(transaction, id);
      const { rows: still } = await sql`select id from (${overdue}) overdue where id = ${id}`.execute(transaction);
      if (still.length === 0) return false;
      await orders.applyTo(transaction, order, { event: 'cancel', actor: 'system', data: { reason } });
      return true;
    }),
  );
}

async function takeStep({ database, orders, now, limit, signal, failures }: OverdueDeps, state: OrderState, event: OrderEvent) {
  const overdue = await database
    .selectFrom('orders')
    .select('id')
    .where('state', '=', state)
    .where('deadline', '<=', new Date(now))
    .$if(event === 'match_again', (query) => query.where(sql<boolean>`not ${mayBeTaken(sql.ref('orders.id'), now)}`))
    .orderBy('deadline')
    .limit(limit)
    .execute();
  return oneByOne(overdue, failures, signal, ({ id }) =>
    database.transaction().execute(async (transaction) => {
      const order = await lockOrder(transaction, id);
      if (order.state !== state || order.deadline === null || order.deadline.getTime() > now) return false;
      // Somebody may have been asked meanwhile.
      if (event === 'match_again' && (await closeOver(transaction, id, now))) return false;
      await orders.applyTo(transaction, order, { event, actor: 'system', data: { overdue: true } });
      return true;
    }),
  );
}
