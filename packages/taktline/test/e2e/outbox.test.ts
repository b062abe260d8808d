/**
 * Jobs that are enqueued with a transaction: there when it commits, never there when it does not. On a Postgres broker in the same
 * database, and by the outbox to one in another database and to Redis.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { App } from '../../src/index.ts';
import { AppDatabase } from '../support/app-database.ts';

import { type Harness, harness, onEachBroker } from '../support/harness.ts';
import { polled } from '../support/polled.ts';

describe('directly', () => transactions(harness(), 'beside'));
onEachBroker('by the outbox', (h) => transactions(h, 'apart'));

function transactions(h: Harness, where: 'beside' | 'apart'): void {
  let database: AppDatabase;
  beforeEach(async () => {
    database = await AppDatabase.make(where);
  });
  afterEach(async () => {
    await h.end();
    await database.drop();
  });

  /** An app whose jobs note what they were given, its relay, and its worker if it is to have one. */
  async function scene({ works = true }: { readonly works?: boolean } = {}) {
    const app = h.app({
      queues: [
        { name: 'work', priority: 5 },
        { name: 'other', priority: 7 },
      ],
      outbox: database.settings,
    });
    const ran: unknown[] = [];
    const note = app.task({
      name: 'note',
      queue: 'work',
      input: z.object({ order: z.number() }),
      run: ({ order }, ctx) => {
        ran.push(order);
        return { order, queue: ctx.queue, headers: ctx.headers };
      },
    });
    await app.relay().start();
    if (works) await h.work(app);
    return { app, note, ran };
  }

  it('a committed job runs and gives its result; a rolled back one never was', async () => {
    const { note, ran } = await scene();
    const handle = await database.transaction(async (transaction) => {
      await transaction.query(`insert into ${database.orders} values (1, 1)`);
      return note.enqueue({ order: 1 }, { transaction, headers: { trace: 'a' } });
    });
    expect(await handle.result()).toEqual({ order: 1, queue: 'work', headers: { trace: 'a' } });
    const undone = database.transaction(async (transaction) => {
      await note.enqueue({ order: 2 }, { transaction });
      throw new Error('it was not meant');
    });
    await expect(undone).rejects.toThrow('it was not meant');
    const after = await database.transaction((transaction) => note.delayIn(transaction, { order: 3 }));
    await after.result();
    expect(ran).toEqual([1, 3]);
  });

  it('a transaction of Kysely, whatever its plugins', async () => {
    const { note } = await scene();
    const db = database.kysely();
    const handles = await db.transaction().execute(async (transaction) => {
      await transaction
        .insertInto(database.orders as 'orders')
        .values({ id: 1, jobCount: 2 })
        .execute();
      return note.enqueueMany([{ order: 1 }, { order: 2 }], { transaction });
    });
    expect(await Promise.all(handles.map((handle) => handle.result()))).toMatchObject([{ order: 1 }, { order: 2 }]);
    await expect(note.enqueue({ order: 3 }, { transaction: db })).rejects.toMatchObject({ code: 'OUTBOX_TRANSACTION' });
  });

  it('what is no open transaction is refused, and nothing is enqueued', async () => {
    const { note, app } = await scene();
    const client = await database.pool.connect();
    const refused = (transaction: pg.PoolClient | pg.Pool | object) =>
      expect(note.enqueue({ order: 1 }, { transaction: transaction as pg.Pool })).rejects;
    const code = { code: 'OUTBOX_TRANSACTION' };
    await refused(database.pool).toMatchObject({ ...code, message: expect.stringContaining('pool') as string });
    await refused({}).toMatchObject(code);
    await refused(client).toMatchObject({ ...code, message: expect.stringContaining('no transaction is open') as string });
    await client.query('begin');
    await client.query('nonsense').catch(() => undefined);
    await refused(client).toMatchObject({ ...code, message: expect.stringContaining('failed before') as string });
    await client.query('rollback');
    // Nobody waited for it, so that it comes after the commit.
    await client.query('begin');
    const late = note.enqueue({ order: 1 }, { transaction: client });
    const [committed] = await Promise.all([client.query('commit'), expect(late).rejects.toMatchObject(code)]);
    expect(committed.command).toBe('COMMIT');
    client.release();
    await expect(note.enqueue({ order: 'one' as unknown as number }, { transaction: client })).rejects.toMatchObject({
      code: 'INVALID_INPUT',
    });
    await expect(note.enqueueMany([{ order: 1 }], { key: () => 'k' })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    expect(await standing(app)).toBe(0);
  });

  it('calls of one turn share a statement, and keep their order', async () => {
    const { note, app } = await scene({ works: false });
    // The first transaction of a process finds out where the broker is.
    await database.transaction((transaction) => note.enqueue({ order: 0 }, { transaction }));
    // Jobs without a key have an order within their transaction only: the two loops of a relay may overtake each other.
    await polled(() => standing(app)).toBe(1);
    const statements: string[] = [];
    await database.transaction(async (client) => {
      const counting = { query: (text: string, values: unknown[]) => (statements.push(text), client.query(text, values)) };
      await Promise.all(Array.from({ length: 899 }, (_, order) => note.enqueue({ order: order + 1 }, { transaction: counting })));
      await note.enqueueMany(
        Array.from({ length: 100 }, (_, order) => ({ order: order + 900 })),
        { transaction: counting },
      );
    });
    expect(statements).toHaveLength(2);
    await polled(() => standing(app)).toBe(1_000);
    const waiting = await app.inspector.jobs('queued', { limit: 1_000 });
    expect(waiting.map(({ input }) => (input as { order: number }).order)).toEqual(Array.from({ length: 1_000 }, (_, order) => order));
  });

  it('jobs of one key run in the order of their transactions', async () => {
    const { note, ran } = await scene({ works: false });
    const app = h.app({ queues: [{ name: 'work', priority: 5 }], outbox: database.settings });
    await app.relay().start();
    for (let order = 0; order < 60; order++)
      await database.transaction((transaction) => note.enqueue({ order }, { transaction, key: 'order 7' }));
    const reader = h.app({ queues: [{ name: 'work', priority: 5 }] });
    reader.task({ name: 'note', queue: 'work', input: z.object({ order: z.number() }), run: ({ order }) => void ran.push(order) });
    await h.work(reader, { concurrency: 1 });
    await polled(() => ran.length).toBe(60);
    expect(ran).toEqual(Array.from({ length: 60 }, (_, order) => order));
  });

  it('every option of an enqueue arrives', async () => {
    const { note, app } = await scene({ works: false });
    await database.transaction(async (transaction) => {
      await note.enqueue({ order: 1 }, { transaction, queue: 'other', priority: 9 });
      await note.enqueue({ order: 2 }, { transaction, countdown: '1h' });
      await note.enqueue({ order: 3 }, { transaction, eta: Date.now() + 7_200_000 });
      await note.enqueue({ order: 4 }, { transaction, expires: '30s' });
      await note.enqueue({ order: 5 }, { transaction, id: 'named' });
      await note.enqueue({ order: 5 }, { transaction, id: 'named' });
    });
    await polled(() => standing(app)).toBe(5);
    const waiting = await app.inspector.jobs('queued');
    const byOrder = new Map(waiting.map((job) => [(job.input as { order: number }).order, job]));
    expect(byOrder.get(1)).toMatchObject({ queue: 'other', priority: 9 });
    const lasting = Date.parse(byOrder.get(4)?.expiresAt ?? '') - Date.now();
    expect(lasting).toBeGreaterThan(10_000);
    expect(lasting).toBeLessThan(31_000);
    expect(byOrder.get(5)?.id).toBe('named');
    const due = (await app.inspector.jobs('scheduled')).map((job) => Math.round((Date.parse(job.dueAt ?? '') - Date.now()) / 60_000));
    expect(due.toSorted((a, b) => a - b)).toEqual([60, 120]);
    await expect(
      database.transaction((transaction) =>
        note.enqueue({ order: 1 }, { transaction, id: waiting.find(({ id }) => id !== 'named')?.id ?? '' }),
      ),
    ).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  });

  it('a sleeping worker hears of it soon after the commit', async () => {
    const { note, app } = await scene({ works: false });
    await h.work(app, { pollInterval: '1h' });
    await sleep(500);
    const begun = performance.now();
    const handle = await database.transaction(async (transaction) => {
      const made = await note.enqueue({ order: 1 }, { transaction });
      await sleep(300);
      return made;
    });
    await handle.result();
    expect(performance.now() - begun).toBeLessThan(30_000);
  });
}

/** Jobs that the broker has and that wait. */
async function standing(app: App): Promise<number> {
  return (await app.inspector.queues()).reduce((jobs, { ready, scheduled }) => jobs + ready + scheduled, 0);
}
