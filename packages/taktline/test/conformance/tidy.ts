/** Topic: upkeep. What has outlived its time is removed, in bounded steps, and nothing else. */
import { describe, expect, it } from 'vitest';
import type { Broker, NewJob } from '../../src/broker/broker.ts';
import { newId } from '../../src/support/ids.ts';
import { eventually } from '../support/eventually.ts';
import type { Subject } from './subject.ts';
import { bury, end, ids, job, jobs, named, TestWorker } from './test-worker.ts';

async function tidyAll(broker: Broker): Promise<number> {
  let steps = 1;
  while (await broker.tidy()) steps += 1;
  return steps;
}

export function upkeep(subject: Subject): void {
  describe('upkeep', () => {
    it('removes results when their time is over, and keeps the others', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const worker = await TestWorker.join(broker);
      await broker.enqueue(jobs(4));
      const taken = await worker.take();
      await worker.done(...taken.map((one, index) => end(one, { result: '1', keepMs: index < 2 ? 300 : 600_000 })));
      await tidyAll(broker);
      expect(await broker.ended(ids(taken))).toHaveLength(4);
      const left = await eventually(async () => {
        await tidyAll(broker);
        const ended = await broker.ended(ids(taken));
        return ended.length < 4 && ended;
      }, 'results go');
      expect(ids(left).toSorted()).toEqual(['job-2', 'job-3']);
      expect(await broker.states(['job-0', 'job-2'])).toEqual([undefined, 'succeeded']);
      expect(await inspector.job('job-0')).toBeUndefined();
    });

    it('a result is not told any more once its time is over, tidied or not', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const worker = await TestWorker.join(broker);
      // A job by itself, and a pack.
      for (const count of [1, 20]) {
        const batch = Array.from({ length: count }, () => job(newId()));
        await broker.enqueue(batch);
        await worker.done(...(await worker.take()).map((one) => end(one, { keepMs: 200 })));
        expect(await broker.ended(ids(batch))).toHaveLength(count);
        await eventually(async () => (await broker.ended(ids(batch))).length === 0, 'their time is over');
        expect(await broker.states(ids(batch))).toEqual(batch.map(() => undefined));
        expect(await inspector.job((batch[0] as NewJob).id)).toBeUndefined();
      }
    });

    it('removes dead letters when their time is over', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open({ deadLetterTtlMs: 400 });
      const longer = await space.open({ deadLetterTtlMs: 600_000 });
      const worker = await TestWorker.join(broker);
      await worker.done(bury(await worker.claimOfNew('old')));
      await tidyAll(longer.broker);
      expect(await broker.states(['old'])).toEqual(['failed']);
      await eventually(async () => {
        await tidyAll(broker);
        return (await broker.states(['old']))[0] === undefined;
      }, 'the dead letter goes');
      await worker.done(bury(await worker.claimOfNew('new')));
      await tidyAll(broker);
      expect(ids((await inspector.deadLetters({}, 10, undefined)).items)).toEqual(['new']);
    });

    it('frees ids when their time is over', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      await broker.enqueue([job('short', named('print', 100)), job('long', named())]);
      await worker.done(...(await worker.take()).map((one) => end(one, { keepMs: 0 })));
      expect(await broker.enqueue([job('short', named('other'))])).toEqual(['conflict']);
      await eventually(async () => {
        await tidyAll(broker);
        return (await broker.enqueue([job('short', named('other'))]))[0] === 'created';
      }, 'the id is free');
      expect(await broker.enqueue([job('long', named('other'))])).toEqual(['conflict']);
    });

    it('goes in bounded steps, and says when there is more', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      for (let batch = 0; batch < 6; batch++) await broker.enqueue(jobs(1_000, `late-${batch}`, { expiresInMs: 1, ...named('print', 1) }));
      for (let batch = 0; batch < 3; batch++) await broker.enqueue(jobs(1_000, `done-${batch}`, { queue: 'high' }));
      for (;;) {
        const taken = await worker.take({ queues: ['high'], limit: 1_000 });
        if (taken.length === 0) break;
        await worker.done(...taken.map((one) => end(one, { keepMs: 1 })));
      }
      expect(await tidyAll(broker)).toBeGreaterThan(1);
      expect(await broker.tidy()).toBe(false);
      const [early, late, done] = await broker.states(['late-0-0', 'late-5-999', 'done-2-999']);
      expect([early, late, done]).toEqual(['expired', 'expired', undefined]);
      expect(await worker.exchange([])).toMatchObject({ claims: [], more: false });
    });

    it('several at once do not get into each other’s way', async () => {
      await using space = await subject.space();
      const brokers = await Promise.all(Array.from({ length: 5 }, async () => (await space.open()).broker));
      const [broker] = brokers as [Broker];
      await broker.enqueue(jobs(500, 'late', { expiresInMs: 1 }));
      await broker.enqueue(jobs(500, 'stays'));
      await eventually(async () => {
        await Promise.all(brokers.map((one) => tidyAll(one)));
        return (await broker.ended(ids(jobs(500, 'late')))).length === 500;
      }, 'all have expired');
      expect(new Set(await broker.states(ids(jobs(500, 'stays'))))).toEqual(new Set(['queued']));
    });
  });
}
