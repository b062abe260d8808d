/**
 * Sample data of the marketplace: buyers, manufacturers with their machines, and orders, the same for the same options. Trouble is
 * as common as in life: 5% of the payments are declined, 1% of the orders end in a dispute, 3% have parts that are not right.
 * Four currencies, two zones with daylight saving.
 */
import type { ManufacturerProfile, OfferedProcess } from '../accounts/manufacturer-profiles.ts';
import { addDays, isBusinessDay } from '../calendar/business-days.ts';
import { mondayOf, nextWeek, weekOf } from '../calendar/iso-week.ts';
import { type SampleRandom, sampleRandom } from './sample-random.ts';

export interface SampleOptions {
  readonly orders: number;
  /** Default one for 30 orders, 8 at least and 300 at most. */
  readonly manufacturers?: number;
  /** Default 1. */
  readonly seed?: number;
  /** The day on which the orders come, such as `2026-11-30`. */
  readonly from: string;
}

export interface SampleUser {
  readonly role: 'buyer' | 'manufacturer' | 'staff';
  readonly name: string;
  readonly email: string;
  readonly address: readonly string[];
  readonly country: string;
  readonly vatId: string | undefined;
}

export interface SampleManufacturer extends Omit<ManufacturerProfile, 'active' | 'processes' | 'machines'> {
  readonly user: SampleUser;
  readonly ratings: readonly number[];
  readonly delivered: number;
  readonly deliveredInTime: number;
  readonly processes: readonly SampleProcess[];
}

export interface SampleProcess extends OfferedProcess {
  readonly machines: readonly { readonly name: string; readonly minutesADay: number }[];
}

const troubles = ['declined_softly', 'declined_hard', 'disputed', 'not_right'] as const;

/** What is to happen to an order that is not to go well. */
export type SampleTrouble = (typeof troubles)[number] | undefined;

export interface SampleOrder {
  /** The place of its buyer. */
  readonly buyer: number;
  readonly mode: 'instant' | 'rfq';
  readonly title: string;
  readonly process: string;
  readonly material: string;
  readonly quantity: number;
  readonly minutes: number;
  readonly certificates: readonly string[];
  readonly exportCountries: readonly string[] | undefined;
  readonly dueOn: string;
  readonly country: string;
  readonly latitude: number;
  readonly longitude: number;
  readonly currency: string;
  readonly paymentMethod: string;
  /** The buyer's own name for it, which also says what is to happen to it. */
  readonly reference: string;
  readonly trouble: SampleTrouble;
}

export interface SampleData {
  readonly buyers: readonly SampleUser[];
  readonly staff: SampleUser;
  readonly manufacturers: readonly SampleManufacturer[];
  readonly orders: readonly SampleOrder[];
}

interface Place {
  readonly city: string;
  readonly country: string;
  readonly latitude: number;
  readonly longitude: number;
  readonly timeZone: string;
  readonly currency: string;
}

/** Minor units for a hundredth of a euro, about. */
const currencies = [
  { currency: 'EUR', rate: 1 },
  { currency: 'USD', rate: 1.1 },
  { currency: 'GBP', rate: 0.85 },
  { currency: 'JPY', rate: 1.6 },
] as const;

const europe = 'Europe/Berlin';
const america = 'America/New_York';

/** Money of Leeds and Nagoya counts here, not their clocks: all sample manufacturers are in two zones. */
const places: readonly [Place, ...Place[]] = [
  { city: 'Stuttgart', country: 'DE', latitude: 48.78, longitude: 9.18, timeZone: europe, currency: 'EUR' },
  { city: 'Lyon', country: 'FR', latitude: 45.76, longitude: 4.84, timeZone: europe, currency: 'EUR' },
  { city: 'Turin', country: 'IT', latitude: 45.07, longitude: 7.69, timeZone: europe, currency: 'EUR' },
  { city: 'Brno', country: 'CZ', latitude: 49.2, longitude: 16.61, timeZone: europe, currency: 'EUR' },
  { city: 'Detroit', country: 'US', latitude: 42.33, longitude: -83.05, timeZone: america, currency: 'USD' },
  { city: 'Pittsburgh', country: 'US', latitude: 40.44, longitude: -80.0, timeZone: america, currency: 'USD' },
];
const buyerPlaces: readonly [Place, ...Place[]] = [
  ...places,
  { city: 'Leeds', country: 'GB', latitude: 53.8, longitude: -1.55, timeZone: europe, currency: 'GBP' },
  { city: 'Nagoya', country: 'JP', latitude: 35.18, longitude: 136.91, timeZone: 'Asia/Tokyo', currency: 'JPY' },
];

