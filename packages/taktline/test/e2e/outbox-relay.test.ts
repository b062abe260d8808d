/**
 * Relays move each job to the broker once: also when one of them dies before or after it has sent a batch, when several work at once,
 * when the broker refuses a job, and when the database was put back to an earlier state.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { App } from '../../src/index.ts';
import { AppDatabase } from '../support/app-database.ts';
import { type Batch, DeadRelay } from '../support/dead-relay.ts';
import { type Harness, harness, onEachBroker } from '../support/harness.ts';
import { polled } from '../support/polled.ts';

let database: AppDatabase;

function withDatabase(h: Harness): void {
  beforeEach(async () => {
    database = await AppDatabase.make('apart');
  });
  afterEach(async () => {
    await h.end();
    await database.drop();
  });
}

const queues = [
  { name: 'work', priority: 5 },
  { name: 'other', priority: 5 },
];

/** An app whose jobs note what they were given. Nothing of it runs yet. */
async function scene(h: Harness, options: Parameters<Harness['app']>[0] = {}) {
  const app = h.app({ queues, outbox: database.settings, ...options });
  const ran: number[] = [];
  const note = app.task({ name: 'note', queue: 'work', input: z.object({ order: z.number() }), run: ({ order }) => void ran.push(order) });
  const enqueue = (orders: readonly number[], more: { readonly key?: string } = {}) =>
    database.transaction((transaction) =>
      note.enqueueMany(
        orders.map((order) => ({ order })),
        { transaction, ...(more.key === undefined ? {} : { key: () => more.key as string }) },
      ),
    );
  await app.ping();
  return { app, note, ran, enqueue };
}

const upTo = (count: number, from = 0) => Array.from({ length: count }, (_, at) => from + at);
const sorted = (numbers: readonly number[]) => numbers.toSorted((a, b) => a - b);
const ready = async (app: App, queue = 'work') => (await app.inspector.queues()).find(({ name }) => name === queue)?.ready ?? 0;
const underWay = async () => database.query<{ n: number }>('select number as n from $outbox.lanes where batch is not null');
/** How many jobs of each queue relays have said that they have sent. */
const sent = async () =>
  (
    await database.query<{ queue: string; n: number }>(
      `select e.key as queue, sum(e.value::int)::int as n from $outbox.lanes l, jsonb_each_text(l.sent) e group by 1 order by 1`,
    )
  ).map(({ queue, n }) => `${queue} ${n}`);

