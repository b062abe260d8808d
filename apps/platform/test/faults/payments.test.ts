/**
 * Payments by a provider that answers late, twice, never, wrongly or with an error in a twentieth of the calls, before or after it has
 * done what it was asked for: nobody is charged twice, and of every payment it is known in the end what came of it.
 * TAKTLINE_LONG=1 (`npm run test:long`) makes it 10,000 payments.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { sampleRandom } from '../../src/demo/sample-random.ts';
import { balanceOf, trialBalance } from '../../src/ledger/ledger.ts';
import { startPostgres, type TestPostgres } from '../database.ts';
import { newManufacturer, newOrder, newUser } from '../marketplace.ts';
import { startTestPlatform } from '../platform.ts';

const long = process.env['TAKTLINE_LONG'] === '1';
const payments = long ? 10_000 : 300;
const timeout = long ? 3_600_000 : 120_000;

let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.stop());

it(`${payments} payments by a provider in trouble`, { timeout }, async ({ annotate, onTestFinished }) => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  const random = sampleRandom(seed).next;
  const time = { now: Date.now() };
  const platform = await startTestPlatform(postgres, {
    sandbox: { random, trouble: { rate: 0.05 } },
    deps: { now: () => time.now },
  });
  onTestFinished(() => platform.stop());
  const { database, tasks, sandbox } = platform;
  const [buyer, { id: manufacturer }] = [await newUser(database), await newManufacturer(database)];
  const first = await newOrder(database, { buyer_id: buyer, manufacturer_id: manufacturer, price_minor: 1_000 });
  for (let n = 1; n < payments; n++) await newOrder(database, { buyer_id: buyer, manufacturer_id: manufacturer, price_minor: 1_000 + n });
  await database.updateTable('orders').set({ state: 'awarded' }).execute();
  const orders = await database.selectFrom('orders').select(['id', 'price_minor']).where('id', '>=', first).execute();
  await platform.startWorker();
  await tasks.processPayment.enqueueMany(
    orders.map(({ id, price_minor }) => ({
      amount: (price_minor ?? 0) / 100,
      currency: 'EUR',
      payment_method_id: 'pm_card_visa',
      order_id: id,
      user_id: buyer,
    })),
  );
  /** Every job has ended; a payment that they have left behind is found half an hour later. */
  const open = async () => (await database.selectFrom('payments').select('id').where('status', '<>', 'captured').execute()).length;
  const busy = async () =>
    (await platform.app.inspector.queues()).reduce(
      (sum, { name, ready, scheduled, running }) => sum + (name.startsWith('payment') ? ready + scheduled + running : 0),
      0,
    );
  await expect.poll(busy, { timeout, interval: 200 }).toBe(0);
  let rounds = 0;
  const left = [await open()];
  while ((await open()) > 0) {
    expect(rounds++).toBeLessThan(20);
    time.now += 31 * 60_000;
    await (await tasks.retryFailedPayments.delay({})).result({ timeout: '60s' });
    await expect.poll(busy, { timeout, interval: 200 }).toBe(0);
    left.push(await open());
  }
  const charged = (await database.selectFrom('payments').selectAll().execute()).length;
  const captured = sandbox.ledger.totals().get('EUR')?.captured;
  await annotate(`seed ${seed}; ${sandbox.calls()} calls; open after each round: ${left.join(', ')}`);
  expect(charged).toBe(payments);
  expect(sandbox.ledger.doubleCharges()).toEqual([]);
  expect(captured).toBe(orders.reduce((sum, { price_minor }) => sum + (price_minor ?? 0), 0));
  expect((await balanceOf(database, 'gateway', 'EUR')).minor).toBe(captured);
  expect(await trialBalance(database)).toEqual({ EUR: 0 });
});
