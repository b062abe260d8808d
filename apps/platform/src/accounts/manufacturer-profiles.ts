/**
 * What a manufacturer says of himself, as one document: where he is, what he can make at which prices, and how much machine time he has
 * in which week. It is replaced as a whole; what is booked stays booked. Weeks that are over are history: they stay as they are where the
 * document leaves them out.
 */
import { type Insertable, type Selectable, sql } from 'kysely';
import type { PlatformDatabase } from '../database/database.ts';
import type { CapacityTable, ManufacturersTable } from '../database/marketplace-tables.ts';
import type { PlatformTables } from '../database/tables.ts';
import type { PlatformTransaction } from '../orders/orders.ts';
import { AccountError } from './account-error.ts';
import { userById } from './users.ts';

export type Manufacturer = Selectable<ManufacturersTable>;

export interface ProcessPrice {
  readonly currency: string;
  readonly setupMinor: number;
  readonly hourMinor: number;
  readonly unitMinor: number;
  readonly minimumMinor: number;
}

export interface OfferedProcess {
  readonly process: string;
  /** For each currency that is accepted. */
  readonly prices: readonly ProcessPrice[];
  readonly largestQuantity: number;
  /** Material -> hundredths of a percent of the price. */
  readonly materials: Readonly<Record<string, number>>;
}

export interface WeekCapacity {
  readonly process: string;
  /** Such as `2026-W49`. */
  readonly week: string;
  readonly minutes: number;
}

export interface ManufacturerProfile {
  readonly name: string;
  readonly country: string;
  readonly latitude: number;
  readonly longitude: number;
  readonly timeZone: string;
  readonly leadDays: number;
  readonly exportCountries: readonly string[];
  readonly active: boolean;
  readonly processes: readonly OfferedProcess[];
  readonly machines: readonly { readonly process: string; readonly name: string; readonly minutesADay: number }[];
  readonly certificates: readonly { readonly name: string; readonly validUntil: string }[];
  readonly closures: readonly string[];
  readonly capacity: readonly WeekCapacity[];
}

/**
 * Makes a user a manufacturer.
 *
 * @returns the manufacturer's id
 * @throws AccountError `NOT_FOUND`, `WRONG_ROLE`, `HAS_PROFILE`
 */
export async function addManufacturer(transaction: PlatformTransaction, user: number, profile: ManufacturerProfile): Promise<number> {
  const { role } = await userById(transaction, user);
  if (role !== 'manufacturer') throw new AccountError('WRONG_ROLE', 'only a user of role manufacturer can be one');
  const added = await transaction
    .insertInto('manufacturers')
    .values({ user_id: user, ...rowOf(profile) })
    .onConflict((conflict) => conflict.column('user_id').doNothing())
    .returning('id')
    .executeTakeFirst();
  if (added === undefined) throw new AccountError('HAS_PROFILE', 'this user is a manufacturer already');
  await storeParts(transaction, added.id, profile);
  await storeCapacity(transaction, added.id, profile.capacity);
  return added.id;
}

/**
 * Puts the document in the place of what there was.
 *
 * @param week the ISO week that it is
 * @throws AccountError `NOT_FOUND`, `BELOW_BOOKED`
 */
export async function replaceProfile(
  transaction: PlatformTransaction,
  id: number,
  profile: ManufacturerProfile,
  week: string,
): Promise<void> {
  // Not a stronger lock: an order that is accepted meanwhile has booked hours already, and refers to this row.
  const there = await transaction.selectFrom('manufacturers').select('id').where('id', '=', id).forNoKeyUpdate().executeTakeFirst();
  if (there === undefined) throw noManufacturer();
  await transaction.updateTable('manufacturers').set(rowOf(profile)).where('id', '=', id).execute();
  await transaction.deleteFrom('manufacturer_processes').where('manufacturer_id', '=', id).execute();
  await transaction.deleteFrom('manufacturer_machines').where('manufacturer_id', '=', id).execute();
  await transaction.deleteFrom('manufacturer_certificates').where('manufacturer_id', '=', id).execute();
  await transaction.deleteFrom('manufacturer_closures').where('manufacturer_id', '=', id).execute();
  await storeParts(transaction, id, profile);
  await replaceCapacity(transaction, id, profile.capacity, week);
}

