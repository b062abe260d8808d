/** What an order on hold waits for. */
import { sql } from 'kysely';

/**
 * Whether the order whose id is that expression was put on hold for its payment, and not for another reason. A payment that is lost
 * during a hold does not make it another one: whoever began it ends it.
 *
 * @param order such as the column of a query
 */
export function isHeldForPayment(order: ReturnType<typeof sql>): ReturnType<typeof sql<boolean>> {
  return sql<boolean>`coalesce((
    select e.actor = 'system' and e.data ? 'payment' from platform.order_events e
    where e.order_id = ${order} and e.to_state = 'on_hold' and e.from_state <> 'on_hold' order by e.version desc limit 1), false)`;
}

/** Whether work on the order whose id is that expression has begun: then a person decides how it goes on. */
export function isBegun(order: ReturnType<typeof sql>): ReturnType<typeof sql<boolean>> {
  return sql<boolean>`exists (select 1 from platform.order_events e where e.order_id = ${order} and e.event = 'begin_production')`;
}
