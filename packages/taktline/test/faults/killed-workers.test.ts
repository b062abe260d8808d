/** Workers that are killed at any instant: nothing is lost, nothing of theirs is accepted afterwards, the innocent go free. */
import { expect, it } from 'vitest';
import { z } from 'zod';
import type { Settlement } from '../../src/broker/broker.ts';
import { openBroker } from '../../src/broker/open-broker.ts';
import { onEachBroker } from '../support/harness.ts';

onEachBroker('killed workers', (h) => {
  const worker = (options: Record<string, unknown>) => h.child('fault-worker.mjs', options);

  function client() {
    const app = h.app();
    const work = app.task({
      name: 'work',
      queue: 'work',
      input: z.object({ n: z.number(), kill: z.boolean().optional(), stubborn: z.boolean().optional() }),
      run: () => null,
    });
    return { app, work };
  }

  /** Whether anything is left to do. */
  async function left(): Promise<boolean> {
    return (await h.store.claims()) > 0 || (await h.store.count('scheduled')) > 0 || (await h.store.count('ready')) > 0;
  }

  const succeeded = async () => (await h.store.ended()).filter(({ state }) => state === 's');

  async function until(condition: () => Promise<boolean>, what: string): Promise<void> {
    const deadline = Date.now() + 120_000;
    while (!(await condition())) {
      if (Date.now() > deadline) throw new Error(`not in time: ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  it('a worker that holds 1,000 of 20,000 jobs is killed five times: none is lost, none is settled by the dead', {
    timeout: 180_000,
  }, async () => {
    const { app, work } = client();
    await work.enqueueMany(Array.from({ length: 20_000 }, (_, n) => ({ n })));
    const { url, name: namespace } = h.store;
    const opened = await openBroker({ url, namespace, queues: app.queues, deadLetterTtlMs: 1e9 });
    const ofTheDead: { readonly worker: string; readonly settlement: Settlement }[] = [];
    for (let kill = 1; kill <= 5; kill++) {
      const child = worker({ concurrency: 1_000, lease: '1s', holding: 1_000, taskMs: 200 });
      await child.said('holding');
      const { id: dead } = (await app.inspector.workers()).find(({ name }) => name === `fault-${child.process.pid}`) ?? { id: '' };
      child.kill('SIGKILL');
      await child.exited;
      for (const { jobs } of await opened.broker.missing(dead, [])) {
        for (const job of jobs)
          ofTheDead.push({
            worker: dead,
            settlement: { kind: 'end', job, state: 'succeeded', result: '"from the dead"', keepMs: 3_600_000 },
          });
      }
    }
    expect(ofTheDead.length).toBeGreaterThanOrEqual(1_000);
    const last = worker({ concurrency: 1_000, lease: '1s', taskMs: 5 });
    await until(async () => !(await left()), 'all jobs done');

    const dead = ofTheDead[0]?.worker as string;
    const reply = await opened.broker.exchange(
      dead,
      ofTheDead.filter((entry) => entry.worker === dead).map((entry) => entry.settlement),
      undefined,
    );
    expect(reply.accepted.filter(Boolean)).toEqual([]);
    const ended = await succeeded();
    expect(new Set(ended.map(({ id }) => id)).size).toBe(20_000);
    expect(ended).toHaveLength(20_000);
    expect(ended.filter(({ result }) => result.includes('from the dead'))).toEqual([]);
    expect(await h.store.count('dead')).toBe(0);
    const lossy = ended.filter(({ past }) => past !== '' && (JSON.parse(past) as { losses: number }).losses > 0);
    expect(lossy.length).toBeGreaterThanOrEqual(1_000);
    last.kill('SIGTERM');
    expect(await last.exited).toEqual({ code: 0, signal: null });
    await opened.close();
  });

  it('a job that aborts its process each time is the only dead letter among 20,000', { timeout: 180_000 }, async () => {
    const { app, work } = client();
    const handles = await work.enqueueMany(Array.from({ length: 20_000 }, (_, n) => (n === 5_000 ? { n, kill: true } : { n })));
    let crashes = 0;
    while (await left()) {
      const child = worker({ concurrency: 1_000, lease: '1s', taskMs: 20 });
      const over = until(async () => !(await left()), 'all jobs done').then(() => 'over');
      if ((await Promise.race([child.exited.then(() => 'crashed'), over])) === 'over') child.kill('SIGTERM');
      else crashes += 1;
      expect(crashes, child.errors).toBeLessThan(8);
      await child.exited;
    }
    // Once in the crowd, once among ten, three times alone.
    expect(crashes).toBe(5);
    expect(await succeeded()).toHaveLength(19_999);
    const letters = await app.inspector.deadLetters.list();
    expect(letters.items.map(({ id, code, task }) => ({ id, code, task }))).toEqual([
      { id: handles[5_000]?.id, code: 'POISON_JOB', task: 'work' },
    ]);
    expect(letters.items[0]?.attempts.map((attempt) => attempt.outcome)).toEqual(['lost', 'lost', 'lost', 'lost', 'lost']);
  });

  it('SIGTERM drains: what runs ends, what waits stays, and the process exits 0', async () => {
    const { work } = client();
    await work.enqueueMany(Array.from({ length: 200 }, (_, n) => ({ n })));
    const child = worker({ concurrency: 10, lease: '30s', taskMs: 300 });
    await child.said('begun');
    child.kill('SIGTERM');
    expect(await child.exited).toEqual({ code: 0, signal: null });
    const { length: ended } = await succeeded();
    expect(ended).toBeGreaterThan(0);
    expect(ended + (await h.store.count('ready'))).toBe(200);
    expect([await h.store.claims(), await h.store.count('workers')]).toEqual([0, 0]);
  });

  it('a job that does not end within the grace is handed back without a failed attempt, and a second SIGTERM does it at once', async () => {
    const { app, work } = client();
    const handle = await work.delay({ n: 1, stubborn: true });
    const patient = worker({ concurrency: 2, lease: '30s', grace: '1s' });
    await patient.said('begun');
    patient.kill('SIGTERM');
    expect((await patient.exited).code).toBe(0);
    expect(await handle.status()).toBe('queued');

    const hasty = worker({ concurrency: 2, lease: '30s', grace: '60s' });
    await hasty.said('begun');
    hasty.kill('SIGTERM');
    hasty.kill('SIGTERM');
    await new Promise((resolve) => setTimeout(resolve, 100));
    hasty.kill('SIGTERM');
    expect((await hasty.exited).code).toBe(0);
    const job = await app.inspector.job(handle.id);
    expect(job).toMatchObject({ state: 'queued', failures: 0, losses: 0 });
    expect(job?.attempts.map((attempt) => attempt.outcome)).toEqual(['handed-back', 'handed-back']);
  });
});
