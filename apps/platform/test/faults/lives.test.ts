/**
 * Orders through their whole life, from the draft to the payout, on both brokers: declined cards, refused parts, disputes, people who
 * have to be reminded and a provider in trouble among them, while the worker processes and their relays are killed at random. In the end
 * every order is at its end, by legal steps; the ledger is in balance and has what the provider has; no mail is lost, and none is sent
 * twice but by a connection to the mail server that a kill has cut. TAKTLINE_LONG=1 makes it 10,000 orders on each broker, or LIVES_ORDERS.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest';
import { describeWithRedisServers } from '../../../../packages/taktline/test/support/redis/needs-redis.ts';
import { OwnRedis } from '../../../../packages/taktline/test/support/redis/own-redis.ts';
import { dayIn } from '../../src/calendar/business-days.ts';
import { sampleData } from '../../src/demo/sample-data.ts';
import { sampleRandom } from '../../src/demo/sample-random.ts';
import { storeSamples } from '../../src/demo/sample-store.ts';
import { startPostgres, type TestPostgres } from '../database.ts';
import { startTestPlatform, type TestPlatform } from '../platform.ts';
import { doubledMails, illegalLives, lostMails, withoutEnd, wrongInvoices, wrongMoney, wrongRecords } from './lives-checks.ts';
import { People, withAskingBanks } from './lives-people.ts';
import { LivesWorkers } from './lives-workers.ts';

const long = process.env['TAKTLINE_LONG'] === '1';
const count = Number(process.env['LIVES_ORDERS'] ?? (long ? 10_000 : 16));
const timeout = 300_000 + count * 800;
/** Between two kills. A process that has just begun works slowly: of very many orders fewer would come to their end in a minute. */
const everyMs = long ? ([8_000, 20_000] as const) : ([2_000, 5_000] as const);
const dayMs = 86_400_000;
/** Days pass one by one while quotes, offers and payments run out, and then by weeks, until everybody's time is over. */
const days = [...Array.from({ length: 9 }, () => 1), ...Array.from({ length: 15 }, () => 7)];

let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.stop());

/** How many orders are in which state. */
async function statesOf({ database }: TestPlatform): Promise<Readonly<Record<string, number>>> {
  const rows = await database
    .selectFrom('orders')
    .select(({ fn }) => ['state', fn.countAll<number>().as('n')])
    .groupBy('state')
    .orderBy('state')
    .execute();
  return Object.fromEntries(rows.map(({ state, n }) => [state, n]));
}

/** Nothing runs, waits or is about to be tried again. Each offer has a job in a day, which is of no account. */
async function isQuiet({ app, database }: TestPlatform): Promise<boolean> {
  const queues = await app.inspector.queues();
  const { waiting } = await app.outbox.lag();
  const { offers } = await database
    .selectFrom('offers')
    .select(({ fn }) => fn.countAll<number>().as('offers'))
    .executeTakeFirstOrThrow();
  const sum = (of: 'ready' | 'running' | 'scheduled') => queues.reduce((total, queue) => total + queue[of], 0);
  return waiting + sum('ready') + sum('running') === 0 && sum('scheduled') === offers;
}

/** What the schedules enqueue: what one of them has left undone, the next one does. */
function ticks({ tasks }: TestPlatform) {
  return [tasks.retryFailedPayments, tasks.processPendingOrders, tasks.sendOrderReminders, tasks.retryFailed];
}

/**
 * What waits for a person. A tick whose worker was killed three times while nothing else ran beside it is taken for one that kills its
 * worker: with a kill every few seconds that may happen to those of very many orders, which run for long.
 */
async function deadLetters(platform: TestPlatform): Promise<readonly string[]> {
  const { items } = await platform.app.inspector.deadLetters.list();
  return items
    .filter(({ task, code }) => !(code === 'POISON_JOB' && ticks(platform).some(({ name }) => name === task)))
    .map(({ task, code, message, attempts }) => [task, code, message, ...attempts.map(({ outcome }) => outcome)].join(', '));
}

