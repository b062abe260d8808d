/** Workers are asked and changed from outside: what they do, which queues they take, how large they are. */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { ControlRequest, HeldJobs, WorkerEvent, WorkerStats } from '../../src/index.ts';
import { attachApp } from '../../src/index.ts';
import { eventually } from '../support/eventually.ts';
import { Gate } from '../support/gate.ts';
import { onEachBroker } from '../support/harness.ts';

onEachBroker('control', (h) => {
  const queues = [
    { name: 'work', priority: 5 },
    { name: 'more', priority: 5 },
  ];

  function make() {
    const app = h.app({ queues });
    const gate = new Gate();
    const wait = app.task({
      name: 'wait',
      queue: 'work',
      input: z.object({ n: z.number(), secret: z.string().meta({ sensitive: true }).optional() }),
      run: async (_, ctx) => {
        await gate.pass(ctx.signal);
        return 'done';
      },
    });
    const fast = app.task({ name: 'fast', queue: 'more', input: z.number(), run: (n) => n });
    const ask = async (request: ControlRequest, destination?: readonly string[]) =>
      (await app.control.ask(request, { timeout: '10s', ...(destination === undefined ? {} : { destination }) })).map(
        ({ worker, answer }) => ({
          worker,
          answer,
        }),
      );
    return { app, gate, wait, fast, ask };
  }
  const value = (value: unknown) => ({ ok: true, value });

  it('every living worker answers, within a second, or those that are named', async () => {
    const { app, ask } = make();
    expect(await ask({ verb: 'ping' })).toEqual([]);
    await h.work(app, { name: 'one' });
    await h.work(app, { name: 'two' });
    const began = performance.now();
    const answers = await app.control.ask({ verb: 'ping' }, { timeout: '30s' });
    expect(performance.now() - began).toBeLessThan(1_000);
    expect(answers.map(({ worker, answer }) => [worker, answer])).toEqual([
      ['one', value('pong')],
      ['two', value('pong')],
    ]);
    expect(await ask({ verb: 'registered' }, ['two'])).toEqual([{ worker: 'two', answer: value(['fast', 'wait']) }]);
    await expect(app.control.ask({ verb: 'ping' }, { destination: ['two', 'three'] })).rejects.toMatchObject({ code: 'WORKER_NOT_FOUND' });
  });

  it('shows what runs, what is reserved and what was asked to stop, with secrets masked', async () => {
    const { app, gate, wait, ask } = make();
    await h.work(app, { name: 'one', concurrency: 2 });
    const handles = await wait.enqueueMany([{ n: 1, secret: 'hunter2' }, { n: 2, secret: 'hunter2' }, { n: 3 }]);
    await gate.reached;
    const shown = async (verb: 'active' | 'reserved' | 'revoked') => {
      const [one] = await ask({ verb });
      return (one?.answer as { value: HeldJobs }).value;
    };
    const active = await eventually(async () => {
      const jobs = await shown('active');
      return jobs.total === 2 && jobs;
    }, 'two jobs run');
    expect(active.jobs.map(({ task, queue, input }) => ({ task, queue, input }))).toEqual([
      { task: 'wait', queue: 'work', input: { n: 1, secret: '[masked]' } },
      { task: 'wait', queue: 'work', input: { n: 2, secret: '[masked]' } },
    ]);
    expect(await shown('revoked')).toEqual({ total: 0, jobs: [] });
    await handles[0]?.cancel();
    await eventually(
      async () => (await handles[0]?.status()) === 'cancelled' || (await shown('revoked')).total > 0,
      'it was asked to stop',
    );
    const [stats] = await ask({ verb: 'stats' });
    expect((stats?.answer as { value: WorkerStats }).value).toMatchObject({
      pid: process.pid,
      pool: { kind: 'inline', size: 2, slots: 2 },
    });
    gate.open();
    await handles[2]?.result();
    const [after] = await ask({ verb: 'stats' });
    expect((after?.answer as { value: WorkerStats }).value.finished).toEqual({ wait: 3 });
    expect(JSON.stringify(h.log.raw)).not.toContain('hunter2');
  });

  it('a worker can be told to take jobs of a queue, and to leave it, and announces it', async () => {
    const { app, fast, ask } = make();
    await h.work(app, { name: 'one', queues: ['work'] });
    const handle = await fast.delay(1);
    expect(await app.inspector.why(handle.id)).toMatchObject({ reason: 'no-worker' });
    expect(await ask({ verb: 'add_consumer', queue: 'more' })).toEqual([{ worker: 'one', answer: value(['work', 'more']) }]);
    expect(await handle.result()).toBe(1);
    await eventually(async () => (await app.inspector.workers())[0]?.info['queues']?.toString() === 'work,more', 'it says so');
    expect(await ask({ verb: 'cancel_consumer', queue: 'more' })).toEqual([{ worker: 'one', answer: value(['work']) }]);
    const later = await fast.delay(2);
    await eventually(async () => (await app.inspector.why(later.id))?.reason === 'no-worker', 'nobody takes it');
    expect(await ask({ verb: 'cancel_consumer', queue: 'work' })).toMatchObject([{ answer: { ok: false, code: 'INVALID_OPTION' } }]);
    expect(await ask({ verb: 'add_consumer', queue: 'nowhere' })).toMatchObject([{ answer: { ok: false, code: 'UNKNOWN_QUEUE' } }]);
  });

  it('a pool grows and shrinks, and a running job is not stopped by it', async () => {
    const { app, gate, wait, ask } = make();
    await h.work(app, { name: 'one', concurrency: 1 });
    const handles = await wait.enqueueMany([{ n: 1 }, { n: 2 }, { n: 3 }]);
    await gate.reached;
    expect(await ask({ verb: 'pool_grow', by: 2 })).toEqual([{ worker: 'one', answer: value(3) }]);
    await eventually(async () => ((await ask({ verb: 'active' }))[0]?.answer as { value: HeldJobs }).value.total === 3, 'all three run');
    expect(await ask({ verb: 'pool_shrink', by: 2 })).toEqual([{ worker: 'one', answer: value(1) }]);
    expect(await ask({ verb: 'pool_shrink', by: 1 })).toMatchObject([{ answer: { ok: false } }]);
    gate.open();
    expect(await Promise.all(handles.map((handle) => handle.result()))).toEqual(['done', 'done', 'done']);
    expect(await ask({ verb: 'pool_restart' })).toMatchObject([{ answer: { ok: false, code: 'INVALID_OPTION' } }]);
  });

  it('time limits of a task can be changed for what begins from then on', async () => {
    const app = h.app();
    const nap = app.task({
      name: 'nap',
      queue: 'work',
      retry: { maxAttempts: 1 },
      run: async (_, ctx) => sleep(60_000, undefined, { signal: ctx.signal }),
    });
    await h.work(app, { name: 'one' });
    await app.control.ask({ verb: 'time_limit', task: 'nap', softMs: 50, hardMs: 10_000 }, { timeout: '10s' });
    await expect((await nap.delay()).result()).rejects.toMatchObject({ code: 'JOB_FAILED', cause: { code: 'TIME_LIMIT' } });
    const wrong = await app.control.ask({ verb: 'time_limit', task: 'nobody', softMs: 1, hardMs: 1 }, { timeout: '10s' });
    expect(wrong[0]?.answer).toMatchObject({ ok: false, code: 'UNKNOWN_TASK' });
  });

  it('a queue is paused for all workers, and why tells so', async () => {
    const { app, fast } = make();
    await h.work(app, { name: 'one' });
    await app.control.pause('more');
    const handle = await fast.delay(7);
    expect(await app.inspector.why(handle.id)).toEqual({
      reason: 'paused',
      text: 'queue more is paused',
      advice: 'taktline control resume more',
    });
    await app.control.resume('more');
    expect(await handle.result()).toBe(7);
  });

  it('a worker that is told to stop drains first', async () => {
    const { app, gate, wait, ask } = make();
    const worker = await h.work(app, { name: 'one' });
    const handle = await wait.delay({ n: 1 });
    await gate.reached;
    expect(await ask({ verb: 'shutdown', now: false })).toEqual([{ worker: 'one', answer: value('stopping') }]);
    gate.open();
    expect(await handle.result()).toBe('done');
    await worker.stop();
    expect(await app.inspector.workers()).toEqual([]);
  });

  it('what nobody understands is answered, and harms nobody', async () => {
    const { app } = make();
    await h.work(app, { name: 'one' });
    for (const wrong of [
      { verb: 'explode' },
      { verb: 'constructor' },
      null,
      7,
      { verb: 'pool_grow', by: 'x' },
      { verb: 'autoscale', bounds: { max: 1e9 } },
    ]) {
      const [answer] = await app.control.ask(wrong as never, { timeout: '10s' });
      expect(answer?.answer, JSON.stringify(wrong)).toMatchObject({ ok: false });
    }
    expect(await app.control.ask({ verb: 'ping' }, { timeout: '10s' })).toMatchObject([{ answer: value('pong') }]);
  });

  describe('what is seen from outside', () => {
    it('events tell what happens while somebody listens', async () => {
      const { app, fast } = make();
      await h.work(app, { name: 'one' });
      const events: WorkerEvent[] = [];
      const stop = await app.inspector.watch((event) => void events.push(event));
      await eventually(async () => events.some(({ type }) => type === 'worker-online'), 'the worker says that it is there');
      const handle = await fast.delay(1);
      await eventually(async () => events.some((event) => event.type === 'task-succeeded'), 'the end of the job is told');
      const about = { job: handle.id, task: 'fast', queue: 'more', worker: 'one' };
      expect(events.filter((event) => 'job' in event)).toMatchObject([
        { type: 'task-started', ...about },
        { type: 'task-succeeded', ...about },
      ]);
      await stop();
    });

    it('history counts what came of jobs, and how long they took', async () => {
      const { app, fast } = make();
      const worker = await h.work(app, { name: 'one' });
      await Promise.all((await fast.enqueueMany([1, 2, 3])).map((handle) => handle.result()));
      // Its last counts leave with it.
      await worker.stop();
      const rows = await app.inspector.history({ since: '5m' });
      expect(rows).toMatchObject([{ task: 'fast', queue: 'more', outcome: 'succeeded', count: 3 }]);
      expect(rows[0]?.ran?.p99).toBeLessThan(10_000);
      expect(await app.inspector.history({ since: '5m', by: ['outcome'], task: 'nobody' })).toEqual([]);
      await expect(app.inspector.history({ since: '2d' })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    });

    it('an app without the code masks, checks and enqueues by what workers have described; what nobody described it does not touch', async () => {
      const { app, wait, fast } = make();
      const hidden = await wait.applyAsync({ n: 1, secret: 'hunter2' }, { countdown: '1h' });
      const stranger = attachApp({ brokerUrl: h.store.url, namespace: h.store.name, logger: h.log.logger });
      try {
        expect((await stranger.inspector.job(hidden.id))?.input).toBe('[masked]');
        await expect(stranger.call('fast', 1)).rejects.toMatchObject({ code: 'UNKNOWN_TASK' });
        await h.work(app, { name: 'one' });
        const knowing = attachApp({ brokerUrl: h.store.url, namespace: h.store.name, logger: h.log.logger });
        try {
          expect((await knowing.inspector.job(hidden.id))?.input).toEqual({ n: 1, secret: '[masked]' });
          expect((await knowing.inspector.catalogue()).map(({ name }) => name)).toEqual(['fast', 'wait']);
          expect(await (await knowing.call('fast', 5)).result()).toBe(5);
          await expect(knowing.call('fast', 'five')).rejects.toMatchObject({ code: 'INVALID_INPUT' });
          await expect(knowing.call('nobody', 1)).rejects.toMatchObject({ code: 'UNKNOWN_TASK' });
        } finally {
          await knowing.close();
        }
      } finally {
        await stranger.close();
      }
      expect(fast.name).toBe('fast');
    });
  });
});
