/** Jobs in child processes: what they come to, how they are stopped, and that no job is lost with its child. */
import { readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { WorkerOptions, WorkerStats } from '../../src/index.ts';
import { eventually } from '../support/eventually.ts';
import { onEachBroker } from '../support/harness.ts';

const module = new URL('../fixtures/pool-app.mjs', import.meta.url);
const { define, hooks } = (await import(module.href)) as {
  define(app: unknown): Record<'who' | 'nap' | 'stubborn' | 'spin' | 'crash' | 'leak' | 'outcome', PoolTask>;
  hooks: object;
};

/** As the fixture makes them; it has no types. */
interface PoolTask {
  delay(input: unknown): Promise<PoolHandle>;
  applyAsync(input: unknown, options: object): Promise<PoolHandle>;
  enqueueMany(inputs: readonly unknown[]): Promise<PoolHandle[]>;
}
interface PoolHandle {
  readonly id: string;
  result(options?: object): Promise<unknown>;
  status(): Promise<string | undefined>;
  cancel(): Promise<string>;
}

onEachBroker('a process pool', (h) => {
  let notes: string;

  beforeEach(() => {
    notes = join(tmpdir(), `taktline-notes-${process.pid}-${Math.random().toString(36).slice(2)}`);
    Object.assign(process.env, { TEST_BROKER: h.store.url, TEST_NAMESPACE: h.store.name, TEST_NOTES: notes });
  });
  afterEach(async () => {
    for (const name of ['TEST_BROKER', 'TEST_NAMESPACE', 'TEST_NOTES', 'TEST_CHILD_FAILS']) delete process.env[name];
    await rm(notes, { force: true });
  });

  async function make(options: WorkerOptions = {}) {
    const app = h.app({ hooks });
    const tasks = define(app);
    const worker = await h.work(app, { pool: 'processes', module, concurrency: 2, lease: '5s', ...options });
    const stats = async () => {
      const [one] = await app.control.ask({ verb: 'stats' }, { timeout: '10s' });
      return (one?.answer as { value: WorkerStats }).value;
    };
    const runs = (task: string) => eventually(async () => worker.running().some((job) => job.task === task), `${task} runs`);
    return { app, worker, stats, runs, ...tasks };
  }

  it('runs each job once, in all of its children, and not in the worker', async () => {
    const { who } = await make({ slots: 4 });
    const results = (await Promise.all(
      (await who.enqueueMany(Array.from({ length: 200 }, (_, n) => ({ n })))).map((handle) => handle.result()),
    )) as {
      n: number;
      pid: number;
    }[];
    expect(results.map(({ n }) => n)).toEqual(Array.from({ length: 200 }, (_, n) => n));
    const pids = new Set(results.map(({ pid }) => pid));
    expect(pids.size).toBe(2);
    expect(pids).not.toContain(process.pid);
  });

  it('a job comes to what it would come to in any pool', async () => {
    const { outcome, app } = await make();
    const of = async (what: string, options = {}) => outcome.applyAsync({ what }, options);
    expect(await (await of('it', { id: 'mine', headers: { tenant: 'a' } })).result()).toEqual({
      what: 'it',
      attempt: 1,
      queue: 'work',
      headers: { tenant: 'a' },
      id: 'mine',
    });
    expect(await (await of('retry')).result()).toMatchObject({ attempt: 2 });
    expect(await (await of('later')).result()).toMatchObject({ attempt: 2 });
    await expect((await of('discard')).result()).rejects.toMatchObject({ code: 'JOB_CANCELLED' });
    await expect((await of('fail')).result()).rejects.toMatchObject({ code: 'JOB_FAILED', cause: { code: 'NOPE', message: 'it failed' } });
    await expect((await of('big')).result()).rejects.toMatchObject({ cause: { code: 'PAYLOAD_TOO_LARGE' } });
    expect((await app.inspector.deadLetters.list()).items.map(({ code }) => code).sort()).toEqual(['NOPE', 'PAYLOAD_TOO_LARGE']);
  });

  it('progress is told, and a job that is cancelled sees its signal abort', async () => {
    const { nap, app, runs } = await make();
    const handle = await nap.delay({ ms: 60_000 });
    await runs('nap');
    await eventually(async () => (await app.inspector.job(handle.id))?.progress === 'napping', 'its progress is told');
    expect(await handle.cancel()).toBe('asked');
    await expect(handle.result()).rejects.toMatchObject({ code: 'JOB_CANCELLED' });
  });

  describe('a hard time limit', () => {
    it('stops code that does not return, five in a row, and the worker goes on', async () => {
      const { spin, who, stats } = await make({ concurrency: 1 });
      for (let round = 0; round < 5; round++) {
        const handle = await spin.delay({ secret: 'hunter2' });
        await eventually(async () => (await handle.status()) === 'running', 'it runs');
        const began = performance.now();
        await expect(handle.result({ timeout: '30s' })).rejects.toMatchObject({ cause: { code: 'TIME_LIMIT' } });
        // A bound against a limit that is not kept; how long it takes is measured elsewhere.
        expect(performance.now() - began).toBeLessThan(6_000);
        expect(await (await who.delay({ n: round })).result()).toMatchObject({ n: round });
      }
      expect((await stats()).pool).toMatchObject({ killed: 5, crashed: 0, recycled: 0 });
      const [line] = h.log.with('time limit: its child was killed');
      expect(line).toMatchObject({ task: 'spin', limitMs: 2_000 });
      expect(line?.['stack']).toContain('spinning');
      expect(h.log.raw.join('')).not.toContain('hunter2');
    });

    it('also code that only waits, and those that shared its child run again with no attempt and no loss counted', async () => {
      const { stubborn, nap, app, runs } = await make({ concurrency: 1, slots: 3 });
      const innocents = await nap.enqueueMany([{ ms: 3_000 }, { ms: 3_000 }]);
      await app.control.ask({ verb: 'time_limit', task: 'stubborn', softMs: 500, hardMs: 1_000 }, { timeout: '10s' });
      const guilty = await stubborn.delay({ ms: 60_000 });
      await runs('stubborn');
      await expect(guilty.result()).rejects.toMatchObject({ cause: { code: 'TIME_LIMIT' } });
      for (const handle of innocents) {
        expect(await handle.result()).toMatchObject({ attempt: 1 });
        expect(await app.inspector.job(handle.id)).toMatchObject({
          failures: 0,
          losses: 0,
          attempts: [{ outcome: 'handed-back', reason: 'its child was killed for another job' }],
        });
      }
    });
  });

  describe('a child that ends by itself', () => {
    it('loses no job, is replaced, and the guilty one is found', async () => {
      const { crash, who, app, stats } = await make({ concurrency: 1, slots: 5 });
      const guilty = await crash.delay({ how: 'abort' });
      const innocents = await who.enqueueMany(Array.from({ length: 20 }, (_, n) => ({ n })));
      expect(await Promise.all(innocents.map(async (handle) => ((await handle.result()) as { n: number }).n))).toEqual(
        Array.from({ length: 20 }, (_, n) => n),
      );
      await expect(guilty.result({ timeout: '60s' })).rejects.toMatchObject({ code: 'JOB_FAILED' });
      const letters = (await app.inspector.deadLetters.list()).items;
      expect(letters.map(({ code, task }) => [code, task])).toEqual([['POISON_JOB', 'crash']]);
      expect(letters[0]?.attempts.map(({ outcome }) => outcome)).toEqual(['lost', 'lost', 'lost', 'lost', 'lost']);
      expect((await stats()).pool.crashed).toBe(5);
    });

    it.each(['exit', 'kill'])('by %s, which is a loss too', async (how) => {
      const { crash, app } = await make({ concurrency: 1 });
      await expect((await crash.delay({ how })).result({ timeout: '60s' })).rejects.toMatchObject({ code: 'JOB_FAILED' });
      expect((await app.inspector.deadLetters.list()).items[0]?.code).toBe('POISON_JOB');
    });

    it('killed from outside it is replaced within a second, and its jobs run', async () => {
      const { nap, stats, runs } = await make({ concurrency: 1 });
      const handle = await nap.delay({ ms: 500 });
      await runs('nap');
      const before = (await stats()).pool.children[0]?.pid as number;
      process.kill(before, 'SIGKILL');
      const began = performance.now();
      await eventually(async () => {
        const [child] = (await stats()).pool.children;
        return child !== undefined && child.pid !== before;
      }, 'another child is there');
      expect(performance.now() - began).toBeLessThan(3_000);
      expect(await handle.result()).toMatchObject({ attempt: 2 });
    });
  });

  describe('recycling', () => {
    it('replaces children after so many jobs, and loses none', async () => {
      const { who, stats } = await make({ maxTasksPerChild: 10 });
      const pids = new Set<number>();
      await eventually(async () => {
        const handles = await who.enqueueMany(Array.from({ length: 50 }, (_, n) => ({ n })));
        for (const { pid } of (await Promise.all(handles.map((handle) => handle.result()))) as { pid: number }[]) pids.add(pid);
        return pids.size > 3;
      }, 'both children were replaced');
      expect((await stats()).pool).toMatchObject({ crashed: 0, killed: 0 });
      expect((await stats()).pool.recycled).toBeGreaterThan(1);
    });

    it('replaces a child that uses too much memory', async () => {
      const { leak, stats } = await make({ concurrency: 1, maxMemoryPerChild: '150mb' });
      const pids = new Set<unknown>();
      await eventually(async () => {
        pids.add(await (await leak.delay({ kb: 8_192 })).result());
        return pids.size >= 3;
      }, 'the child was replaced twice');
      // How much it has by then is a matter of how soon the next one is ready: until then it goes on with its jobs.
      const { recycled, crashed, killed } = (await stats()).pool;
      expect(recycled).toBeGreaterThan(1);
      expect({ crashed, killed }).toEqual({ crashed: 0, killed: 0 });
    });
  });

  it('grows, shrinks and restarts on request, without stopping what runs', async () => {
    const { app, nap, stats, who } = await make({ concurrency: 1 });
    const handles = await nap.enqueueMany([{ ms: 1_000 }, { ms: 1_000 }, { ms: 1_000 }]);
    await app.control.ask({ verb: 'pool_grow', by: 2 }, { timeout: '10s' });
    await eventually(async () => (await stats()).pool.slots === 3, 'there are three children');
    await app.control.ask({ verb: 'pool_shrink', by: 2 }, { timeout: '10s' });
    for (const handle of handles) expect(await handle.result()).toMatchObject({ attempt: 1 });
    await eventually(async () => (await stats()).pool.children.length === 1, 'one child is left');
    const [before] = (await stats()).pool.children;
    await app.control.ask({ verb: 'pool_restart' }, { timeout: '10s' });
    await eventually(async () => (await stats()).pool.children.every(({ pid }) => pid !== before?.pid), 'it was replaced');
    expect(await (await who.delay({ n: 1 })).result()).toMatchObject({ n: 1 });
  });

  it('a job is stopped by force when somebody asks for it', async () => {
    const { app, stubborn, runs, stats } = await make({ concurrency: 1 });
    const handle = await stubborn.delay({ ms: 60_000 });
    await runs('stubborn');
    const [answer] = await app.control.ask({ verb: 'terminate', ids: [handle.id] }, { timeout: '10s' });
    expect(answer?.answer).toEqual({ ok: true, value: [{ id: handle.id, terminated: true }] });
    await expect(handle.result()).rejects.toMatchObject({ code: 'JOB_CANCELLED' });
    expect((await stats()).pool).toMatchObject({ killed: 1, crashed: 0 });
  });

  it('the hooks are called in each process, and a tear-down only where nothing was killed', async () => {
    const { worker, who } = await make();
    await (await who.delay({ n: 1 })).result();
    await worker.stop();
    const lines = (await readFile(notes, 'utf8')).trim().split('\n');
    const count = (text: string) => lines.filter((line) => line.startsWith(text)).length;
    expect(['worker start', 'child start', 'child stop', 'worker stop'].map(count)).toEqual([1, 2, 2, 1]);
    expect(lines[0]).toBe(`worker start ${process.pid}`);
    expect(lines.at(-1)).toBe(`worker stop ${process.pid}`);
  });

  it('a worker whose children cannot start does not join, and says why', async () => {
    process.env['TEST_CHILD_FAILS'] = '1';
    await expect(make()).rejects.toMatchObject({ code: 'POOL_START', message: expect.stringContaining('no set-up today') });
    expect(await h.app().inspector.workers()).toEqual([]);
  });

  it('a worker that stops waits for what runs, and hands back what does not end', async () => {
    const { nap, stubborn, worker, runs, app } = await make({ shutdownGrace: '4s' });
    const [short, long] = [await nap.delay({ ms: 300 }), await stubborn.delay({ ms: 60_000 })];
    await runs('nap');
    await runs('stubborn');
    await worker.stop();
    expect(await short.result()).toMatchObject({ attempt: 1 });
    expect(await app.inspector.job(long.id)).toMatchObject({ state: 'queued', failures: 0, losses: 0 });
  });

  it('without a module it says what to do', () => {
    const app = h.app();
    expect(() => app.worker({ pool: 'processes' })).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
    app.task({ name: 'heavy', queue: 'work', pool: 'processes', run: () => null });
    expect(() => app.worker()).toThrow(/import\.meta\.url/);
    expect(app.worker({ pool: 'inline' }).name).toMatch(/^worker@/);
  });
});