async function throughTheirLives({ annotate, onTestFinished }: TestContext, redisUrl?: string): Promise<void> {
  const seed = Math.floor(Math.random() * 2 ** 31);
  await annotate(`seed ${seed}`);
  const begun = performance.now();
  let aheadMs = 0;
  const now = () => Date.now() + aheadMs;
  const platform = await startTestPlatform(postgres, {
    smtp: {
      idsOnly: true,
      options: {
        disabledCommands: ['STARTTLS'],
        allowInsecureAuth: true,
        onAuth: ({ username }, _session, done) => done(null, { user: username }),
      },
    },
    sandbox: { random: sampleRandom(seed).next, trouble: { rate: 0.02 } },
    deps: { now },
    ...(redisUrl === undefined ? {} : { brokerUrl: redisUrl }),
  });
  onTestFinished(() => platform.stop());
  const { database, tasks, sandbox, smtp, app } = platform;
  const data = sampleData({ orders: count, seed, from: dayIn('UTC', new Date()) });
  const orders = withAskingBanks(data.orders);
  await storeSamples(database, { ...data, orders });
  const people = new People({ platform, orders, now });
  const workers = new LivesWorkers({
    platform,
    brokerUrl: redisUrl ?? platform.url,
    random: sampleRandom(seed + 1),
    workers: 3,
    everyMs,
    lease: long ? '10s' : '2s',
  });
  onTestFinished(() => workers.stop());
  await workers.start();
  const over = new AbortController();
  const trouble = workers.trouble(over.signal);
  onTestFinished(() => over.abort());

  /** Until nothing moves any more, and nobody has anything to do. */
  async function rest(): Promise<void> {
    for (let quiet = 0; quiet < 3; ) {
      const asked = performance.now();
      const done = await people.round(200);
      quiet = done === 0 && (await isQuiet(platform)) ? quiet + 1 : 0;
      expect(workers.crashes).toEqual([]);
      // To look at all orders takes its time: most of it is the workers'.
      if (done === 0) await sleep(Math.max(50, 4 * (performance.now() - asked)));
    }
  }

  /** What the schedules do; twice, as after a change of their leader. The jobs that wait for the broker's clock do not run. */
  async function pass(days: number): Promise<void> {
    aheadMs += days * dayMs;
    workers.goAhead(aheadMs);
    for (const _ of [1, 2]) for (const tick of ticks(platform)) await tick.delay({});
  }

  let passed = 0;
  for (let before = ''; ; ) {
    await rest();
    const states = JSON.stringify(await statesOf(platform));
    const open = await withoutEnd(database);
    // Days that have changed nothing were the last ones.
    if (open.length === 0 && states === before) break;
    const next = days[passed];
    if (next === undefined)
      throw new Error(`orders come to no end:\n${open.join('\n')}\n${await deadLetters(platform)}\n${workers.logs()}`);
    before = states;
    passed += 1;
    await pass(next);
  }
  over.abort();
  await trouble;
  const from = Date.now() - dayMs;
  const reconciled = await tasks.reconcilePayments.delay({ from, till: Date.now() + dayMs });
  await reconciled.result({ timeout: timeout / 2 });
  await rest();

  const { kills, cut, crashes } = workers;
  const doubled = doubledMails(smtp.ids);
  const notLast = doubled.filter(({ since }) => since > 0).length;
  await annotate(
    [
      `${JSON.stringify(await statesOf(platform))} after ${Math.round(aheadMs / dayMs)} days and ${Math.round(performance.now() - begun)} ms`,
      `${kills} kills, which have cut ${cut.size} connections; ${workers.mistaken} times a worker that lived was taken for dead; ${sandbox.calls()} calls; ${smtp.ids.length} mails, ${doubled.length} of them again, ${notLast} of which were not the last on their connection`,
    ].join('; '),
  );
  expect.soft(await deadLetters(platform)).toEqual([]);
  expect.soft(await withoutEnd(database)).toEqual([]);
  expect.soft(await illegalLives(database)).toEqual([]);
  expect.soft(await wrongMoney(database, sandbox)).toEqual([]);
  expect.soft(await wrongInvoices(database)).toEqual([]);
  expect.soft(await wrongRecords(database)).toEqual([]);
  expect.soft(await lostMails(database, smtp.ids)).toEqual([]);
  expect.soft(doubled.filter(({ connection }) => !cut.has(connection))).toEqual([]);
  expect.soft(doubled.length).toBeLessThanOrEqual(cut.size);
  expect.soft((await app.outbox.lag()).kept).toBe(0);
  expect.soft(crashes).toEqual([]);
  expect.soft(kills).toBeGreaterThan(2);
}

describe(`${count} orders from their draft to their end, while their workers are killed`, { timeout }, () => {
  it('on Postgres', (test) => throughTheirLives(test));

  describeWithRedisServers('on another broker', () => {
    it('on Redis', async (test) => {
      const redis = await OwnRedis.make();
      test.onTestFinished(() => redis.remove());
      await throughTheirLives(test, redis.url());
    });
  });
});
