/** A worker that does not know a task hands its job back for one that does, and no attempt is counted. */
import { expect, it } from 'vitest';
import { z } from 'zod';
import { harness } from '../support/harness.ts';
import { polled } from '../support/polled.ts';

const h = harness();

it('goes back with a growing delay, runs on a worker that knows it, and was no attempt', async () => {
  const caller = h.app();
  const task = caller.task({ name: 'new.task', queue: 'work', input: z.number(), run: (n, ctx) => [n, ctx.attempt] });
  const old = h.app();
  const worker = await h.work(old);
  const handle = await task.delay(7);
  const waits: number[] = [];
  for (let time = 1; time <= 3; time++) {
    await polled(async () => await h.rows('scheduled', `past::json ->> 'unknownTimes' = '${time}'`)).toBe(1);
    const [row] = await h.space.query<{ wait: string }>('select due_at - $ns.now_ms() as wait from $ns.scheduled');
    waits.push(Math.round(Number(row?.wait) / 1_000));
    await h.space.query('update $ns.scheduled set due_at = 1');
  }
  expect(waits).toEqual([1, 2, 4]);
  expect(h.log.with('unknown task')).toHaveLength(1);
  expect(h.log.with('unknown task')[0]).toMatchObject({ level: 'warn', job: handle.id, task: 'new.task' });
  await worker.stop();
  await h.space.query('update $ns.scheduled set due_at = 1');
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
  await polled(() => h.rows('scheduled')).toBe(1);
  await h.space.query('update $ns.scheduled set due_at = 1');
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

/** No app would enqueue these: they are forged in the table. */
async function forge(id: string, envelope: string): Promise<void> {
  await h.space.query(
    `insert into $ns.ready (queue, rank, id, enqueued_at, envelopes) select id, nextval('$ns.arrivals'), $1, 1, $2 from $ns.queues where name = 'work'`,
    [id, envelope],
  );
}

it('a job named after a function of every object meets none of them', async () => {
  const app = h.app();
  const known = app.task({ name: 'n', queue: 'work', run: () => 'alive' });
  await app.ping();
  const names = ['constructor', 'toString', '__proto__', 'hasOwnProperty', '../n', ''];
  for (const [index, task] of names.entries()) await forge(`forged-${index}`, JSON.stringify({ v: 1, task, input: { a: 1 } }));
  await h.work(app);
  await polled(() => h.rows('scheduled', `past::json ->> 'unknownTimes' = '1'`)).toBe(names.length);
  expect(await (await known.delay()).result()).toBe('alive');
});

it('an envelope that cannot be read is a dead letter, once, and the worker lives', async () => {
  const app = h.app();
  const known = app.task({ name: 'n', queue: 'work', run: () => 'alive' });
  await app.ping();
  const envelopes = ['', 'null', '{"v":1,"task":"n","input":', '{"v":99,"task":"n","input":1}', '[[[', '{"v":1}', 'x'.repeat(100_000)];
  for (const [index, envelope] of envelopes.entries()) await forge(`forged-${index}`, envelope);
  await h.work(app);
  await polled(() => h.rows('dead', `code = 'BAD_ENVELOPE'`)).toBe(envelopes.length);
  expect(await (await known.delay()).result()).toBe('alive');
  expect([await h.rows('ready'), await h.rows('scheduled'), await h.rows('claims')]).toEqual([0, 0, 0]);
});
