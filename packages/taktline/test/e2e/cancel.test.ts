/** Cancelling: a job that waits is gone, a job that runs hears of it, and a signal always says why. */
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { ShutdownSignal } from '../../src/index.ts';
import { Gate } from '../support/gate.ts';
import { onEachBroker } from '../support/harness.ts';
import { polled } from '../support/polled.ts';

onEachBroker('cancelling', (h) => {
  /** A task that runs until its signal aborts or its gate opens, and tells the reason. */
  function patient() {
    const app = h.app();
    const gate = new Gate();
    const reasons: unknown[] = [];
    const task = app.task({
      name: 'patient',
      queue: 'work',
      input: z.object({ stubborn: z.boolean() }),
      retry: { maxAttempts: 1 },
      softTimeLimit: '20s',
      run: async ({ stubborn }, ctx) => {
        ctx.signal.addEventListener('abort', () => reasons.push(ctx.signal.reason));
        await gate.pass(stubborn ? undefined : ctx.signal);
        return 'done';
      },
    });
    return { app, task, gate, reasons };
  }

  describe('a job that waits', () => {
    it.each([{}, { countdown: '1h' } as const])('is cancelled at once: %j', async (options) => {
      const { app, task } = patient();
      const handle = await task.applyAsync({ stubborn: false }, options);
      expect(await handle.cancel()).toBe('done');
      expect(await handle.status()).toBe('cancelled');
      await expect(handle.result()).rejects.toMatchObject({ code: 'JOB_CANCELLED', jobId: handle.id });
      expect(await handle.cancel()).toBe('ended');
      await h.work(app);
      expect(await h.store.claims()).toBe(0);
    });

    it('many at once, each with its own answer', async () => {
      const { app, task } = patient();
      const handles = await task.enqueueMany(Array.from({ length: 300 }, () => ({ stubborn: false })));
      expect(await app.cancel([...handles.map(({ id }) => id), 'nobody'])).toEqual([...handles.map(() => 'done'), 'unknown']);
    });
  });

  describe('a job that runs', () => {
    it('hears it by its signal within a moment, and ends as cancelled when it throws', async () => {
      const { app, task, gate, reasons } = patient();
      await h.work(app);
      const handle = await task.delay({ stubborn: false });
      await gate.reached;
      expect(await handle.cancel()).toBe('asked');
      await expect(handle.result()).rejects.toMatchObject({ code: 'JOB_CANCELLED' });
      expect(reasons).toMatchObject([{ name: 'TaktlineError', code: 'JOB_CANCELLED' }]);
      expect(await app.inspector.job(handle.id)).toMatchObject({ state: 'cancelled', failures: 0, attempts: [{ outcome: 'cancelled' }] });
      expect(await h.store.count('dead')).toBe(0);
    });

    it('that finishes all the same has succeeded', async () => {
      const { app, task, gate, reasons } = patient();
      await h.work(app);
      const handle = await task.delay({ stubborn: true });
      await gate.reached;
      await handle.cancel();
      expect(await app.inspector.job(handle.id)).toMatchObject({ state: 'running', cancelAsked: true });
      await polled(() => reasons.length).toBe(1);
      gate.open();
      expect(await handle.result()).toBe('done');
      expect(await handle.cancel()).toBe('ended');
    });

    it('leaves the others of its claim alone', async () => {
      const app = h.app();
      const gate = new Gate();
      const task = app.task({ name: 'n', queue: 'work', input: z.number(), run: (n, ctx) => gate.pass(ctx.signal).then(() => n) });
      const handles = await task.enqueueMany([0, 1, 2, 3]);
      await h.work(app, { concurrency: 4 });
      await gate.reached;
      await handles[2]?.cancel();
      await expect(handles[2]?.result()).rejects.toMatchObject({ code: 'JOB_CANCELLED' });
      gate.open();
      expect(await Promise.all([0, 1, 3].map((index) => handles[index]?.result()))).toEqual([0, 1, 3]);
    });

    it('and goes back instead of ending does not wait again: its cancellation was asked for', async () => {
      const { app, task, gate } = patient();
      const worker = await h.work(app, { shutdownGrace: 0 });
      const handle = await task.delay({ stubborn: true });
      await gate.reached;
      expect(await handle.cancel()).toBe('asked');
      await worker.stop();
      expect(await handle.status()).toBe('cancelled');
    });
  });

  describe('the reason of the signal', () => {
    it('is TIME_LIMIT past the soft limit', async () => {
      const app = h.app();
      const reasons: unknown[] = [];
      const task = app.task({
        name: 'slow',
        queue: 'work',
        softTimeLimit: 50,
        retry: { maxAttempts: 1 },
        run: async (_, ctx) => {
          await new Gate().pass(ctx.signal).catch((reason: unknown) => reasons.push(reason));
          return 'cleaned up';
        },
      });
      await h.work(app);
      expect(await (await task.delay()).result()).toBe('cleaned up');
      expect(reasons).toMatchObject([{ code: 'TIME_LIMIT' }]);
    });

    it('is a ShutdownSignal when the worker stops, and the job waits again, without an attempt counted', async () => {
      const { app, task, gate, reasons } = patient();
      const worker = await h.work(app, { shutdownGrace: '400ms' });
      const handle = await task.delay({ stubborn: false });
      await gate.reached;
      await worker.stop();
      expect(reasons[0]).toBeInstanceOf(ShutdownSignal);
      expect(reasons[0]).toMatchObject({ code: 'SHUTDOWN' });
      expect(await app.inspector.job(handle.id)).toMatchObject({
        state: 'queued',
        failures: 0,
        losses: 0,
        attempts: [{ outcome: 'handed-back' }],
      });
      gate.open();
      await h.work(app);
      expect(await handle.result()).toBe('done');
    });
  });
});