const materialsOf = {
  cnc_milling: ['aluminium', 'steel', 'brass'],
  turning: ['steel', 'stainless_steel', 'brass'],
  laser_cutting: ['steel', 'stainless_steel', 'aluminium'],
  sheet_metal: ['steel', 'aluminium'],
  injection_moulding: ['abs', 'pa6'],
  '3d_printing': ['pa12', 'abs'],
} as const satisfies Readonly<Record<string, readonly [string, ...string[]]>>;

type Process = keyof typeof materialsOf;
const processes = Object.keys(materialsOf) as unknown as readonly [Process, ...Process[]];

const firstNames = ['Ann', 'Björn', 'Chidi', 'Dana', 'Emil', 'Fumiko', 'Giulia', 'Hana', 'Ivo', 'Joana'] as const;
const lastNames = ['Baker', 'Dahl', 'Eze', 'Frank', 'Gruber', 'Hara', 'Conti', 'Novák', 'Petrov', 'Silva'] as const;
const parts = ['Brackets', 'Housings', 'Flanges', 'Covers', 'Shafts', 'Spacers', 'Gear blanks', 'Mounting plates'] as const;
const certificates = ['ISO 9001', 'ISO 13485', 'AS9100'] as const;

/** By his address the samples are known in a database. */
export const sampleStaff: SampleUser = {
  role: 'staff',
  name: 'Stella Staff',
  email: 'staff@taktline.example',
  address: [],
  country: 'DE',
  vatId: undefined,
};

/** Weeks for which manufacturers have planned their machines. */
const plannedWeeks = 26;

