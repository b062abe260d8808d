/** What is told of an outbox: how much waits in it, for how long, and that there is none. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { createApp } from '../../src/index.ts';
import { AppDatabase } from '../support/app-database.ts';
import { DeadRelay } from '../support/dead-relay.ts';
import { harness } from '../support/harness.ts';

describe('what waits', () => {
  const h = harness();
  let database: AppDatabase;
  beforeEach(async () => {
    database = await AppDatabase.make('apart');
  });
  afterEach(async () => {
    await h.end();
    await database.drop();
  });

  function scene() {
    const app = h.app({
      queues: [
        { name: 'work', priority: 5 },
        { name: 'critical', priority: 9, keepUntilEnd: true },
      ],
      outbox: database.settings,
    });
    const pay = app.task({ name: 'pay', queue: 'work', input: z.object({ n: z.number() }), effectKey: ({ n }) => `${n}`, run: () => 1 });
    const enqueue = (count: number, queue = 'work') =>
      database.transaction((transaction) =>
        pay.enqueueMany(
          Array.from({ length: count }, (_, n) => ({ n })),
          { transaction, queue },
        ),
      );
    return { app, enqueue };
  }

  it('counts what no relay has taken, what is on its way, and what is kept', async () => {
    const { app, enqueue } = scene();
    expect(await app.outbox.lag()).toEqual({ waiting: 0, oldestMs: undefined, kept: 0 });
    await enqueue(3, 'critical');
    await database.query('update $outbox.waiting set created = created - 60000');
    await enqueue(2);
    const lag = await app.outbox.lag();
    expect(lag).toEqual({ waiting: 5, oldestMs: lag.oldestMs, kept: 0 });
    expect(lag.oldestMs).toBeGreaterThanOrEqual(60_000);
    // On its way it waits still.
    const relay = new DeadRelay(database);
    const batch = await relay.take();
    await enqueue(1);
    const later = await app.outbox.lag();
    expect(later).toMatchObject({ waiting: 6, kept: 3 });
    expect(later.oldestMs).toBeGreaterThanOrEqual(lag.oldestMs ?? Number.POSITIVE_INFINITY);
    await relay.take(batch);
    const last = await app.outbox.lag();
    expect(last).toMatchObject({ waiting: 1, kept: 3 });
    expect(last.oldestMs).toBeLessThan(60_000);
  });

  it('without tables it says what to do', async () => {
    const app = h.app({ outbox: { ...database.settings, schema: 'nothing_here' } });
    const refused = { code: 'OUTBOX_SCHEMA', message: expect.stringMatching(/migrateOutbox\(\).*"nothing_here"/) as string };
    await expect(app.outbox.lag()).rejects.toMatchObject(refused);
    await expect(app.outbox.reconcile()).rejects.toMatchObject(refused);
    const relay = app.relay();
    await expect(relay.start()).rejects.toMatchObject(refused);
    await relay.stop();
  });

  it('a database that is not there, and an app that was closed', async () => {
    const url = new URL(database.url);
    url.pathname = '/no_such_database';
    const lost = h.app({ outbox: { databaseUrl: url.href } });
    await expect(lost.outbox.lag()).rejects.toMatchObject({
      code: 'OUTBOX_UNAVAILABLE',
      message: expect.stringContaining('no_such_database') as string,
    });
    await expect(lost.relay().start()).rejects.toMatchObject({ code: 'OUTBOX_UNAVAILABLE' });
    const { app } = scene();
    await app.outbox.lag();
    await app.close();
    await expect(app.outbox.lag()).rejects.toMatchObject({ code: 'BROKER_CLOSED' });
  });
});

describe('an app whose database nobody has named', () => {
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  const noRedis = { brokerUrl: 'redis://127.0.0.1:1', queues: [{ name: 'work', priority: 5 }] };

  it('has no relay and no lag, and says so', async () => {
    vi.stubEnv('DATABASE_URL', '');
    await using app = createApp(noRedis);
    const refused = { code: 'INVALID_OPTION', message: expect.stringContaining('databaseUrl') as string };
    expect(() => app.relay()).toThrow(expect.objectContaining(refused));
    await expect(app.outbox.lag()).rejects.toMatchObject(refused);
    await expect(app.outbox.reconcile()).rejects.toMatchObject(refused);
  });

  it('takes that of DATABASE_URL, and refuses what is none', async () => {
    vi.stubEnv('DATABASE_URL', 'postgres://127.0.0.1:1/none');
    await using app = createApp(noRedis);
    await expect(app.outbox.lag()).rejects.toMatchObject({ code: 'OUTBOX_UNAVAILABLE' });
    for (const databaseUrl of ['redis://127.0.0.1:1', 'none', 'postgres://a:b@[/'])
      expect(() => createApp({ ...noRedis, outbox: { databaseUrl } })).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
  });
});
