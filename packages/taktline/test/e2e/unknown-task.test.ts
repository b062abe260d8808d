/** A worker that does not know a task hands its job back for one that does, and no attempt is counted. */
import { expect, it } from 'vitest';
import { z } from 'zod';
import { onEachBroker } from '../support/harness.ts';
import { polled } from '../support/polled.ts';

onEachBroker('unknown tasks', (h) => {
  /** Jobs that went back, and how often. */
  const unknown = async () =>
    (await h.store.scheduled()).map(({ past, dueInMs }) => ({
      dueInMs,
      times: (JSON.parse(past ?? '{}') as { unknownTimes?: number }).unknownTimes,
    }));

  it('goes back with a growing delay, runs on a worker that knows it, and was no attempt', async () => {
    const caller = h.app();
    const task = caller.task({ name: 'new.task', queue: 'work', input: z.number(), run: (n, ctx) => [n, ctx.attempt] });
    const old = h.app();
    const worker = await h.work(old);
    const handle = await task.delay(7);
    const waits: number[] = [];
    for (let time = 1; time <= 3; time++) {
      await polled(async () => (await unknown()).map(({ times }) => times)).toEqual([time]);
      waits.push(Math.round(((await unknown())[0]?.dueInMs as number) / 1_000));
      await h.store.letTimePass();
    }
    expect(waits).toEqual([1, 2, 4]);
    expect(h.log.with('unknown task')).toHaveLength(1);
    expect(h.log.with('unknown task')[0]).toMatchObject({ level: 'warn', job: handle.id, task: 'new.task' });
    await worker.stop();
    await h.store.letTimePass();
    await h.work(caller);
    expect(await handle.result()).toEqual([7, 1]);
    expect(await caller.inspector.job(handle.id)).toMatchObject({ failures: 0, losses: 0, deferrals: 0, attempts: [] });
  });

  it('is a dead letter once its grace is over, once, and can be redriven', async () => {
    const caller = h.app();
    const task = caller.task({ name: 'new.task', queue: 'work', run: () => 'at last' });
    const old = h.app();
    const worker = await h.work(old, { unknownTaskGrace: '1ms' });
    const handle = await task.delay();
    await polled(() => h.store.count('scheduled')).toBe(1);
    await h.store.letTimePass();
    await expect(handle.result()).rejects.toMatchObject({ code: 'JOB_FAILED', cause: { code: 'UNKNOWN_TASK_GRACE' } });
    expect((await caller.inspector.deadLetters.list()).items).toMatchObject([
      { id: handle.id, task: 'new.task', code: 'UNKNOWN_TASK_GRACE', attempts: [{ outcome: 'unknown-task' }] },
    ]);
    await worker.stop();
    await h.work(caller);
    expect(await caller.inspector.deadLetters.redrive({ code: 'UNKNOWN_TASK_GRACE' })).toBe(1);
    expect(await handle.result()).toBe('at last');
  });

  it('while others that it knows are run', async () => {
    const caller = h.app();
    caller.task({ name: 'new.task', queue: 'work', run: () => null });
    const old = h.app();
    const known = old.task({ name: 'known', queue: 'work', input: z.number(), run: (n) => n });
    await caller.call('new.task', undefined);
    await h.work(old, { concurrency: 1 });
    const handles = await known.enqueueMany([1, 2, 3]);
    expect(await Promise.all(handles.map((handle) => handle.result()))).toEqual([1, 2, 3]);
  });

  it('a job named after a function of every object meets none of them', async () => {
    const app = h.app();
    const known = app.task({ name: 'n', queue: 'work', run: () => 'alive' });
    await app.ping();
    const names = ['constructor', 'toString', '__proto__', 'hasOwnProperty', '../n', ''];
    for (const [index, task] of names.entries()) await h.store.forge(`forged-${index}`, JSON.stringify({ v: 1, task, input: { a: 1 } }));
    await h.work(app);
    await polled(async () => (await unknown()).map(({ times }) => times)).toEqual(names.map(() => 1));
    expect(await (await known.delay()).result()).toBe('alive');
  });

  it('an envelope that cannot be read is a dead letter, once, and the worker lives', async () => {
    const app = h.app();
    const known = app.task({ name: 'n', queue: 'work', run: () => 'alive' });
    await app.ping();
    const envelopes = ['', 'null', '{"v":1,"task":"n","input":', '{"v":99,"task":"n","input":1}', '[[[', '{"v":1}', 'x'.repeat(100_000)];
    for (const [index, envelope] of envelopes.entries()) await h.store.forge(`forged-${index}`, envelope);
    await h.work(app);
    await polled(async () => (await app.inspector.deadLetters.list({ code: 'BAD_ENVELOPE' })).items.length).toBe(envelopes.length);
    expect(await (await known.delay()).result()).toBe('alive');
    expect([await h.store.count('ready'), await h.store.count('scheduled'), await h.store.claims()]).toEqual([0, 0, 0]);
  });
});
