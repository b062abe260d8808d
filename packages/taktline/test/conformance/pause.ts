/** Topic: paused queues. Nothing is claimed from them; all else goes on. */
import { describe, expect, it } from 'vitest';
import type { ClaimedJob } from '../../src/broker/broker.ts';
import { newId } from '../../src/support/ids.ts';
import { eventually } from '../support/eventually.ts';
import type { Subject } from './subject.ts';
import { end, ids, job, jobs, release, TestWorker } from './test-worker.ts';

export function pausing(subject: Subject): void {
  describe('paused queues', () => {
    it('nobody claims from one, whatever lane and order, until it is resumed; others are claimed from', async () => {
      await using space = await subject.space();
      const [{ broker, inspector }, other] = [await space.open(), await space.open()];
      const worker = await TestWorker.join(other.broker);
      await broker.enqueue([...jobs(3), ...jobs(2, 'low', { queue: 'low' })]);
      await broker.enqueue(Array.from({ length: 20 }, () => job(newId('usual'))));
      await inspector.pause('usual');
      expect(ids(await worker.take())).toEqual(['low-0', 'low-1']);
      expect(await worker.take({ lowestFirst: true })).toEqual([]);
      expect(await worker.take({ limit: 500 })).toEqual([]);
      expect((await inspector.queues()).map(({ name, paused, ready }) => [name, paused, ready])).toEqual([
        ['high', false, 0],
        ['usual', true, 23],
        ['low', false, 0],
      ]);
      await inspector.pause('usual');
      await inspector.resume('usual');
      expect(await worker.takeAll()).toHaveLength(23);
    });

    it('what was claimed before is settled, handed back jobs wait, and suspects wait too', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const worker = await TestWorker.join(broker);
      await broker.enqueue(jobs(3));
      const [a, b, c] = (await worker.take()) as [ClaimedJob, ClaimedJob, ClaimedJob];
      await inspector.pause('usual');
      await worker.done(end(a), release(b), release(c, 'suspects'));
      expect([...(await worker.take()), ...(await worker.take({ lane: 'suspects' }))]).toEqual([]);
      await inspector.resume('usual');
      expect(ids([...(await worker.take()), ...(await worker.take({ lane: 'suspects' }))])).toEqual(['job-1', 'job-2']);
    });

    it('jobs are enqueued, cancelled and purged as ever, and a job that has become due waits', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const worker = await TestWorker.join(broker);
      await inspector.pause('usual');
      expect(await broker.enqueue([job('a'), job('b'), job('due', { countdownMs: 1 })])).toEqual(['created', 'created', 'created']);
      expect(await broker.cancel(['a'])).toEqual(['done']);
      await eventually(async () => (await worker.exchange([])).nextDueInMs === undefined, 'the job is due');
      expect(await worker.take()).toEqual([]);
      await inspector.resume('usual');
      expect(ids(await worker.take())).toEqual(['b', 'due']);
      await inspector.pause('usual');
      await broker.enqueue(jobs(2, 'more'));
      expect(await inspector.purge('usual', 100)).toBe(2);
    });

    it('a worker that has nothing to do is handed nothing from one, and hears when it is resumed', async () => {
      await using space = await subject.space();
      const [{ broker, inspector }, server] = [await space.open(), await space.open()];
      const worker = await TestWorker.join(server.broker);
      const heard = { jobs: 0, handed: 0 };
      const stop = await server.broker.listen(
        ['usual'],
        { jobs: () => void (heard.jobs += 1), handed: () => void (heard.handed += 1), attention: () => undefined },
        worker.id,
      );
      await inspector.pause('usual');
      expect(await worker.claim({ idle: true, hand: 5 })).toBeUndefined();
      await broker.enqueue([job('it')]);
      expect(await worker.claim({ idle: true, hand: 5 })).toBeUndefined();
      const before = heard.jobs;
      await inspector.resume('usual');
      await eventually(async () => heard.jobs > before, 'the worker hears of it');
      expect(ids(await worker.take())).toEqual(['it']);
      expect(heard.handed).toBe(0);
      await stop();
    });

    it('a queue that nobody has declared is refused', async () => {
      await using space = await subject.space();
      const { inspector } = await space.open();
      await expect(inspector.pause('nowhere')).rejects.toMatchObject({ code: 'UNKNOWN_QUEUE' });
      await expect(inspector.resume('nowhere')).rejects.toMatchObject({ code: 'UNKNOWN_QUEUE' });
    });
  });
}
