/** `taktline migrate`: every job arrives as it was, whichever the brokers are; what stands in the way is named, and nothing moves. */
import { expect, it } from 'vitest';
import { z } from 'zod';
import type { ClaimedJob } from '../../src/broker/broker.ts';
import { createApp } from '../../src/index.ts';
import { newId } from '../../src/support/ids.ts';
import { silentLogger } from '../../src/support/logger.ts';
import { ids, job, TestWorker } from '../conformance/test-worker.ts';
import { Cli } from '../support/cli.ts';
import { eventually } from '../support/eventually.ts';
import { counted, fill, given, migrate, migrated, place, standing, work } from '../support/migration.ts';
import { describeOnRedis } from '../support/redis/needs-redis.ts';

describeOnRedis('migrate', () => {
  it('takes a mixed set from Postgres to Redis, to another Redis namespace, to Postgres and back: each job as it was', async () => {
    await using first = await place('postgres');
    await using second = await place('redis');
    await using third = await place('redis');
    await using fourth = await place('postgres');
    await using fifth = await place('postgres');
    const source = await first.open();
    await fill(source, 40);
    const before = await standing(source);
    expect(counted(before)).toBe(160 + 3 * 120 + 2);
    expect(Object.keys(before)).toHaveLength(7);
    for (const [from, to] of [
      [first, second],
      [second, third],
      [third, fourth],
      [fourth, fifth],
      [fifth, fourth],
      [fourth, third],
      [third, first],
      [first, second],
    ] as const) {
      const { stdout } = await migrated(from, to, '--json');
      expect(JSON.parse(stdout)).toMatchObject({ moved: counted(before), there: 0, kept: [], running: 0, interrupted: false });
      // Not opened before the move: the target is made by it, with the queues of the source and their priorities.
      const here = to.make({ queues: [] });
      expect(await standing(here)).toEqual(before);
      expect(counted(await standing(from.make({ queues: [] })))).toBe(0);
    }
    // Ids go along: a caller who enqueues again makes no second job, neither of what waits nor of a dead letter.
    const { broker } = second.make({ queues: [] });
    expect(await broker.enqueue([job('usual-named-1', given('usual-named-1')), job('low-later-3', given('low-later-3'))])).toEqual([
      'duplicate',
      'duplicate',
    ]);
    expect(await broker.enqueue([job('usual-named-1', given('usual-named-1', 'other'))])).toEqual(['conflict']);
    expect(await migrated(second, first)).toMatchObject({
      stdout: expect.stringMatching(/^QUEUE +STATE +MOVED +THERE +KEPT\n[^]*\n522 jobs were moved\n$/),
    });
    expect(await migrated(second, first)).toMatchObject({ stdout: 'there was nothing to move\n0 jobs were moved\n' });
  });

  it('jobs run at the target as if they had been enqueued there', async () => {
    await using from = await place('redis');
    await using to = await place('postgres');
    const app = (url: string, namespace: string) => {
      const made = createApp({ brokerUrl: url, namespace, queues: [{ name: 'work', priority: 7 }], logger: silentLogger });
      return {
        app: made,
        double: made.task({
          name: 'double',
          queue: 'work',
          input: z.number(),
          run: (n) => 2 * n,
        }),
      };
    };
    const one = app(from.url, from.namespace);
    const handles = await one.double.enqueueMany(Array.from({ length: 50 }, (_, n) => n));
    await one.double.applyAsync(7, { id: 'seven' });
    await one.app.close();
    await migrated(from, to);
    const other = app(to.url, to.namespace);
    await other.app.worker().start();
    const results = await Promise.all(handles.map(({ id }) => other.app.handle(id).result({ timeout: '30s' })));
    expect(results).toEqual(handles.map((_, n) => 2 * n));
    expect(await (await other.double.applyAsync(7, { id: 'seven' })).result({ timeout: '30s' })).toBe(14);
    expect((await other.app.inspector.queues())[0]).toMatchObject({ name: 'work', priority: 7 });
    await other.app.close();
  });

  it.each([
    ['postgres', 'redis'],
    ['redis', 'postgres'],
  ] as const)('%s: refuses while workers live there, takes over the jobs of one that is lost', async (kind, other) => {
    await using from = await place(kind);
    await using to = await place(other);
    const { broker, inspector } = await from.open();
    const lost = await TestWorker.join(broker, { name: 'lost@test', leaseMs: 1_000 });
    const batch = Array.from({ length: 30 }, () => newId('usual')).map((id) => job(id, work(id)));
    await broker.enqueue(batch);
    expect(await lost.take({ limit: 20 })).toHaveLength(20);
    const living = await TestWorker.join(broker, { name: 'living@test' });
    const refused = await migrate(from, to).ended;
    expect(refused).toMatchObject({ code: 1, stdout: '' });
    expect(refused.stderr).toMatch(/^taktline: .*live.*living@test.*[Ss]top [^\n]*\n$/);
    expect((await inspector.queues()).find(({ name }) => name === 'usual')).toMatchObject({ ready: 10, running: 20 });
    expect(JSON.parse((await migrate(from, to, '--dry-run', '--json').ended).stdout)).toMatchObject({
      workers: expect.arrayContaining(['living@test']),
      counts: [{}, { queue: 'usual', queued: 10, scheduled: 0, dead: 0, running: 20 }, {}],
    });
    await living.leave();
    const ended = await migrate(from, to, '--json').ended;
    if (ended.code === 1) {
      // Its lease had not run out.
      expect(ended.stderr).toContain('lost@test');
      await eventually(
        async () => (await inspector.workers()).every(({ leaseExpiresInMs }) => leaseExpiresInMs <= 0),
        'the lease runs out',
      );
      expect(await migrate(from, to, '--json').ended).toMatchObject({ code: 0 });
    } else expect(ended.code).toBe(0);
    const there = await to.open();
    expect(ids(await there.inspector.jobs('queued', { limit: 100 })).toSorted()).toEqual(ids(batch).toSorted());
    const suspects = (await there.inspector.jobs('queued', { limit: 100 })).filter(({ lane }) => lane === 'suspects');
    expect(suspects).toHaveLength(20);
    expect(suspects[0]?.past).toContain('lost@test');
    expect(await inspector.workers()).toEqual([]);
  });

  it('one place under two names is refused', async () => {
    await using space = await place('postgres');
    await space.open();
    await (await space.open()).broker.enqueue([job('it')]);
    const other = { ...space, url: space.url.replace('127.0.0.1', 'localhost'), namespace: space.namespace };
    expect(other.url).not.toBe(space.url);
    for (const to of [space, other]) {
      const ended = await migrate(space, to as typeof space).ended;
      expect(ended).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('are one place') });
    }
    expect(await (await space.open()).inspector.workers()).toEqual([]);
    expect(await (await space.open()).broker.states(['it'])).toEqual(['queued']);
  });

  it('a dry run only counts, and makes nothing', async () => {
    await using from = await place('redis');
    await using to = await place('postgres');
    const source = await from.open();
    await fill(source, 10);
    const before = await standing(source);
    const { stdout } = await migrated(from, to, '--dry-run');
    expect(stdout).toMatch(
      /^QUEUE +QUEUED +SCHEDULED +DEAD +RUNNING\nhigh +20 +10 +0 +0\nusual +42 +20 +10 +0\nlow +20 +10 +0 +0\nwould move 132 jobs from redis:/,
    );
    expect(await standing(source)).toEqual(before);
    expect(await migrate(to, from).ended).toMatchObject({ code: 3, stderr: expect.stringContaining('has no schema') });
  });

  it('a job whose id belongs to other work at the target is kept, and named', async () => {
    await using from = await place('postgres');
    await using to = await place('redis');
    const [source, target] = [await from.open(), await to.open()];
    await target.broker.enqueue([job('taken', given('taken', 'other')), job('same', given('same'))]);
    await source.broker.enqueue([job('taken', given('taken')), job('same', given('same')), job('free', given('free'))]);
    const ended = await migrate(from, to, '--json').ended;
    expect(ended.code).toBe(1);
    expect(ended.stderr).toBe('kept taken of usual: its id belongs to other work at the target\n');
    expect(JSON.parse(ended.stdout)).toMatchObject({
      moved: 1,
      there: 1,
      counts: [{ queue: 'usual', state: 'queued', moved: 1, there: 1, kept: 1 }],
      kept: [{ id: 'taken', queue: 'usual', state: 'queued' }],
    });
    expect(await source.broker.states(['taken', 'same', 'free'])).toEqual(['queued', undefined, undefined]);
    expect(await target.broker.states(['taken', 'same', 'free'])).toEqual(['queued', 'queued', 'queued']);
    expect((await target.inspector.job('taken'))?.envelope).toBe(work('taken', 'other').envelope);
  });

  it('Ctrl-C ends it after the page under way, and says how to go on', async () => {
    await using from = await place('redis');
    await using to = await place('postgres');
    const [source, target] = [await from.open(), await to.open()];
    await fill(source, 800);
    const before = await standing(source);
    const total = counted(before);
    const cli = migrate(from, to, '--json');
    await eventually(async () => (await target.inspector.queues()).some(({ ready }) => ready > 0), 'it has begun');
    cli.process.kill('SIGINT');
    const ended = await cli.ended;
    expect(ended).toMatchObject({ code: 130, stderr: expect.stringMatching(/interrupted: .*the same command goes on\n$/) });
    const { moved, interrupted } = JSON.parse(ended.stdout) as { moved: number; interrupted: boolean };
    expect(interrupted).toBe(true);
    expect(moved).toBeLessThan(total);
    expect(counted(await standing(target))).toBe(moved);
    expect(counted(await standing(source))).toBe(total - moved);
    await migrated(from, to);
    expect(await standing(target)).toEqual(before);
  });

  it('a job that a worker has taken while it was moved runs only there, and the command says who lives', async () => {
    await using from = await place('postgres');
    await using to = await place('redis');
    const [source, target] = [await from.open(), await to.open()];
    await fill(source, 300);
    const all = counted(await standing(source));
    const cli = migrate(from, to, '--json');
    await eventually(async () => (await target.inspector.queues()).some(({ ready }) => ready > 0), 'it has begun');
    const worker = await TestWorker.join(source.broker, { name: 'early@test' });
    const taken: ClaimedJob[] = [...(await worker.take({ limit: 1_000 }))];
    const ended = await cli.ended;
    expect(ended).toMatchObject({ code: 1, stderr: expect.stringContaining('early@test') });
    const here = new Set(ids(taken));
    const moved = Object.values(await standing(target)).flat();
    expect(moved.filter(({ id }) => here.has(String(id)))).toEqual([]);
    expect(moved.length + counted(await standing(source)) + taken.length).toBe(all);
  });
});

it.each([
  [['migrate', '--to', 'redis://localhost'], 'migrate needs --from and --to'],
  [['migrate', '--from', 'mysql://x', '--to', 'redis://localhost', '-y'], '--from: the broker URL is of an unknown kind'],
  [['migrate', '--from', 'redis://localhost', '--to', 'redis://localhost:0', '-y'], '--to: the Redis URL'],
  [['migrate', '--from', 'redis://localhost', '--to', 'redis://localhost', '-y'], 'are one place'],
  [['migrate', '--from', 'redis://localhost', '--to', 'redis://localhost', '--to-namespace', 'A', '-y'], 'namespace is "A"'],
  [['migrate', '--from', 'redis://localhost', '--to', 'redis://localhost'], 'this needs --yes (-y)'],
  [
    ['migrate', '--broker', 'redis://localhost', '--from', 'redis://localhost', '--to', 'redis://localhost'],
    'goes without --app and --broker',
  ],
])('%j is refused in one line, with exit code 2', async (args, message) => {
  const { code, stdout, stderr } = await new Cli(args).ended;
  expect(stderr).toContain(message);
  expect(stderr).toMatch(/^taktline: [^\n]*\S\n$/);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
});
