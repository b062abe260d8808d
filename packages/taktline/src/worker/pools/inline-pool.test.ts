/** The in-process pool: one settlement for each job, time limits, and what stops a running job. */

import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { claimedJob } from '../../../test/support/claimed-job.ts';
import { LogLines } from '../../../test/support/log-lines.ts';
import { polled } from '../../../test/support/polled.ts';
import type { Settlement } from '../../broker/broker.ts';
import { Effects } from '../../outbox/effects.ts';
import { decodePast } from '../../task/job.ts';
import { TaskRegistry } from '../../task/registry.ts';
import { defineTask, type TaskContext, type TaskOptions } from '../../task/task.ts';
import { Executor } from '../executor.ts';
import { InlinePool } from './inline-pool.ts';

const unbounded = { usedUp: undefined, maxTasksPerChild: undefined, maxMemoryPerChild: undefined };

let stop: (() => Promise<void>) | undefined;
afterEach(async () => stop?.());

async function make(run: (input: undefined, ctx: TaskContext) => unknown, options: Partial<TaskOptions<undefined, unknown>> = {}) {
  const tasks = new TaskRegistry();
  tasks.add(defineTask({ name: 'work', queue: 'work', retry: { maxAttempts: 1 }, run, ...options }));
  const log = new LogLines();
  const executor = new Executor({
    tasks,
    worker: 'w',
    logger: log.logger,
    now: Date.now,
    unknownTaskGraceMs: 1e6,
    payloadLimit: 1e6,
    leaseMs: 30_000,
    effects: new Effects('taktline_outbox'),
  });
  const turns: number[] = [];
  const pool = new InlinePool({
    slots: 4,
    executor,
    logger: log.logger,
    turned: (remainingMs) => void turns.push(remainingMs),
    ...unbounded,
  });
  const settlements: Settlement[] = [];
  const waiting: (() => void)[] = [];
  await pool.start({
    roomier: () => undefined,
    settled: (settlement) => {
      settlements.push(settlement);
      for (const resolve of waiting.splice(0)) resolve();
    },
  });
  stop = () => pool.stop();
  const settled = async (count: number): Promise<readonly Settlement[]> => {
    while (settlements.length < count) await new Promise<void>((resolve) => waiting.push(resolve));
    return settlements;
  };
  return { pool, log, turns, settlements, settled };
}

/** Runs until its signal aborts, and throws then. */
const patient = (_: undefined, ctx: TaskContext) =>
  new Promise((_resolve, reject) => {
    ctx.signal.addEventListener('abort', () => reject(ctx.signal.reason as Error));
  });
/** Never ends by itself. */
const stubborn = () => new Promise(() => undefined);

it('settles each job once, in whatever order they end', async () => {
  const ends: ((value: unknown) => void)[] = [];
  const { pool, settled } = await make(() => new Promise((resolve) => ends.push(resolve)));
  const jobs = Array.from({ length: 4 }, () => claimedJob('work'));
  pool.run(jobs);
  expect(pool.running().map(({ job, task }) => [job.id, task])).toEqual(jobs.map(({ id }) => [id, 'work']));
  for (const index of [2, 0, 3, 1]) ends[index]?.(index);
  expect((await settled(4)).map(({ job }) => jobs.indexOf(job))).toEqual([2, 0, 3, 1]);
  expect(pool.running()).toEqual([]);
});

describe('time limits', () => {
  it('the soft one aborts the signal, and the task can clean up', async () => {
    let cleaned = false;
    const { pool, settled } = await make(
      async (_, ctx) => {
        await patient(undefined, ctx).catch(() => undefined);
        cleaned = true;
        return 'cleaned up';
      },
      { softTimeLimit: 20, timeLimit: '60s' },
    );
    pool.run([claimedJob('work')]);
    expect(await settled(1)).toMatchObject([{ kind: 'end', state: 'succeeded', result: '"cleaned up"' }]);
    expect(cleaned).toBe(true);
  });

  it('a task that throws at the soft one has failed for TIME_LIMIT', async () => {
    const { pool, settled } = await make(patient, { softTimeLimit: 20, timeLimit: '60s' });
    pool.run([claimedJob('work')]);
    expect(await settled(1)).toMatchObject([{ kind: 'bury', code: 'TIME_LIMIT' }]);
  });

  it('the hard one settles the attempt as failed and frees the slot; what its code comes to later counts for nothing', async () => {
    let end: (value: unknown) => void = () => undefined;
    const { pool, settled, settlements, log } = await make(() => new Promise((resolve) => (end = resolve)), { timeLimit: 30 });
    const job = claimedJob('work');
    pool.run([job]);
    expect(await settled(1)).toMatchObject([{ kind: 'bury', code: 'TIME_LIMIT' }]);
    expect(pool.running()).toEqual([]);
    expect(log.with('time limit')).toMatchObject([{ level: 'error', job: job.id, task: 'work', limitMs: 30 }]);
    end('late');
    await setImmediate();
    expect(settlements).toHaveLength(1);
  });

  it('those of a job do not touch its neighbours', async () => {
    const { pool, settled } = await make((_, ctx) => (ctx.id === 'slow' ? stubborn() : sleep(90, 'fine')), { timeLimit: 60 });
    pool.run([claimedJob('work', null, { id: 'slow' })]);
    await settled(1);
    pool.run([claimedJob('work', null, { id: 'other' })]);
    expect((await settled(2))[1]).toMatchObject({ job: { id: 'other' } });
  });
});

