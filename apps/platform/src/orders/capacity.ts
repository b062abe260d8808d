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

/** A week without the share of the business days on which its manufacturer is closed. */
const openMinutes = sql<number>`capacity.total_minutes * (5 - (
  select count(*) from platform.manufacturer_closures x
  where x.manufacturer_id = capacity.manufacturer_id and to_char(x.day, 'IYYY-"W"IW') = capacity.week and extract(isodow from x.day) < 6)) / 5`;

/** @returns the first week in which there is not so much left; nothing is booked then */
export async function bookCapacity(
  transaction: PlatformTransaction,
  { manufacturer_id, process, uses }: Work,
): Promise<string | undefined> {
  const done: WeekUse[] = [];
  // In one order, so that two who want the same weeks never wait for each other.
  for (const use of uses.toSorted((one, other) => (one.week < other.week ? -1 : 1))) {
    const { week, minutes } = use;
    const booked = await transaction
      .updateTable('capacity')
      .set((update) => ({ booked_minutes: update('booked_minutes', '+', minutes) }))
      .where('manufacturer_id', '=', manufacturer_id)
      .where('process', '=', process)
      .where('week', '=', week)
      .where(sql.ref<number>('booked_minutes'), '<=', sql<number>`${openMinutes} - ${minutes}::integer`)
      .returning('booked_minutes')
      .executeTakeFirst();
    if (booked === undefined) {
      await freeCapacity(transaction, { manufacturer_id, process, uses: done });
      return week;
    }
    done.push(use);
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
