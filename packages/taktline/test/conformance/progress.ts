/** Topic: progress. What a running job tells of itself can be read while it runs. */
import { describe, expect, it } from 'vitest';
import type { ClaimedJob } from '../../src/broker/broker.ts';
import type { Subject } from './subject.ts';
import { end, jobs, TestWorker } from './test-worker.ts';

export function progressing(subject: Subject): void {
  describe('progress', () => {
    it('the newest value of each job can be read', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const worker = await TestWorker.join(broker);
      await broker.enqueue(jobs(4));
      const [a, b] = (await worker.take({ limit: 2 })) as [ClaimedJob, ClaimedJob];
      const [c] = (await worker.take({ limit: 2 })) as [ClaimedJob];
      const told = async () => Promise.all(['job-0', 'job-1', 'job-2', 'job-3'].map(async (id) => (await inspector.job(id))?.progress));
      const awkward = JSON.stringify({ text: 'nul \0 half \ud800 separator \x1e "quoted" 👍' });
      await broker.pulse(worker.id, ['usual'], {
        progress: [
          { job: a, value: '0.25' },
          { job: c, value: awkward },
        ],
      });
      expect(await told()).toEqual(['0.25', undefined, awkward, undefined]);
      await broker.pulse(worker.id, ['usual'], {
        progress: [
          { job: a, value: '{"done":7}' },
          { job: b, value: 'null' },
        ],
      });
      expect(await told()).toEqual(['{"done":7}', 'null', awkward, undefined]);
      // One job's progress leaves that of the others in its claim alone.
      await broker.pulse(worker.id, ['usual'], { progress: [{ job: b, value: '"half"' }] });
      expect(await told()).toEqual(['{"done":7}', '"half"', awkward, undefined]);
      await broker.pulse(worker.id, ['usual'], {});
      expect(await told()).toEqual(['{"done":7}', '"half"', awkward, undefined]);
    });

    it('progress of a job that is settled, or that another worker holds, changes nothing', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const [worker, other] = [await TestWorker.join(broker), await TestWorker.join(broker)];
      await broker.enqueue(jobs(2));
      const [a, b] = (await worker.take()) as [ClaimedJob, ClaimedJob];
      await broker.pulse(other.id, ['usual'], { progress: [{ job: b, value: '"forged"' }] });
      await worker.done(end(a));
      await broker.pulse(worker.id, ['usual'], { progress: [{ job: a, value: '1' }] });
      expect((await inspector.job('job-0'))?.progress).toBeUndefined();
      expect((await inspector.job('job-1'))?.progress).toBeUndefined();
      await worker.done(end(b));
      expect(await broker.pulse(worker.id, ['usual'], { progress: [{ job: b, value: '1' }] })).toMatchObject({ alive: true });
    });
  });
}
