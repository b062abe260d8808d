/** A relay whose database goes silent, or whose broker does: it says so, is not live after a while, and goes on when they are back. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { AppDatabase } from '../support/app-database.ts';
import { harness } from '../support/harness.ts';
import { polled } from '../support/polled.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

const h = harness();
let database: AppDatabase;
let proxy: TcpProxy;
beforeEach(async () => {
  database = await AppDatabase.make('apart');
  proxy = await TcpProxy.before(Number(new URL(database.url).port));
});
afterEach(async () => {
  vi.restoreAllMocks();
  await h.end();
  await proxy.close();
  await database.drop();
});

/** @param behind what the relay reaches through the proxy only */
async function scene(behind: 'database' | 'broker') {
  const through = (given: string) => Object.assign(new URL(given), { hostname: '127.0.0.1', port: String(proxy.port) }).href;
  const queues = [{ name: 'work', priority: 5 }];
  const app = h.app({
    queues,
    brokerUrl: behind === 'broker' ? through(h.store.url) : h.store.url,
    outbox: { ...database.settings, databaseUrl: behind === 'database' ? through(database.url) : database.url },
  });
  const relay = app.relay();
  await relay.start();
  // Who writes and who works does not go through it.
  const near = h.app({ queues, outbox: database.settings });
  const ran: number[] = [];
  const note = near.task({ name: 'note', queue: 'work', input: z.object({ order: z.number() }), run: ({ order }) => void ran.push(order) });
  await h.work(near);
  const enqueue = (order: number) => database.transaction((transaction) => note.enqueue({ order }, { transaction }));
  return { near, relay, ran, enqueue };
}

/** So many seconds later, for those who look at the clock. */
function later(seconds: number): void {
  const now = performance.now.bind(performance);
  vi.spyOn(performance, 'now').mockImplementation(() => now() + seconds * 1_000);
}

it.each(['database', 'broker'] as const)('a %s that goes silent and comes back', async (behind) => {
  const { near, relay, ran, enqueue } = await scene(behind);
  await enqueue(1);
  await polled(() => ran).toEqual([1]);
  // It is confirmed after it has run, perhaps.
  await polled(async () => (await near.outbox.lag()).waiting).toBe(0);
  expect(relay.health()).toMatchObject({ live: true });
  proxy.goSilent();
  proxy.cut();
  await enqueue(2);
  await polled(() => h.log.with('the relay could not move jobs to the broker; trying again')).not.toEqual([]);
  expect(h.log.with('the relay could not move jobs')[0]).toMatchObject({ level: 'warn' });
  expect((await near.outbox.lag()).waiting).toBe(1);
  expect(relay.health().live).toBe(true);
  later(31);
  expect(relay.health().live).toBe(false);
  expect(relay.health().stalledMs).toBeGreaterThan(30_000);
  vi.restoreAllMocks();
  await proxy.goOn();
  await polled(() => ran).toEqual([1, 2]);
  await polled(() => h.log.with('the relay moves jobs again')).not.toEqual([]);
  expect(relay.health()).toMatchObject({ live: true });
  await enqueue(3);
  await polled(() => ran).toEqual([1, 2, 3]);
});

it('a broker that has stored a batch and whose answer is lost: its jobs are made once', async () => {
  const { near, ran, enqueue } = await scene('broker');
  await enqueue(1);
  await polled(() => ran).toEqual([1]);
  proxy.holdReplies();
  await enqueue(2);
  await polled(() => ran).toEqual([1, 2]);
  proxy.cut();
  await polled(async () => (await near.outbox.lag()).waiting).toBe(0);
  await enqueue(3);
  await polled(() => ran).toEqual([1, 2, 3]);
  // The last one may be noted and not settled yet.
  await polled(async () => (await near.inspector.queues())[0]).toMatchObject({ ready: 0, scheduled: 0, running: 0 });
  expect(ran).toEqual([1, 2, 3]);
});

it('one that was never started is not live after a while either', () => {
  const app = h.app({ outbox: database.settings });
  const relay = app.relay();
  expect(relay.health()).toMatchObject({ live: true });
  later(31);
  expect(relay.health()).toMatchObject({ live: false });
});

it('a relay that stops while its database is silent gives up soon, and another one sends what it had', async () => {
  const { relay, ran, enqueue, near } = await scene('database');
  proxy.goSilent();
  proxy.cut();
  await polled(() => h.log.with('the relay could not move jobs')).not.toEqual([]);
  await enqueue(1);
  await near.relay().start();
  await polled(() => ran).toEqual([1]);
  const stopping = relay.stop();
  proxy.cut();
  await stopping;
});
