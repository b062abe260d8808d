/** The specification's examples of payments and orders, as it writes them: what they ask for is done. Those of mail are in email/email-tasks.test.ts. */
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startPostgres, type TestPostgres } from '../test/database.ts';
import { newManufacturer, newOrder, newUser } from '../test/marketplace.ts';
import { startTestPlatform, type TestPlatform } from '../test/platform.ts';
import { addDays, dayIn } from './calendar/business-days.ts';
import { nextWeek, weekOf } from './calendar/iso-week.ts';

let postgres: TestPostgres;
let platform: TestPlatform;
beforeAll(async () => {
  postgres = await startPostgres();
  platform = await startTestPlatform(postgres);
  await platform.startWorker();
});
afterAll(async () => {
  await platform.stop();
  await postgres.stop();
});

const today = dayIn('UTC', new Date());

/** The next one that is made has this id. */
const nextId = (table: 'users' | 'orders', id: number) =>
  sql`alter table ${sql.table(`platform.${table}`)} alter column id restart with ${sql.lit(id)}`.execute(platform.database);

it('a payment is processed', async () => {
  const { database, tasks, sandbox } = platform;
  await nextId('users', 789);
  await nextId('orders', 456);
  const buyer = await newUser(database);
  const { id: manufacturer_id } = await newManufacturer(database);
  const order = await newOrder(database, { buyer_id: buyer, manufacturer_id, currency: 'USD', price_minor: 10_000 });
  await database.updateTable('orders').set({ state: 'awarded' }).where('id', '=', order).execute();

  const handle = await tasks.processPayment.delay({
    amount: 100.0,
    currency: 'USD',
    payment_method_id: 'pm_123',
    order_id: 456,
    user_id: 789,
  });
  expect(await handle.result()).toMatchObject({ status: 'captured' });
  expect(sandbox.ledger.totals().get('USD')).toMatchObject({ captured: 10_000 });
});

it('an order is matched', async () => {
  const { database, tasks } = platform;
  await nextId('orders', 123);
  const weeks = Array.from({ length: 8 }).reduce<string[]>((all) => [...all, nextWeek(all.at(-1) ?? weekOf(today))], [weekOf(today)]);
  const maker = await newManufacturer(database, { weeks });
  await newOrder(database, { due_on: addDays(today, 45) });
  await database.updateTable('orders').set({ state: 'submitted' }).where('id', '=', 123).execute();

  const handle = await tasks.matchOrders.delay({ order_id: 123 });
  await handle.result();
  const offers = await database.selectFrom('offers').select('manufacturer_id').where('order_id', '=', 123).execute();
  expect(offers).toEqual([{ manufacturer_id: maker.id }]);
});
