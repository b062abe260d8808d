/** Topic: batches that their producer numbers. One that is sent again makes no second jobs, whoever sends it. */
import { describe, expect, it } from 'vitest';
import { newId } from '../../src/support/ids.ts';
import type { Subject } from './subject.ts';
import { end, ids, job, jobs, named, race, TestWorker } from './test-worker.ts';

export function producing(subject: Subject): void {
  describe('producers', () => {
    it('a batch that is sent again, or an older one, is answered with duplicates and makes nothing', async () => {
      await using space = await subject.space();
      const [{ broker }, other] = [await space.open(), await space.open()];
      const worker = await TestWorker.join(broker);
      const packed = Array.from({ length: 20 }, () => job(newId('usual')));
      const batch = [...packed, job(newId('high'), { queue: 'high' }), job(newId('low'), { queue: 'low', countdownMs: 600_000 })];
      expect(await broker.enqueue(batch, { id: 'p', sequence: 1 })).toEqual(batch.map(() => 'created'));
      expect(await other.broker.enqueue(batch, { id: 'p', sequence: 1 })).toEqual(batch.map(() => 'duplicate'));
      expect(await worker.takeAll()).toHaveLength(batch.length - 1);
      await broker.enqueue(jobs(1, 'second'), { id: 'p', sequence: 2 });
      expect(await other.broker.enqueue(batch, { id: 'p', sequence: 1 })).toEqual(batch.map(() => 'duplicate'));
      expect(ids(await worker.takeAll())).toContain('second-0');
      expect(await worker.takeAll()).toEqual([]);
    });

    it('also when the jobs of the first have run and are forgotten', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      const batch = Array.from({ length: 10 }, () => job(newId('usual')));
      await broker.enqueue(batch, { id: 'p', sequence: 7 });
      await worker.done(...(await worker.takeAll()).map((one) => end(one, { keepMs: 0 })));
      expect(await broker.enqueue(batch, { id: 'p', sequence: 7 })).toEqual(batch.map(() => 'duplicate'));
      expect(await worker.takeAll()).toEqual([]);
    });

    it('two producers do not know each other, and numbers may leave some out', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      await broker.enqueue(jobs(1, 'a'), { id: 'p', sequence: 5 });
      await broker.enqueue(jobs(1, 'b'), { id: 'q', sequence: 1 });
      await broker.enqueue(jobs(1, 'c'), { id: 'p', sequence: 4_000_000_000_000 });
      expect(ids(await worker.takeAll())).toEqual(['a-0', 'b-0', 'c-0']);
    });

    it('jobs with ids of their callers keep their answers in a first batch, and an id that is taken makes none', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      await broker.enqueue([job('there', named('same')), job('taken', named('one'))]);
      const batch = [job('there', named('same')), job('taken', named('other')), job('fresh', named('print')), job(newId('usual'))];
      expect(await broker.enqueue(batch, { id: 'p', sequence: 1 })).toEqual(['duplicate', 'conflict', 'created', 'created']);
      expect(await worker.takeAll()).toHaveLength(4);
    });

    it('of two that send the same batch at once, one makes the jobs', async () => {
      await using space = await subject.space();
      const [one, other] = [await space.open(), await space.open()];
      const worker = await TestWorker.join(one.broker);
      for (let round = 1; round <= 20; round++) {
        const batch = [
          ...Array.from({ length: 10 }, () => job(newId('usual'))),
          ...Array.from({ length: 3 }, () => job(newId('high'), { queue: 'high' })),
        ];
        const producer = { id: 'p', sequence: round };
        await race(
          round,
          () => one.broker.enqueue(batch, producer),
          () => other.broker.enqueue(batch, producer),
        );
        expect(ids(await worker.takeAll()).toSorted()).toEqual(ids(batch).toSorted());
      }
    });
  });
}
