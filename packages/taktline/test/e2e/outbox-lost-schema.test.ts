/**
 * A Postgres broker whose schema is dropped and made again under living processes: the loss is noticed, jobs of queues that are kept
 * until the end are put back, each once and none that had ended, and all of it works on.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import type { AppOptions } from '../../src/index.ts';
import { OutboxDatabase } from '../../src/outbox/outbox-database.ts';
import { reconcile } from '../../src/outbox/reconcile.ts';
import { AppDatabase } from '../support/app-database.ts';
import { type Batch, DeadRelay } from '../support/dead-relay.ts';
import { type Harness, harness, onEachBroker } from '../support/harness.ts';
import { polled } from '../support/polled.ts';
import { openStore } from '../support/store.ts';

const queues = [
  { name: 'critical', priority: 9, keepUntilEnd: true },
  { name: 'work', priority: 5 },
];

let database: AppDatabase;

function withDatabase(h: Harness, where: 'beside' | 'apart'): void {
  beforeEach(async () => {
    database = await AppDatabase.make(where);
  });
  afterEach(async () => {
    await h.end();
    await database.drop();
  });
}

const kept = async () => (await database.query('select id from $outbox.kept')).length;
const noted = async () => {
  const rows = await database.query<{ queue: string; jobs: number; lost: number }>(
    'select queue, jobs::int, lost::int from $outbox.standing where jobs + lost > 0 order by queue',
  );
  return rows.map(({ queue, jobs, lost }) => `${queue}: ${jobs}, ${lost} lost`);
};
/** Resolves when a relay has done its upkeep, from its beginning. */
async function upkeep(): Promise<void> {
  const turn = async () => (await database.query<{ at: string }>('select at from $outbox.seen'))[0]?.at;
  for (let n = 0; n < 2; n++) {
    const before = await turn();
    await polled(turn).not.toBe(before);
  }
}

/** An app whose tasks note what they were given; nothing of it runs yet. */
function scene(h: Harness, options: Partial<AppOptions> = {}) {
  const app = h.app({ queues, outbox: database.settings, ...options });
  const ran: number[] = [];
  const pay = app.task({
    name: 'pay',
    queue: 'critical',
    input: z.object({ order: z.number() }),
    effectKey: ({ order }) => `${order}`,
    resultTtl: false,
    run: ({ order }) => void ran.push(order),
  });
  const enqueue = (orders: readonly number[], queue = 'critical') =>
    database.transaction((transaction) =>
      pay.enqueueMany(
        orders.map((order) => ({ order })),
        { transaction, queue },
      ),
    );
  return { app, ran, enqueue };
}

describe('a schema that is dropped and made again', () => {
  const h = harness({ fresh: true });
  withDatabase(h, 'apart');

  const empty = async () => {
    await h.store.query('drop schema $ns cascade');
    // Whoever starts next makes it.
    await h.app({ queues }).ping();
  };

  it('three jobs that are kept come back and run; those that had ended do not, nor those of another queue, which are counted', async () => {
    const { app, ran, enqueue } = scene(h);
    await app.relay().start();
    const earlier = scene(h);
    const worker = await h.work(earlier.app);
    await enqueue([1, 2]);
    await enqueue([3], 'work');
    await polled(() => earlier.ran.toSorted()).toEqual([1, 2, 3]);
    await polled(kept).toBe(0);
    await worker.stop();
    await enqueue([11, 12, 13]);
    await enqueue([21, 22], 'work');
    await polled(noted).toEqual(['critical: 3, 0 lost', 'work: 2, 0 lost']);

    await empty();
    await polled(() => h.log.with('the broker has lost its data')).toHaveLength(1);
    expect(h.log.with('the broker has lost its data')[0]).toMatchObject({ level: 'error', queues: { critical: 3, work: 2 } });
    const plan = {
      queues: [{ queue: 'critical', compared: 3, there: 0, ended: 0, lost: 3 }],
      lostElsewhere: [{ queue: 'work', atMost: 2 }],
    };
    for (let n = 0; n < 2; n++) expect(await app.outbox.reconcile({ dryRun: true })).toEqual(plan);
    await upkeep();
    expect([await kept(), (await app.outbox.lag()).waiting, await noted()]).toEqual([3, 0, ['critical: 0, 3 lost', 'work: 0, 2 lost']]);

    expect(await app.outbox.reconcile()).toEqual(plan);
    await h.work(app);
    await polled(() => ran.toSorted()).toEqual([11, 12, 13]);
    await polled(kept).toBe(0);
    expect(await app.outbox.reconcile()).toEqual({
      queues: [{ queue: 'critical', compared: 0, there: 0, ended: 0, lost: 0 }],
      lostElsewhere: [],
    });
    await upkeep();
    expect(ran.toSorted()).toEqual([11, 12, 13]);
    expect(h.log.with('the broker has lost its data')).toHaveLength(1);
    // All of it works on.
    await enqueue([31]);
    await enqueue([32], 'work');
    await polled(() => ran.toSorted()).toEqual([11, 12, 13, 31, 32]);
    await polled(kept).toBe(0);
  });

  it('a job that waits in the outbox meanwhile, and a batch that is on its way, are made once', async () => {
    const { app, ran, enqueue } = scene(h);
    await app.ping();
    await enqueue([1, 2]);
    const dead = new DeadRelay(database);
    const batch = (await dead.take()) as Batch;
    await dead.send(batch, h.store);
    await enqueue([3]);
    await empty();
    // The rows of what is on its way are not compared.
    expect(await app.outbox.reconcile()).toMatchObject({ queues: [{ queue: 'critical', compared: 0, lost: 0 }] });
    await app.relay().start();
    await dead.timePasses();
    await h.work(app);
    await polled(() => ran.toSorted()).toEqual([1, 2, 3]);
    await polled(kept).toBe(0);
    await polled(async () => (await app.outbox.lag()).waiting).toBe(0);
    expect(ran.toSorted()).toEqual([1, 2, 3]);
  });

  it('a job that another run has put back since it was looked for is not put back once more', async () => {
    const { app, ran, enqueue } = scene(h);
    const relay = app.relay();
    await relay.start();
    await enqueue([1, 2]);
    await polled(noted).toEqual(['critical: 2, 0 lost']);
    await empty();
    const outbox = new OutboxDatabase({ url: () => database.url, schema: database.schema });
    const { broker, inspector, close } = await openStore(h.store);
    try {
      const states = broker.states.bind(broker);
      vi.spyOn(broker, 'states').mockImplementation(async (ids) => {
        const found = await states(ids);
        await app.outbox.reconcile();
        await polled(async () => (await app.outbox.lag()).waiting).toBe(0);
        return found;
      });
      const { queues: told } = await reconcile({ database: outbox, broker, inspector, kept: ['critical'] }, {});
      expect(told).toEqual([{ queue: 'critical', compared: 2, there: 2, ended: 0, lost: 0 }]);
    } finally {
      await Promise.all([close(), outbox.close()]);
    }
    expect(await app.outbox.lag()).toMatchObject({ waiting: 0, kept: 2 });
    await h.work(app);
    await polled(() => ran.toSorted()).toEqual([1, 2]);
  });

  it('2,500 jobs, by two at once and in pages, each once', async () => {
    const { app, ran, enqueue } = scene(h);
    const orders = Array.from({ length: 2_500 }, (_, order) => order);
    await app.relay().start();
    await enqueue(orders);
    await polled(noted).toEqual(['critical: 2500, 0 lost']);
    await empty();
    await polled(() => h.log.with('the broker has lost its data')).toHaveLength(1);
    const progress: number[] = [];
    await app.outbox.reconcile({ dryRun: true, onProgress: (compared) => progress.push(compared) });
    expect(progress).toEqual([2_000, 2_500]);
    const both = await Promise.all([app.outbox.reconcile(), app.outbox.reconcile()]);
    expect(both.reduce((sum, { queues: [critical] }) => sum + (critical?.lost ?? 0), 0)).toBe(2_500);
    await h.work(app, { concurrency: 200 });
    await polled(() => ran.length).toBe(2_500);
    await polled(kept).toBe(0);
    expect(ran.toSorted((a, b) => a - b)).toEqual(orders);
  });
});

