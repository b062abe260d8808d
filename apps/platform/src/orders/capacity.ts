/** Machine-hours of manufacturers, by process and ISO week. What is accepted books them; an open offer only stands in the way of others. */
import { sql } from 'kysely';
import type { PlatformTransaction } from './orders.ts';

/** Minutes of one process in one week. */
export interface Slot {
  readonly manufacturer_id: number;
  readonly process: string;
  readonly week: string;
  readonly minutes: number;
}

/** @returns false when there is not so much left, and nothing was booked */
export async function bookCapacity(transaction: PlatformTransaction, { manufacturer_id, process, week, minutes }: Slot): Promise<boolean> {
  const booked = await transaction
    .updateTable('capacity')
    .set((update) => ({ booked_minutes: update('booked_minutes', '+', minutes) }))
    .where('manufacturer_id', '=', manufacturer_id)
    .where('process', '=', process)
    .where('week', '=', week)
    .where(sql.ref<number>('booked_minutes'), '<=', sql<number>`total_minutes - ${minutes}::integer`)
    .returning('booked_minutes')
    .executeTakeFirst();
  return booked !== undefined;
}

export async function freeCapacity(transaction: PlatformTransaction, { manufacturer_id, process, week, minutes }: Slot): Promise<void> {
  await transaction
    .updateTable('capacity')
    .set((update) => ({ booked_minutes: update('booked_minutes', '-', minutes) }))
    .where('manufacturer_id', '=', manufacturer_id)
    .where('process', '=', process)
    .where('week', '=', week)
    .execute();
}
