import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPostgres, type TestPostgres } from '../../test/database.ts';
import { newUser } from '../../test/marketplace.ts';
import { startTestPlatform, type TestPlatform } from '../../test/platform.ts';
import { storyPage } from '../http/story-page.ts';
import { startDemoOrders } from './demo-orders.ts';
import { fastClock, lastMoment } from './fast-clock.ts';
import { summarise } from './story-summary.ts';

let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.stop());

const errors: unknown[] = [];

/** A day in 0.9 s: an offer has to be taken before its day is over. */
const speed = 100_000;

const start = ({ database, tasks }: TestPlatform, now: () => number, orders = 6) =>
  startDemoOrders({
    database,
    tasks,
    now,
    zone: 'UTC',
    onError: (error) => errors.push(error),
    orders,
    postEveryMs: 20,
    roundEveryMs: 10,
  });

describe('the sample orders', { timeout: 90_000 }, () => {
  it('live from their draft to their invoice, go on after a new start, and are shown', async () => {
    const now = fastClock(Date.now(), speed);
    const platform = await startTestPlatform(postgres, { deps: { now, speed }, smtpSettings: { ratePerSecond: 10_000 } });
    try {
      const { database } = platform;
      await platform.startWorker();
      const first = await start(platform, now);
      const begun = async () => (await database.selectFrom('orders').select('id').where('state', '<>', 'draft').execute()).length;
      await expect.poll(begun, { timeout: 60_000 }).toBeGreaterThan(2);
      await first?.stop();
      const events = async () => (await database.selectFrom('order_events').select('order_id').execute()).length;
      expect(await lastMoment(database)).toBeGreaterThan(Date.now());

      const second = await start(platform, now);
      const invoices = async () => (await database.selectFrom('invoices').select('id').execute()).length;
      await expect.poll(invoices, { timeout: 60_000 }).toBeGreaterThan(2);
      await second?.stop();
      expect(errors).toEqual([]);
      expect(await database.selectFrom('orders').select('id').execute()).toHaveLength(6);

      const summary = await summarise(database);
      expect(summary.orders.reduce((sum, { count }) => sum + count, 0)).toBe(6);
      expect(summary.papers.find(({ name }) => name === 'invoice')?.count).toBeGreaterThan(2);
      expect(summary.ledger.map(({ account }) => account)).toEqual(expect.arrayContaining(['gateway', 'escrow']));
      expect(summary.events.length).toBeGreaterThan(0);
      expect(await events()).toBeGreaterThan(summary.events.length);

      const page = storyPage({ summarise: () => summarise(database), now, speed });
      const response = await page.request('/story');
      const text = await response.text();
      expect(response.status).toBe(200);
      expect(text).toContain(`time goes ${speed} times as fast`);
      expect(text).toContain('<code>ship</code>');
      const users = await database.selectFrom('users').select(['name', 'email']).execute();
      for (const { name, email } of users) expect([text.includes(name), text.includes(email)]).toEqual([false, false]);
    } finally {
      await platform.stop();
    }
  });

  it('do not get between the users of somebody else', async () => {
    const platform = await startTestPlatform(postgres);
    try {
      await newUser(platform.database);
      expect(await start(platform, Date.now)).toBeUndefined();
      expect(await platform.database.selectFrom('orders').select('id').execute()).toEqual([]);
    } finally {
      await platform.stop();
    }
  });
});

it('its clock goes so many times as fast, from where an earlier run has come to', async () => {
  const from = Date.now() + 86_400_000;
  const now = fastClock(from, 1_000);
  const before = Date.now();
  await expect.poll(() => now() - from, { interval: 5 }).toBeGreaterThan(10_000);
  expect(now() - from).toBeLessThanOrEqual((Date.now() - before + 50) * 1_000);
});
