import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startPostgres, type TestPostgres } from '../../test/database.ts';
import { newUser } from '../../test/marketplace.ts';
import { startTestPlatform, type TestPlatform } from '../../test/platform.ts';
import { dayIn } from '../calendar/business-days.ts';
import { storyPage } from '../http/story-page.ts';
import { prepareSamples, startDemoOrders } from './demo-orders.ts';
import { fastClock, lastMoment } from './fast-clock.ts';
import { sampleData } from './sample-data.ts';
import { storeSamples } from './sample-store.ts';
import { summarise } from './story-summary.ts';

let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.stop());

const errors: unknown[] = [];
beforeEach(() => {
  errors.length = 0;
});

/** A day in 0.9 s: an offer has to be taken before its day is over. */
const speed = 100_000;

const start = ({ database, tasks }: TestPlatform, now: () => number) =>
  startDemoOrders({ database, tasks, now, speed, onError: (error) => errors.push(error) });
const dayOf = (now: () => number) => dayIn('UTC', new Date(now()));
const eventsOf = async ({ database }: TestPlatform) =>
  (await database.selectFrom('order_events').select('event').execute()).map(({ event }) => event);

describe('the sample orders', { timeout: 90_000 }, () => {
  it('live from their draft to their invoice, go on after a new start, and are shown', async () => {
    const now = fastClock(Date.now(), speed);
    const platform = await startTestPlatform(postgres, { deps: { now, speed }, smtpSettings: { ratePerSecond: 10_000 } });
    try {
      const { database } = platform;
      await platform.startWorker();
      expect(await prepareSamples(database, dayOf(now), 6)).toBe(true);
      const first = start(platform, now);
      const begun = async () => (await database.selectFrom('orders').select('id').where('state', '<>', 'draft').execute()).length;
      await expect.poll(begun, { timeout: 60_000 }).toBeGreaterThan(2);
      await first.stop();
      expect(await lastMoment(database)).toBeGreaterThan(Date.now());

      expect(await prepareSamples(database, dayOf(now), 6)).toBe(true);
      const second = start(platform, now);
      const invoices = async () => (await database.selectFrom('invoices').select('id').execute()).length;
      await expect.poll(invoices, { timeout: 60_000 }).toBeGreaterThan(2);
      await second.stop();
      expect(errors).toEqual([]);
      expect(await database.selectFrom('orders').select('id').execute()).toHaveLength(6);

      const summary = await summarise(database);
      expect(summary.orders.reduce((sum, { count }) => sum + count, 0)).toBe(6);
      expect(summary.papers.find(({ name }) => name === 'invoice')?.count).toBeGreaterThan(2);
      expect(summary.ledger.map(({ account }) => account)).toEqual(expect.arrayContaining(['gateway', 'escrow']));
      expect(summary.events.length).toBeGreaterThan(0);
      expect((await eventsOf(platform)).length).toBeGreaterThan(summary.events.length);

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

  it('that were stored by somebody else have the trouble that they were to have', async () => {
    const now = fastClock(Date.now(), speed);
    const platform = await startTestPlatform(postgres, { deps: { now, speed }, smtpSettings: { ratePerSecond: 10_000 } });
    try {
      const { database } = platform;
      const { firstOrder = 0 } = await storeSamples(database, sampleData({ orders: 1_000, from: dayOf(now), seed: 7 }));
      const disputed = sampleData({ orders: 1_000, from: dayOf(now), seed: 7 }).orders.findLastIndex(
        ({ trouble }) => trouble === 'disputed',
      );
      expect(disputed).toBeGreaterThan(300);
      await database
        .deleteFrom('orders')
        .where('id', '<>', firstOrder + disputed)
        .execute();
      await platform.startWorker();
      const playing = start(platform, now);
      await expect.poll(() => eventsOf(platform), { timeout: 60_000 }).toContain('dispute');
      await playing.stop();
      expect(errors).toEqual([]);
    } finally {
      await platform.stop();
    }
  });

  it('come before their due dates are over, however fast time goes', async () => {
    const now = fastClock(Date.now(), speed);
    const platform = await startTestPlatform(postgres, { deps: { now, speed }, smtpSettings: { ratePerSecond: 10_000 } });
    try {
      const { database } = platform;
      await prepareSamples(database, dayOf(now), 60);
      const playing = start(platform, now);
      const drafts = async () => (await database.selectFrom('orders').select('id').where('state', '=', 'draft').execute()).length;
      await expect.poll(drafts, { timeout: 60_000 }).toBe(0);
      await playing.stop();
      const late = await database
        .selectFrom('orders')
        .innerJoin('order_events', 'order_events.order_id', 'orders.id')
        .select('orders.id')
        .where('event', '=', 'submit')
        .whereRef('at', '>', sql`due_on::timestamptz`)
        .execute();
      expect(late).toEqual([]);
      expect(errors).toEqual([]);
    } finally {
      await platform.stop();
    }
  });

  it('do not get between the users of somebody else', async () => {
    const { database } = await postgres.newDatabase();
    try {
      await newUser(database);
      expect(await prepareSamples(database, '2026-11-30')).toBe(false);
      expect(await database.selectFrom('orders').select('id').execute()).toEqual([]);
    } finally {
      await database.destroy();
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
