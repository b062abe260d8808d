/** The broker goes away and comes back while a worker and a client live: nothing acknowledged is lost, and work goes on within 5 s. */
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type App, createApp, type JobHandle } from '../../src/index.ts';
import { eventually } from '../support/eventually.ts';
import { LogLines } from '../support/log-lines.ts';
import { OwnServer } from '../support/own-server.ts';

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).toReversed()) await clean();
});

function counting(brokerUrl: string) {
  const log = new LogLines();
  const app: App = createApp({ brokerUrl, queues: [{ name: 'work', priority: 5 }], logger: log.logger });
  cleanups.push(() => app.close());
  const runs = new Map<number, number>();
  const task = app.task({
    name: 'count',
    queue: 'work',
    input: z.number(),
    run: (n) => {
      runs.set(n, (runs.get(n) ?? 0) + 1);
      return n;
    },
  });
  return { app, task, log, runs };
}

/** Enqueues as fast as it is answered until it is told to stop; keeps the handles of what was acknowledged. */
function stream(task: { delay(n: number): Promise<JobHandle<number>> }) {
  const acknowledged: JobHandle<number>[] = [];
  const refusals: unknown[] = [];
  let n = 0;
  let over = false;
  const running = (async () => {
    while (!over) {
      try {
        acknowledged.push(await task.delay(n++));
      } catch (error) {
        refusals.push(error);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  })();
  return {
    acknowledged,
    refusals,
    stop: async () => {
      over = true;
      await running;
    },
  };
}

describe('a Postgres that is', () => {
  it.each(['stopped', 'crashed'] as const)('%s and started again', { timeout: 120_000 }, async (how) => {
    const server = await OwnServer.make();
    cleanups.push(() => server.remove());
    const { app, task, log } = counting(server.url());
    await app.worker({ lease: '2s', pollInterval: '500ms' }).start();
    const { acknowledged, refusals, stop } = stream(task);
    await eventually(async () => acknowledged.length > 50, 'jobs flow');
    await (how === 'stopped' ? server.stop() : server.crash());
    await eventually(async () => refusals.length > 5, 'enqueues fail');
    expect(refusals.every((error) => (error as { code?: string }).code === 'BROKER_UNAVAILABLE')).toBe(true);
    await server.start();
    const back = performance.now();
    const sent = acknowledged.length;
    await eventually(async () => acknowledged.length > sent, 'an enqueue is acknowledged');
    expect(await acknowledged.at(-1)?.result()).toBeTypeOf('number');
    expect(performance.now() - back).toBeLessThan(5_000);
    await stop();
    const results = await Promise.all(acknowledged.map((handle) => handle.result()));
    expect(new Set(results).size).toBe(acknowledged.length);
    expect((await app.inspector.deadLetters.list()).items).toEqual([]);
    // A line when it begins, not one for each try.
    expect(log.lines.filter(({ level }) => level === 'warn').length).toBeLessThan(20);
  });
});

it('an embedded server whose postmaster is killed is started again by those who use it', { timeout: 120_000 }, async () => {
  const root = await mkdtemp(join(tmpdir(), 'taktline-outage-'));
  await chmod(root, 0o711);
  cleanups.push(() => rm(root, { recursive: true, force: true }));
  const { app, task } = counting(`embedded:${join(root, 'broker')}`);
  await app.worker({ lease: '2s' }).start();
  const { acknowledged, stop } = stream(task);
  await eventually(async () => acknowledged.length > 50, 'jobs flow');
  const pidFile = join(root, 'broker', 'postgres', 'data', 'postmaster.pid');
  const pid = Number((await readFile(pidFile, 'utf8')).split('\n')[0]);
  process.kill(pid, 'SIGKILL');
  await eventually(async () => {
    const now = Number((await readFile(pidFile, 'utf8').catch(() => '')).split('\n')[0]);
    return now > 0 && now !== pid;
  }, 'another postmaster is there');
  const sent = acknowledged.length;
  await eventually(async () => acknowledged.length > sent + 50, 'jobs flow again');
  await stop();
  const results = await Promise.all(acknowledged.map((handle) => handle.result()));
  expect(new Set(results).size).toBe(acknowledged.length);
});
