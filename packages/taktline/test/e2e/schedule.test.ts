/** Countdown, eta and expires: not before their time, by the server's clock, and not after it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { Gate } from '../support/gate.ts';
import { onEachBroker } from '../support/harness.ts';
import { polled } from '../support/polled.ts';

onEachBroker('scheduling', (h) => {
  /** An app whose task tells when it began, by the server's clock. */
  function noting() {
    const app = h.app();
    const began = new Map<string, number>();
    const order: string[] = [];
    const note = app.task({
      name: 'note',
      queue: 'work',
      input: z.string(),
      run: (text) => {
        began.set(text, Date.now());
        order.push(text);
      },
    });
    return { app, note, began, order };
  }

  describe('countdown and eta', () => {
    it('hold a job back until its time, and not much longer', async () => {
      const { app, note, began } = noting();
      await h.work(app, { pollInterval: '60s' });
      const now = Date.now();
      const handles = await Promise.all([
        note.applyAsync('countdown', { countdown: '400ms' }),
        note.applyAsync('eta', { eta: new Date(now + 500) }),
        note.applyAsync('ms', { eta: now + 600 }),
      ]);
      expect(await (await note.applyAsync('later', { countdown: '1h' })).status()).toBe('scheduled');
      await Promise.all(handles.map((handle) => handle.result()));
      for (const [text, due] of [
        ['countdown', now + 400],
        ['eta', now + 500],
        ['ms', now + 600],
      ] as const) {
        const late = (began.get(text) as number) - due;
        // The server stamps whole milliseconds.
        expect(late).toBeGreaterThanOrEqual(-1);
        expect(late).toBeLessThan(5_000);
      }
    });

    it('in the past mean at once', async () => {
      const { app, note } = noting();
      await h.work(app);
      const handles = [await note.applyAsync('eta', { eta: new Date(0) }), await note.applyAsync('countdown', { countdown: 0 })];
      expect(await Promise.all(handles.map((handle) => handle.result()))).toEqual([null, null]);
    });

    it('run by due time, however they were enqueued, and those of many by their place', async () => {
      const { app, note, order } = noting();
      const eta = Date.now() + 300;
      await note.enqueueMany(['d', 'e', 'f'], { eta: eta + 20 });
      await note.enqueueMany(['a', 'b', 'c'], { eta });
      await h.work(app, { concurrency: 1, ageing: false });
      await polled(() => order.length).toBe(6);
      expect(order.slice(0, 3).toSorted()).toEqual(['a', 'b', 'c']);
      expect(order.slice(3).toSorted()).toEqual(['d', 'e', 'f']);
    });

    it('cost the worker nothing until then: it holds none of them', async () => {
      const { app, note } = noting();
      await note.enqueueMany(
        Array.from({ length: 5_000 }, () => 'tomorrow'),
        { countdown: '1d' },
      );
      await h.work(app);
      expect(await (await note.delay('now')).result()).toBeNull();
      expect(await h.store.count('scheduled')).toBe(5_000);
      expect(await h.store.claims()).toBe(0);
    });
  });

  describe('expires', () => {
    it('ends a job that still waits then, and its handle says so', async () => {
      const { app, note, began } = noting();
      const late = await note.applyAsync('late', { expires: '50ms' });
      const dated = await note.applyAsync('dated', { expires: new Date(Date.now() + 50), countdown: '10m' });
      const fine = await note.applyAsync('fine', { expires: '1h' });
      await expect(late.result()).rejects.toMatchObject({ code: 'JOB_EXPIRED', jobId: late.id });
      await expect(dated.result()).rejects.toMatchObject({ code: 'JOB_EXPIRED' });
      await h.work(app);
      await fine.result();
      expect([...began.keys()]).toEqual(['fine']);
      expect(await Promise.all([late, dated, fine].map((handle) => handle.status()))).toEqual(['expired', 'expired', 'succeeded']);
    });

    it('does not touch a job that runs', async () => {
      const app = h.app();
      const gate = new Gate();
      const task = app.task({
        name: 'long',
        queue: 'work',
        run: async (_, ctx) => {
          await gate.pass(ctx.signal);
          return 'done';
        },
      });
      await h.work(app);
      const handle = await task.applyAsync(undefined, { expires: '1s' });
      await gate.reached;
      const { expiresAt } = (await app.inspector.job(handle.id)) ?? {};
      expect(expiresAt).toBeUndefined();
      await sleep(1_100);
      gate.open();
      expect(await handle.result()).toBe('done');
    });

    it('holds for a job that was handed back, be it by a worker that stops or one that does not know the task', async () => {
      const app = h.app();
      const gate = new Gate();
      const task = app.task({ name: 'long', queue: 'work', run: (_, ctx) => gate.pass(ctx.signal) });
      const worker = await h.work(app, { shutdownGrace: 0 });
      const handle = await task.applyAsync(undefined, { expires: '1200ms' });
      await gate.reached;
      await worker.stop();
      expect(await handle.status()).toBe('queued');
      await expect(handle.result()).rejects.toMatchObject({ code: 'JOB_EXPIRED' });

      const unknowing = h.app();
      await h.work(unknowing);
      const unknown = await task.applyAsync(undefined, { expires: '1200ms' });
      await expect(unknown.result()).rejects.toMatchObject({ code: 'JOB_EXPIRED' });
    });
  });
});