onEachBroker('relays', (h) => {
  withDatabase(h);

  it('one asks anew where the database is, when it could not be reached', async () => {
    const settings = database.settings ?? {};
    const good = typeof settings.databaseUrl === 'string' ? settings.databaseUrl : '';
    let url = 'postgres://nobody@127.0.0.1:1/nowhere';
    const { app, ran, enqueue } = await scene(h, { outbox: { ...settings, databaseUrl: () => url } });
    const relay = app.relay();
    await expect(relay.start()).rejects.toMatchObject({ code: 'OUTBOX_UNAVAILABLE' });
    url = good;
    await relay.start();
    await app.worker().start();
    await enqueue([1, 2]);
    await polled(() => sorted(ran)).toEqual([1, 2]);
  });

  it.each(['before', 'after'])(
    'a batch whose relay died %s it had sent it is sent by another one, and its jobs are made once',
    async (when) => {
      const { app, ran, enqueue } = await scene(h);
      await enqueue(upTo(50));
      const dead = new DeadRelay(database);
      const batch = (await dead.take()) as Batch;
      expect(batch.jobs).toHaveLength(50);
      if (when === 'after') expect(await dead.send(batch, h.store)).toEqual(batch.jobs.map(() => 'created'));
      await app.relay().start();
      await h.work(app);
      await enqueue([50]);
      await polled(() => ran).toContain(50);
      // It may be alive yet, and its jobs may be at the broker.
      expect(ran.length).toBe(when === 'after' ? 51 : 1);
      await polled(underWay).toEqual([{ n: batch.number }]);
      await dead.timePasses();
      await polled(underWay).toEqual([]);
      await polled(() => sorted(ran)).toEqual(upTo(51));
      // It was alive, and sends and confirms what another one has sent and confirmed.
      expect(await dead.send(batch, h.store)).toEqual(batch.jobs.map(() => 'duplicate'));
      expect(await dead.take(batch)).toBeUndefined();
      expect(await sent()).toEqual(['work 51']);
      await enqueue([51]);
      await polled(() => sorted(ran)).toEqual(upTo(52));
      expect(await ready(app)).toBe(0);
    },
  );

  it('two at once move 5,000 jobs of many transactions, each once', async () => {
    const { app, ran, enqueue } = await scene(h);
    const another = h.app({ queues, outbox: database.settings });
    await Promise.all([app.relay().start(), another.relay().start()]);
    await h.work(app, { concurrency: 200 });
    await Promise.all(upTo(20).map((n) => enqueue(upTo(250, n * 250))));
    await polled(() => ran.length).toBe(5_000);
    await polled(async () => app.outbox.lag()).toEqual({ waiting: 0, oldestMs: undefined, kept: 0 });
    expect(sorted(ran)).toEqual(upTo(5_000));
    expect([await ready(app), await sent()]).toEqual([0, ['work 5000']]);
  });

  it('a batch that the broker refuses is sent later, and others go on', async () => {
    const { app, ran, enqueue } = await scene(h);
    const elsewhere = await h.another();
    const newer = h.app({
      brokerUrl: elsewhere.url,
      namespace: elsewhere.name,
      queues: [...queues, { name: 'new', priority: 5 }],
      outbox: database.settings,
    });
    const fresh = newer.task({ name: 'fresh', queue: 'new', run: () => null });
    await database.transaction(async (transaction) => {
      await fresh.delayIn(transaction);
      // A queue that the broker knows; but they are one batch.
      await fresh.enqueue(undefined, { transaction, queue: 'other' });
    });
    await app.relay().start();
    await polled(() => h.log.with('the broker refuses jobs of the outbox')).toHaveLength(1);
    expect(h.log.with('the broker refuses')[0]).toMatchObject({ level: 'error', code: 'UNKNOWN_QUEUE', jobs: 2 });
    await h.work(app, { queues: ['work'] });
    await enqueue(upTo(20));
    await polled(() => sorted(ran)).toEqual(upTo(20));
    await polled(underWay).toHaveLength(1);
    expect([await ready(app, 'other'), (await app.outbox.lag()).waiting]).toEqual([0, 2]);
    await h.app({ queues: [...queues, { name: 'new', priority: 5 }] }).ping();
    await database.query('update $outbox.lanes set till = 1 where batch is not null');
    await polled(underWay).toEqual([]);
    expect([await ready(app, 'new'), await ready(app, 'other')]).toEqual([1, 1]);
    expect(await sent()).toEqual(['new 1', 'other 1', 'work 20']);
  });

  it('jobs of one key keep their order through relays that die', async () => {
    const { app, ran, enqueue } = await scene(h);
    const [one, two] = [new DeadRelay(database), new DeadRelay(database)];
    await enqueue(upTo(10), { key: 'a' });
    const first = (await one.take()) as Batch;
    await enqueue(upTo(10, 10), { key: 'a' });
    // Nothing of that key may pass it by.
    expect(await two.take()).toBeUndefined();
    await enqueue(upTo(10, 100));
    const free = (await two.take()) as Batch;
    expect(free.jobs).toHaveLength(10);
    await one.send(first, h.store);
    await one.timePasses();
    await two.send(free, h.store);
    await two.timePasses();
    const another = h.app({ queues, outbox: database.settings });
    await Promise.all([app.relay().start(), another.relay().start()]);
    for (let order = 20; order < 40; order += 4)
      await Promise.all([enqueue(upTo(4, order), { key: 'a' }), enqueue(upTo(4, order + 100), { key: 'b' })]);
    await polled(async () => (await app.outbox.lag()).waiting).toBe(0);
    await h.work(app, { concurrency: 1 });
    await polled(() => ran.length).toBe(70);
    expect(ran.filter((order) => order < 100)).toEqual(upTo(40));
    expect(ran.filter((order) => order >= 120)).toEqual(upTo(20, 120));
  });

  it('a database that was put back to an earlier state: what it enqueues then is made', async () => {
    const { app, ran, enqueue } = await scene(h);
    await app.relay().start();
    await h.work(app);
    const before = await database.query('select number, sequence from $outbox.lanes order by 1');
    for (const order of upTo(12)) {
      await enqueue([order]);
      await polled(() => ran).toContain(order);
    }
    await polled(underWay).toEqual([]);
    for (const { number, sequence } of before)
      await database.query('update $outbox.lanes set sequence = $2 where number = $1', [number, sequence]);
    await enqueue(upTo(10, 12));
    await polled(() => sorted(ran)).toEqual(upTo(22));
  });

  it('a job that came back with such a database while the broker has it is sent when it is gone, and others go on', async () => {
    const { app, ran, enqueue } = await scene(h);
    const relay = app.relay();
    await enqueue([1]);
    const rows = 'lane, kept, queue, id, priority, created, envelope';
    await database.query(`create table $outbox.backup as select ${rows} from $outbox.waiting`);
    await relay.start();
    await polled(() => ready(app)).toBe(1);
    await database.query(`insert into $outbox.waiting (${rows}) select ${rows} from $outbox.backup`);
    await polled(() => h.log.with('the broker refuses jobs of the outbox')).toHaveLength(1);
    await enqueue([2]);
    await polled(() => ready(app)).toBe(2);
    await polled(underWay).toHaveLength(1);
    expect((await app.outbox.lag()).waiting).toBe(1);
    await h.work(app);
    await polled(() => sorted(ran)).toEqual([1, 2]);
  });
});

