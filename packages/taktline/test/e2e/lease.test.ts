/** Leases: a blocked task keeps its own, a frozen worker loses it and can change nothing, then works again. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { eventually } from '../support/eventually.ts';
import { harness, onEachBroker } from '../support/harness.ts';

onEachBroker('leases', (h) => {
  interface Ran {
    readonly pid: number;
    readonly attempt: number;
  }

  /** An app that can call the tasks of the child, and runs them too. */
  function sharing() {
    const app = h.app();
    const options = {
      queue: 'work',
      input: z.object({ ms: z.number() }),
      run: (_: unknown, ctx: { attempt: number }): Ran => ({ pid: process.pid, attempt: ctx.attempt }),
    } as const;
    return { app, nap: app.task({ ...options, name: 'nap' }), block: app.task({ ...options, name: 'block' }) };
  }

  it('a task that blocks the loop for longer than the lease loses nothing', async () => {
    const { app, block } = sharing();
    const child = h.child('e2e-worker.mjs', { lease: '1s', concurrency: 2 });
    await child.said('started');
    const handles = await block.enqueueMany([{ ms: 2_500 }, { ms: 0 }]);
    await child.said('begun');
    // It would take the jobs over if the lease ran out.
    await h.work(app, { lease: '1s' });
    const results = (await Promise.all(handles.map((handle) => handle.result()))) as Ran[];
    expect(results).toEqual([
      { pid: child.process.pid, attempt: 1 },
      { pid: child.process.pid, attempt: 1 },
    ]);
    for (const { id } of handles) expect(await app.inspector.job(id)).toMatchObject({ losses: 0, attempts: [] });
    expect(h.log.with('took over')).toEqual([]);
  });

  it('a worker that stops in the moment in which jobs come loses none of them', { timeout: 60_000 }, async () => {
    const client = sharing().nap;
    for (let round = 0; round < 30; round++) {
      const { app, nap } = sharing();
      const worker = await h.work(app, { concurrency: 4 });
      await (await nap.delay({ ms: 0 })).result();
      const calls = [1, 2, 3].map(() => client.delay({ ms: 0 }));
      // They are on their way, or at the broker, or on their way back.
      for (let turn = 0; turn < round % 5; turn++) await nextTurn();
      await worker.stop();
      const handles = await Promise.all(calls);
      const next = await h.work(app, { concurrency: 4 });
      await Promise.all(handles.map((handle) => handle.result({ timeout: '10s' })));
      for (const { id } of handles) expect(await app.inspector.job(id)).toMatchObject({ losses: 0, attempts: [] });
      await next.stop();
    }
  });

  it('a worker frozen beyond its lease settles nothing when it wakes, joins again, and works', { timeout: 60_000 }, async () => {
    const { app, nap } = sharing();
    const child = h.child('e2e-worker.mjs', { lease: '1s', concurrency: 20 });
    await child.said('started');
    const name = `e2e-${child.process.pid}`;
    const list = async () => (await app.inspector.workers()).find((worker) => worker.name === name && worker.leaseExpiresInMs > 0);
    const before = await list();
    const handles = await nap.enqueueMany(Array.from({ length: 60 }, () => ({ ms: 400 })));
    await eventually(async () => child.messages.length >= 21, 'twenty jobs have begun');
    child.kill('SIGSTOP');
    const held = await app.inspector.jobs('running');
    expect(held.length).toBeGreaterThanOrEqual(20);

    const rescuer = await h.work(app, { lease: '1s', concurrency: 20 });
    await Promise.all(handles.map((handle) => handle.result()));
    const atRest = await h.store.ended();
    expect(atRest).toHaveLength(60);

    child.kill('SIGCONT');
    // It hears of its loss, and is in the list again under another id.
    await eventually(async () => {
      const now = await list();
      return now !== undefined && now.id !== before?.id;
    }, 'it joins again');
    await eventually(async () => child.errors.includes('this worker was taken for dead'), 'it says so');
    // All that it held has come to its end there by now, and was of no consequence.
    expect(await h.store.ended()).toEqual(atRest);
    const taken = new Set(held.map(({ id }) => id));
    for (const handle of handles.filter(({ id }) => taken.has(id))) {
      expect(await handle.result()).toMatchObject({ pid: process.pid });
      expect(await app.inspector.job(handle.id)).toMatchObject({ losses: 1, failures: 0 });
    }

    await rescuer.stop();
    const again = await nap.enqueueMany(Array.from({ length: 20 }, () => ({ ms: 1 })));
    const ran = (await Promise.all(again.map((handle) => handle.result()))) as Ran[];
    expect(new Set(ran.map(({ pid }) => pid))).toEqual(new Set([child.process.pid]));
    expect(await h.store.claims(before?.id)).toBe(0);
    child.kill('SIGTERM');
    expect(await child.exited).toEqual({ code: 0, signal: null });
  });
});

describe('leases on Postgres', () => {
  const h = harness();

  it('a worker that is stopped while it joins again leaves nothing behind', async () => {
    const app = h.app();
    const worker = await h.work(app, { lease: '1s' });
    // As recovery leaves it: the next pulse finds the worker gone. The lock keeps it from joining again.
    await h.store.query('delete from $ns.workers');
    await h.store.query('begin');
    await h.store.query('lock table $ns.workers in share mode');
    await eventually(async () => {
      await h.store.query('select pg_stat_clear_snapshot()');
      const rows = await h.store.query(
        `select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%insert into $ns.workers%'`,
      );
      return rows.length > 0;
    }, 'it tries to join again');
    const stopped = worker.stop();
    await h.store.query('commit');
    await stopped;
    expect(await h.store.count('workers')).toBe(0);
    expect(h.log.with(/^worker (started|stopped)$/).at(-1)?.message).toBe('worker stopped');
  });
});
