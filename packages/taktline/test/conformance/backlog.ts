/** Topic: what waits, since when, and where in the line. */
import { describe, expect, it } from 'vitest';
import type { ClaimedJob } from '../../src/broker/broker.ts';
import { newId } from '../../src/support/ids.ts';
import { eventually } from '../support/eventually.ts';
import type { Subject } from './subject.ts';
import { bury, end, job, jobs, release, reschedule, TestWorker } from './test-worker.ts';

export function waiting(subject: Subject): void {
  describe('what waits', () => {
    it('a backlog counts jobs of the queues asked about that could run, without those of paused ones', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      expect(await broker.backlog(['high', 'usual'])).toEqual({ waiting: 0, oldestWaitMs: undefined });
      await broker.enqueue([
        ...jobs(2),
        ...jobs(3, 'high', { queue: 'high' }),
        job('low', { queue: 'low' }),
        job('later', { countdownMs: 60_000 }),
      ]);
      await broker.enqueue(Array.from({ length: 50 }, () => job(newId('usual'))));
      const { waiting, oldestWaitMs } = await broker.backlog(['high', 'usual']);
      expect(waiting).toBe(55);
      expect(oldestWaitMs).toBeGreaterThanOrEqual(0);
      expect(oldestWaitMs).toBeLessThan(30_000);
      await inspector.pause('usual');
      expect((await broker.backlog(['high', 'usual'])).waiting).toBe(3);
    });

    it('a job is ready since its enqueue, or since it has become due', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      await broker.enqueue([job('now'), job('later', { countdownMs: 300 })]);
      const [now] = (await worker.take()) as [ClaimedJob];
      expect(now.readyAt).toBe(now.enqueuedAt);
      const [later] = (await eventually(async () => {
        const taken = await worker.take();
        return taken.length > 0 && taken;
      }, 'it is due')) as [ClaimedJob];
      expect(later.readyAt - later.enqueuedAt).toBe(300);
      // A retry waits anew; what is handed back has waited since before.
      await worker.done(reschedule(later, 50), release(now));
      const [again] = (await worker.take()) as [ClaimedJob];
      expect([again.id, again.readyAt]).toEqual(['now', now.readyAt]);
      const [retried] = (await eventually(async () => {
        const taken = await worker.take();
        return taken.length > 0 && taken;
      }, 'the retry is due')) as [ClaimedJob];
      expect(retried.enqueuedAt).toBe(later.enqueuedAt);
      expect(retried.readyAt - later.readyAt).toBeGreaterThanOrEqual(50);
      await worker.done(release(retried));
      expect((await worker.take())[0]?.readyAt).toBe(retried.readyAt);
    });

    it('what was put back from the dead letters is ready since then', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const worker = await TestWorker.join(broker);
      const it = await worker.claimOfNew('it');
      await worker.done(bury(it));
      await new Promise((resolve) => setTimeout(resolve, 20));
      await inspector.redrive({}, 1);
      const [again] = (await worker.take()) as [ClaimedJob];
      expect(again.enqueuedAt).toBe(it.enqueuedAt);
      expect(again.readyAt - it.enqueuedAt).toBeGreaterThanOrEqual(20);
    });

    it('a place in the line counts what is before, in packs and alone; what does not wait has none', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const worker = await TestWorker.join(broker);
      const many = Array.from({ length: 40 }, () => job(newId('usual')));
      await broker.enqueue(many);
      await broker.enqueue([job('alone'), job('first', { priority: 9 })]);
      expect(await inspector.place('first')).toEqual({ before: 0, of: 42 });
      expect(await inspector.place(many[0]?.id as string)).toEqual({ before: 1, of: 42 });
      expect(await inspector.place(many[25]?.id as string)).toEqual({ before: 26, of: 42 });
      expect(await inspector.place('alone')).toEqual({ before: 41, of: 42 });
      const [taken] = (await worker.take({ limit: 1 })) as [ClaimedJob];
      expect(taken.id).toBe('first');
      expect(await inspector.place('first')).toBeUndefined();
      expect(await inspector.place('alone')).toEqual({ before: 40, of: 41 });
      await worker.done(end(taken));
      expect(await inspector.place('first')).toBeUndefined();
      expect(await inspector.place('nobody')).toBeUndefined();
    });
  });
}