describe('abort', () => {
  it('reaches the job that is meant, by claim and position', async () => {
    const { pool, settled } = await make(patient);
    pool.run([
      claimedJob('work', null, { claim: '1', position: 0, id: 'a' }),
      claimedJob('work', null, { claim: '1', position: 1, id: 'b' }),
      claimedJob('work', null, { claim: '2', position: 1, id: 'c' }),
    ]);
    pool.abort('cancelled', { claim: '1', position: 1 });
    expect(await settled(1)).toMatchObject([{ job: { id: 'b' }, kind: 'end', state: 'cancelled' }]);
    expect(pool.running().map(({ job }) => job.id)).toEqual(['a', 'c']);
  });

  it.each([
    ['cancelled', 'JOB_CANCELLED', 'end'],
    ['shutdown', 'SHUTDOWN', 'release'],
    ['lease-lost', 'LEASE_LOST', 'release'],
  ] as const)('%s has the reason %s', async (reason, code, kind) => {
    let seen: unknown;
    const { pool, settled } = await make((_, ctx) =>
      patient(undefined, ctx).catch((error: unknown) => {
        seen = error;
        throw error;
      }),
    );
    pool.run([claimedJob('work'), claimedJob('work')]);
    pool.abort(reason);
    expect((await settled(2)).map((settlement) => settlement.kind)).toEqual([kind, kind]);
    expect(seen).toMatchObject({ code });
  });
});

it('handBack settles what runs without waiting for it, and what it comes to later counts for nothing', async () => {
  let end: (value: unknown) => void = () => undefined;
  const { pool, settlements } = await make(() => new Promise((resolve) => (end = resolve)));
  pool.run([claimedJob('work')]);
  pool.handBack();
  expect(settlements).toMatchObject([{ kind: 'release', lane: 'usual' }]);
  expect(decodePast(settlements[0]?.past).history).toMatchObject([{ outcome: 'handed-back' }]);
  end('late');
  await setImmediate();
  expect(settlements).toHaveLength(1);
  expect(pool.running()).toEqual([]);
});

it('gives the newest progress of each job, once', async () => {
  const { pool } = await make((_, ctx) => {
    ctx.progress(1);
    ctx.progress(2);
    return stubborn();
  });
  const job = claimedJob('work');
  pool.run([job]);
  expect(pool.takeProgress()).toEqual([{ job, value: '2' }]);
  expect(pool.takeProgress()).toEqual([]);
});

it('tells at each turn how long what runs may still take', async () => {
  const { pool, turns } = await make(stubborn, { timeLimit: '60s' });
  await polled(() => turns.at(-1)).toBe(0);
  pool.run([claimedJob('work')]);
  await polled(() => turns.at(-1)).toBeGreaterThan(50_000);
  expect(turns.at(-1)).toBeLessThanOrEqual(60_000);
});

it('tells it before a task begins, for one that blocks the loop at once lets no turn come', async () => {
  const seen: (number | undefined)[] = [];
  const { pool, turns, settled } = await make(() => seen.push(turns.at(-1)), { timeLimit: '60s' });
  pool.run([claimedJob('work')]);
  await settled(1);
  expect(seen).toEqual([60_000]);
});

it('stops twice, and starts again', async () => {
  const { pool, turns } = await make(stubborn);
  await pool.stop();
  await pool.stop();
  const before = turns.length;
  await pool.start({ settled: () => undefined, roomier: () => undefined });
  await polled(() => turns.length).toBeGreaterThan(before);
});
