/**
 * Queues that are kept until the end: which tasks may go there, and that the row of a job stays in the outbox for as long as the job
 * has not ended, however it ends then, and no longer.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { EnqueueInOptions, TaskOptions } from '../../src/index.ts';
import { AppDatabase } from '../support/app-database.ts';
import { Gate } from '../support/gate.ts';
import { type Harness, harness, onEachBroker } from '../support/harness.ts';
import { KeptRows } from '../support/kept-rows.ts';
import { polled } from '../support/polled.ts';

let database: AppDatabase;
let rows: KeptRows;

function withDatabase(h: Harness, where: 'beside' | 'apart'): void {
  beforeEach(async () => {
    database = await AppDatabase.make(where);
    rows = new KeptRows(database);
  });
  afterEach(async () => {
    await h.end();
    await database.drop();
  });
}

const queues = [
  { name: 'work', priority: 5 },
  { name: 'critical', priority: 9, keepUntilEnd: true },
];
const input = z.object({ order: z.number() });
const effectKey = ({ order }: { readonly order: number }) => `order ${order}`;
type Run = TaskOptions<typeof input, unknown>['run'];

/** An app whose relay runs; its worker does not yet. */
async function scene(h: Harness, run: Run = () => null, options: Partial<TaskOptions<typeof input, unknown>> = {}) {
  const app = h.app({ queues, outbox: database.settings });
  const pay = app.task({ name: 'pay', queue: 'critical', input, effectKey, retry: { maxAttempts: 1 }, ...options, run });
  const relay = app.relay();
  await relay.start();
  const enqueue = async (order: number, more: Omit<EnqueueInOptions, 'transaction'> = {}) => {
    const handle = await database.transaction((transaction) => pay.enqueue({ order }, { transaction, ...more }));
    await polled(async () => (await app.outbox.lag()).waiting).toBe(0);
    return handle;
  };
  return { app, relay, enqueue };
}

describe('a queue that is kept until the end', () => {
  const h = harness();

  it('takes tasks with an effect key only, wherever they are sent there', async () => {
    const app = h.app({ queues });
    const refused = {
      code: 'INVALID_OPTION',
      message: expect.stringMatching(/task "mail": queue "critical" is declared keepUntilEnd.*effectKey/) as string,
    };
    expect(() => app.task({ name: 'mail', queue: 'critical', input, run: () => null })).toThrow(expect.objectContaining(refused));
    expect(app.taskNames).toEqual([]);
    const mail = app.task({ name: 'mail', queue: 'work', input, run: () => null });
    const transaction = { query: () => Promise.reject(new Error('it is refused before')) };
    const calls = [
      mail.enqueue({ order: 1 }, { queue: 'critical', transaction }),
      mail.enqueueMany([{ order: 1 }], { queue: 'critical', transaction }),
      mail.applyAsync({ order: 1 }, { queue: 'critical' }),
      mail.enqueueMany([{ order: 1 }], { queue: 'critical' }),
      app.call('mail', { order: 1 }, { queue: 'critical' }),
    ];
    await Promise.all(calls.map((call) => expect(call).rejects.toMatchObject(refused)));
    const pay = app.task({ name: 'pay', queue: 'work', input, effectKey, run: () => null });
    expect((await pay.applyAsync({ order: 1 }, { queue: 'critical' })).id).toBeTypeOf('string');
  });

  it.each(['yes', 1, null])('is declared so by true and false, not by %j', (keepUntilEnd) => {
    const queue = { name: 'critical', priority: 5, keepUntilEnd: keepUntilEnd as unknown as boolean };
    expect(() => h.app({ queues: [queue] })).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTION', message: expect.stringContaining('keepUntilEnd') as string }),
    );
  });
});

describe('a job that is enqueued directly', () => {
  const h = harness();
  withDatabase(h, 'beside');

  it('has no row', async () => {
    const { app, enqueue } = await scene(h);
    await enqueue(1);
    expect(await app.outbox.lag()).toEqual({ waiting: 0, oldestMs: undefined, kept: 0 });
    expect((await app.inspector.queues()).map(({ name, ready }) => [name, ready])).toContainEqual(['critical', 1]);
  });
});

