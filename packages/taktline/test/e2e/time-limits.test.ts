/** Time limits: the soft one asks, the hard one ends the attempt, and a loop that is blocked past it ends the process. */
import { expect, it } from 'vitest';
import { z } from 'zod';
import { Gate } from '../support/gate.ts';
import { onEachBroker } from '../support/harness.ts';
import { polled } from '../support/polled.ts';

onEachBroker('time limits', (h) => {
  it('past the soft limit the signal aborts; a task that gives up then has failed and is tried again', async () => {
    const app = h.app();
    const task = app.task({
      name: 'slow',
      queue: 'work',
      softTimeLimit: 60,
      timeLimit: '30s',
      retry: { maxAttempts: 2, backoff: { type: 'fixed', delay: 0 } },
      run: async (_, ctx) => {
        if (ctx.attempt === 1) for (;;) await ctx.heartbeat();
        return ctx.attempt;
      },
    });
    await h.work(app);
    const handle = await task.delay();
    expect(await handle.result()).toBe(2);
    expect((await app.inspector.job(handle.id))?.attempts).toMatchObject([
      { outcome: 'failed', error: { type: 'TaktlineError', code: 'TIME_LIMIT' } },
    ]);
  });

  it('past the hard limit the attempt has failed whatever the code does, its slot is free, and what it returns later counts for nothing', async () => {
    const app = h.app();
    const gate = new Gate();
    let ended = 0;
    const stuck = app.task({
      name: 'stuck',
      queue: 'work',
      timeLimit: 80,
      retry: { maxAttempts: 2, backoff: { type: 'fixed', delay: 0 } },
      run: async () => {
        await gate.pass();
        ended += 1;
        return 'too late';
      },
    });
    const next = app.task({ name: 'next', queue: 'work', run: () => 'ran' });
    await h.work(app, { concurrency: 1 });
    const handle = await stuck.delay();
    const after = await next.delay();
    await expect(handle.result()).rejects.toMatchObject({
      code: 'JOB_FAILED',
      cause: { code: 'TIME_LIMIT', message: expect.stringContaining('80 ms') as string },
    });
    expect(await after.result()).toBe('ran');
    gate.open();
    await polled(() => ended).toBe(2);
    expect(await app.inspector.job(handle.id)).toMatchObject({ state: 'failed', failures: 2 });
    expect((await app.inspector.deadLetters.list()).items).toMatchObject([{ id: handle.id, code: 'TIME_LIMIT' }]);
    expect(h.log.with('time limit').map(({ level, task }) => [level, task])).toEqual([
      ['error', 'stuck'],
      ['error', 'stuck'],
    ]);
  });

  it('a loop that is blocked for good is killed from beside it, and its jobs run elsewhere', { timeout: 60_000 }, async () => {
    const app = h.app();
    const block = app.task({
      name: 'block',
      queue: 'work',
      input: z.object({ ms: z.number() }),
      run: (_, ctx) => `rescued at attempt ${ctx.attempt}`,
    });
    const child = h.child('e2e-worker.mjs', { timeLimit: '500ms', concurrency: 1 });
    await child.said('started');
    const handle = await block.delay({ ms: 3_600_000 });
    await child.said('begun');
    expect(await child.exited).toEqual({ code: null, signal: 'SIGKILL' });
    expect(child.errors).toContain('the event loop is blocked past the time limit of its tasks');
    await h.work(app, { lease: '1s' });
    expect(await handle.result()).toBe('rescued at attempt 2');
    expect(await app.inspector.job(handle.id)).toMatchObject({
      failures: 0,
      losses: 1,
      attempts: [{ outcome: 'lost', error: { code: 'LEASE_LOST' } }],
    });
  });
});
