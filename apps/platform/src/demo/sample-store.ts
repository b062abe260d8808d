/** Puts sample data into an empty database, in one transaction and some thousand rows a statement. */
import { type Insertable, sql } from 'kysely';
import { processRows } from '../accounts/manufacturer-profiles.ts';
import type { PlatformDatabase } from '../database/database.ts';
import type { PlatformTables } from '../database/tables.ts';
import type { PlatformTransaction } from '../orders/orders.ts';
import { type SampleData, type SampleUser, sampleStaff } from './sample-data.ts';

/** There is data already, which sample data must not get between. */
export class NotEmptyError extends Error {
  override readonly name = 'NotEmptyError';
  readonly code = 'NOT_EMPTY';
}

export interface StoredSamples {
  readonly buyers: number;
  readonly manufacturers: number;
  readonly orders: number;
  /** The id of the first order; those of the others follow it, in their order. */
  readonly firstOrder: number | undefined;
}

/** Postgres takes 65,535 values in a statement. */
const valuesAtOnce = 60_000;

/**
 * @param progress told how many orders are there
 * @throws NotEmptyError
 */
export async function storeSamples(
  database: PlatformDatabase,
  data: SampleData,
  progress: (orders: number) => void = () => undefined,
): Promise<StoredSamples> {
  return database.transaction().execute(async (transaction) => {
    await sql`lock table platform.users in exclusive mode`.execute(transaction);
    if ((await transaction.selectFrom('users').select('id').limit(1).executeTakeFirst()) !== undefined) {
      throw new NotEmptyError('the database has users already; sample data goes into an empty one');
    }
    const buyers = await storeUsers(transaction, data.buyers);
    await storeUsers(transaction, [data.staff]);
    await storeManufacturers(transaction, data);
    const orders = await storeOrders(transaction, data, buyers, progress);
    return { buyers: buyers.length, manufacturers: data.manufacturers.length, orders: orders.length, firstOrder: orders[0] };
  });
}

/** Whether a database holds sample data. */
export async function holdsSamples(database: PlatformDatabase): Promise<boolean> {
  return (await database.selectFrom('users').select('id').where('email', '=', sampleStaff.email).executeTakeFirst()) !== undefined;
}

function storeUsers(transaction: PlatformTransaction, users: readonly SampleUser[]): Promise<readonly number[]> {
  return insert(
    transaction,
    'users',
    users.map(({ role, name, email, address, country, vatId }) => ({
      role,
      name,
      email,
      address,
      country,
      vat_id: vatId ?? null,
      vat_id_checked_at: vatId === undefined ? null : new Date(),
    })),
  );
}

async function storeManufacturers(transaction: PlatformTransaction, { manufacturers }: SampleData): Promise<void> {
  const users = await storeUsers(
    transaction,
    manufacturers.map(({ user }) => user),
  );
  const ids = await insert(
    transaction,
    'manufacturers',
    manufacturers.map((one, place) => ({
      user_id: users[place] as number,
      name: one.name,
      country: one.country,
      latitude: one.latitude,
      longitude: one.longitude,
      time_zone: one.timeZone,
      lead_days: one.leadDays,
      export_countries: one.exportCountries,
      rating_sum: one.ratings.reduce((sum, rating) => sum + rating, 0),
      rating_count: one.ratings.length,
      delivered: one.delivered,
      delivered_in_time: one.deliveredInTime,
    })),
  );
  const each = <Row>(rows: (one: SampleData['manufacturers'][number], id: number) => readonly Row[]) =>
    manufacturers.flatMap((one, place) => rows(one, ids[place] as number));
  await insert(
    transaction,
    'manufacturer_processes',
    each(({ processes }, manufacturer_id) => processRows(manufacturer_id, processes)),
  );
  await insert(
    transaction,
    'manufacturer_machines',
    each(({ processes }, manufacturer_id) =>
      processes.flatMap(({ process, machines }) =>
        machines.map(({ name, minutesADay }) => ({ manufacturer_id, process, name, minutes_a_day: minutesADay })),
      ),
    ),
  );
  await insert(
    transaction,
    'manufacturer_certificates',
    each(({ certificates }, manufacturer_id) =>
      certificates.map(({ name, validUntil }) => ({ manufacturer_id, name, valid_until: validUntil })),
    ),
  );
  await insert(
    transaction,
    'manufacturer_closures',
    each(({ closures }, manufacturer_id) => closures.map((day) => ({ manufacturer_id, day }))),
  );
  await insert(
    transaction,
    'capacity',
    each(({ capacity }, manufacturer_id) =>
      capacity.map(({ process, week, minutes }) => ({ manufacturer_id, process, week, total_minutes: minutes })),
    ),
  );
}

function storeOrders(
  transaction: PlatformTransaction,
  { orders }: SampleData,
  buyers: readonly number[],
  progress: (orders: number) => void,
): Promise<readonly number[]> {
  return insert(
    transaction,
    'orders',
    orders.map((one) => ({
      buyer_id: buyers[one.buyer] as number,
      mode: one.mode,
      title: one.title,
      process: one.process,
      material: one.material,
      quantity: one.quantity,
      minutes: one.minutes,
      certificates: one.certificates,
      export_countries: one.exportCountries ?? null,
      due_on: one.dueOn,
      country: one.country,
      latitude: one.latitude,
      longitude: one.longitude,
      currency: one.currency,
      budget_minor: null,
      payment_method: one.paymentMethod,
      reference: one.reference,
      manufacturer_id: null,
      price_minor: null,
    })),
    progress,
  );
}

/** @returns the ids that were given, where the table gives any */
async function insert<Table extends keyof PlatformTables>(
  transaction: PlatformTransaction,
  table: Table,
  rows: readonly Insertable<PlatformTables[Table]>[],
  progress: (rows: number) => void = () => undefined,
): Promise<readonly number[]> {
  const [first] = rows;
  if (first === undefined) return [];
  const atOnce = Math.floor(valuesAtOnce / Object.keys(first).length);
  const ids: number[] = [];
  for (let from = 0; from < rows.length; from += atOnce) {
    const made = await transaction
      .insertInto(table)
      .values(rows.slice(from, from + atOnce))
      .returningAll()
      .execute();
    for (const row of made as readonly { readonly id?: number }[]) if (row.id !== undefined) ids.push(row.id);
    progress(Math.min(rows.length, from + atOnce));
  }
  return ids;
}
