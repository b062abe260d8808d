/** What can be seen of a job while it runs, and of a result afterwards. */
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { Gate } from '../support/gate.ts';
import { onEachBroker } from '../support/harness.ts';
import { polled } from '../support/polled.ts';

onEachBroker('progress and results', (h) => {
  it('progress shows on the running job, the newest value only, and is gone with it', async () => {
    const app = h.app();
    const gate = new Gate();
    const task = app.task({
      name: 'long',
      queue: 'work',
      run: async (_, ctx) => {
        for (let done = 1; done <= 100; done++) ctx.progress({ done, of: 100 });
        await gate.pass(ctx.signal);
      },
    });
    await h.work(app, { name: 'w@here' });
    const handle = await task.delay();
    await gate.reached;
    await polled(async () => (await app.inspector.job(handle.id))?.progress).toEqual({ done: 100, of: 100 });
    const running = await app.inspector.job(handle.id);
    expect(running).toMatchObject({ state: 'running', task: 'long', worker: 'w@here', queue: 'work', priority: 5 });
    expect((await app.inspector.jobs('running')).map(({ id }) => id)).toEqual([handle.id]);
    gate.open();
    await handle.result();
    expect((await app.inspector.job(handle.id))?.progress).toBeUndefined();
  });

  it('that of each job of a claim is its own', async () => {
    const app = h.app();
    const gate = new Gate();
    const task = app.task({
      name: 'n',
      queue: 'work',
      input: z.number(),
      run: async (n, ctx) => {
        ctx.progress(`at ${n}`);
        await gate.pass(ctx.signal);
      },
    });
    const handles = await task.enqueueMany([0, 1, 2]);
    await h.work(app, { concurrency: 3 });
    for (const [n, handle] of handles.entries()) {
      await polled(async () => (await app.inspector.job(handle.id))?.progress).toBe(`at ${n}`);
    }
    gate.open();
    await Promise.all(handles.map((handle) => handle.result()));
  });

  describe('a result', () => {
    it('is not kept with resultTtl: false: asking for it fails at once, and nothing of the job stays', async () => {
      const app = h.app();
      const gate = new Gate();
      const task = app.task({
        name: 'forget',
        queue: 'work',
        resultTtl: false,
        run: () => {
          gate.open();
          return 'nobody reads this';
        },
      });
      await h.work(app);
      const handle = await task.delay();
      await expect(handle.result()).rejects.toMatchObject({ code: 'RESULT_NOT_KEPT', jobId: handle.id });
      await gate.pass();
      await polled(() => handle.status()).toBeUndefined();
      expect(await h.store.count('ended')).toBe(0);
    });

    it('is gone after its time to live', async () => {
      const app = h.app();
      const task = app.task({ name: 'brief', queue: 'work', resultTtl: '1ms', run: () => 'short' });
      const kept = app.task({ name: 'kept', queue: 'work', run: () => 'long' });
      await h.work(app);
      const [brief, long] = [await task.delay(), await kept.delay()];
      expect(await long.result()).toBe('long');
      await polled(async () => (await h.store.count('ready')) + (await h.store.claims())).toBe(0);
      // A worker tidies up every ten seconds; here the test does.
      await polled(async () => {
        await h.tidy();
        return h.store.count('ended');
      }).toBe(1);
      await expect(brief.result()).rejects.toMatchObject({ code: 'JOB_NOT_FOUND' });
      expect(await long.status()).toBe('succeeded');
    });

    it('that is late is a RESULT_TIMEOUT; the job goes on', async () => {
      const app = h.app();
      const gate = new Gate();
      const task = app.task({ name: 'late', queue: 'work', run: () => gate.pass().then(() => 'there') });
      await h.work(app);
      const handle = await task.delay();
      await expect(handle.result({ timeout: '50ms' })).rejects.toMatchObject({ code: 'RESULT_TIMEOUT', jobId: handle.id });
      gate.open();
      expect(await handle.result()).toBe('there');
    });
  });

  it('inspect shows queues and workers', async () => {
    const app = h.app({ queues: ['work', 'low'].map((name, index) => ({ name, priority: 5 - index })) });
    const task = app.task({ name: 'n', queue: 'low', run: () => null });
    await task.delay();
    await task.applyAsync(undefined, { countdown: '1h' });
    await h.work(app, { queues: ['work'], name: 'w@%h', concurrency: 3 });
    expect(await app.inspector.queues()).toMatchObject([
      { name: 'work', priority: 5, ready: 0, scheduled: 0, running: 0, dead: 0, oldestWaitMs: undefined },
      { name: 'low', priority: 4, ready: 1, scheduled: 1, running: 0, dead: 0, oldestWaitMs: expect.any(Number) as number },
    ]);
    const [worker] = await app.inspector.workers();
    expect(worker).toMatchObject({
      running: 0,
      info: { pid: process.pid, concurrency: 3, queues: ['work'], tasks: ['n'], pool: 'inline' },
    });
    expect(worker?.name).toMatch(/^w@./);
    expect(worker?.name).not.toContain('%h');
    expect(worker?.leaseExpiresInMs).toBeGreaterThan(0);
    expect((await app.inspector.examine()).every(({ ok }) => ok)).toBe(true);
  });
});
