/** What is tried again, when, and what stays on the job: policies, deferrals, discards, history. */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { discard, PermanentError, type RetryOptions, retryLater } from '../../src/index.ts';
import { onEachBroker } from '../support/harness.ts';
import { polled } from '../support/polled.ts';

onEachBroker('retries', (h) => {
  class Gone extends Error {}

  /** A task that fails as often as its input says, then succeeds with the number of the attempt. */
  function failing(retry: RetryOptions, error: () => unknown = () => new Error('refused')) {
    const app = h.app();
    const task = app.task({
      name: 'fails',
      queue: 'work',
      input: z.number(),
      retry,
      run: (times, ctx) => {
        if (ctx.attempt <= times) throw error();
        return { attempt: ctx.attempt, max: ctx.maxAttempts };
      },
    });
    return { app, task };
  }

  it('a failed attempt is tried again until it succeeds, and the failures stay on the job', async () => {
    const { app, task } = failing({ maxAttempts: 5, backoff: { type: 'fixed', delay: 20 } }, () =>
      Object.assign(new RangeError('too far'), { code: 'E_FAR' }),
    );
    await h.work(app, { name: 'w@here' });
    const handle = await task.delay(2);
    expect(await handle.result()).toEqual({ attempt: 3, max: 5 });
    const job = await app.inspector.job(handle.id);
    expect(job).toMatchObject({ state: 'succeeded', failures: 2, deferrals: 0, losses: 0 });
    expect(job?.attempts).toMatchObject([
      { attempt: 1, outcome: 'failed', worker: 'w@here', error: { type: 'RangeError', code: 'E_FAR', message: 'too far' } },
      { attempt: 2, outcome: 'failed', worker: 'w@here', error: { type: 'RangeError', code: 'E_FAR', message: 'too far' } },
    ]);
    for (const attempt of job?.attempts ?? []) {
      expect(attempt.endedAt).toBeGreaterThanOrEqual(attempt.startedAt);
      expect(attempt.error?.stack?.split('\n').length).toBeLessThanOrEqual(10);
      expect(Math.abs(attempt.startedAt - Date.now())).toBeLessThan(60_000);
    }
  });

  it('by default it waits as the specification says: 60, 120, 240, 480 s and up to a tenth more, then it is a dead letter', async () => {
    const { app, task } = failing({});
    await h.work(app, { pollInterval: '50ms' });
    const handle = await task.delay(99);
    const waits: number[] = [];
    for (let failures = 1; failures <= 4; failures++) {
      await polled(() => handle.status()).toBe('retrying');
      const job = await app.inspector.job(handle.id);
      waits.push((Date.parse(job?.dueAt as string) - (job?.attempts.at(-1)?.endedAt as number)) / 1_000);
      // The time passes.
      await h.store.letTimePass();
      await polled(async () => (await app.inspector.job(handle.id))?.failures).toBe(failures + 1);
    }
    for (const [index, table] of [60, 120, 240, 480].entries()) {
      // Settling takes a moment of its own.
      expect(waits[index]).toBeGreaterThanOrEqual(table);
      expect(waits[index]).toBeLessThanOrEqual(table * 1.1 + 5);
    }
    await expect(handle.result()).rejects.toMatchObject({ code: 'JOB_FAILED', message: expect.stringContaining('refused') as string });
    expect((await app.inspector.job(handle.id))?.attempts).toHaveLength(5);
  });

  describe('a policy', () => {
    it('may be a function, which sees the failures so far and the error', async () => {
      const asked: unknown[] = [];
      const { app, task } = failing({
        maxAttempts: 4,
        backoff: (failures, error) => {
          asked.push([failures, (error as Error).message]);
          return 10 * failures;
        },
      });
      await h.work(app);
      await (await task.delay(3)).result();
      expect(asked).toEqual([
        [1, 'refused'],
        [2, 'refused'],
        [3, 'refused'],
      ]);
    });

    it('with one attempt never tries again', async () => {
      const { app, task } = failing({ maxAttempts: 1 });
      await h.work(app);
      await expect((await task.delay(1)).result()).rejects.toMatchObject({ code: 'JOB_FAILED' });
    });

    it.each([
      ['PermanentError', {}, () => new PermanentError('never')],
      ['a class that giveUpOn names', { giveUpOn: [Gone] }, () => new Gone('never')],
      ['an error that giveUpOn tells', { giveUpOn: (error: unknown) => (error as Error).message === 'never' }, () => new Error('never')],
    ] as const)('gives up on %s at once', async (_, retry, error) => {
      const { app, task } = failing({ ...retry, backoff: { type: 'fixed', delay: 0 } } as RetryOptions, error);
      await h.work(app);
      const handle = await task.delay(1);
      await expect(handle.result()).rejects.toMatchObject({ code: 'JOB_FAILED', cause: { message: 'never' } });
      expect(await app.inspector.job(handle.id)).toMatchObject({ state: 'failed', failures: 1 });
    });
  });

  it('a job that is retried goes behind those that wait, and keeps its priority', async () => {
    const app = h.app();
    const order: string[] = [];
    const task = app.task({
      name: 'order',
      queue: 'work',
      input: z.string(),
      retry: { maxAttempts: 2, backoff: { type: 'fixed', delay: 0 }, jitter: 0 },
      run: async (text, ctx) => {
        order.push(`${text}${ctx.attempt}`);
        // Too slow for the worker to hold jobs ahead, which were claimed before the retry came.
        await sleep(60);
        if (text === 'fails' && ctx.attempt === 1) throw new Error('x');
      },
    });
    await task.enqueueMany(['fails', 'a', 'b']);
    await task.applyAsync('low', { priority: 1 });
    await h.work(app, { concurrency: 1, ageing: false });
    await polled(() => order.length).toBe(5);
    expect(order).toEqual(['fails1', 'a1', 'b1', 'fails2', 'low1']);
  });

  describe('retryLater', () => {
    it('is no failed attempt, however often, and its reason stays on the job', async () => {
      const app = h.app();
      const task = app.task({
        name: 'later',
        queue: 'work',
        retry: { maxAttempts: 1 },
        run: (_, ctx) => {
          if (ctx.attempt <= 2) return retryLater(20, 'the office is closed');
          if (ctx.attempt <= 4) throw retryLater('20ms', 'from deeper code');
          return ctx.attempt;
        },
      });
      await h.work(app);
      const handle = await task.delay();
      expect(await handle.result()).toBe(5);
      const job = await app.inspector.job(handle.id);
      expect(job).toMatchObject({ failures: 0, deferrals: 4 });
      expect(job?.attempts.map(({ outcome, reason }) => [outcome, reason])).toEqual([
        ['deferred', 'the office is closed'],
        ['deferred', 'the office is closed'],
        ['deferred', 'from deeper code'],
        ['deferred', 'from deeper code'],
      ]);
    });
  });

  describe('discard', () => {
    it.each(['returned', 'thrown'])('%s ends the job as cancelled: no result, no retry, no dead letter', async (how) => {
      const app = h.app();
      const task = app.task({
        name: 'drop',
        queue: 'work',
        run: () => {
          if (how === 'thrown') throw discard('the order is gone');
          return discard('the order is gone');
        },
      });
      await h.work(app);
      const handle = await task.delay();
      await expect(handle.result()).rejects.toMatchObject({ code: 'JOB_CANCELLED' });
      const job = await app.inspector.job(handle.id);
      expect(job).toMatchObject({ state: 'cancelled', failures: 0 });
      expect(job?.attempts).toMatchObject([{ outcome: 'discarded', reason: 'the order is gone' }]);
      expect(await h.store.count('dead')).toBe(0);
    });
  });

  it('the history keeps the newest thirty attempts, and the counts know all', async () => {
    const { app, task } = failing({ maxAttempts: 50, backoff: { type: 'fixed', delay: 0 } });
    await h.work(app);
    const handle = await task.delay(35);
    expect(await handle.result()).toMatchObject({ attempt: 36 });
    const job = await app.inspector.job(handle.id);
    expect(job?.failures).toBe(35);
    expect(job?.attempts.map(({ attempt }) => attempt)).toEqual(Array.from({ length: 30 }, (_, index) => index + 6));
  });

  it('what is thrown may be anything; the worker goes on', async () => {
    const app = h.app();
    const things: readonly unknown[] = [
      undefined,
      null,
      'text',
      42,
      Symbol('x'),
      { message: 'no error' },
      Object.assign(new Error('x'), { name: 7, stack: [], code: {} }),
      new Proxy(new Error('x'), {
        get: () => {
          throw new Error('trap');
        },
      }),
    ];
    const task = app.task({
      name: 'throws',
      queue: 'work',
      input: z.number(),
      retry: { maxAttempts: 1 },
      run: (index) => {
        throw things[index];
      },
    });
    const fine = app.task({ name: 'fine', queue: 'work', run: () => 'still here' });
    await h.work(app);
    for (const handle of await task.enqueueMany(things.map((_, index) => index))) {
      await expect(handle.result()).rejects.toMatchObject({ code: 'JOB_FAILED' });
    }
    expect(await (await fine.delay()).result()).toBe('still here');
  });
});
