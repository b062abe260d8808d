/** Workers that are killed at any instant: nothing is lost, nothing of theirs is accepted afterwards, the innocent go free. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { z } from 'zod';
import { createApp } from '../../src/app/app.ts';
import type { Settlement } from '../../src/broker/broker.ts';
import { openBroker } from '../../src/broker/open-broker.ts';
import { silentLogger } from '../../src/support/logger.ts';
import { Child } from '../support/child.ts';
import { type TestNamespace, testNamespace } from '../support/namespace.ts';

const queues = [{ name: 'work', priority: 5 }];
let space: TestNamespace;
const children: Child[] = [];

beforeEach(async () => {
  space = await testNamespace();
});

afterEach(async () => {
  await Promise.all(children.splice(0).map((child) => child.end()));
  await space.drop();
});

function worker(options: Record<string, unknown>): Child {
  const child = new Child('fault-worker.mjs', { url: space.url, namespace: space.name, ...options });
  children.push(child);
  return child;
}

function client() {
  const app = createApp({ brokerUrl: space.url, namespace: space.name, queues, logger: silentLogger });
  const work = app.task({
    name: 'work',
    queue: 'work',
    input: z.object({ n: z.number(), kill: z.boolean().optional(), stubborn: z.boolean().optional() }),
    run: () => null,
  });
  return { app, work };
}

/** What is left to do, by where it stands. */
async function left(): Promise<number> {
  const [row] = await space.query<{ n: string }>(
    'select (select coalesce(sum(size), 0) from $ns.ready) + (select count(*) from $ns.scheduled) + (select count(*) from $ns.claims) as n',
  );
  return Number(row?.n);
}

async function count(table: 'ended' | 'dead', where = 'true'): Promise<number> {
  const [row] = await space.query<{ n: string }>(`select count(*) as n from ${table === 'ended' ? '$ended' : '$ns.dead'} where ${where}`);
  return Number(row?.n);
}

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
  const opened = await openBroker({ url: space.url, namespace: space.name, queues, deadLetterTtlMs: 1e9 });
  const ofTheDead: { readonly worker: string; readonly settlement: Settlement }[] = [];
  for (let kill = 1; kill <= 5; kill++) {
    const child = worker({ concurrency: 1_000, lease: '1s', holding: 1_000, taskMs: 200 });
    await child.said('holding');
    const held = await space.query<{ id: string; worker: string }>(
      'select id, worker from $ns.claims where worker in (select id from $ns.workers where name = $1)',
      [`fault-${child.process.pid}`],
    );
    child.kill('SIGKILL');
    await child.exited;
    for (const { worker: dead } of held.slice(0, 1)) {
      for (const claim of await opened.broker.missing(dead, [])) {
        for (const job of claim.jobs)
          ofTheDead.push({
            worker: dead,
            settlement: { kind: 'end', job, state: 'succeeded', result: '"from the dead"', keepMs: 3_600_000 },
          });
      }
    }
  }
  expect(ofTheDead.length).toBeGreaterThanOrEqual(1_000);
  const last = worker({ concurrency: 1_000, lease: '1s', taskMs: 5 });
  await until(async () => (await left()) === 0, 'all jobs done');

  const dead = ofTheDead[0]?.worker as string;
  const reply = await opened.broker.exchange(
    dead,
    ofTheDead.filter((entry) => entry.worker === dead).map((entry) => entry.settlement),
    undefined,
  );
  expect(reply.accepted.filter(Boolean)).toEqual([]);
  expect(await count('ended', `state = 's'`)).toBe(20_000);
  expect(await count('ended', `result = '"from the dead"'`)).toBe(0);
  expect(await count('dead')).toBe(0);
  const [lossy] = await space.query<{ n: string }>(`select count(*) as n from $ended where past::json ->> 'losses' <> '0'`);
  expect(Number(lossy?.n)).toBeGreaterThanOrEqual(1_000);
  last.kill('SIGTERM');
  expect(await last.exited).toEqual({ code: 0, signal: null });
  await opened.close();
  await app.close();
});

it('a job that aborts its process each time is the only dead letter among 20,000', { timeout: 180_000 }, async () => {
  const { app, work } = client();
  const handles = await work.enqueueMany(Array.from({ length: 20_000 }, (_, n) => (n === 5_000 ? { n, kill: true } : { n })));
  let crashes = 0;
  while ((await left()) > 0) {
    const child = worker({ concurrency: 1_000, lease: '1s', taskMs: 20 });
    const over = until(async () => (await left()) === 0, 'all jobs done').then(() => 'over');
    if ((await Promise.race([child.exited.then(() => 'crashed'), over])) === 'over') child.kill('SIGTERM');
    else crashes += 1;
    expect(crashes, child.errors).toBeLessThan(8);
    await child.exited;
  }
  // Once in the crowd, once among ten, three times alone.
  expect(crashes).toBe(5);
  expect(await count('ended', `state = 's'`)).toBe(19_999);
  const letters = await app.inspector.deadLetters.list();
  expect(letters.items.map(({ id, code, task }) => ({ id, code, task }))).toEqual([
    { id: handles[5_000]?.id, code: 'POISON_JOB', task: 'work' },
  ]);
  expect(letters.items[0]?.attempts.map((attempt) => attempt.outcome)).toEqual(['lost', 'lost', 'lost', 'lost', 'lost']);
  await app.close();
});

it('SIGTERM drains: what runs ends, what waits stays, and the process exits 0', async () => {
  const { app, work } = client();
  await work.enqueueMany(Array.from({ length: 200 }, (_, n) => ({ n })));
  const child = worker({ concurrency: 10, lease: '30s', taskMs: 300 });
  await child.said('begun');
  child.kill('SIGTERM');
  expect(await child.exited).toEqual({ code: 0, signal: null });
  const ended = await count('ended', `state = 's'`);
  expect(ended).toBeGreaterThan(0);
  expect(ended + (await left())).toBe(200);
  const [row] = await space.query<{ claims: string; workers: string }>(
    'select (select count(*) from $ns.claims) as claims, (select count(*) from $ns.workers) as workers',
  );
  expect(row).toEqual({ claims: '0', workers: '0' });
  await app.close();
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
  await app.close();
});
