/**
 * Orders that are written with their jobs, while clients, relays, workers and the broker are killed, workers are frozen beyond
 * their lease, and Redis is emptied: each committed order has its jobs run to an end, each rolled-back one none, no effect is made
 * twice, and what is lost is reported. TAKTLINE_LONG=1 (`npm run test:long`) makes it 100,000 orders and three times of emptiness.
 */
import { describe, expect, it, type TestContext } from 'vitest';
import { numbers } from '../conformance/test-worker.ts';
import { OwnServer } from '../support/own-server.ts';
import { describeWithRedisServers } from '../support/redis/needs-redis.ts';
import { OwnRedis } from '../support/redis/own-redis.ts';
import { type BrokerServer, Shop } from './shop.ts';

const long = process.env['TAKTLINE_LONG'] === '1';
const orders = long ? 100_000 : 1_500;
const everyMs = long ? 2_000 : 700;
const timeout = long ? 3_600_000 : 180_000;
const restMs = long ? 1_200_000 : 100_000;
const emptied = long ? 3 : 1;

async function postgres({ onTestFinished }: TestContext): Promise<OwnServer> {
  const server = await OwnServer.make();
  onTestFinished(() => server.remove());
  return server;
}

async function redis({ onTestFinished }: TestContext): Promise<OwnRedis> {
  const server = await OwnRedis.make({ config: ['appendonly yes', 'appendfsync always'] });
  onTestFinished(() => server.remove());
  return server;
}

const of = (server: OwnServer | OwnRedis): BrokerServer => ({
  url: server.url(),
  crash: () => server.crash(),
  start: () => server.start(),
});

async function throughTrouble(test: TestContext, broker: BrokerServer, database: OwnServer): Promise<void> {
  const seed = Math.floor(Math.random() * 2 ** 31);
  const shop = await Shop.open(test, { broker, database, random: numbers(seed) });
  await shop.trouble({ orders, everyMs });
  await shop.rests(restMs);
  const ledger = await shop.ledger();
  await test.annotate(`seed ${seed}; ${shop.faults.length} faults; ${JSON.stringify(ledger)}`);
  expect({ ...ledger, orders: undefined }, shop.complaints).toEqual({ missing: { charge: 0, mail: 0 }, doubled: 0, strangers: 0, dead: 0 });
  expect(ledger.orders).toBeGreaterThanOrEqual(orders);
  expect(shop.faults.length).toBeGreaterThan(3);
}

describe(`${orders} orders with two jobs each, through kills and freezes`, { timeout }, () => {
  it('directly, on a Postgres broker', async (test) => {
    const server = await postgres(test);
    await throughTrouble(test, of(server), server);
  });

  it.runIf(long)('by the outbox, on a Postgres broker elsewhere', async (test) => {
    const [database, broker] = await Promise.all([postgres(test), postgres(test)]);
    await throughTrouble(test, of(broker), database);
  });

  describeWithRedisServers('by the outbox', () => {
    it('on Redis', async (test) => {
      const [database, broker] = await Promise.all([postgres(test), redis(test)]);
      await throughTrouble(test, of(broker), database);
    });

    it(`on Redis, which is emptied ${emptied} times as well`, async (test) => {
      const [database, broker] = await Promise.all([postgres(test), redis(test)]);
      const seed = Math.floor(Math.random() * 2 ** 31);
      const random = numbers(seed);
      const shop = await Shop.open(test, { broker: of(broker), database, random });
      const moments = Array.from({ length: emptied }, (_, at) => (orders * (at + 0.2 + 0.6 * random())) / emptied);
      const reported: string[] = [];
      let lost = 0;
      const reconcile = async (): Promise<void> => {
        const { queues, lostElsewhere } = await shop.app.outbox.reconcile();
        lost += lostElsewhere.find(({ queue }) => queue === 'mail')?.atMost ?? 0;
        reported.push(`charge ${queues.find(({ queue }) => queue === 'charge')?.lost} put back, mail ${JSON.stringify(lostElsewhere)}`);
      };
      await shop.trouble({
        orders,
        everyMs,
        async also(there) {
          if (there < (moments[0] ?? Number.POSITIVE_INFINITY)) return;
          moments.shift();
          shop.faults.push('emptied');
          await broker.ask('FLUSHALL');
          await reconcile();
        },
      });
      await shop.rests(restMs);
      const ledger = await shop.ledger();
      await test.annotate(`seed ${seed}; ${shop.faults.length} faults; ${reported.join('; ')}; ${JSON.stringify(ledger)}`);
      expect({ ...ledger, orders: undefined, missing: ledger.missing.charge }, shop.complaints).toEqual({
        missing: 0,
        doubled: 0,
        strangers: 0,
        dead: 0,
      });
      expect(ledger.missing.mail).toBeLessThanOrEqual(lost);
      expect(shop.faults.filter((fault) => fault === 'emptied')).toHaveLength(emptied);
    });
  });
});
