/** Rounds of matching as they are written down: who was considered for an order, who was left out and why, and what came of it. */
import { sql } from 'kysely';
import type { PlatformDatabase } from '../database/database.ts';
import type { Ranking } from '../matching/score.ts';
import type { Order, PlatformTransaction } from './orders.ts';

/** What becomes of an order that waits: it is offered, manufacturers are asked, or nobody can make it now. */
export type Outcome = 'offered' | 'quotes_requested' | 'waits';

export interface LastRound {
  readonly order_id: number;
  readonly outcome: Outcome | null;
  readonly candidates: readonly string[];
}

/** The last round of each order that has one. */
export async function lastRounds(database: PlatformDatabase, orders: readonly number[]): Promise<readonly LastRound[]> {
  const { rows } = await sql<LastRound>`
    select distinct on (order_id) order_id, outcome, jsonb_path_query_array(candidates, '$[*].supplierId') as candidates
    from platform.order_matches where order_id = any (${[...orders]}) order by order_id, round desc`.execute(database);
  return rows;
}

/** A round that says nothing new: the order waits, as it did, and the same could make it. Scores change from day to day. */
export function isSame(last: LastRound | undefined, { candidates }: Ranking): boolean {
  const listed = (ids: readonly string[]) => ids.toSorted().join(' ');
  return last?.outcome === 'waits' && listed(last.candidates) === listed(candidates.map(({ supplierId }) => supplierId));
}

/** The order must be locked. */
export async function noteRound(
  transaction: PlatformTransaction,
  order: Order,
  { candidates, leftOut }: Ranking,
  method: string,
  outcome: Outcome,
): Promise<void> {
  const { rounds } = await transaction
    .selectFrom('order_matches')
    .select(sql<number>`coalesce(max(round), 0)`.as('rounds'))
    .where('order_id', '=', order.id)
    .executeTakeFirstOrThrow();
  await transaction
    .insertInto('order_matches')
    .values({
      order_id: order.id,
      round: rounds + 1,
      method,
      outcome,
      candidates: JSON.stringify(candidates),
      left_out: JSON.stringify(leftOut),
    })
    .execute();
}