describe('a schema that is made again, for those who enqueue directly', () => {
  const h = harness({ fresh: true });
  withDatabase(h, 'beside');

  it('is known from the second transaction on', async () => {
    const { app, ran, enqueue } = scene(h);
    await enqueue([1]);
    await h.store.query('drop schema $ns cascade');
    // Its queues have other numbers.
    await h.app({ queues: [{ name: 'first', priority: 5 }, ...queues.toReversed()] }).ping();
    await expect(enqueue([2])).rejects.toMatchObject({ code: 'OUTBOX_TRANSACTION' });
    await enqueue([3]);
    expect((await app.inspector.queues()).map(({ name, ready }) => `${name} ${ready}`).toSorted()).toEqual([
      'critical 1',
      'first 0',
      'work 0',
    ]);
    expect(ran).toEqual([]);
  });
});

onEachBroker('reconcile() where nothing is lost', (h) => {
  withDatabase(h, 'apart');

  it('nothing is lost: those that wait are there, and what had ended while no relay ran is not enqueued again', async () => {
    const { app, ran, enqueue } = scene(h);
    const relay = app.relay();
    await relay.start();
    await enqueue([1, 2]);
    await polled(async () => (await app.outbox.lag()).waiting).toBe(0);
    const worker = await h.work(app);
    // Their ends are told to nobody yet.
    await relay.stop();
    await polled(() => ran.toSorted()).toEqual([1, 2]);
    await worker.stop();
    const rows = await kept();
    const another = app.relay();
    await another.start();
    await enqueue([3]);
    await polled(async () => (await app.outbox.lag()).waiting).toBe(0);
    await another.stop();
    expect(rows).toBeLessThanOrEqual(2);
    const { queues: told, lostElsewhere } = await app.outbox.reconcile();
    expect(told).toMatchObject([{ queue: 'critical', there: 1, lost: 0 }]);
    expect([lostElsewhere, await kept()]).toEqual([[], 1]);
  });

  it('an app that does not declare the queue so puts back none that has ended either', async () => {
    const { app, ran, enqueue } = scene(h);
    const relay = app.relay();
    await relay.start();
    await enqueue([1]);
    await polled(async () => (await app.outbox.lag()).waiting).toBe(0);
    await relay.stop();
    const worker = await h.work(app);
    await polled(() => ran).toEqual([1]);
    await worker.stop();
    expect(await kept()).toBe(1);
    const { app: older } = scene(h, { queues: queues.map(({ name, priority }) => ({ name, priority })) });
    for (const dryRun of [true, false]) expect((await older.outbox.reconcile({ dryRun })).queues.map(({ lost }) => lost)).not.toContain(1);
    expect([await kept(), (await app.outbox.lag()).waiting]).toEqual([0, 0]);
  });
});
