/** What manufacturers are rated with: by buyers whose orders are closed, and by parts that are not right. */
import type { Selectable } from 'kysely';
import type { RatingsTable } from '../database/marketplace-tables.ts';
import type { PlatformTransaction } from './orders.ts';

/** What a buyer says of a closed order, once. @returns undefined when he has said it before */
export async function rateOrder(
  transaction: PlatformTransaction,
  order: number,
  manufacturer: number,
  stars: number,
): Promise<Selectable<RatingsTable> | undefined> {
  const rating = await transaction
    .insertInto('ratings')
    .values({ order_id: order, manufacturer_id: manufacturer, stars })
    .onConflict((conflict) => conflict.doNothing())
    .returningAll()
    .executeTakeFirst();
  if (rating !== undefined) await addToRecord(transaction, manufacturer, stars);
  return rating;
}

/** @param stars from 1 to 5 */
export async function addToRecord(transaction: PlatformTransaction, manufacturer: number, stars: number): Promise<void> {
  await transaction
    .updateTable('manufacturers')
    .set((update) => ({ rating_sum: update('rating_sum', '+', stars), rating_count: update('rating_count', '+', 1) }))
    .where('id', '=', manufacturer)
    .execute();
}
