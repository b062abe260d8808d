/**
 * Ids of the caller in queues that are kept until the end: a row stays for no longer than the job that its id names, which may be an
 * earlier one, whose end was told before, is told to nobody, or of which it is another task or input.
 */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { z } from 'zod';
import { AppDatabase } from '../support/app-database.ts';
import { onEachBroker } from '../support/harness.ts';
import { KeptRows } from '../support/kept-rows.ts';
import { polled } from '../support/polled.ts';

onEachBroker('an id of the caller that names an earlier job', (h) => {
  let database: AppDatabase;
  let rows: KeptRows;
  beforeEach(async () => {
    database = await AppDatabase.make('apart');
    rows = new KeptRows(database);
  });
  afterEach(async () => {
    await h.end();
    await database.drop();
  });

  /** An app whose relay runs; its worker does not yet. */
  async function scene(run: (order: number) => unknown = () => null, options: { readonly resultTtl?: false } = {}) {
    const app = h.app({
      queues: [
        { name: 'work', priority: 5 },
        { name: 'critical', priority: 9, keepUntilEnd: true },
      ],
      outbox: database.settings,
    });
    const pay = app.task({
      name: 'pay',
      queue: 'critical',
      input: z.object({ order: z.number() }),
      effectKey: ({ order }) => `order ${order}`,
      run: ({ order }) => run(order),
      ...options,
    });
    await app.relay().start();
    const enqueue = async (order: number, more: { readonly id: string; readonly queue?: string }) => {
      await database.transaction((transaction) => pay.enqueue({ order }, { transaction, ...more }));
      await polled(async () => (await app.outbox.lag()).waiting).toBe(0);
    };
    return { app, enqueue };
  }

  it.each([
    ['the same job', 1, {}],
    ['another one', 2, {}],
    ['the same job, which has left no result', 1, { resultTtl: false }],
  ] as const)('that has ended: the row of %s goes', async (_, order, options) => {
    const { app, enqueue } = await scene(() => 'paid', options);
    await enqueue(1, { id: 'mine' });
    await h.work(app);
    await polled(() => rows.ids()).toEqual([]);
    await enqueue(order, { id: 'mine' });
    await polled(() => rows.ids()).toEqual([]);
    expect(await app.outbox.reconcile()).toMatchObject({ queues: [{ queue: 'critical', compared: 0, lost: 0 }] });
  });

  it('that waits: its row stays until it has ended', async () => {
    const ran: number[] = [];
    const { app, enqueue } = await scene((order) => ran.push(order));
    await enqueue(1, { id: 'mine' });
    await enqueue(1, { id: 'mine' });
    await enqueue(2, { id: 'mine' });
    await rows.upkeep();
    expect(await rows.ids()).toEqual(['mine']);
    await h.work(app);
    await polled(() => rows.ids()).toEqual([]);
    expect(ran).toEqual([1]);
    expect(h.log.with('name jobs with another task or input')).toHaveLength(1);
  });

  it('that waits in a queue that is not kept: the row goes when it has ended', async () => {
    const ran: number[] = [];
    const { app, enqueue } = await scene((order) => ran.push(order));
    await enqueue(1, { id: 'mine', queue: 'work' });
    await enqueue(1, { id: 'mine' });
    await rows.upkeep();
    expect(await rows.ids()).toEqual(['mine']);
    await h.work(app);
    await polled(() => rows.ids()).toEqual([]);
    expect(ran).toEqual([1]);
  });

  it('that waits and is another one: what was refused leaves no row, and the earlier one keeps its own', async () => {
    const { enqueue } = await scene();
    await enqueue(1, { id: 'mine', queue: 'work' });
    await enqueue(2, { id: 'mine' });
    await enqueue(1, { id: 'yours' });
    await enqueue(2, { id: 'yours' });
    await polled(() => rows.ids()).toEqual(['yours']);
    await rows.upkeep();
    const left = await database.query<{ envelope: string }>('select envelope from $outbox.kept');
    expect(left.map(({ envelope }) => (JSON.parse(envelope) as { input: unknown }).input)).toEqual([{ order: 1 }]);
  });
});
