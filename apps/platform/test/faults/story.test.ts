/**
 * Sample orders through their whole life: declined cards, refused parts and disputes among them, by a provider in trouble. In the end
 * every order is at its end, the ledger is in balance and has what the provider has, and nobody was charged or told twice.
 * TAKTLINE_LONG=1 makes it 10,000 orders.
 */
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { dayIn } from '../../src/calendar/business-days.ts';
import { sampleData } from '../../src/demo/sample-data.ts';
import { sampleRandom } from '../../src/demo/sample-random.ts';
import { storeSamples } from '../../src/demo/sample-store.ts';
import { Story } from '../../src/demo/story.ts';
import { trialBalance } from '../../src/ledger/ledger.ts';
import { startPostgres, type TestPostgres } from '../database.ts';
import { startTestPlatform } from '../platform.ts';

const long = process.env['TAKTLINE_LONG'] === '1';
const count = long ? 10_000 : 150;
const timeout = long ? 3_600_000 : 180_000;

let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.stop());

it(`${count} orders from their draft to their end`, { timeout }, async ({ annotate, onTestFinished }) => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  const time = { now: Date.now() };
  const platform = await startTestPlatform(postgres, {
    sandbox: { random: sampleRandom(seed).next, trouble: { rate: 0.02 } },
    smtpSettings: { ratePerSecond: 10_000 },
    deps: { now: () => time.now },
  });
  onTestFinished(() => platform.stop());
  const { database, tasks, sandbox, app } = platform;
  const data = sampleData({ orders: count, seed, from: dayIn('UTC', new Date()) });
  const { firstOrder = 1 } = await storeSamples(database, data);
  await platform.startWorker();
  const story = new Story({ database, tasks, troubleOf: ({ id }) => data.orders[id - firstOrder]?.trouble });

  const states = async (): Promise<Readonly<Record<string, number>>> =>
    Object.fromEntries(
      (
        await database
          .selectFrom('orders')
          .select(['state', sql<number>`count(*)`.as('n')])
          .groupBy('state')
          .execute()
      ).map(({ state, n }) => [state, n]),
    );
  /** Offers have jobs that are due in a day: those do not count. */
  const busy = async () => (await app.inspector.queues()).reduce((sum, { ready, running }) => sum + ready + running, 0);
  const over = async () => {
    const { closed = 0, cancelled = 0, submitted = 0 } = await states();
    return closed + cancelled + submitted;
  };
  let quiet = 0;
  while ((await over()) < count) {
    const done = await story.round(500);
    const working = await busy();
    quiet = done === 0 && working <= 1 ? quiet + 1 : 0;
    // Nobody can do anything any more: the next day comes, for what is to be tried again and for what has expired.
    if (quiet >= 3) {
      time.now += 86_400_000;
      await tasks.retryFailedPayments.delay({});
      await tasks.processPendingOrders.delay({});
      quiet = 0;
    }
    expect(time.now, JSON.stringify(await states())).toBeLessThan(Date.now() + 60 * 86_400_000);
  }
  await expect.poll(async () => (await busy()) === 0, { timeout, interval: 100 }).toBe(true);

  const left = await states();
  const totals = sandbox.ledger.totals();
  await annotate(`seed ${seed}; ${JSON.stringify(left)}; ${sandbox.calls()} calls; ${platform.smtp.mails.length} mails`);
  expect(Object.values(await trialBalance(database)).filter((sum) => sum !== 0)).toEqual([]);
  expect(sandbox.ledger.doubleCharges()).toEqual([]);
  for (const [currency, { captured, refunded }] of totals) {
    const { sum } = await database
      .selectFrom('ledger_entries')
      .select(sql<number>`coalesce(sum(amount_minor), 0)::bigint`.as('sum'))
      .where('account', '=', 'gateway')
      .where('currency', '=', currency)
      .executeTakeFirstOrThrow();
    expect([currency, sum]).toEqual([currency, captured - refunded]);
  }
  // Of what is closed nothing is held back; of nothing is more booked than there is.
  const { rows: held } =
    await sql`select account from platform.ledger_entries where account like 'escrow:%' group by account, currency having sum(amount_minor) <> 0`.execute(
      database,
    );
  expect(held).toEqual([]);
  const ids = platform.smtp.mails.map(({ parsed }) => parsed.messageId);
  expect(new Set(ids).size).toBe(ids.length);
  expect((await app.inspector.queues()).reduce((sum, { dead }) => sum + dead, 0)).toBe(0);
  const { rows: versions } = await sql<{ wrong: number }>`
    select count(*) as wrong from platform.orders o where o.version <> (select count(*) from platform.order_events e where e.order_id = o.id)`.execute(
    database,
  );
  expect(versions[0]?.wrong).toBe(0);
});