/** @throws RangeError for numbers that are none, CalendarError for a day that is none */
export function sampleData({
  orders,
  manufacturers = Math.min(300, Math.max(8, Math.ceil(orders / 30))),
  seed = 1,
  from,
}: SampleOptions): SampleData {
  for (const [name, value] of Object.entries({ orders, manufacturers, seed })) {
    if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${name}: expected a whole number, 0 or more`);
  }
  const random = sampleRandom(seed);
  const buyers = Array.from({ length: Math.max(1, Math.ceil(orders / 10)) }, (_, place) => buyer(random, place));
  return {
    buyers: buyers.map(({ user }) => user),
    staff: sampleStaff,
    manufacturers: Array.from({ length: manufacturers }, (_, place) => manufacturer(random, place, from)),
    orders: Array.from({ length: orders }, (_, place) => order(random, buyers, from, place)),
  };
}

function buyer(random: SampleRandom, place: number): { readonly user: SampleUser; readonly at: Place } {
  const at = random.of(buyerPlaces);
  const name = `${random.of(firstNames)} ${random.of(lastNames)}`;
  const user: SampleUser = {
    role: 'buyer',
    name,
    email: `buyer${place}@customer.example`,
    address: [`${random.whole(1, 200)} Mill Street`, at.city],
    country: at.country,
    vatId: random.chance(0.6) ? `${at.country}${String(random.whole(100_000_000, 999_999_999))}` : undefined,
  };
  return { user, at };
}

function manufacturer(random: SampleRandom, place: number, from: string): SampleManufacturer {
  const at = random.of(places);
  const last = random.of(lastNames);
  const count = random.whole(2, 4);
  // The first one of each kind of machine is always somewhere.
  const first = place % processes.length;
  const own = Array.from({ length: count }, (_, index) => processes[(first + index * 2) % processes.length] ?? processes[0]);
  const closures = plannedDays(from).filter((day) => isBusinessDay(day) && random.chance(0.02));
  const closed = new Set(closures);
  const accepted = currencies.filter(({ currency }) => currency === at.currency || random.chance(0.85));
  const made = [...new Set(own)].map((process) => sampleProcess(random, process, accepted));
  return {
    user: {
      role: 'manufacturer',
      name: `${random.of(firstNames)} ${last}`,
      email: `maker${place}@plant.example`,
      address: [`${random.whole(1, 90)} Foundry Road`, at.city],
      country: at.country,
      vatId: `${at.country}${String(random.whole(100_000_000, 999_999_999))}`,
    },
    name: `${last} ${random.of(['Precision', 'Works', 'Metal', 'Components'])} ${place + 1}`,
    country: at.country,
    latitude: at.latitude + (random.next() - 0.5),
    longitude: at.longitude + (random.next() - 0.5),
    timeZone: at.timeZone,
    leadDays: random.whole(2, 8),
    exportCountries: random.chance(0.4) ? [at.country] : [],
    ratings: Array.from({ length: random.whole(0, 30) }, () => random.of([5, 5, 5, 4, 4, 3, 2])),
    ...deliveries(random),
    processes: made,
    certificates: certificates
      .filter((name) => random.chance(name === 'ISO 9001' ? 0.9 : 0.4))
      .map((name) => ({ name, validUntil: addDays(from, random.whole(-20, 700)) })),
    closures,
    capacity: made.flatMap(({ process, machines }) => capacityOf(process, machines, from, closed)),
  };
}

function deliveries(random: SampleRandom): { readonly delivered: number; readonly deliveredInTime: number } {
  const delivered = random.whole(0, 60);
  return { delivered, deliveredInTime: Math.floor(delivered * (0.7 + 0.3 * random.next())) };
}

function sampleProcess(random: SampleRandom, process: Process, accepted: readonly (typeof currencies)[number][]): SampleProcess {
  const [setup, hour, unit, minimum] = [
    random.whole(3_000, 15_000),
    random.whole(4_000, 11_000),
    random.whole(50, 600),
    random.whole(5_000, 20_000),
  ];
  return {
    process,
    prices: accepted.map(({ currency, rate }) => ({
      currency,
      setupMinor: Math.round(setup * rate),
      hourMinor: Math.round(hour * rate),
      unitMinor: Math.round(unit * rate),
      minimumMinor: Math.round(minimum * rate),
    })),
    largestQuantity: random.of([500, 2_000, 10_000, 50_000]),
    materials: Object.fromEntries(materialsOf[process].map((material) => [material, random.whole(8_000, 16_000)])),
    machines: Array.from({ length: random.whole(1, 4) }, (_, index) => ({
      name: `${process} ${index + 1}`,
      minutesADay: random.of([420, 480, 960]),
    })),
  };
}

function plannedDays(from: string): readonly string[] {
  const monday = mondayOf(weekOf(from));
  return Array.from({ length: plannedWeeks * 7 }, (_, day) => addDays(monday, day));
}

function capacityOf(process: string, machines: SampleProcess['machines'], from: string, closed: ReadonlySet<string>) {
  const aDay = machines.reduce((sum, { minutesADay }) => sum + minutesADay, 0);
  const weeks: { process: string; week: string; minutes: number }[] = [];
  for (let week = weekOf(from); weeks.length < plannedWeeks; week = nextWeek(week)) {
    const monday = mondayOf(week);
    const days = Array.from({ length: 7 }, (_, day) => addDays(monday, day)).filter((day) => isBusinessDay(day, closed));
    weeks.push({ process, week, minutes: days.length * aDay });
  }
  return weeks;
}

function order(random: SampleRandom, buyers: readonly { readonly at: Place }[], from: string, place: number): SampleOrder {
  const buyerPlace = random.whole(0, buyers.length - 1);
  const { at } = buyers[buyerPlace] ?? { at: buyerPlaces[0] };
  const process = random.of(processes);
  const quantity = random.of([1, 5, 10, 25, 50, 100, 250]);
  const trouble = troubleOf(random);
  return {
    buyer: buyerPlace,
    mode: random.chance(0.7) ? 'instant' : 'rfq',
    title: `${random.of(parts)} ${random.whole(100, 999)}`,
    process,
    material: random.of(materialsOf[process]),
    quantity,
    minutes: Math.min(2_000, 30 + quantity * random.whole(2, 9)),
    certificates: random.chance(0.25) ? [random.of(certificates)] : [],
    exportCountries: random.chance(0.02) ? ['DE', 'US'] : undefined,
    dueOn: addDays(from, random.whole(28, 100)),
    country: at.country,
    latitude: at.latitude,
    longitude: at.longitude,
    currency: at.currency,
    paymentMethod: paymentMethods[trouble ?? 'none'],
    reference: ['sample', place + 1, ...(trouble === undefined ? [] : [trouble])].join('.'),
    trouble,
  };
}

const paymentMethods: Readonly<Record<NonNullable<SampleTrouble> | 'none', string>> = {
  none: 'pm_card_visa',
  declined_softly: 'pm_card_soft_once',
  declined_hard: 'pm_card_lost',
  disputed: 'pm_card_visa',
  not_right: 'pm_card_visa',
};

/** What is to happen to an order that was stored: undefined also for one that is no sample. */
export function plannedTrouble({ reference }: { readonly reference: string | null }): SampleTrouble {
  const [, planned] = /^sample\.\d+\.(\w+)$/.exec(reference ?? '') ?? [];
  return troubles.find((trouble) => trouble === planned);
}

function troubleOf(random: SampleRandom): SampleTrouble {
  const at = random.next();
  if (at < 0.04) return 'declined_softly';
  if (at < 0.05) return 'declined_hard';
  if (at < 0.06) return 'disputed';
  return at < 0.09 ? 'not_right' : undefined;
}
