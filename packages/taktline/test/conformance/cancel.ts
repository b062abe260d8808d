/** Topic: cancel. A job that waits is cancelled; of one that runs its worker hears; what ended stays as it is. */
import { describe, expect, it } from 'vitest';
import type { ClaimedJob } from '../../src/broker/broker.ts';
import type { Subject } from './subject.ts';
import { bury, end, ids, job, jobs, named, past, race, release, reschedule, TestWorker } from './test-worker.ts';

export function cancelling(subject: Subject): void {
  describe('cancel', () => {
    it('says of each job what became of it', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      await broker.enqueue(jobs(6));
      const [running, retrying, suspect, done, dead] = (await worker.take({ limit: 5 })) as ClaimedJob[];
      await worker.done(
        reschedule(retrying as ClaimedJob, 3_600_000),
        release(suspect as ClaimedJob, 'alone'),
        end(done as ClaimedJob),
        bury(dead as ClaimedJob),
      );
      await broker.enqueue([job('scheduled', { countdownMs: 3_600_000 })]);
      const asked = ['unknown', running?.id, 'job-5', 'scheduled', retrying?.id, suspect?.id, done?.id, dead?.id] as string[];
      expect(await broker.cancel(asked)).toEqual(['unknown', 'asked', 'done', 'done', 'done', 'done', 'ended', 'ended']);
      expect(await broker.states(asked)).toEqual([
        undefined,
        'running',
        'cancelled',
        'cancelled',
        'cancelled',
        'cancelled',
        'succeeded',
        'failed',
      ]);
      expect(await broker.cancel(asked)).toEqual(['unknown', 'asked', 'ended', 'ended', 'ended', 'ended', 'ended', 'ended']);
      expect(await worker.takeAll()).toEqual([]);
      expect(await worker.takeAll({ lane: 'alone' })).toEqual([]);
      expect(await broker.cancel([])).toEqual([]);
    });

    it('a cancelled job keeps its past, and its id stays taken', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const worker = await TestWorker.join(broker);
      await broker.enqueue([job('it', named())]);
      const [it] = await worker.take();
      await worker.done(reschedule(it as ClaimedJob, 60_000, { failures: 2 }));
      expect(await broker.cancel(['it'])).toEqual(['done']);
      expect(await broker.ended(['it'])).toEqual([{ id: 'it', state: 'cancelled', result: undefined, past: past({ failures: 2 }) }]);
      expect(await inspector.job('it')).toMatchObject({ state: 'cancelled', queue: 'usual' });
      expect(await broker.enqueue([job('it', named())])).toEqual(['duplicate']);
    });

    it('the pulse tells a worker which of its jobs it should stop, until they are settled', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const [worker, other] = [await TestWorker.join(broker), await TestWorker.join(broker)];
      await broker.enqueue(jobs(9));
      const first = (await worker.take({ limit: 3 })) as ClaimedJob[];
      const second = (await worker.take({ limit: 3 })) as ClaimedJob[];
      await other.take({ limit: 3 });
      const told = async (of: TestWorker) => (await broker.pulse(of.id, ['usual'], {})).cancelled;
      expect(await told(worker)).toEqual([]);
      expect(await broker.cancel(['job-1', 'job-2', 'job-5', 'job-7'])).toEqual(['asked', 'asked', 'asked', 'asked']);
      const place = ({ claim, position }: ClaimedJob) => ({ claim, position });
      const sorted = (list: readonly { claim: string; position: number }[]) => list.map((one) => `${one.claim} ${one.position}`).toSorted();
      expect(sorted(await told(worker))).toEqual(sorted([first[1], first[2], second[2]].map((one) => place(one as ClaimedJob))));
      expect(await told(other)).toHaveLength(1);
      expect(await inspector.job('job-1')).toMatchObject({ state: 'running', cancelAsked: true });
      expect((await inspector.job('job-0'))?.cancelAsked).toBeUndefined();
      await worker.done(end(first[1] as ClaimedJob, { state: 'cancelled' }));
      expect(sorted(await told(worker))).toEqual(sorted([first[2], second[2]].map((one) => place(one as ClaimedJob))));
      // A task that finishes all the same has succeeded.
      await worker.done(end(first[2] as ClaimedJob), end(second[2] as ClaimedJob));
      expect(await told(worker)).toEqual([]);
      expect(await broker.states(['job-1', 'job-2', 'job-5'])).toEqual(['cancelled', 'succeeded', 'succeeded']);
    });

    it('a job that was to stop does not go back: not by a retry, not by being handed back, not after a loss', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      await broker.enqueue(jobs(5));
      const [a, b, c, d] = (await worker.take({ limit: 5 })) as [ClaimedJob, ClaimedJob, ClaimedJob, ClaimedJob];
      await broker.cancel(['job-0', 'job-1', 'job-2', 'job-3', 'job-4']);
      await worker.done(reschedule(a, 0, { failures: 1 }), release(b, 'suspects'), reschedule(c, 60_000), bury(d));
      await worker.leave();
      const other = await TestWorker.join(broker);
      const [taken] = await broker.recover(other.id);
      expect(ids(taken?.jobs ?? [])).toEqual(['job-4']);
      await other.done(release(taken?.jobs[0] as ClaimedJob, 'suspects', { losses: 1 }));
      expect(await broker.states(ids(jobs(5)))).toEqual(['cancelled', 'cancelled', 'cancelled', 'failed', 'cancelled']);
      expect(await broker.ended(['job-0'])).toEqual([{ id: 'job-0', state: 'cancelled', result: undefined, past: past({ failures: 1 }) }]);
      expect([...(await other.takeAll()), ...(await other.takeAll({ lane: 'suspects' }))]).toEqual([]);
    });

    it('a cancel and a claim that race: cancelled, or running and asked to stop', async () => {
      await using space = await subject.space();
      const [one, two] = [await space.open(), await space.open()];
      const worker = await TestWorker.join(one.broker);
      const outcomes = { done: 0, asked: 0 };
      for (let round = 0; round < 300; round++) {
        const id = `job-${round}`;
        await one.broker.enqueue([job(id)]);
        const [taken, [reply]] = await race(
          round,
          () => worker.take(),
          () => two.broker.cancel([id]),
        );
        expect(reply).toBe(taken.length === 0 ? 'done' : 'asked');
        outcomes[reply as 'done' | 'asked'] += 1;
        const { cancelled } = await one.broker.pulse(worker.id, ['usual'], {});
        expect(cancelled).toEqual(taken.map(({ claim, position }) => ({ claim, position })));
        await worker.done(...taken.map((job) => end(job, { state: 'cancelled' })));
        expect(await two.broker.states([id])).toEqual(['cancelled']);
      }
      expect(Math.min(outcomes.done, outcomes.asked)).toBeGreaterThan(5);
    });

    it('a cancel never misses a job that is moved about meanwhile', async () => {
      await using space = await subject.space();
      const [one, two] = [await space.open(), await space.open()];
      const worker = await TestWorker.join(one.broker);
      for (let round = 0; round < 150; round++) {
        const id = `job-${round}`;
        await one.broker.enqueue([job(id)]);
        const [, [reply]] = await race(
          round,
          async () => {
            for (let turn = 0; turn < 4; turn++) {
              const [it] = await worker.take();
              if (it === undefined) return;
              await worker.settle(turn % 2 === 0 ? release(it) : reschedule(it, 1));
            }
          },
          () => two.broker.cancel([id]),
        );
        expect(['done', 'asked']).toContain(reply);
        await worker.settle(...(await worker.takeAll()).map((it) => end(it)));
        expect(await two.broker.states([id])).toEqual(['cancelled']);
      }
    });
  });
}
