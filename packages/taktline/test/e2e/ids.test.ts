/** A caller's id makes one job in the app, whatever the queue, for as long as it is to. */
import { expect, it } from 'vitest';
import { z } from 'zod';
import { onEachBroker } from '../support/harness.ts';
import { polled } from '../support/polled.ts';

onEachBroker("a caller's id", (h) => {
  function counting() {
    const app = h.app({ queues: ['work', 'other'].map((name) => ({ name, priority: 5 })) });
    let runs = 0;
    const task = app.task({
      name: 'count',
      queue: 'work',
      input: z.object({ n: z.number() }),
      run: ({ n }) => {
        runs += 1;
        return n;
      },
    });
    return { app, task, runs: () => runs };
  }

  it('sent many times, from two apps, to two queues, it runs once', async () => {
    const { app, task, runs } = counting();
    const { task: twin } = counting();
    const handles = await Promise.all(
      Array.from({ length: 40 }, (_, n) => (n % 2 ? task : twin).applyAsync({ n: 7 }, { id: 'once', queue: n % 3 ? 'work' : 'other' })),
    );
    expect(new Set(handles.map(({ id }) => id))).toEqual(new Set(['once']));
    await h.work(app);
    expect(await Promise.all(handles.map((handle) => handle.result()))).toEqual(Array.from({ length: 40 }, () => 7));
    // Also when it has long ended.
    expect(await (await task.applyAsync({ n: 7 }, { id: 'once' })).result()).toBe(7);
    expect(runs()).toBe(1);
  });

  it('with another input, or another task, it is a conflict, even after the job has ended', async () => {
    const { app, task } = counting();
    const other = app.task({ name: 'other', queue: 'work', input: z.object({ n: z.number() }), run: () => null });
    await h.work(app);
    await (await task.applyAsync({ n: 1 }, { id: 'taken' })).result();
    await expect(task.applyAsync({ n: 2 }, { id: 'taken' })).rejects.toMatchObject({ code: 'ID_CONFLICT', jobId: 'taken' });
    await expect(other.applyAsync({ n: 1 }, { id: 'taken' })).rejects.toMatchObject({ code: 'ID_CONFLICT', jobId: 'taken' });
  });

  it('the order of the fields is no other input', async () => {
    const { app } = counting();
    const task = app.task({ name: 'two', queue: 'work', input: z.object({ a: z.number(), b: z.number() }), run: () => null });
    await task.applyAsync({ a: 1, b: 2 }, { id: 'same' });
    await expect(task.applyAsync({ b: 2, a: 1 }, { id: 'same' })).resolves.toMatchObject({ id: 'same' });
  });

  it('after dedupeFor the id may be used again, once nothing is kept of the job', async () => {
    const app = h.app();
    let runs = 0;
    const options = { queue: 'work', run: () => void (runs += 1) } as const;
    const forgotten = app.task({ name: 'forgotten', resultTtl: false, ...options });
    const kept = app.task({ name: 'kept', ...options });
    await h.work(app);
    const ids = { id: 'daily', dedupeFor: '200ms' } as const;
    await forgotten.applyAsync(undefined, ids);
    await polled(async () => {
      await forgotten.applyAsync(undefined, ids);
      return runs;
    }).toBe(2);

    // A result that is still kept belongs to its id.
    const first = await kept.applyAsync(undefined, { ...ids, id: 'kept' });
    await first.result();
    await h.store.releaseId('kept');
    await (await kept.applyAsync(undefined, { ...ids, id: 'kept' })).result();
    expect(runs).toBe(3);
  });

  it('many take theirs from a function, and those that are there already are not made again', async () => {
    const { app, task, runs } = counting();
    const inputs = Array.from({ length: 30 }, (_, n) => ({ n }));
    const id = ({ n }: { n: number }, index: number) => `n-${n}-${index}`;
    await task.enqueueMany(inputs.slice(0, 10), { id });
    const handles = await task.enqueueMany(inputs, { id });
    expect(handles.map((handle) => handle.id)).toEqual(inputs.map(id));
    await h.work(app);
    expect(await Promise.all(handles.map((handle) => handle.result()))).toEqual(inputs.map(({ n }) => n));
    expect(runs()).toBe(30);
  });

  it('a dead letter keeps its id: sent again it is not made a second time', async () => {
    const app = h.app();
    const task = app.task({
      name: 'fails',
      queue: 'work',
      retry: { maxAttempts: 1 },
      run: () => {
        throw new Error('no');
      },
    });
    await h.work(app);
    const handle = await task.applyAsync(undefined, { id: 'doomed' });
    await expect(handle.result()).rejects.toMatchObject({ code: 'JOB_FAILED' });
    await task.applyAsync(undefined, { id: 'doomed' });
    expect(await h.store.count('ready')).toBe(0);
    expect(await handle.status()).toBe('failed');
  });
});
