/** Topic: namespaces. Two apps on one server share nothing. */
import { describe, expect, it } from 'vitest';
import type { ClaimedJob } from '../../src/broker/broker.ts';
import type { Subject } from './subject.ts';
import { bury, end, ids, job, jobs, named, TestWorker } from './test-worker.ts';

export function namespaces(subject: Subject): void {
  describe('namespaces', () => {
    it('ids, jobs, workers, dead letters and upkeep are each namespace’s own', async () => {
      await using left = await subject.space();
      await using right = await subject.space();
      const [a, b] = [await left.open(), await right.open({ queues: [{ name: 'usual', priority: 1 }] })];
      expect(await a.broker.enqueue([job('same', named()), job('only-left')])).toEqual(['created', 'created']);
      expect(await b.broker.enqueue([job('same', named('other print'))])).toEqual(['created']);
      await expect(b.broker.enqueue([job('x', { queue: 'high' })])).rejects.toMatchObject({ code: 'UNKNOWN_QUEUE' });

      const [worker, lost] = [await TestWorker.join(b.broker, { name: 'right' }), await TestWorker.join(b.broker, { name: 'lost' })];
      expect(ids(await worker.take({ queues: ['usual'] }))).toEqual(['same']);
      expect((await a.inspector.workers()).length).toBe(0);
      expect(await a.broker.states(['same', 'only-left'])).toEqual(['queued', 'queued']);
      expect(await b.broker.states(['same', 'only-left'])).toEqual(['running', undefined]);
      expect(await a.broker.cancel(['same'])).toEqual(['done']);
      expect(await b.broker.pulse(worker.id, ['usual'], {})).toMatchObject({ cancelled: [] });

      const other = await TestWorker.join(a.broker, { name: 'left' });
      await b.broker.enqueue(jobs(2, 'more'));
      await lost.take({ queues: ['usual'], limit: 1 });
      await lost.leave();
      expect(await a.broker.pulse(other.id, ['usual'], {})).toMatchObject({ lostWorkers: false });
      expect(await a.broker.recover(other.id)).toEqual([]);
      expect((await b.broker.recover(worker.id)).flatMap(({ jobs }) => ids(jobs))).toEqual(['more-0']);

      const [letter] = (await other.take()) as [ClaimedJob];
      await other.done(bury(letter));
      expect((await b.inspector.deadLetters({}, 10, undefined)).items).toEqual([]);
      expect(await b.inspector.redrive({}, 10)).toEqual([]);
      expect(await b.inspector.discard({}, 10)).toEqual([]);
      expect(await a.broker.states(['only-left'])).toEqual(['failed']);
      expect((await b.inspector.queues()).map(({ name, priority }) => `${name} ${priority}`)).toEqual(['usual 1']);
      expect(await b.inspector.purge('usual', 10)).toBe(1);
      expect(await a.inspector.redrive({}, 10)).toEqual(['only-left']);
    });

    it('a worker of one settles nothing in the other, though claims and workers may have the same numbers', async () => {
      await using left = await subject.space();
      await using right = await subject.space();
      const [a, b] = [await left.open(), await right.open()];
      const [one, two] = [await TestWorker.join(a.broker), await TestWorker.join(b.broker)];
      await a.broker.enqueue(jobs(3));
      await b.broker.enqueue(jobs(3));
      const [mine] = (await one.take({ limit: 1 })) as [ClaimedJob];
      const [theirs] = (await two.take({ limit: 1 })) as [ClaimedJob];
      expect(await a.broker.exchange(one.id, [end({ ...theirs, position: 1 })], undefined)).toMatchObject({ accepted: [false] });
      await one.done(end(mine));
      expect(await b.broker.states(['job-0'])).toEqual(['running']);
      await two.done(end(theirs, { state: 'cancelled' }));
      expect(await a.broker.states(['job-0'])).toEqual(['succeeded']);
    });
  });
}
