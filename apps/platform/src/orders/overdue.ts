/**
 * Steps that are taken for people who have let their time pass: parts that nobody has complained of are accepted, a shipment that
 * nobody has confirmed counts as delivered, and an order whose offers and quotes have all come to nothing is matched again.
 */
import { sql } from 'kysely';
import type { PlatformDatabase } from '../database/database.ts';
import type { OrderEvent, OrderState } from './order-states.ts';
import { lockOrder, type Orders } from './orders.ts';
import { expireQuotes } from './quotes.ts';

const steps: ReadonlyMap<OrderState, OrderEvent> = new Map<OrderState, OrderEvent>([
  ['delivered', 'accept_parts'],
  ['shipped', 'deliver'],
  ['sourcing', 'match_again'],
  ['quoted', 'match_again'],
]);

/**
 * @param limit orders at most
 * @returns how many went on
 */
export async function takeOverdueSteps(
  database: PlatformDatabase,
  orders: Orders,
  now: number,
  limit: number,
  signal: AbortSignal,
): Promise<number> {
  const overdue = await database
    .selectFrom('orders')
    .select('id')
    .where('state', 'in', [...steps.keys()])
    .where('deadline', '<=', new Date(now))
    .orderBy('deadline')
    .limit(limit)
    .execute();
  let taken = 0;
  for (const { id } of overdue) {
    signal.throwIfAborted();
    const went = await database.transaction().execute(async (transaction) => {
      const order = await lockOrder(transaction, id);
      const event = steps.get(order.state);
      if (event === undefined || order.deadline === null || order.deadline.getTime() > now) return false;
      if (event === 'match_again') {
        // Somebody may take it yet.
        const { rows } = await sql<{ open: boolean }>`
          select exists (select 1 from platform.offers o where o.order_id = ${id} and o.state = 'open')
            or exists (select 1 from platform.quotes q where q.order_id = ${id} and q.state in ('requested', 'quoted') and q.expires_at > ${new Date(now)}) as open`.execute(
          transaction,
        );
        if (rows[0]?.open === true) return false;
        await expireQuotes(transaction, id, now);
      }
      await orders.applyTo(transaction, order, { event, actor: 'system', data: { overdue: true } });
      return true;
    });
    if (went) taken += 1;
  }
  return taken;
}
