/** Topic: what people see. Counts, lists, workers, single jobs; and the purge of a queue. */
import { describe, expect, it } from 'vitest';
import type { ClaimedJob } from '../../src/broker/broker.ts';
import { eventually } from '../support/eventually.ts';
import type { Subject } from './subject.ts';
import { bury, end, ids, job, jobs, past, release, reschedule, TestWorker } from './test-worker.ts';

export function countsAndLists(subject: Subject): void {
  describe('counts and lists', () => {
    it('an empty broker has its queues, highest priority first, and nothing in them', async () => {
      await using space = await subject.space();
      const { inspector } = await space.open();
      const nothing = { ready: 0, scheduled: 0, running: 0, dead: 0, oldestWaitMs: undefined, paused: false };
      expect(await inspector.queues()).toEqual([
        { name: 'high', priority: 9, ...nothing },
        { name: 'usual', priority: 5, ...nothing },
        { name: 'low', priority: 2, ...nothing },
      ]);
      expect(await inspector.workers()).toEqual([]);
      for (const state of ['queued', 'scheduled', 'running'] as const) expect(await inspector.jobs(state, { limit: 10 })).toEqual([]);
      expect(await inspector.job('unknown')).toBeUndefined();
    });

    it('every job is counted where it stands', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const worker = await TestWorker.join(broker);
      await broker.enqueue([
        ...jobs(10, 'a'),
        ...jobs(3, 'b', { queue: 'high' }),
        ...jobs(2, 'later', { countdownMs: 3_600_000, queue: 'low' }),
      ]);
      const taken = (await worker.take({ queues: ['usual'], limit: 7 })) as ClaimedJob[];
      const [retry, dead, done, suspect] = taken as [ClaimedJob, ClaimedJob, ClaimedJob, ClaimedJob];
      await worker.take({ queues: ['high'], limit: 1 });
      await worker.done(reschedule(retry, 3_600_000), bury(dead), end(done), release(suspect, 'alone'));
      expect(
        (await inspector.queues()).map(({ name, ready, scheduled, running, dead }) => ({ name, ready, scheduled, running, dead })),
      ).toEqual([
        { name: 'high', ready: 2, scheduled: 0, running: 1, dead: 0 },
        { name: 'usual', ready: 4, scheduled: 1, running: 3, dead: 1 },
        { name: 'low', ready: 0, scheduled: 2, running: 0, dead: 0 },
      ]);
    });

    it('tells how long the front of the line has waited', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const worker = await TestWorker.join(broker);
      await broker.enqueue([job('first'), job('later', { countdownMs: 3_600_000, queue: 'low' })]);
      const wait = async (name: string) => (await inspector.queues()).find((queue) => queue.name === name)?.oldestWaitMs;
      await eventually(async () => ((await wait('usual')) ?? 0) >= 80, 'time passes');
      expect(await wait('low')).toBeUndefined();
      await broker.enqueue([job('second')]);
      expect(await wait('usual')).toBeGreaterThanOrEqual(80);
      await worker.take({ limit: 1 });
      expect(await wait('usual')).toBeLessThan(20_000);
      await worker.take({ limit: 1 });
      expect(await wait('usual')).toBeUndefined();
    });

    it('lists what waits, is scheduled or runs: first those that come first, by queue and within a limit', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const worker = await TestWorker.join(broker, { name: 'the worker' });
      await broker.enqueue([
        job('b', { priority: 2 }),
        job('a', { priority: 9 }),
        job('c', { priority: 2 }),
        job('h', { queue: 'high', expiresInMs: 60_000 }),
      ]);
      await broker.enqueue([
        job('s2', { countdownMs: 7_200_000 }),
        job('s1', { countdownMs: 3_600_000 }),
        job('s3', { countdownMs: 8_000_000, queue: 'low' }),
      ]);
      await broker.enqueue([job('r1', { queue: 'low' }), job('r2', { queue: 'low', priority: 3 })]);
      const claim = await worker.claim({ queues: ['low'] });
      const waiting = await inspector.jobs('queued', { limit: 10, queue: 'usual' });
      expect(waiting.map(({ id, state, queue, priority, envelope }) => ({ id, state, queue, priority, envelope }))).toEqual(
        [
          ['a', 9],
          ['b', 2],
          ['c', 2],
        ].map(([id, priority]) => ({ id, state: 'queued', queue: 'usual', priority, envelope: job(id as string).envelope })),
      );
      expect(ids(await inspector.jobs('queued', { limit: 2, queue: 'usual' }))).toEqual(['a', 'b']);
      const all = await inspector.jobs('queued', { limit: 10 });
      expect(ids(all).toSorted()).toEqual(['a', 'b', 'c', 'h']);
      const expiring = all.find(({ id }) => id === 'h');
      expect(expiring?.expiresAt).toBe((expiring?.enqueuedAt ?? 0) + 60_000);
      expect(ids(await inspector.jobs('scheduled', { limit: 10 }))).toEqual(['s1', 's2', 's3']);
      expect(ids(await inspector.jobs('scheduled', { limit: 10, queue: 'low' }))).toEqual(['s3']);
      const running = await inspector.jobs('running', { limit: 10 });
      expect(running).toMatchObject([
        { id: 'r1', state: 'running', queue: 'low', worker: 'the worker', claimedAt: claim?.claimedAt, envelope: job('r1').envelope },
        { id: 'r2', state: 'running', queue: 'low', worker: 'the worker' },
      ]);
      expect(await inspector.jobs('running', { limit: 10, queue: 'usual' })).toEqual([]);
      await expect(inspector.jobs('queued', { limit: 10, queue: 'nowhere' })).rejects.toMatchObject({ code: 'UNKNOWN_QUEUE' });
    });

    it('shows all that is known of one job, wherever it stands', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const worker = await TestWorker.join(broker, { name: 'the worker' });
      const envelope = job('it').envelope;
      await broker.enqueue([job('it', { priority: 7, countdownMs: 20 })]);
      const scheduled = await inspector.job('it');
      expect(scheduled).toEqual({
        id: 'it',
        state: 'scheduled',
        queue: 'usual',
        priority: 7,
        enqueuedAt: scheduled?.enqueuedAt,
        dueAt: (scheduled?.enqueuedAt ?? 0) + 20,
        envelope,
      });
      const claim = await eventually(() => worker.claim(), 'it is due');
      const common = { id: 'it', queue: 'usual', priority: 7, enqueuedAt: scheduled?.enqueuedAt, envelope };
      expect(await inspector.job('it')).toEqual({ ...common, state: 'running', claimedAt: claim.claimedAt, worker: 'the worker' });
      await worker.done(reschedule(claim.jobs[0] as ClaimedJob, 3_600_000));
      const retrying = await inspector.job('it');
      expect(retrying).toEqual({ ...common, state: 'retrying', dueAt: retrying?.dueAt, past: past({ failures: 1 }) });
      expect(retrying?.dueAt).toBeGreaterThanOrEqual(claim.claimedAt + 3_600_000);
      const [other] = [await worker.claimOfNew('other')];
      await worker.done(release(other, 'usual', { losses: 1 }));
      expect(await inspector.job('other')).toMatchObject({ state: 'queued', past: past({ losses: 1 }), priority: 5 });
      await worker.done(...(await worker.take()).map((one) => bury(one)));
      const dead = await inspector.job('other');
      expect(dead).toMatchObject({
        state: 'failed',
        queue: 'usual',
        priority: 5,
        past: past({ failures: 5 }),
        envelope: job('other').envelope,
      });
      expect(dead?.finishedAt).toBeGreaterThanOrEqual(other.enqueuedAt);
    });

    it('lists the workers with what they said of themselves and what they hold', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const info = { host: 'h', queues: ['usual'], nested: { text: 'Grüße "\\ \u0000 👍' } };
      const one = await TestWorker.join(broker, { name: 'one', leaseMs: 30_000, info });
      const two = await TestWorker.join(broker, { name: 'two', leaseMs: 90_000 });
      await broker.enqueue(jobs(9));
      await one.take({ limit: 4 });
      const [first] = await one.take({ limit: 2 });
      await one.done(end(first as ClaimedJob));
      const [a, b, ...rest] = await inspector.workers();
      expect(rest).toEqual([]);
      expect(a).toMatchObject({ id: one.id, name: 'one', running: 5, info });
      expect(b).toMatchObject({ id: two.id, name: 'two', running: 0, info: {} });
      expect(a?.leaseExpiresInMs).toBeLessThanOrEqual(30_000);
      expect(a?.leaseExpiresInMs).toBeGreaterThan(0);
      expect(b?.leaseExpiresInMs).toBeGreaterThan(30_000);
      expect(b?.startedAt).toBeGreaterThanOrEqual(a?.startedAt ?? Number.POSITIVE_INFINITY);
    });

    it('purges the waiting jobs of a queue, within a limit, and nothing else', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const worker = await TestWorker.join(broker);
      await broker.enqueue([...jobs(10), ...jobs(4, 'later', { countdownMs: 3_600_000 }), ...jobs(3, 'other', { queue: 'high' })]);
      await worker.take({ queues: ['usual'], limit: 2 });
      expect(await inspector.purge('usual', 5)).toBe(5);
      expect(await inspector.purge('usual', 5)).toBe(5);
      expect(await inspector.purge('usual', 5)).toBe(2);
      expect(await inspector.purge('usual', 5)).toBe(0);
      expect((await inspector.queues()).map(({ ready, scheduled, running }) => [ready, scheduled, running])).toEqual([
        [3, 0, 0],
        [0, 0, 2],
        [0, 0, 0],
      ]);
      expect(await broker.states(['job-5', 'later-1', 'job-0'])).toEqual([undefined, undefined, 'running']);
      await expect(inspector.purge('nowhere', 5)).rejects.toMatchObject({ code: 'UNKNOWN_QUEUE' });
    });

    it('the newest declaration of a queue has the say on its priority', async () => {
      await using space = await subject.space();
      const { inspector } = await space.open();
      await space.open({
        queues: [
          { name: 'usual', priority: 10 },
          { name: 'extra', priority: 1 },
        ],
      });
      expect((await inspector.queues()).map(({ name, priority }) => `${name} ${priority}`)).toEqual([
        'usual 10',
        'high 9',
        'low 2',
        'extra 1',
      ]);
    });

    it('examines itself, and finds nothing wrong on a healthy server', async () => {
      await using space = await subject.space();
      const { inspector } = await space.open();
      const findings = await inspector.examine();
      expect(findings.map(({ check }) => check)).toEqual(expect.arrayContaining(['broker', 'version', 'schema', 'clock', 'durability']));
      expect(findings.filter(({ ok, check }) => !ok && check !== 'connections')).toEqual([]);
      for (const { detail } of findings) expect(detail).not.toBe('');
    });
  });
}