/** @throws AccountError `NOT_FOUND` */
export async function manufacturerById(database: Pick<PlatformDatabase, 'selectFrom'>, id: number): Promise<Manufacturer> {
  const manufacturer = await database.selectFrom('manufacturers').selectAll().where('id', '=', id).executeTakeFirst();
  if (manufacturer === undefined) throw noManufacturer();
  return manufacturer;
}

/**
 * The document as it is now, and the minutes of accepted work in its weeks.
 *
 * @param week the ISO week that it is; those before it are left out
 */
export async function profileOf(
  database: Pick<PlatformDatabase, 'selectFrom'>,
  manufacturer: Manufacturer,
  week: string,
): Promise<{ readonly profile: ManufacturerProfile; readonly booked: readonly WeekCapacity[] }> {
  const { id } = manufacturer;
  const machines = await database
    .selectFrom('manufacturer_machines')
    .select(['process', 'name', 'minutes_a_day as minutesADay'])
    .where('manufacturer_id', '=', id)
    .orderBy('id')
    .execute();
  const closures = await database
    .selectFrom('manufacturer_closures')
    .select('day')
    .where('manufacturer_id', '=', id)
    .orderBy('day')
    .execute();
  const capacity = await database
    .selectFrom('capacity')
    .selectAll()
    .where('manufacturer_id', '=', id)
    .where('week', '>=', week)
    .orderBy('process')
    .orderBy('week')
    .execute();
  return {
    profile: {
      name: manufacturer.name,
      country: manufacturer.country,
      latitude: manufacturer.latitude,
      longitude: manufacturer.longitude,
      timeZone: manufacturer.time_zone,
      leadDays: manufacturer.lead_days,
      exportCountries: manufacturer.export_countries,
      active: manufacturer.active,
      processes: await processesOf(database, id),
      machines,
      certificates: await certificatesOf(database, id),
      closures: closures.map(({ day }) => day),
      capacity: capacity.map(({ process, week, total_minutes }) => ({ process, week, minutes: total_minutes })),
    },
    booked: capacity
      .filter(({ booked_minutes }) => booked_minutes > 0)
      .map(({ process, week, booked_minutes }) => ({ process, week, minutes: booked_minutes })),
  };
}

export async function processesOf(
  database: Pick<PlatformDatabase, 'selectFrom'>,
  manufacturer: number,
): Promise<readonly OfferedProcess[]> {
  const rows = await database
    .selectFrom('manufacturer_processes')
    .selectAll()
    .where('manufacturer_id', '=', manufacturer)
    .orderBy('process')
    .orderBy('currency')
    .execute();
  const processes = new Map<string, OfferedProcess>();
  for (const row of rows) {
    const price = {
      currency: row.currency,
      setupMinor: row.setup_minor,
      hourMinor: row.hour_minor,
      unitMinor: row.unit_minor,
      minimumMinor: row.minimum_minor,
    };
    const known = processes.get(row.process) ?? {
      process: row.process,
      prices: [],
      largestQuantity: row.largest_quantity,
      materials: row.material_factors,
    };
    processes.set(row.process, { ...known, prices: [...known.prices, price] });
  }
  return [...processes.values()];
}

export function certificatesOf(
  database: Pick<PlatformDatabase, 'selectFrom'>,
  manufacturer: number,
): Promise<ManufacturerProfile['certificates']> {
  return database
    .selectFrom('manufacturer_certificates')
    .select(['name', 'valid_until as validUntil'])
    .where('manufacturer_id', '=', manufacturer)
    .orderBy('name')
    .execute();
}

