/** Users, manufacturers and orders for tests, with values that a test need not care about. */
import { randomUUID } from 'node:crypto';
import type { Insertable, Updateable } from 'kysely';
import type { PlatformDatabase } from '../src/database/database.ts';
import type { ManufacturersTable, OffersTable, OrdersTable, UserRole } from '../src/database/marketplace-tables.ts';
import type { PaymentsTable } from '../src/database/money-tables.ts';

export async function newUser(
  database: PlatformDatabase,
  role: UserRole = 'buyer',
  email = `${randomUUID()}@example.com`,
): Promise<number> {
  const { id } = await database
    .insertInto('users')
    .values({ role, name: 'Ann Baker', email, address: ['1 High Street', 'Leeds'], country: 'GB', vat_id: null })
    .returning('id')
    .executeTakeFirstOrThrow();
  return id;
}

/** One who turns steel, with a machine's worth of time in each of the weeks. */
export async function newManufacturer(
  database: PlatformDatabase,
  { weeks = [], ...values }: Partial<Insertable<ManufacturersTable>> & { readonly weeks?: readonly string[] } = {},
): Promise<{ readonly id: number; readonly user: number }> {
  const user = values.user_id ?? (await newUser(database, 'manufacturer'));
  const { id } = await database
    .insertInto('manufacturers')
    .values({
      name: 'Turners Ltd',
      country: 'GB',
      latitude: 53.8,
      longitude: -1.55,
      time_zone: 'Europe/London',
      lead_days: 3,
      ...values,
      user_id: user,
    })
    .returning('id')
    .executeTakeFirstOrThrow();
  await database
    .insertInto('manufacturer_processes')
    .values({
      manufacturer_id: id,
      process: 'turning',
      currency: 'EUR',
      setup_minor: 5_000,
      hour_minor: 6_000,
      unit_minor: 100,
      minimum_minor: 10_000,
      largest_quantity: 10_000,
      material_factors: JSON.stringify({ steel: 10_000 }),
    })
    .execute();
  if (weeks.length > 0) {
    await database
      .insertInto('capacity')
      .values(weeks.map((week) => ({ manufacturer_id: id, process: 'turning', week, total_minutes: 2_400 })))
      .execute();
  }
  return { id, user };
}

export async function newOrder(database: PlatformDatabase, values: Partial<Insertable<OrdersTable>> = {}): Promise<number> {
  const { id } = await database
    .insertInto('orders')
    .values({
      buyer_id: values.buyer_id ?? (await newUser(database)),
      mode: 'instant',
      title: 'Brackets',
      process: 'turning',
      material: 'steel',
      quantity: 10,
      minutes: 60,
      due_on: '2030-12-24',
      country: 'GB',
      latitude: 51.5,
      longitude: -0.13,
      currency: 'EUR',
      budget_minor: null,
      payment_method: 'pm_card_visa',
      export_countries: null,
      manufacturer_id: null,
      price_minor: null,
      ...values,
    })
    .returning('id')
    .executeTakeFirstOrThrow();
  return id;
}

/** An open offer of an order. @returns its id */
export async function newOffer(
  database: PlatformDatabase,
  values: Pick<Insertable<OffersTable>, 'order_id' | 'manufacturer_id' | 'expires_at'> & Partial<Insertable<OffersTable>>,
): Promise<number> {
  const { id } = await database
    .insertInto('offers')
    .values({ price_minor: 1_000, currency: 'EUR', process: 'turning', uses: '[]', ...values })
    .returning('id')
    .executeTakeFirstOrThrow();
  return id;
}

/** The payment of an order, as it is before the provider was asked, or as it is said to be. @returns its id */
export async function newPayment(
  database: PlatformDatabase,
  order: number,
  amountMinor: number,
  state: Updateable<PaymentsTable> = {},
): Promise<number> {
  const { buyer_id, currency } = await database.selectFrom('orders').selectAll().where('id', '=', order).executeTakeFirstOrThrow();
  const { id } = await database
    .insertInto('payments')
    .values({
      order_id: order,
      user_id: buyer_id,
      amount_minor: amountMinor,
      currency,
      authorise_only: true,
      payment_method: 'pm_card_visa',
    })
    .returning('id')
    .executeTakeFirstOrThrow();
  if (Object.keys(state).length > 0) await database.updateTable('payments').set(state).where('id', '=', id).execute();
  return id;
}

/** Says that an order was shipped, as its first event. */
export async function noteShipped(database: PlatformDatabase, order: number): Promise<void> {
  await database
    .insertInto('order_events')
    .values({
      order_id: order,
      version: 1,
      event: 'ship',
      from_state: 'inspection',
      to_state: 'shipped',
      actor: 'staff',
      actor_id: null,
      data: '{}',
    })
    .execute();
  await database.updateTable('orders').set({ version: 1 }).where('id', '=', order).execute();
}
