/** Machine time of manufacturers, by process and ISO week. What is accepted books it; an open offer only stands in the way of others. */
import { sql } from 'kysely';
import type { WeekUse } from '../matching/production-slots.ts';
import type { PlatformTransaction } from './orders.ts';

/** Minutes of one process in some weeks. */
export interface Work {
  readonly manufacturer_id: number;
  readonly process: string;
  readonly uses: readonly WeekUse[];
}

/** @returns the first week in which there is not so much left; the caller's transaction must not commit then */
export async function bookCapacity(
  transaction: PlatformTransaction,
  { manufacturer_id, process, uses }: Work,
): Promise<string | undefined> {
  // In one order, so that two who want the same weeks never wait for each other.
  for (const { week, minutes } of uses.toSorted((one, other) => (one.week < other.week ? -1 : 1))) {
    const booked = await transaction
      .updateTable('capacity')
      .set((update) => ({ booked_minutes: update('booked_minutes', '+', minutes) }))
      .where('manufacturer_id', '=', manufacturer_id)
      .where('process', '=', process)
      .where('week', '=', week)
      .where(sql.ref<number>('booked_minutes'), '<=', sql<number>`total_minutes - ${minutes}::integer`)
      .returning('booked_minutes')
      .executeTakeFirst();
    if (booked === undefined) return week;
  }
  return undefined;
}

export async function freeCapacity(transaction: PlatformTransaction, { manufacturer_id, process, uses }: Work): Promise<void> {
  for (const { week, minutes } of uses.toSorted((one, other) => (one.week < other.week ? -1 : 1))) {
    await transaction
      .updateTable('capacity')
      .set((update) => ({ booked_minutes: update('booked_minutes', '-', minutes) }))
      .where('manufacturer_id', '=', manufacturer_id)
      .where('process', '=', process)
      .where('week', '=', week)
      .execute();
  }
}
