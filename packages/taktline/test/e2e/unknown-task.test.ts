/** A worker that does not know a task hands its job back for one that does, and no attempt is counted. */
import { expect, it } from 'vitest';
import { z } from 'zod';
import { harness } from '../support/harness.ts';

const h = harness();

it('goes back with a growing delay, runs on a worker that knows it, and was no attempt', async () => {
  const caller = h.app();
  const task = caller.task({ name: 'new.task', queue: 'work', input: z.number(), run: (n, ctx) => [n, ctx.attempt] });
  const old = h.app();
  const worker = await h.work(old);
  const handle = await task.delay(7);
  const waits: number[] = [];
  for (let time = 1; time <= 3; time++) {
    await expect.poll(async () => await h.rows('scheduled', `past::json ->> 'unknownTimes' = '${time}'`), { timeout: 10_000 }).toBe(1);
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
  await expect.poll(() => h.rows('scheduled'), { timeout: 10_000 }).toBe(1);
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

it.each(['constructor', 'toString', '__proto__', 'hasOwnProperty'])('a job that names %s meets no function of an object', async (name) => {
  const app = h.app();
  await h.work(app);
  await app.ping();
  // No app would enqueue it: it is forged in the table.
  await h.space.query(
    `insert into $ns.ready (queue, rank, id, enqueued_at, envelope) select id, 1, 'forged', 1, $1 from $ns.queues where name = 'work'`,
    [JSON.stringify({ v: 1, task: name, input: { a: 1 } })],
  );
  await expect.poll(() => h.rows('scheduled', `past::json ->> 'unknownTimes' = '1'`), { timeout: 10_000 }).toBe(1);
});

it.each(['', 'null', '{"v":1,"task":"n","input":', '{"v":99,"task":"n","input":1}', '[[[', '{"v":1}'])(
  'an envelope that cannot be read is a dead letter, once, and the worker lives: %j',
  async (envelope) => {
    const app = h.app();
    const known = app.task({ name: 'n', queue: 'work', run: () => 'alive' });
    await h.work(app);
    await app.ping();
    await h.space.query(
      `insert into $ns.ready (queue, rank, id, enqueued_at, envelope) select id, 1, 'forged', 1, $1 from $ns.queues where name = 'work'`,
      [envelope],
    );
    await expect.poll(() => h.rows('dead', `id = 'forged' and code = 'BAD_ENVELOPE'`), { timeout: 10_000 }).toBe(1);
    expect(await (await known.delay()).result()).toBe('alive');
  },
);