onEachBroker('the row of a job', (h) => {
  withDatabase(h, 'apart');

  it('stays while it waits, runs, fails and runs again, and goes when it has succeeded', async () => {
    const gates = [new Gate(), new Gate()];
    const run: Run = async (_, ctx) => {
      await gates[ctx.attempt - 1]?.pass(ctx.signal);
      if (ctx.attempt === 1) throw new Error('not yet');
      return 'paid';
    };
    const { app, enqueue } = await scene(h, run, { retry: { maxAttempts: 2, backoff: { type: 'fixed', delay: 1 } } });
    const handle = await enqueue(1);
    // One of another queue has none.
    await enqueue(2, { queue: 'work' });
    await rows.upkeep();
    expect(await rows.ids()).toEqual([handle.id]);
    await h.work(app, { queues: ['critical'] });
    for (const gate of gates) {
      await gate.reached;
      await rows.upkeep();
      expect(await rows.ids()).toEqual([handle.id]);
      gate.open();
    }
    expect(await handle.result()).toBe('paid');
    await polled(() => rows.ids()).toEqual([]);
  });

  it('stays while a retry is far away', async () => {
    const { app, enqueue } = await scene(
      h,
      () => {
        throw new Error('later');
      },
      { retry: { maxAttempts: 2, backoff: { type: 'fixed', delay: '1h' } } },
    );
    const handle = await enqueue(1);
    await h.work(app);
    await polled(() => handle.status()).toBe('retrying');
    await rows.upkeep();
    expect(await rows.ids()).toEqual([handle.id]);
    expect(await handle.cancel()).toBe('done');
    await polled(() => rows.ids()).toEqual([]);
  });

  it('goes when its job has become a dead letter, and none comes back when that is put back', async () => {
    let broken = true;
    const { app, enqueue } = await scene(h, () => {
      if (broken) throw new Error('the bank is closed');
      return 'paid';
    });
    const handle = await enqueue(1);
    await h.work(app);
    await expect(handle.result()).rejects.toMatchObject({ code: 'JOB_FAILED' });
    await polled(() => rows.ids()).toEqual([]);
    broken = false;
    expect(await app.inspector.deadLetters.redrive({ queue: 'critical' })).toBe(1);
    await polled(() => handle.status()).toBe('succeeded');
    await rows.upkeep();
    expect(await rows.ids()).toEqual([]);
  });

  it('goes when its job was cancelled: one that waits, one that is not due, one that runs', async () => {
    const gate = new Gate();
    const { app, enqueue } = await scene(h, (_, ctx) => gate.pass(ctx.signal));
    const [waits, later] = [await enqueue(1), await enqueue(2, { countdown: '1h' })];
    expect((await rows.ids()).toSorted()).toEqual([waits.id, later.id].toSorted());
    expect(await app.cancel([waits.id, later.id])).toEqual(['done', 'done']);
    await polled(() => rows.ids()).toEqual([]);
    const runs = await enqueue(3);
    await h.work(app);
    await gate.reached;
    expect(await runs.cancel()).toBe('asked');
    await polled(() => runs.status()).toBe('cancelled');
    await polled(() => rows.ids()).toEqual([]);
  });

  it('goes when its job has expired, or was purged', async () => {
    const { app, enqueue } = await scene(h);
    const [expires] = [await enqueue(1, { expires: new Date(Date.now() + 1) }), await enqueue(2)];
    await polled(async () => (await h.tidy(), expires.status())).toBe('expired');
    await polled(async () => (await rows.ids()).length).toBe(1);
    expect(await app.inspector.purge('critical')).toBe(1);
    await polled(() => rows.ids()).toEqual([]);
  });

  it('goes when its job has ended and its result is not kept', async () => {
    const { app, enqueue } = await scene(h, () => 'paid', { resultTtl: false });
    for (const order of [1, 2, 3]) await enqueue(order);
    expect(await rows.ids()).toHaveLength(3);
    await h.work(app);
    await polled(() => rows.ids()).toEqual([]);
  });

  it('goes though no relay ran when its job ended', async () => {
    const { app, relay, enqueue } = await scene(h);
    const handles = [await enqueue(1), await enqueue(2)];
    await relay.stop();
    await h.work(app);
    await Promise.all(handles.map((handle) => handle.result()));
    expect(await rows.ids()).toHaveLength(2);
    await app.relay().start();
    await polled(() => rows.ids()).toEqual([]);
  });
});