describe('relays', () => {
  const h = harness();
  withDatabase(h);

  it('a batch has 4 MiB at most, or one job that is larger, in the order of the jobs', async () => {
    const app = h.app({ queues, outbox: database.settings, payloadLimit: 8 * 1024 * 1024 });
    const store = app.task({ name: 'store', queue: 'work', input: z.object({ order: z.number(), text: z.string() }), run: () => null });
    const large = (order: number, bytes: number) => ({ order, text: 'x'.repeat(bytes) });
    await database.transaction(async (transaction) => {
      await store.enqueueMany(
        upTo(40).map((order) => large(order, 300_000)),
        { transaction },
      );
      await store.enqueue(large(40, 7_000_000), { transaction });
    });
    const dead: DeadRelay[] = [];
    const batches: Batch[] = [];
    for (;;) {
      const relay = new DeadRelay(database);
      const batch = await relay.take();
      if (batch === undefined) break;
      dead.push(relay);
      batches.push(batch);
    }
    const orders = batches.map(({ jobs }) =>
      jobs.map(({ envelope }) => (JSON.parse(envelope) as { input: { order: number } }).input.order),
    );
    expect(orders).toEqual([upTo(13), upTo(13, 13), upTo(13, 26), [39], [40]]);
    for (const relay of dead) await relay.timePasses();
    await app.relay().start();
    await polled(() => ready(app)).toBe(41);
  });

  it('an id that names another job is told as a warning, and makes no second job', async () => {
    const { app, note } = await scene(h);
    await app.relay().start();
    for (const order of [1, 1, 2]) await database.transaction((transaction) => note.enqueue({ order }, { transaction, id: 'mine' }));
    await polled(() => h.log.with('name jobs with another task or input').map(({ level, jobs }) => [level, jobs])).toEqual([['warn', 1]]);
    await polled(underWay).toEqual([]);
    expect(await ready(app)).toBe(1);
    expect(await (await app.inspector.job('mine'))?.input).toEqual({ order: 1 });
  });

  it('one that stops has confirmed what it has sent, and the next goes on', async () => {
    const { app, enqueue } = await scene(h);
    const relay = app.relay();
    await relay.start();
    const writing = Promise.all(upTo(10).map((n) => enqueue(upTo(600, n * 600))));
    await polled(() => ready(app)).toBeGreaterThan(0);
    await relay.stop();
    expect(await underWay()).toEqual([]);
    await writing;
    const { waiting } = await app.outbox.lag();
    expect((await ready(app)) + waiting).toBe(6_000);
    await expect(relay.start()).rejects.toMatchObject({ code: 'BROKER_CLOSED' });
    await app.relay().start();
    await polled(() => ready(app)).toBe(6_000);
  });
});
