/**
 * A Redis that loses all that it held (FLUSHALL): a relay says so, and reconcile() enqueues the jobs again that are kept until their
 * end, those only, once, and tells what else is gone.
 */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { z } from 'zod';
import { createApp, type Task } from '../../src/index.ts';
import { AppDatabase } from '../support/app-database.ts';
import { DeadRelay } from '../support/dead-relay.ts';
import { Gate } from '../support/gate.ts';
import { LogLines } from '../support/log-lines.ts';
import { polled } from '../support/polled.ts';
import { describeWithRedisServers } from '../support/redis/needs-redis.ts';
import { OwnRedis } from '../support/redis/own-redis.ts';

describeWithRedisServers('a Redis that was emptied', () => {
  let redis: OwnRedis;
  let database: AppDatabase;
  let close: () => Promise<void> = () => Promise.resolve();
  beforeEach(async () => {
    [redis, database] = await Promise.all([OwnRedis.make(), AppDatabase.make('beside')]);
  });
  afterEach(async () => {
    await close();
    await Promise.all([redis.remove(), database.drop()]);
  });

  /** An app whose relay runs, and whose jobs note what they were given; its worker does not run yet. */
  async function scene() {
    const log = new LogLines();
    const app = createApp({
      brokerUrl: redis.url(),
      queues: [
        { name: 'critical', priority: 9, keepUntilEnd: true },
        { name: 'work', priority: 5 },
      ],
      outbox: database.settings,
      logger: log.logger,
    });
    close = () => app.close();
    const ran: string[] = [];
    const input = z.object({ order: z.number() });
    const gate = new Gate();
    const held = new Set<number>();
    const pay = app.task({
      name: 'pay',
      queue: 'critical',
      input,
      effectKey: ({ order }) => `order ${order}`,
      run: async ({ order }, ctx) => {
        ran.push(`pay ${order}`);
        if (held.delete(order)) await gate.pass();
        return database.transaction((client) => ctx.once(client, ctx.effectKey, () => ctx.id));
      },
    });
    const mail = app.task({ name: 'mail', queue: 'work', input, run: ({ order }) => void ran.push(`mail ${order}`) });
    const relay = app.relay();
    await relay.start();
    const enqueue = <Result>(task: Task<{ order: number }, Result>, orders: readonly number[]) =>
      database.transaction((transaction) =>
        task.enqueueMany(
          orders.map((order) => ({ order })),
          { transaction },
        ),
      );
    const work = async () => {
      const worker = app.worker({ lease: '2s', pollInterval: '100ms' });
      await worker.start();
      return worker;
    };
    /** The relay has written down that the broker has so many jobs of each queue, of those that were sent. */
    const stands = (jobs: Readonly<Record<string, string>>) =>
      polled(async () => {
        const rows = await database.query<{ queue: string; jobs: string; sent: string }>('select queue, jobs, sent from $outbox.standing');
        return Object.fromEntries(rows.map((row) => [row.queue, `${row.jobs} of ${row.sent}`]));
      }).toEqual(jobs);
    /** Resolves when the relay has found out. */
    const flushAll = async () => {
      const before = log.with('has lost its data').length;
      await redis.ask('FLUSHALL');
      await polled(() => log.with('has lost its data').length).toBe(before + 1);
    };
    const ready = async () => Object.fromEntries((await app.inspector.queues()).map((queue) => [queue.name, queue.ready]));
    return { app, log, ran, pay, mail, relay, gate, held, enqueue, work, stands, flushAll, ready };
  }

  const critical = (counts: Partial<Record<'compared' | 'there' | 'ended' | 'lost', number>>) => [
    { queue: 'critical', compared: 0, there: 0, ended: 0, lost: 0, ...counts },
  ];

  it('is told of by the relay; reconcile says what is lost, and enqueues what is kept, once', async () => {
    const { app, log, ran, pay, mail, enqueue, work, stands, flushAll, ready } = await scene();
    const first = await work();
    const ended = await enqueue(pay, [1, 2]);
    await Promise.all(ended.map((handle) => handle.result()));
    await first.stop();
    await polled(async () => (await app.outbox.lag()).kept).toBe(0);
    await enqueue(pay, [3, 4, 5]);
    await enqueue(mail, [1, 2]);
    await stands({ critical: '3 of 5', work: '2 of 2' });
    await flushAll();
    expect(log.with('has lost its data')).toMatchObject([
      { level: 'error', message: expect.stringContaining('taktline outbox reconcile') as string, queues: { critical: 3, work: 2 } },
    ]);
    const lost = { queues: critical({ compared: 3, lost: 3 }), lostElsewhere: [{ queue: 'work', atMost: 2 }] };
    for (let n = 0; n < 2; n++) expect(await app.outbox.reconcile({ dryRun: true })).toEqual(lost);
    expect([await app.outbox.lag(), await ready()]).toMatchObject([
      { waiting: 0, kept: 3 },
      { critical: 0, work: 0 },
    ]);
    const compared: number[] = [];
    expect(await app.outbox.reconcile({ onProgress: (count) => void compared.push(count) })).toEqual(lost);
    expect(compared).toEqual([3]);
    await polled(ready).toEqual({ critical: 3, work: 0 });
    expect(await app.outbox.reconcile()).toEqual({ queues: critical({ compared: 3, there: 3 }), lostElsewhere: [] });
    await work();
    await polled(async () => (await app.outbox.lag()).kept).toBe(0);
    expect(await app.outbox.reconcile()).toEqual({ queues: critical({}), lostElsewhere: [] });
    expect(ran.toSorted()).toEqual(['pay 1', 'pay 2', 'pay 3', 'pay 4', 'pay 5']);
    // The next loss counts from here.
    await enqueue(mail, [6, 7, 8]);
    await polled(() => ran.length).toBe(8);
    await stands({ critical: '0 of 8', work: '0 of 5' });
    await flushAll();
    expect(log.with('has lost its data').at(-1)).toMatchObject({ queues: {} });
  });

  it('what was sent after the last look counts as lost too', async () => {
    const { app, mail, relay, enqueue, stands } = await scene();
    await enqueue(mail, [1, 2]);
    await stands({ critical: '0 of 0', work: '2 of 2' });
    await relay.stop();
    await enqueue(mail, [3, 4, 5]);
    const another = new DeadRelay(database);
    const batch = await another.take();
    if (batch === undefined) throw new Error('nothing waits');
    await another.send(batch, { url: redis.url(), name: 'taktline' });
    await another.take(batch);
    await redis.ask('FLUSHALL');
    expect(await app.outbox.reconcile()).toEqual({ queues: critical({}), lostElsewhere: [{ queue: 'work', atMost: 5 }] });
  });

  it('several who reconcile at once enqueue each job once', async () => {
    const { app, ran, pay, enqueue, work, stands, flushAll } = await scene();
    await enqueue(
      pay,
      Array.from({ length: 50 }, (_, order) => order),
    );
    await stands({ critical: '50 of 50', work: '0 of 0' });
    await flushAll();
    const told = await Promise.all([1, 2, 3, 4].map(() => app.outbox.reconcile()));
    expect(told.reduce((lost, { queues }) => lost + (queues[0]?.lost ?? 0), 0)).toBe(50);
    await work();
    await polled(async () => (await app.outbox.lag()).kept + (await app.outbox.lag()).waiting).toBe(0);
    expect(ran.length).toBe(50);
    expect(new Set(ran).size).toBe(50);
  });

  it('has not lost what was in the outbox, or was committed later', async () => {
    const { app, ran, pay, mail, relay, enqueue, work, ready } = await scene();
    await relay.stop();
    await enqueue(pay, [1]);
    await enqueue(mail, [1]);
    await database.transaction(async (transaction) => {
      await mail.enqueue({ order: 2 }, { transaction });
      await redis.ask('FLUSHALL');
    });
    await app.relay().start();
    await polled(ready).toEqual({ critical: 1, work: 2 });
    expect(await app.outbox.reconcile()).toEqual({ queues: critical({ compared: 1, there: 1 }), lostElsewhere: [] });
    await work();
    await polled(() => ran.toSorted()).toEqual(['mail 1', 'mail 2', 'pay 1']);
  });

  it('has not lost what is on its way: reconcile leaves it to the relay that has it, or the next one', async () => {
    const { app, ran, pay, relay, enqueue, work, ready } = await scene();
    await relay.stop();
    await enqueue(pay, [1, 2]);
    const dead = new DeadRelay(database);
    expect((await dead.take())?.jobs).toHaveLength(2);
    await redis.ask('FLUSHALL');
    expect(await app.outbox.reconcile()).toEqual({ queues: critical({}), lostElsewhere: [] });
    await app.relay().start();
    await enqueue(pay, [3]);
    await polled(ready).toEqual({ critical: 1, work: 0 });
    await dead.timePasses();
    await polled(ready).toEqual({ critical: 3, work: 0 });
    await work();
    await polled(() => ran.toSorted()).toEqual(['pay 1', 'pay 2', 'pay 3']);
  });

  it('a job that ran meanwhile runs again, and its effect is made once', async () => {
    const { app, ran, pay, gate, held, enqueue, work, stands, flushAll } = await scene();
    held.add(1);
    await work();
    const [handle] = await enqueue(pay, [1]);
    await gate.reached;
    await stands({ critical: '1 of 1', work: '0 of 0' });
    await flushAll();
    expect(await app.outbox.reconcile()).toMatchObject({ queues: critical({ compared: 1, lost: 1 }) });
    await polled(() => ran).toEqual(['pay 1', 'pay 1']);
    gate.open();
    expect(await handle?.result()).toBe(handle?.id);
    await polled(async () => (await app.outbox.lag()).kept).toBe(0);
    expect(await database.query('select key from $outbox.effects')).toEqual([{ key: 'order 1' }]);
  });

  it('one that had ended when its end was told to nobody yet is not taken for lost while its result is there', async () => {
    const { app, ran, pay, relay, enqueue, work, stands } = await scene();
    const handles = await enqueue(pay, [1, 2]);
    await stands({ critical: '2 of 2', work: '0 of 0' });
    await relay.stop();
    await work();
    await Promise.all(handles.map((handle) => handle.result()));
    expect((await app.outbox.lag()).kept).toBe(2);
    expect(await app.outbox.reconcile()).toEqual({ queues: critical({}), lostElsewhere: [] });
    expect([ran.length, (await app.outbox.lag()).kept]).toEqual([2, 0]);
  });
});
