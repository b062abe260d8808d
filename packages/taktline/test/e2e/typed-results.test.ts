/** Results: typed by what `run` returns, as JSON brings them, and input typed by the schema. */
import { describe, expect, expectTypeOf, it } from 'vitest';
import { z } from 'zod';
import { createApp, discard, type JobHandle, type ResultOf, retryLater, type Task } from '../../src/index.ts';
import { onEachBroker } from '../support/harness.ts';

onEachBroker('results', (h) => {
  it('a result comes back as the task returned it', async () => {
    const app = h.app();
    const add = app.task({
      name: 'add',
      queue: 'work',
      input: z.object({ a: z.number(), b: z.number() }),
      run: ({ a, b }) => ({ sum: a + b }),
    });
    await h.work(app);
    const handle = await add.delay({ a: 1, b: 2 });
    const { sum } = await handle.result();
    expect(sum).toBe(3);
    expect(await handle.status()).toBe('succeeded');
  });

  it('it can be read twice, by another app, and by its id alone', async () => {
    const app = h.app();
    const echo = app.task({ name: 'echo', queue: 'work', input: z.string(), run: (text) => text });
    await h.work(app);
    const { id } = await echo.delay('hello');
    const other = h.app();
    expect(await other.handle(id).result()).toBe('hello');
    expect(await other.handle(id).result()).toBe('hello');
  });

  it('any JSON value is a result', async () => {
    const app = h.app();
    const values: readonly unknown[] = [
      null,
      '',
      0,
      false,
      [],
      {},
      'Ünïcode \u0000\u001e\ud83d\ude00',
      [[1, [2]]],
      { constructor: 1 },
      1e21,
      'x'.repeat(300_000),
    ];
    const give = app.task({ name: 'give', queue: 'work', input: z.number(), run: (index) => values[index] });
    await h.work(app);
    const handles = await give.enqueueMany([...values.keys()]);
    expect(await Promise.all(handles.map((handle) => handle.result()))).toEqual(values);
  });

  it('results of many arrive by the order of their inputs', async () => {
    const app = h.app();
    const double = app.task({ name: 'double', queue: 'work', input: z.number(), run: async (n) => n * 2 });
    await h.work(app, { concurrency: 50 });
    const handles = await double.enqueueMany(Array.from({ length: 1_500 }, (_, n) => n));
    expect(await Promise.all(handles.map((handle) => handle.result()))).toEqual(Array.from({ length: 1_500 }, (_, n) => n * 2));
  });

  it('the worker runs what the schema makes of the input', async () => {
    const app = h.app();
    const schema = z.object({ on: z.coerce.date(), tags: z.array(z.string()).default([]), n: z.string().transform(Number) });
    const show = app.task({ name: 'show', queue: 'work', input: schema, run: ({ on, tags, n }) => [on instanceof Date, tags, n] });
    await h.work(app);
    expect(await (await show.delay({ on: new Date(), n: '5' })).result()).toEqual([true, [], 5]);
  });
});

describe('types', () => {
  const app = createApp({ brokerUrl: 'embedded:types', queues: [{ name: 'work', priority: 5 }] });

  it('of the input are what the schema takes, and those of run what it makes', () => {
    const task = app.task({
      name: 'typed',
      queue: 'work',
      input: z.object({ n: z.string().transform(Number), tag: z.string().default('x') }),
      run: (input) => {
        expectTypeOf(input).toEqualTypeOf<{ n: number; tag: string }>();
        return { ok: true as boolean };
      },
    });
    expectTypeOf(task).toEqualTypeOf<Task<{ n: string; tag?: string | undefined }, { ok: boolean }>>();
    expectTypeOf(task.delay).parameters.toEqualTypeOf<[input: { n: string; tag?: string | undefined }]>();
    expectTypeOf(task.delay).returns.resolves.toEqualTypeOf<JobHandle<{ ok: boolean }>>();
    expectTypeOf(task.enqueueMany).parameter(0).toEqualTypeOf<readonly { n: string; tag?: string | undefined }[]>();
    expectTypeOf(task.enqueueMany).returns.resolves.toEqualTypeOf<JobHandle<{ ok: boolean }>[]>();
    // @ts-expect-error a field is missing
    const wrong: Parameters<typeof task.delay> = [{ tag: 'y' }];
    expect(wrong).toHaveLength(1);
  });

  it('of a result leave out the outcomes that are none, and promises', () => {
    const late = app.task({ name: 'late', queue: 'work', run: async () => (Math.random() > 2 ? retryLater('1m') : Math.random()) });
    expectTypeOf(late.delay).returns.resolves.toEqualTypeOf<JobHandle<number>>();
    const gone = app.task({ name: 'gone', queue: 'work', run: () => (Math.random() > 2 ? String(Math.random()) : discard('x')) });
    expectTypeOf(gone.delay).returns.resolves.toEqualTypeOf<JobHandle<string>>();
    const never = app.task({ name: 'never', queue: 'work', run: () => discard('x') });
    expectTypeOf(never.delay).returns.resolves.toEqualTypeOf<JobHandle<never>>();
    expectTypeOf<ResultOf<Promise<number> | ReturnType<typeof retryLater>>>().toEqualTypeOf<number>();
    const { result } = {} as JobHandle<number>;
    expectTypeOf(result).returns.resolves.toEqualTypeOf<number>();
    expect([late.name, gone.name, never.name]).toEqual(['late', 'gone', 'never']);
  });

  it('of a task without a schema: it takes no input, and options stand second', () => {
    const bare = app.task({
      name: 'bare',
      queue: 'work',
      run: (input, ctx) => {
        expectTypeOf(input).toEqualTypeOf<undefined>();
        expectTypeOf(ctx.signal).toEqualTypeOf<AbortSignal>();
        expectTypeOf(ctx.attempt).toEqualTypeOf<number>();
        expectTypeOf(ctx.headers).toEqualTypeOf<Readonly<Record<string, string>>>();
        return ctx.id;
      },
    });
    expectTypeOf(bare.delay).toBeCallableWith();
    expectTypeOf(bare.applyAsync).toBeCallableWith(undefined, { countdown: '5m' });
    expectTypeOf(bare.delay).returns.resolves.toEqualTypeOf<JobHandle<string>>();
    // @ts-expect-error it takes no input
    const wrong: Parameters<typeof bare.delay> = [{ n: 1 }];
    expect(wrong).toHaveLength(1);
  });

  it('by name is unknown: the caller has to look', () => {
    expectTypeOf(app.call).returns.resolves.toEqualTypeOf<JobHandle<unknown>>();
    expectTypeOf(app.handle).returns.toEqualTypeOf<JobHandle<unknown>>();
    expect(app.taskNames).toEqual(['bare', 'gone', 'late', 'never', 'typed']);
  });
});
