/**
 * The market as the database has it now: who works a process, at which prices, with which certificates, record and free machine
 * time. Minutes that open offers hold count as taken: two offers for the same hours would disappoint somebody.
 */
import type { TaxParty } from '../invoices/tax-rules.ts';
import type { ProcessOffer, Supplier } from '../matching/market.ts';
import { memo } from '../matching/memo.ts';
import { currencyOf } from '../money/money.ts';
import { partyOf } from './award.ts';
import { closedDays, groupById, type MachineHours, type MarketDay, machineTime } from './machine-time.ts';
import type { PlatformTransaction } from './orders.ts';

/** Weeks from now on whose hours say how busy somebody is. */
const loadWeeks = 8;

export interface Market {
  /** With their offer for work that is paid in that currency, where they have one. */
  suppliersFor(process: string, currency: string): readonly Supplier[];
  /** As whom a supplier sells. */
  sellerOf(supplier: string): TaxParty;
}

const nobody: Market = {
  suppliersFor: () => [],
  sellerOf: () => {
    throw new Error('nobody sells on an empty market');
  },
};

/** Weeks before today's are not looked at. */
export async function loadMarket(transaction: PlatformTransaction, processes: readonly string[], day: MarketDay): Promise<Market> {
  if (processes.length === 0) return nobody;
  const prices = await transaction
    .selectFrom('manufacturer_processes')
    .innerJoin('manufacturers', 'manufacturers.id', 'manufacturer_processes.manufacturer_id')
    .selectAll('manufacturer_processes')
    .where('process', 'in', [...processes])
    .where('active', '=', true)
    .execute();
  const ids = [...new Set(prices.map(({ manufacturer_id }) => manufacturer_id))];
  if (ids.length === 0) return nobody;
  const manufacturers = await transaction.selectFrom('manufacturers').selectAll().where('id', 'in', ids).orderBy('id').execute();
  const certificates = await transaction.selectFrom('manufacturer_certificates').selectAll().where('manufacturer_id', 'in', ids).execute();
  const closuresOf = await closedDays(transaction, ids, day);
  const capacity = await machineTime(transaction, processes, manufacturers, closuresOf, day);
  const users = await transaction
    .selectFrom('users')
    .select(['id', 'country', 'vat_id', 'vat_id_checked_at'])
    .where(
      'id',
      'in',
      manufacturers.map(({ user_id }) => user_id),
    )
    .execute();
  const parties = new Map(users.map((user) => [user.id, partyOf(user)]));
  const sellers = new Map(manufacturers.map(({ id, user_id }) => [String(id), parties.get(user_id) as TaxParty]));
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
        totalMinutes: new Map(hours.map((row) => [row.week, row.total_minutes])),
        freeMinutes: new Map(hours.map((row) => [row.week, row.free_minutes])),
      };
      return {
        id: String(one.id),
        country: one.country,
        latitude: one.latitude,
        longitude: one.longitude,
        offers: new Map([[process, offer]]),
        certificates: (certificatesOf.get(one.id) ?? []).map(({ name, valid_until }) => ({ name, validUntil: valid_until })),
        exportClearance: one.export_countries,
        closures: closuresOf(one.id),
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
  return {
    suppliersFor: (process, currency) => remembered(process)(currency),
    sellerOf: (supplier) => sellers.get(supplier) as TaxParty,
  };
}

/** Share of the next weeks' hours that is taken. */
function loadOf(hours: readonly MachineHours[]): number {
  const next = hours.slice(0, loadWeeks);
  const total = next.reduce((sum, { open_minutes }) => sum + open_minutes, 0);
  if (total === 0) return 1;
  return Math.min(1, next.reduce((sum, { taken_minutes }) => sum + taken_minutes, 0) / total);
}
