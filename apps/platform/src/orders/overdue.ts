/**
 * Steps that are taken for people who have let their time pass: an offer that nobody has answered expires, parts that nobody has
 * complained of are accepted, a shipment that nobody has confirmed counts as delivered, and an order whose offers and quotes have all
 * come to nothing is matched again.
 */
import { sql } from 'kysely';
import type { PlatformDatabase } from '../database/database.ts';
import type { Offers } from './offers.ts';
import { oneByOne } from './one-by-one.ts';
import { closeOver, mayBeTaken } from './openings.ts';
import type { OrderEvent, OrderState } from './order-states.ts';
import { lockOrder, type Orders } from './orders.ts';

/** What is done for whoever has not done it by the deadline of the order. */
export const overdueSteps: ReadonlyMap<OrderState, OrderEvent> = new Map<OrderState, OrderEvent>([
  ['delivered', 'accept_parts'],
  ['shipped', 'deliver'],
  ['sourcing', 'match_again'],
  ['quoted', 'match_again'],
]);

export interface OverdueDeps {
  readonly database: PlatformDatabase;
  readonly orders: Orders;
  readonly offers: Offers;
  readonly now: number;
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
  for (const [state, event] of overdueSteps) taken += await takeStep(deps, state, event);
  return taken;
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
