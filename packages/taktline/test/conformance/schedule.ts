/** Topic: schedule. A job with a countdown or an eta comes when it is due, never before, and the earliest due first. */
import { describe, expect, it } from 'vitest';
import type { ClaimedJob } from '../../src/broker/broker.ts';
import { eventually } from '../support/eventually.ts';
import type { Subject } from './subject.ts';
import { end, ids, job, numbers, reschedule, TestWorker } from './test-worker.ts';

const hour = 3_600_000;

export function scheduling(subject: Subject): void {
  describe('schedule', () => {
    it('a job with a countdown or an eta is scheduled, and not claimed', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const worker = await TestWorker.join(broker);
      const { enqueuedAt: now } = await worker.claimOfNew('now');
      await broker.enqueue([job('countdown', { countdownMs: hour, priority: 9 }), job('eta', { eta: now + hour })]);
      expect(await broker.states(['countdown', 'eta'])).toEqual(['scheduled', 'scheduled']);
      expect(await worker.takeAll()).toEqual([]);
      const listed = await inspector.jobs('scheduled', { limit: 10 });
      const countdown = listed.find(({ id }) => id === 'countdown');
      expect(countdown).toMatchObject({ state: 'scheduled', queue: 'usual', priority: 9 });
      expect(countdown?.dueAt).toBe((countdown?.enqueuedAt ?? 0) + hour);
      expect(listed.find(({ id }) => id === 'eta')?.dueAt).toBe(now + hour);
    });

    it('no countdown, and an eta that has passed, mean now', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      await broker.enqueue([job('eta', { eta: 1 }), job('past', { eta: 0 }), job('countdown', { countdownMs: 0 })]);
      const taken: ClaimedJob[] = [];
      await eventually(async () => taken.push(...(await worker.take())) === 3, 'they come');
      expect(ids(taken).toSorted()).toEqual(['countdown', 'eta', 'past']);
    });

    it('no job comes before it is due, and each soon after', async () => {
      await using space = await subject.space();
      const [one, two] = [await space.open(), await space.open()];
      const workers = [await TestWorker.join(one.broker), await TestWorker.join(two.broker)];
      const random = numbers(3);
      const { enqueuedAt: now } = await (workers[0] as TestWorker).claimOfNew('now');
      const delays = new Map<string, number>();
      const batch = Array.from({ length: 400 }, (_, index) => {
        const delay = Math.floor(random() * 600);
        delays.set(`job-${index}`, delay);
        return job(`job-${index}`, index % 2 === 0 ? { countdownMs: delay } : { eta: now + delay });
      });
      await one.broker.enqueue(batch);
      const late: number[] = [];
      let left = batch.length;
      await Promise.all(
        workers.map(async (worker) => {
          while (left > 0) {
            const claim = await worker.claim({ limit: 20 });
            for (const { id, enqueuedAt } of claim?.jobs ?? []) {
              left -= 1;
              const due = (Number(id.slice(4)) % 2 === 0 ? enqueuedAt : now) + (delays.get(id) as number);
              late.push((claim?.claimedAt ?? 0) - due);
            }
          }
        }),
      );
      expect(late).toHaveLength(400);
      expect(Math.min(...late)).toBeGreaterThanOrEqual(0);
      expect(Math.max(...late)).toBeLessThan(3_000);
    });

    it('says how long it is to the next due job of the queues asked for', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      const next = async () => (await worker.exchange([], { lane: 'suspects' })).nextDueInMs;
      expect(await next()).toBeUndefined();
      await broker.enqueue([job('later', { countdownMs: 2 * hour }), job('sooner', { countdownMs: hour, queue: 'low' })]);
      expect(await next()).toBeGreaterThan(hour - 60_000);
      expect(await next()).toBeLessThanOrEqual(hour);
      await broker.cancel(['sooner']);
      expect(await next()).toBeGreaterThan(hour);
      await broker.enqueue([job('soon', { countdownMs: 50 })]);
      expect(await next()).toBeLessThanOrEqual(50);
      await broker.cancel(['later']);
      await eventually(async () => (await worker.take()).length === 1, 'the job comes');
      expect(await next()).toBeUndefined();
    });

    it('jobs that have become due stand behind those that wait, the earliest first, and by priority', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      const delays = [70, 10, 50, 30, 90, 20];
      await broker.enqueue([
        ...delays.map((countdownMs, index) => job(`job-${index}`, { countdownMs })),
        job('urgent', { countdownMs: 80, priority: 9 }),
        job('waiting'),
      ]);
      // Nobody asks meanwhile, so that all have become due by the first claim.
      const since = performance.now();
      await eventually(async () => performance.now() - since > 100, 'time passes');
      expect(ids(await worker.takeAll())).toEqual(['urgent', 'waiting', 'job-1', 'job-5', 'job-3', 'job-2', 'job-0', 'job-4']);
    });

    it('a retry waits for its delay like any other', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      const it = await worker.claimOfNew('it');
      await worker.done(reschedule(it, 100));
      expect(await broker.states(['it'])).toEqual(['retrying']);
      const claim = await eventually(async () => worker.claim(), 'the retry comes');
      expect(ids(claim.jobs)).toEqual(['it']);
      const settledAfter = claim.claimedAt - it.enqueuedAt;
      expect(settledAfter).toBeGreaterThanOrEqual(100);
    });

    it('two thousand jobs that become due at the same moment all come, once each', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      const { enqueuedAt: now } = await worker.claimOfNew('now');
      await broker.enqueue(Array.from({ length: 2_000 }, (_, index) => job(`job-${index}`, { eta: now + 500 })));
      const taken: string[] = [];
      await eventually(async () => {
        const got = await worker.take({ limit: 300 });
        taken.push(...ids(got));
        await worker.done(...got.map((one) => end(one, { keepMs: 0 })));
        return taken.length >= 2_000;
      }, 'all come');
      expect(new Set(taken).size).toBe(2_000);
      expect(await worker.takeAll()).toEqual([]);
    });
  });
}
