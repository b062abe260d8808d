/** The ways to enqueue, and what is refused in the caller's process. */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { onEachBroker } from '../support/harness.ts';
import { polled } from '../support/polled.ts';

onEachBroker(
  'enqueueing',
  (h) => {
    const input = z.object({ n: z.number() });

    it('delay, applyAsync, enqueueMany and call by name all make jobs', async () => {
      const app = h.app();
      const task = app.task({ name: 'n', queue: 'work', input, run: ({ n }) => n });
      await h.work(app);
      const handles = [
        await task.delay({ n: 1 }),
        await task.applyAsync({ n: 2 }, { priority: 9 }),
        ...(await task.enqueueMany([{ n: 3 }, { n: 4 }])),
        await app.call('n', { n: 5 }),
      ];
      expect(await Promise.all(handles.map((handle) => handle.result()))).toEqual([1, 2, 3, 4, 5]);
    });

    it('a task without a schema is called with nothing, and with options', async () => {
      const app = h.app();
      const task = app.task({ name: 'bare', queue: 'work', run: (_, ctx) => ctx.headers });
      await h.work(app);
      expect(await (await task.delay()).result()).toEqual({});
      expect(await (await task.applyAsync(undefined, { headers: { tenant: 't1' } })).result()).toEqual({ tenant: 't1' });
      await expect(app.call('bare', { n: 1 })).rejects.toMatchObject({ code: 'INVALID_INPUT' });
    });

    it('a job may go to another queue than that of its task', async () => {
      const app = h.app({ queues: ['work', 'urgent'].map((name) => ({ name, priority: 5 })) });
      const task = app.task({ name: 'n', queue: 'work', input, run: (_, ctx) => ctx.queue });
      await h.work(app, { queues: ['urgent'] });
      const elsewhere = await task.delay({ n: 1 });
      expect(await (await task.applyAsync({ n: 2 }, { queue: 'urgent' })).result()).toBe('urgent');
      expect(await elsewhere.status()).toBe('queued');
    });

    it('headers reach the task, and stay on the job', async () => {
      const app = h.app();
      const headers = { 'trace-parent': '00-4bf92f3577b34da6', tenant: 't1', subject: 'Ünïcode\u001e' };
      const task = app.task({ name: 'n', queue: 'work', input, run: (_, ctx) => ctx.headers });
      const handle = await task.applyAsync({ n: 1 }, { headers });
      expect((await app.inspector.job(handle.id))?.headers).toEqual(headers);
      await h.work(app);
      expect(await handle.result()).toEqual(headers);
    });

    it('many calls of one turn are few round trips, and each has its own handle', async () => {
      const app = h.app();
      const task = app.task({ name: 'n', queue: 'work', input, run: ({ n }) => n });
      const handles = await Promise.all(Array.from({ length: 2_000 }, (_, n) => task.delay({ n })));
      expect(new Set(handles.map(({ id }) => id)).size).toBe(2_000);
      expect(await h.store.count('ready')).toBe(2_000);
    });

    it('a worker that sleeps is woken by a job, however slow its poll', async () => {
      const app = h.app();
      const task = app.task({ name: 'n', queue: 'work', input, run: ({ n }) => n });
      await h.work(app, { pollInterval: '1h' });
      await (await task.delay({ n: 1 })).result();
      await polled(() => h.store.count('idle')).toBe(1);
      // It looks three times more, within an eighth of a second; nothing tells when that is over.
      await sleep(400);
      expect(await (await task.delay({ n: 2 })).result({ timeout: '30s' })).toBe(2);
    });

    describe('refused', () => {
      it('an unknown task, queue and worker queue, with what is there instead', async () => {
        const app = h.app();
        app.task({ name: 'n', queue: 'work', input, run: () => null });
        for (const name of ['m', 'constructor', 'toString', '__proto__', '../n', '']) {
          await expect(app.call(name, {})).rejects.toMatchObject({
            code: 'UNKNOWN_TASK',
            message: expect.stringMatching(/there are n$/) as string,
          });
        }
        await expect(app.call('n', { n: 1 }, { queue: 'nowhere' })).rejects.toMatchObject({
          code: 'UNKNOWN_QUEUE',
          message: expect.stringContaining('declared are work') as string,
        });
        expect(() => app.worker({ queues: ['nowhere'] })).toThrow(expect.objectContaining({ code: 'UNKNOWN_QUEUE' }));
        expect(() => app.task({ name: 'm', queue: 'nowhere', run: () => null })).toThrow(
          expect.objectContaining({ code: 'UNKNOWN_QUEUE' }),
        );
        expect(() => app.task({ name: 'n', queue: 'work', run: () => null })).toThrow(expect.objectContaining({ code: 'DUPLICATE_TASK' }));
      });

      it.each([
        ['concurrency', { concurrency: 0 }],
        ['concurrency', { concurrency: 1.5 }],
        ['lease', { lease: '999ms' }],
        ['pollInterval', { pollInterval: 1 }],
        ['shutdownGrace', { shutdownGrace: -1 }],
        ['unknownTaskGrace', { unknownTaskGrace: Number.NaN }],
        ['queue', { queues: [] }],
      ] as const)('a worker with a wrong %s', (name, options) => {
        expect(() => h.app().worker(options)).toThrow(
          expect.objectContaining({ code: 'INVALID_OPTION', message: expect.stringContaining(name) as string }),
        );
      });

      it('a bad input among many: nothing is enqueued', async () => {
        const app = h.app();
        const task = app.task({ name: 'n', queue: 'work', input, run: () => null });
        await app.ping();
        await expect(task.enqueueMany([{ n: 1 }, { n: 'two' as unknown as number }])).rejects.toMatchObject({ code: 'INVALID_INPUT' });
        expect(await h.store.count('ready')).toBe(0);
      });

      it('anything after close(), in one clear line', async () => {
        const app = h.app();
        const task = app.task({ name: 'n', queue: 'work', input, run: () => null });
        await task.delay({ n: 1 });
        await app.close();
        await app.close();
        await expect(task.delay({ n: 1 })).rejects.toMatchObject({ code: 'BROKER_CLOSED' });
        await expect(app.handle('x').status()).rejects.toMatchObject({ code: 'BROKER_CLOSED' });
        await expect(app.worker().start()).rejects.toMatchObject({ code: 'BROKER_CLOSED' });
      });

      it('anything after close() of an app that was never opened, and it opens nothing', async () => {
        const app = h.app();
        const task = app.task({ name: 'n', queue: 'work', input, run: () => null });
        await app.close();
        await expect(task.delay({ n: 1 })).rejects.toMatchObject({ code: 'BROKER_CLOSED' });
        expect(await h.store.exists()).toBe(false);
      });
    });

    it('what was enqueued without an await is sent before close() is over', async () => {
      const app = h.app();
      const task = app.task({ name: 'n', queue: 'work', input, run: () => null });
      const calls = [task.delay({ n: 1 }), task.enqueueMany([{ n: 2 }, { n: 3 }])];
      await app.close();
      await Promise.all(calls);
      expect(await h.store.count('ready')).toBe(3);
    });

    it('`await using` closes an app', async () => {
      {
        await using app = h.app();
        await app.ping();
        expect(await h.store.connections()).toBeGreaterThan(0);
      }
      await polled(() => h.store.connections()).toBe(0);
    });
  },
  { fresh: true },
);
