/**
 * Machine time of manufacturers as it is now: what there is in each ISO week from this one on, without closed days, what is booked,
 * what open offers hold, and what is left. Whoever gives hours away locks their weeks first, and looks again.
 */
import { sql } from 'kysely';
import { addDays, startOfDay } from '../calendar/business-days.ts';
import { mondayOf, weekOf } from '../calendar/iso-week.ts';
import { memo } from '../matching/memo.ts';
import { freeIn, shareOf } from '../matching/production-slots.ts';
import type { Work } from './capacity.ts';
import { offerForMs } from './offers.ts';
import type { PlatformTransaction } from './orders.ts';

/** The day on which the market is looked at. */
export interface MarketDay {
  readonly today: string;
  /** Where a day begins. */
  readonly zone: string;
}

/**
 * Keeps others from offering, or booking, the same hours until the transaction is over.
 *
 * @returns whether all of them are free yet
 */
export async function lockFreeHours(
  transaction: PlatformTransaction,
  { manufacturer_id, process, uses }: Work,
  day: MarketDay,
): Promise<boolean> {
  // In the order of the weeks, as those who book do.
  await transaction
    .selectFrom('capacity')
    .select('week')
    .where('manufacturer_id', '=', manufacturer_id)
    .where('process', '=', process)
    .where(
      'week',
      'in',
      uses.map(({ week }) => week),
    )
    .orderBy('week')
    .forUpdate()
    .execute();
  const manufacturers = await transaction
    .selectFrom('manufacturers')
    .select(['id', 'lead_days'])
    .where('id', '=', manufacturer_id)
    .execute();
  const closuresOf = await closedDays(transaction, [manufacturer_id], day);
  const hours = await machineTime(transaction, [process], manufacturers, closuresOf, day);
  const free = new Map(hours.map(({ week, free_minutes }) => [week, free_minutes]));
  return uses.every(({ week, minutes }) => minutes <= (free.get(week) ?? 0));
}

export type ClosuresOf = (manufacturer: number) => ReadonlySet<string>;

const never: ReadonlySet<string> = new Set();

/** Days from this week on on which manufacturers are closed. */
export async function closedDays(
  transaction: PlatformTransaction,
  manufacturers: readonly number[],
  { today }: MarketDay,
): Promise<ClosuresOf> {
  const closures = await transaction
    .selectFrom('manufacturer_closures')
    .selectAll()
    .where('manufacturer_id', 'in', [...manufacturers])
    .where('day', '>=', mondayOf(weekOf(today)))
    .execute();
  const days = new Map([...groupById(closures)].map(([id, rows]) => [id, new Set(rows.map(({ day }) => day))]));
  return (manufacturer) => days.get(manufacturer) ?? never;
}

interface Hours {
  readonly manufacturer_id: number;
  readonly process: string;
  readonly week: string;
  /** As if no day were closed. */
  readonly total_minutes: number;
  /** Booked, or held by an open offer. */
  readonly taken_minutes: number;
  /** Of these, what was taken today. */
  readonly today_minutes: number;
}

/** Machine time of a manufacturer in an ISO week. */
export interface MachineHours extends Hours {
  /** Without the days on which it is closed. */
  readonly open_minutes: number;
  /** See freeIn(). */
  readonly free_minutes: number;
}

/** From this week on. */
export async function machineTime(
  transaction: PlatformTransaction,
  processes: readonly string[],
  manufacturers: readonly { readonly id: number; readonly lead_days: number }[],
  closuresOf: ClosuresOf,
  day: MarketDay,
): Promise<readonly MachineHours[]> {
  const leadDays = new Map(manufacturers.map(({ id, lead_days }) => [id, lead_days]));
  const canBegin = memo((days: number) => addDays(day.today, days));
  const daysOf = memo((week: string) => Array.from({ length: 5 }, (_, place) => addDays(mondayOf(week), place)));
  return (await hoursFrom(transaction, processes, [...leadDays.keys()], day)).map((row) => {
    const closures = closuresOf(row.manufacturer_id);
    const days = daysOf(row.week);
    const taken = { taken: row.taken_minutes, takenToday: row.today_minutes };
    return {
      ...row,
      open_minutes: shareOf(row.total_minutes, days, closures),
      free_minutes: freeIn(row.total_minutes, taken, days, canBegin(leadDays.get(row.manufacturer_id) ?? 0), closures),
    };
  });
}

/** What was taken today is known by when it was offered, or awarded. */
async function hoursFrom(
  transaction: PlatformTransaction,
  processes: readonly string[],
  manufacturers: readonly number[],
  { today, zone }: MarketDay,
): Promise<readonly Hours[]> {
  const since = startOfDay(zone, today);
  const { rows } = await sql<Hours>`
    with taken as (
      select o.manufacturer_id, o.process, u.week, u.minutes, o.state = 'open' as held, o.expires_at >= ${new Date(since.getTime() + offerForMs)} as today
      from platform.offers o, jsonb_to_recordset(o.uses) as u(week text, minutes integer)
      where (o.state = 'open' or (o.state = 'accepted' and o.expires_at >= ${new Date(since.getTime() + offerForMs)}))
        and o.manufacturer_id = any (${[...manufacturers]}) and o.process = any (${[...processes]})
      union all
      select q.manufacturer_id, o.process, u.week, u.minutes, false, true
      from platform.quotes q
      join platform.orders o on o.id = q.order_id
      join platform.order_events e on e.order_id = q.order_id and e.event = 'award' and e.at >= ${since},
      jsonb_to_recordset(q.uses) as u(week text, minutes integer)
      where q.state = 'awarded' and q.expires_at >= ${since}
        and q.manufacturer_id = any (${[...manufacturers]}) and o.process = any (${[...processes]})
    )
    select c.manufacturer_id, c.process, c.week, c.total_minutes, (c.booked_minutes + coalesce(t.held, 0))::integer as taken_minutes,
      coalesce(t.today, 0)::integer as today_minutes
    from platform.capacity c
    left join (
      select manufacturer_id, process, week, sum(minutes) filter (where held) as held, sum(minutes) filter (where today) as today
      from taken group by 1, 2, 3
    ) t on t.manufacturer_id = c.manufacturer_id and t.process = c.process and t.week = c.week
    where c.manufacturer_id = any (${[...manufacturers]}) and c.process = any (${[...processes]}) and c.week >= ${weekOf(today)}
    order by c.week`.execute(transaction);
  return rows;
}

export function groupById<Row extends { readonly manufacturer_id: number }>(rows: readonly Row[]): ReadonlyMap<number, readonly Row[]> {
  const groups = new Map<number, Row[]>();
  for (const row of rows) {
    const group = groups.get(row.manufacturer_id);
    if (group === undefined) groups.set(row.manufacturer_id, [row]);
    else group.push(row);
  }
  return groups;
}