function rowOf(profile: ManufacturerProfile) {
  return {
    name: profile.name,
    country: profile.country,
    latitude: profile.latitude,
    longitude: profile.longitude,
    time_zone: profile.timeZone,
    lead_days: profile.leadDays,
    export_countries: profile.exportCountries,
    active: profile.active,
  };
}

/** A row for each process and currency. */
export function processRows(manufacturer_id: number, processes: readonly OfferedProcess[]) {
  return processes.flatMap(({ process, prices, largestQuantity, materials }) =>
    prices.map((price) => ({
      manufacturer_id,
      process,
      currency: price.currency,
      setup_minor: price.setupMinor,
      hour_minor: price.hourMinor,
      unit_minor: price.unitMinor,
      minimum_minor: price.minimumMinor,
      largest_quantity: largestQuantity,
      material_factors: JSON.stringify(materials),
    })),
  );
}

/** All but the capacity. */
async function storeParts(transaction: PlatformTransaction, manufacturer_id: number, profile: ManufacturerProfile): Promise<void> {
  await insert(transaction, 'manufacturer_processes', processRows(manufacturer_id, profile.processes));
  await insert(
    transaction,
    'manufacturer_machines',
    profile.machines.map(({ process, name, minutesADay }) => ({ manufacturer_id, process, name, minutes_a_day: minutesADay })),
  );
  await insert(
    transaction,
    'manufacturer_certificates',
    profile.certificates.map(({ name, validUntil }) => ({ manufacturer_id, name, valid_until: validUntil })),
  );
  await insert(
    transaction,
    'manufacturer_closures',
    profile.closures.map((day) => ({ manufacturer_id, day })),
  );
}

async function replaceCapacity(
  transaction: PlatformTransaction,
  manufacturer: number,
  capacity: readonly WeekCapacity[],
  week: string,
): Promise<void> {
  const there = await transaction
    .selectFrom('capacity')
    .selectAll()
    .where('manufacturer_id', '=', manufacturer)
    // As those do who book.
    .orderBy('process')
    .orderBy('week')
    .forUpdate()
    .execute();
  const wanted = new Map(capacity.map((one) => [keyOf(one), one.minutes]));
  const tooLow = there.find((row) => row.booked_minutes > (wanted.get(keyOf(row)) ?? (row.week < week ? row.booked_minutes : 0)));
  if (tooLow !== undefined) {
    throw new AccountError('BELOW_BOOKED', `${tooLow.booked_minutes} minutes of ${tooLow.process} are booked in ${tooLow.week}`);
  }
  for (const row of there) {
    if (wanted.has(keyOf(row)) || row.week < week) continue;
    await transaction
      .deleteFrom('capacity')
      .where('manufacturer_id', '=', manufacturer)
      .where('process', '=', row.process)
      .where('week', '=', row.week)
      .execute();
  }
  await storeCapacity(transaction, manufacturer, capacity);
}

async function storeCapacity(transaction: PlatformTransaction, manufacturer_id: number, capacity: readonly WeekCapacity[]): Promise<void> {
  if (capacity.length === 0) return;
  await transaction
    .insertInto('capacity')
    .values(capacity.map(({ process, week, minutes }) => ({ manufacturer_id, process, week, total_minutes: minutes })))
    .onConflict((conflict) =>
      conflict.columns(['manufacturer_id', 'process', 'week']).doUpdateSet({ total_minutes: sql<number>`excluded.total_minutes` }),
    )
    .execute();
}

function keyOf({ process, week }: Pick<Selectable<CapacityTable>, 'process' | 'week'>): string {
  return `${week} ${process}`;
}

async function insert<Table extends keyof PlatformTables>(
  transaction: PlatformTransaction,
  table: Table,
  rows: readonly Insertable<PlatformTables[Table]>[],
): Promise<void> {
  if (rows.length > 0) await transaction.insertInto(table).values(rows).execute();
}

function noManufacturer(): AccountError {
  return new AccountError('NOT_FOUND', 'there is no such manufacturer');
}
