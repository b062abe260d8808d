/**
 * The market as the database has it now: who works a process, at which prices, with which certificates, record and free machine
 * time. Minutes that open offers hold count as taken: two offers for the same hours would disappoint somebody.
 */
import { sql } from 'kysely';
import type { ProcessOffer, Supplier } from '../matching/market.ts';
import { memo } from '../matching/memo.ts';
import { currencyOf } from '../money/money.ts';
import type { PlatformTransaction } from './orders.ts';

/** Weeks from now on whose hours say how busy somebody is. */
const loadWeeks = 8;

export interface Market {
  /** With their offer for work that is paid in that currency, where they have one. */
  suppliersFor(process: string, currency: string): readonly Supplier[];
}

/** @param week the ISO week that it is; earlier ones are not looked at */
export async function loadMarket(transaction: PlatformTransaction, processes: readonly string[], week: string): Promise<Market> {
  if (processes.length === 0) return { suppliersFor: () => [] };
  const prices = await transaction
    .selectFrom('manufacturer_processes')
    .innerJoin('manufacturers', 'manufacturers.id', 'manufacturer_processes.manufacturer_id')
    .selectAll('manufacturer_processes')
    .where('process', 'in', [...processes])
    .where('active', '=', true)
    .execute();
  const ids = [...new Set(prices.map(({ manufacturer_id }) => manufacturer_id))];
  if (ids.length === 0) return { suppliersFor: () => [] };
  const [manufacturers, certificates, capacity] = await Promise.all([
    transaction.selectFrom('manufacturers').selectAll().where('id', 'in', ids).orderBy('id').execute(),
    transaction.selectFrom('manufacturer_certificates').selectAll().where('manufacturer_id', 'in', ids).execute(),
    freeTime(transaction, processes, week),
  ]);
  const certificatesOf = groupById(certificates);
  const capacityOf = groupById(capacity);
  const pricesOf = groupById(prices);
  const suppliersOf = (process: string, currency: string): readonly Supplier[] =>
    manufacturers.flatMap((one) => {
      const own = (pricesOf.get(one.id) ?? []).filter((price) => price.process === process);
      // Who takes only others is shown as left out for that.
      const price = own.find((candidate) => candidate.currency === currency) ?? own[0];
      if (price === undefined) return [];
      const hours = (capacityOf.get(one.id) ?? []).filter((row) => row.process === process);
      const offer: ProcessOffer = {
        currency: currencyOf(price.currency),
        setupMinor: price.setup_minor,
        hourMinor: price.hour_minor,
        unitMinor: price.unit_minor,
        minimumMinor: price.minimum_minor,
        materialFactors: new Map(Object.entries(price.material_factors)),
        smallestQuantity: 1,
        largestQuantity: price.largest_quantity,
        freeMinutes: new Map(hours.map((row) => [row.week, Math.max(0, row.total_minutes - row.taken_minutes)])),
      };
      return {
        id: String(one.id),
        country: one.country,
        latitude: one.latitude,
        longitude: one.longitude,
        offers: new Map([[process, offer]]),
        certificates: (certificatesOf.get(one.id) ?? []).map(({ name, valid_until }) => ({ name, validUntil: valid_until })),
        exportClearance: one.export_countries,
        leadDays: one.lead_days,
        load: loadOf(hours),
        rating: one.rating_count === 0 ? undefined : one.rating_sum / one.rating_count,
        ratings: one.rating_count,
        onTime: one.delivered === 0 ? undefined : one.delivered_in_time / one.delivered,
        deliveries: one.delivered,
        currencies: [...new Set(own.map((row) => currencyOf(row.currency)))],
      };
    });
  // Asked for with each order, of which many are alike.
  const remembered = memo((process: string) => memo((currency: string) => suppliersOf(process, currency)));
  return { suppliersFor: (process, currency) => remembered(process)(currency) };
}

interface Hours {
  readonly manufacturer_id: number;
  readonly process: string;
  readonly week: string;
  readonly total_minutes: number;
  /** Booked, or held by an open offer. */
  readonly taken_minutes: number;
}

async function freeTime(transaction: PlatformTransaction, processes: readonly string[], week: string): Promise<readonly Hours[]> {
  const { rows } = await sql<Hours>`
    select c.manufacturer_id, c.process, c.week, c.total_minutes, (c.booked_minutes + coalesce(h.minutes, 0))::integer as taken_minutes
    from platform.capacity c
    left join (
      select o.manufacturer_id, o.process, u.week, sum(u.minutes) as minutes
      from platform.offers o, jsonb_to_recordset(o.uses) as u(week text, minutes integer)
      where o.state = 'open' and o.process = any (${[...processes]})
      group by o.manufacturer_id, o.process, u.week
    ) h on h.manufacturer_id = c.manufacturer_id and h.process = c.process and h.week = c.week
    where c.process = any (${[...processes]}) and c.week >= ${week}
    order by c.week`.execute(transaction);
  return rows;
}

/** Share of the next weeks' hours that is taken. */
function loadOf(hours: readonly Hours[]): number {
  const next = hours.slice(0, loadWeeks);
  const total = next.reduce((sum, { total_minutes }) => sum + total_minutes, 0);
  if (total === 0) return 1;
  return Math.min(1, next.reduce((sum, { taken_minutes }) => sum + taken_minutes, 0) / total);
}

function groupById<Row extends { readonly manufacturer_id: number }>(rows: readonly Row[]): ReadonlyMap<number, readonly Row[]> {
  const groups = new Map<number, Row[]>();
  for (const row of rows) {
    const group = groups.get(row.manufacturer_id);
    if (group === undefined) groups.set(row.manufacturer_id, [row]);
    else group.push(row);
  }
  return groups;
}
