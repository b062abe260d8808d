/** Who may take an order yet: what is offered, asked for and quoted is over at its time, whether a job has said so or not. */
import { sql } from 'kysely';
import { isTrue } from '../database/is-true.ts';
import type { PlatformTransaction } from './orders.ts';

/**
 * Whether an offer or a quote has time left, of the order whose id is that expression.
 *
 * @param order such as the column of a query
 */
export function mayBeTaken(order: ReturnType<typeof sql>, now: number): ReturnType<typeof sql<boolean>> {
  return sql<boolean>`(exists (select 1 from platform.offers o where o.order_id = ${order} and o.state = 'open' and o.expires_at > ${new Date(now)})
    or exists (select 1 from platform.quotes q
      where q.order_id = ${order} and q.state in ('requested', 'quoted') and q.expires_at > ${new Date(now)}))`;
}

/** Ends what of an order is over: nobody can give or take it any more. The order must be locked. @returns whether somebody may take it yet */
export async function closeOver(transaction: PlatformTransaction, order: number, now: number): Promise<boolean> {
  const at = new Date(now);
  await transaction
    .updateTable('offers')
    .set({ state: 'expired', decided_at: at })
    .where('order_id', '=', order)
    .where('state', '=', 'open')
    .where('expires_at', '<=', at)
    .execute();
  await transaction
    .updateTable('quotes')
    .set({ state: 'expired', decided_at: at })
    .where('order_id', '=', order)
    .where('state', 'in', ['requested', 'quoted'])
    .where('expires_at', '<=', at)
    .execute();
  return isTrue(transaction, mayBeTaken(sql`${order}::bigint`, now));
}
