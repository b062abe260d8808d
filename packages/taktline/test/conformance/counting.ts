/** Topic: what workers count. Each count is added once, by the minute, whatever is told twice. */
import { describe, expect, it } from 'vitest';
import type { JobCount, Told } from '../../src/broker/broker.ts';
import type { Subject } from './subject.ts';
import { TestWorker } from './test-worker.ts';

const count = (more: Partial<JobCount> = {}): JobCount => ({
  task: 'mail.send',
  queue: 'usual',
  outcome: 'succeeded',
  count: 3,
  waited: [[0, 3]],
  ran: [
    [5, 2],
    [63, 1],
  ],
  ...more,
});

export function counting(subject: Subject): void {
  describe('counts of jobs', () => {
    const told = (number: number, ...counts: readonly JobCount[]): Told => ({ counted: { number, counts } });
    const minute = () => Math.floor(Date.now() / 60_000);

    it('of several workers and pulses are added, by task, queue and outcome', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const [one, two] = [await TestWorker.join(broker), await TestWorker.join(broker)];
      await broker.pulse(one.id, ['usual'], told(1, count(), count({ outcome: 'failed', count: 1, waited: [[7, 1]], ran: [[9, 1]] })));
      await broker.pulse(one.id, ['usual'], told(2, count({ waited: [[1, 3]] })));
      await broker.pulse(two.id, ['usual'], told(1, count({ queue: 'low', task: '' }), count()));
      // The minute may have ended in between.
      const rows = await inspector.counts(minute() - 1, minute() + 1);
      const sum = new Map<string, { count: number; waited: Record<number, number>; ran: Record<number, number> }>();
      for (const row of rows) {
        const key = [row.task, row.queue, row.outcome].join(' ');
        const before = sum.get(key) ?? { count: 0, waited: {}, ran: {} };
        sum.set(key, before);
        before.count += row.count;
        for (const [bucket, jobs] of row.waited) before.waited[bucket] = (before.waited[bucket] ?? 0) + jobs;
        for (const [bucket, jobs] of row.ran) before.ran[bucket] = (before.ran[bucket] ?? 0) + jobs;
      }
      expect(Object.fromEntries(sum)).toEqual({
        'mail.send usual succeeded': { count: 9, waited: { 0: 6, 1: 3 }, ran: { 5: 6, 63: 3 } },
        'mail.send usual failed': { count: 1, waited: { 7: 1 }, ran: { 9: 1 } },
        ' low succeeded': { count: 3, waited: { 0: 3 }, ran: { 5: 2, 63: 1 } },
      });
      expect(await inspector.counts(minute() - 100, minute() - 50)).toEqual([]);
    });

    it('told again under their number are counted once', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const worker = await TestWorker.join(broker);
      for (let time = 0; time < 3; time++) await broker.pulse(worker.id, ['usual'], told(1, count()));
      await broker.pulse(worker.id, ['usual'], told(2, count()));
      await broker.pulse(worker.id, ['usual'], told(1, count()));
      const rows = await inspector.counts(minute() - 1, minute() + 1);
      expect(rows.reduce((all, row) => all + row.count, 0)).toBe(6);
    });

    it('of a worker that was taken for dead are not added: it tells them again under its next id', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const worker = await TestWorker.join(broker);
      await worker.leave();
      expect((await broker.pulse(worker.id, ['usual'], told(1, count()))).alive).toBe(false);
      expect(await inspector.counts(minute() - 1, minute() + 1)).toEqual([]);
    });

    it('come in at once from many workers and lose none', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const workers = await Promise.all(Array.from({ length: 8 }, () => TestWorker.join(broker)));
      const tasks = ['a', 'b', 'c', 'd'];
      await Promise.all(
        workers.map(async (worker, index) => {
          for (let number = 1; number <= 10; number++) {
            const counts = tasks.map((task) => count({ task }));
            await broker.pulse(worker.id, ['usual'], told(number, ...(index % 2 === 0 ? counts : counts.toReversed())));
          }
        }),
      );
      const rows = await inspector.counts(minute() - 2, minute() + 1);
      for (const task of tasks) {
        expect(rows.filter((row) => row.task === task).reduce((all, row) => all + row.count, 0)).toBe(240);
      }
    });
  });
}
