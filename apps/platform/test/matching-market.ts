/**
 * Markets to match on: one order and one supplier that fit each other, to change a field of; and a whole market as it could be, the
 * same one for the same seed.
 */
import { addDays } from '../src/calendar/business-days.ts';
import { nextWeek, weekOf } from '../src/calendar/iso-week.ts';
import type { OrderNeed, ProcessOffer, Supplier } from '../src/matching/market.ts';
import { currencyOf } from '../src/money/money.ts';

/** A Friday; 2026 has a week 53. */
export const today = '2026-11-27';

const eur = currencyOf('EUR');

/** Weeks from today's on. */
export function weeksFromToday(count: number): readonly string[] {
  const weeks = [weekOf(today)];
  while (weeks.length < count) weeks.push(nextWeek(weeks.at(-1) as string));
  return weeks;
}

export function need(more: Partial<OrderNeed> = {}): OrderNeed {
  return {
    id: 'order',
    process: 'cnc_milling',
    material: 'aluminium',
    quantity: 10,
    minutes: 600,
    certificates: [],
    exportCountries: undefined,
    dueOn: '2026-12-18',
    latitude: 48.137,
    longitude: 11.575,
    currency: eur,
    budgetMinor: undefined,
    ...more,
  };
}

export function offer(more: Partial<ProcessOffer> = {}): ProcessOffer {
  return {
    currency: eur,
    setupMinor: 10_000,
    hourMinor: 6_000,
    unitMinor: 100,
    minimumMinor: 5_000,
    materialFactors: new Map([['aluminium', 10_000]]),
    smallestQuantity: 1,
    largestQuantity: 1_000,
    freeMinutes: new Map(weeksFromToday(12).map((week) => [week, 2_400])),
    totalMinutes: more.freeMinutes ?? new Map(weeksFromToday(12).map((week) => [week, 2_400])),
    ...more,
  };
}

/** Some 60 km away: goods are there on the next day. */
export function supplier(more: Partial<Supplier> = {}): Supplier {
  return {
    id: 'supplier',
    country: 'DE',
    latitude: 48.37,
    longitude: 10.898,
    offers: new Map([['cnc_milling', offer()]]),
    certificates: [],
    exportClearance: [],
    closures: new Set(),
    leadDays: 3,
    load: 0.5,
    rating: 4.5,
    ratings: 20,
    onTime: 0.95,
    deliveries: 40,
    currencies: [eur],
    ...more,
  };
}

const materials = {
  cnc_milling: ['aluminium', 'steel', 'titanium', 'brass'],
  turning: ['aluminium', 'steel', 'brass'],
  laser_cutting: ['steel', 'aluminium'],
  sheet_metal: ['steel', 'aluminium'],
  injection_moulding: ['abs', 'pp', 'pa66'],
  '3d_printing': ['pa12', 'ti64', 'abs'],
} as const;
const processes = Object.keys(materials) as readonly (keyof typeof materials)[];

/** Where industry is; suppliers and buyers are within some 150 km of one of them. */
const hubs = [
  { latitude: 48.1, longitude: 11.6, country: 'DE' },
  { latitude: 52.5, longitude: 13.4, country: 'DE' },
  { latitude: 45.5, longitude: 9.2, country: 'IT' },
  { latitude: 48.9, longitude: 2.3, country: 'FR' },
  { latitude: 52.2, longitude: 21, country: 'PL' },
  { latitude: 50.1, longitude: 14.4, country: 'CZ' },
  { latitude: 40.4, longitude: -3.7, country: 'ES' },
  { latitude: 51.5, longitude: 5.5, country: 'NL' },
] as const;

export interface Market {
  readonly needs: readonly OrderNeed[];
  readonly suppliers: readonly Supplier[];
}

/**
 * Orders of 1 to 40 hours of machine time, a tenth of them three times as long, due in two to ten weeks; suppliers of one or two
 * processes with one to three machines each, between idle and nine tenths booked. Each order has about fifty suppliers that could
 * make it, and all want the same few best ones.
 */
export function market(orders: number, suppliers: number, seed: number): Market {
  const chance = new Chance(seed);
  return {
    suppliers: Array.from({ length: suppliers }, (_, number) => someSupplier(`supplier-${number}`, chance)),
    needs: Array.from({ length: orders }, (_, number) => someNeed(`order-${number}`, chance)),
  };
}

function someSupplier(id: string, chance: Chance): Supplier {
  const load = chance.share() * 0.9;
  const isNew = chance.is(0.1);
  const own = new Set([chance.of(processes), chance.of(processes)]);
  return {
    ...supplier({ id, ...chance.place(), load, leadDays: chance.whole(1, 15) }),
    offers: new Map([...own].map((process) => [process, someOffer(process, load, chance)])),
    certificates: chance.is(0.7) ? [{ name: 'ISO 9001', validUntil: addDays(today, chance.whole(-30, 900)) }] : [],
    exportClearance: chance.is(0.3) ? ['DE', 'FR'] : [],
    rating: isNew ? undefined : 3 + 2 * chance.share(),
    ratings: isNew ? 0 : chance.whole(1, 200),
    onTime: isNew ? undefined : 0.7 + 0.3 * chance.share(),
    deliveries: isNew ? 0 : chance.whole(1, 300),
  };
}

function someOffer(process: keyof typeof materials, load: number, chance: Chance): ProcessOffer {
  const worked = materials[process].filter(() => chance.is(0.8));
  return offer({
    setupMinor: chance.whole(3_000, 30_000),
    hourMinor: chance.whole(4_000, 12_000),
    unitMinor: chance.whole(10, 500),
    materialFactors: new Map(worked.map((material) => [material, chance.whole(8_000, 25_000)])),
    largestQuantity: chance.whole(200, 5_000),
    freeMinutes: new Map(
      weeksFromToday(14).map((week) => {
        const machineMinutes = chance.whole(1, 3) * 2_400;
        return [week, Math.floor(machineMinutes * (1 - load) * (0.5 + chance.share() / 2))];
      }),
    ),
  });
}

function someNeed(id: string, chance: Chance): OrderNeed {
  const process = chance.of(processes);
  const { latitude, longitude } = chance.place();
  return need({
    id,
    process,
    material: chance.of(materials[process]),
    quantity: chance.whole(1, chance.is(0.2) ? 3_000 : 300),
    minutes: chance.whole(60, 2_400) * (chance.is(0.1) ? 3 : 1),
    certificates: chance.is(0.4) ? ['ISO 9001'] : [],
    exportCountries: chance.is(0.05) ? ['DE', 'FR'] : undefined,
    dueOn: addDays(today, chance.whole(14, 70)),
    latitude,
    longitude,
  });
}

/** The same numbers for the same seed: a xorshift generator (G. Marsaglia, "Xorshift RNGs", 2003). */
class Chance {
  #state: number;

  constructor(seed: number) {
    this.#state = Math.imul(seed + 1, 0x9e3779b9) | 1;
  }

  /** From 0 to less than 1. */
  share(): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) / 2 ** 32;
  }

  is(probability: number): boolean {
    return this.share() < probability;
  }

  /** Both ends included. */
  whole(least: number, most: number): number {
    return least + Math.floor(this.share() * (most - least + 1));
  }

  of<Value>(values: readonly Value[]): Value {
    return values[this.whole(0, values.length - 1)] as Value;
  }

  place(): { readonly latitude: number; readonly longitude: number; readonly country: string } {
    const { latitude, longitude, country } = this.of(hubs);
    return { latitude: latitude + 3 * this.share() - 1.5, longitude: longitude + 3 * this.share() - 1.5, country };
  }
}
