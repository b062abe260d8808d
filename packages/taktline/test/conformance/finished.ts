/** Topic: jobs of queues that are kept until their end. However one ends, it is told until somebody has dealt with it. */
import { describe, expect, it } from 'vitest';
import type { ClaimedJob, QueueDeclaration } from '../../src/broker/broker.ts';
import { newId } from '../../src/support/ids.ts';
import { eventually } from '../support/eventually.ts';
import type { Subject } from './subject.ts';
import { bury, end, ids, job, jobs, release, reschedule, TestWorker } from './test-worker.ts';

const queues: readonly QueueDeclaration[] = [
  { name: 'high', priority: 9, keepUntilEnd: true },
  { name: 'usual', priority: 5, keepUntilEnd: true },
  { name: 'low', priority: 2 },
];
const kept = ['high', 'usual'];

export function finishing(subject: Subject): void {
  describe('jobs that have ended', () => {
    it('are told whether their result is kept or not, one by one, in packs and in parts of them, in their own queue', async () => {
      await using space = await subject.space();
      const { broker } = await space.open({ queues });
      const worker = await TestWorker.join(broker);
      await broker.finished(kept);
      const packed = Array.from({ length: 20 }, () => job(newId('usual')));
      await broker.enqueue([...packed, ...jobs(4, 'high', { queue: 'high' }), ...jobs(2, 'low', { queue: 'low' })]);
      await broker.enqueue(packed.map(() => job(newId('usual'))));
      const claimed = await worker.takeAll();
      const none = await broker.finished(kept);
      expect(none.ids).toEqual([]);
      await none.forget();
      await worker.done(...claimed.map((one, index) => end(one, { keepMs: index % 3 === 0 ? 0 : 600_000 })));
      const told = await broker.finished(kept);
      expect(told.ids.toSorted()).toEqual(ids(claimed.filter(({ queue }) => queue !== 'low')).toSorted());
      expect((await broker.finished(kept)).ids).toHaveLength(told.ids.length);
      await told.forget();
      expect((await broker.finished(kept)).ids).toEqual([]);
    });

    it('packs that end whole are told whole', async () => {
      await using space = await subject.space();
      const { broker } = await space.open({ queues });
      const worker = await TestWorker.join(broker);
      await broker.finished(kept);
      for (const keepMs of [0, 600_000]) {
        const packed = Array.from({ length: 30 }, () => job(newId('usual')));
        await broker.enqueue(packed);
        await worker.done(...(await worker.takeAll()).map((one) => end(one, { keepMs })));
        const told = await broker.finished(kept);
        expect(told.ids.toSorted()).toEqual(ids(packed).toSorted());
        await told.forget();
      }
    });

    it('dead letters, cancelled, expired and purged jobs are told; those that run again are not', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open({ queues });
      const worker = await TestWorker.join(broker);
      await broker.finished(kept);
      await broker.enqueue(jobs(5));
      const [a, b, c, d, e] = (await worker.take()) as [ClaimedJob, ClaimedJob, ClaimedJob, ClaimedJob, ClaimedJob];
      await broker.cancel([e.id]);
      await worker.done(bury(a), reschedule(b, 600_000), release(c), end(d, { state: 'cancelled' }), release(e));
      const seen = async () => {
        const told = await broker.finished(kept);
        await told.forget();
        return told.ids.toSorted();
      };
      expect(await seen()).toEqual(['job-0', 'job-3', 'job-4']);
      await broker.cancel(['job-1']);
      expect(await seen()).toEqual(['job-1']);
      expect(await inspector.purge('usual', 100)).toBe(1);
      expect(await seen()).toEqual(['job-2']);
      const packed = Array.from({ length: 20 }, () => job(newId('usual')));
      await broker.enqueue([...packed, job('later', { countdownMs: 600_000 })]);
      const gone = ids(packed).slice(5, 8);
      await broker.cancel(gone);
      expect(await seen()).toEqual(gone.toSorted());
      while ((await inspector.purge('usual', 100)) > 0);
      expect(await seen()).toEqual([...ids(packed).filter((id) => !gone.includes(id)), 'later'].toSorted());
      await broker.enqueue([job('soon', { expiresInMs: 1 }), job('sooner', { expiresInMs: 1, countdownMs: 600_000 })]);
      await eventually(async () => (await broker.states(['soon', 'sooner'])).every((state) => state === 'expired'), 'both expire');
      while (await broker.tidy());
      expect(await seen()).toEqual(['soon', 'sooner']);
      await broker.enqueue([job('late', { expiresInMs: 1 })]);
      await eventually(async () => (await broker.states(['late']))[0] !== 'queued', 'it expires');
      expect(await worker.take()).toEqual([]);
      expect(await seen()).toEqual(['late']);
    });

    it('they are told from the first question on, whoever ends them', async () => {
      await using space = await subject.space();
      const plain = await space.open();
      const worker = await TestWorker.join(plain.broker);
      await plain.broker.enqueue(jobs(1, 'before'));
      await worker.done(...(await worker.take()).map((one) => end(one)));
      const { broker } = await space.open({ queues });
      await broker.finished(kept);
      const late = await space.open();
      const other = await TestWorker.join(late.broker);
      await broker.enqueue(jobs(2, 'after'));
      await other.done(...(await other.take()).map((one) => end(one)));
      expect((await broker.finished(kept)).ids.toSorted()).toEqual(['after-0', 'after-1']);
    });

    it('the broker has a name for what it holds, the same for all', async () => {
      await using space = await subject.space();
      await using other = await subject.space();
      const [one, two, elsewhere] = [await space.open(), await space.open(), await other.open()];
      const name = await one.broker.origin();
      expect(name).not.toBe('');
      expect(await two.broker.origin()).toBe(name);
      expect(await elsewhere.broker.origin()).not.toBe(name);
    });
  });
}
