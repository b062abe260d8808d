/** Topic: claim. Which jobs a worker gets, how many, in which order; nobody gets what another one has. */
import { describe, expect, it } from 'vitest';
import type { ClaimedJob } from '../../src/broker/broker.ts';
import type { Subject } from './subject.ts';
import { end, ids, job, jobs, numbers, release, TestWorker } from './test-worker.ts';

const mebibyte = 1_048_576;

export function claiming(subject: Subject): void {
  describe('claim', () => {
    it('gives as many as are wanted, and the rest next time', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      await broker.enqueue(jobs(10));
      expect(await worker.take({ limit: 4 })).toHaveLength(4);
      expect(await worker.take({ limit: 1 })).toHaveLength(1);
      expect(ids(await worker.take({ limit: 500 }))).toEqual(['job-5', 'job-6', 'job-7', 'job-8', 'job-9']);
      expect(await worker.exchange([])).toMatchObject({ claims: [], more: false });
    });

    it('numbers the places of its jobs, and each claim has an id of its own', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      await broker.enqueue(jobs(5));
      const [one, two] = [await worker.claim({ limit: 3 }), await worker.claim({ limit: 3 })];
      expect(one?.jobs.map(({ position }) => position)).toEqual([0, 1, 2]);
      expect(two?.jobs.map(({ position }) => position)).toEqual([0, 1]);
      expect(new Set([...(one?.jobs ?? []), ...(two?.jobs ?? [])].map(({ claim }) => claim))).toEqual(new Set([one?.id, two?.id]));
      expect(one?.id).not.toBe(two?.id);
    });

    it('claims of several queues have ids of their own too, and each is settled by itself', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      const queues = ['high', 'usual', 'low'];
      for (const queue of queues) await broker.enqueue(jobs(2, queue, { queue }));
      const taken = await worker.takeAll();
      expect(taken).toHaveLength(6);
      // A place of a claim is one job, whichever queue that is of.
      expect(new Set(taken.map(({ claim, position }) => `${claim} ${position}`)).size).toBe(6);
      await worker.done(...taken.filter(({ queue }) => queue === 'usual').map((one) => end(one)));
      expect(ids((await broker.missing(worker.id, [])).flatMap((claim) => claim.jobs)).toSorted()).toEqual([
        'high-0',
        'high-1',
        'low-0',
        'low-1',
      ]);
    });

    it('takes about 4 MiB at most, and one job however large it is', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      await broker.enqueue([job('huge', { envelope: 'x'.repeat(6 * mebibyte) })]);
      await broker.enqueue(jobs(6, 'big', { envelope: 'x'.repeat(mebibyte) }));
      await broker.enqueue(jobs(5, 'high', { queue: 'high', envelope: 'x'.repeat(mebibyte - 100) }));
      const sizes: number[] = [];
      const taken: ClaimedJob[] = [];
      for (;;) {
        const got = await worker.take();
        if (got.length === 0) break;
        sizes.push(got.reduce((sum, one) => sum + one.envelope.length, 0));
        taken.push(...got);
      }
      expect(ids(taken)).toEqual([...ids(jobs(5, 'high')), 'huge', ...ids(jobs(6, 'big'))]);
      expect(sizes.filter((size) => size > 4 * mebibyte)).toEqual([6 * mebibyte]);
      expect(sizes.length).toBeLessThan(7);
    });

    it('looks through the queues in the order in which they are asked for, and into no other', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      for (const queue of ['low', 'high', 'usual']) await broker.enqueue(jobs(3, queue, { queue }));
      expect(ids(await worker.take({ queues: ['usual', 'low'], limit: 4 }))).toEqual(['usual-0', 'usual-1', 'usual-2', 'low-0']);
      expect(await worker.take({ queues: ['usual'] })).toEqual([]);
      expect(ids(await worker.take({ queues: ['low', 'high'] }))).toEqual(['low-1', 'low-2', 'high-0', 'high-1', 'high-2']);
    });

    it('from below, it begins with the last queue and the lowest priority, by arrival', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      for (const queue of ['high', 'low']) {
        await broker.enqueue([1, 10, 5, 1, 10, 5].map((priority, index) => job(`${queue}-${priority}-${index}`, { queue, priority })));
      }
      const low = ['low-1-0', 'low-1-3', 'low-5-2', 'low-5-5', 'low-10-1', 'low-10-4'];
      const high = ['high-1-0', 'high-1-3', 'high-5-2', 'high-5-5', 'high-10-1', 'high-10-4'];
      expect(ids(await worker.take({ queues: ['high', 'low'], lowestFirst: true, limit: 4 }))).toEqual(low.slice(0, 4));
      expect(ids(await worker.take({ queues: ['high', 'low'], limit: 2 }))).toEqual(['high-10-1', 'high-10-4']);
      expect(ids(await worker.take({ queues: ['high', 'low'], lowestFirst: true, limit: 100 }))).toEqual([
        ...low.slice(4),
        ...high.slice(0, 4),
      ]);
    });

    it('suspects are claimed in their own lanes only, and the pulse tells of them', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      await broker.enqueue(jobs(5));
      const [a, b, c] = (await worker.take({ limit: 4 })) as [ClaimedJob, ClaimedJob, ClaimedJob];
      const lanes = async (...queues: string[]) => (await broker.pulse(worker.id, queues, {})).suspects;
      expect(await lanes('usual', 'low')).toEqual([]);
      await worker.done(release(a, 'suspects'), release(b, 'alone'), release(c, 'suspects', { losses: 1 }));
      expect(await lanes('usual', 'low')).toEqual(['suspects', 'alone']);
      expect(await lanes('low', 'high')).toEqual([]);
      expect(await broker.states(['job-0', 'job-1', 'job-2'])).toEqual(['queued', 'queued', 'queued']);
      expect(ids(await worker.takeAll())).toEqual(['job-4']);
      expect(await worker.take({ lane: 'alone', queues: ['low'] })).toEqual([]);
      const suspects = await worker.claim({ lane: 'suspects' });
      expect(suspects?.lane).toBe('suspects');
      expect(suspects?.jobs.map(({ id, lane, past }) => ({ id, lane, losses: past === undefined ? 0 : 1 }))).toEqual([
        { id: 'job-0', lane: 'suspects', losses: 0 },
        { id: 'job-2', lane: 'suspects', losses: 1 },
      ]);
      expect(await lanes('usual')).toEqual(['alone']);
      const alone = await worker.claim({ lane: 'alone' });
      expect(alone).toMatchObject({ lane: 'alone', jobs: [{ id: 'job-1', lane: 'alone' }] });
      expect(await lanes('usual')).toEqual([]);
    });

    it('a job that is handed back is the next one again, before those that came after it', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      await broker.enqueue([...jobs(6, 'a', { priority: 9 }), ...jobs(6, 'b')]);
      const random = numbers(4);
      for (let round = 0; round < 12; round++) {
        const taken = await worker.take({ limit: 8 });
        expect(ids(taken)).toEqual([...ids(jobs(6, 'a')), 'b-0', 'b-1']);
        const lane = round % 3 === 0 ? 'suspects' : 'usual';
        const back = taken.filter(() => random() < 0.6);
        await worker.done(...back.map((one) => release(one, lane)));
        await worker.done(...taken.filter((one) => !back.includes(one)).map((one) => release(one)));
        await worker.done(...(await worker.takeAll({ lane: 'suspects' })).map((one) => release(one)));
      }
    });

    it('settling and claiming in one exchange, what is handed back can be in the claim', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      await broker.enqueue(jobs(6));
      const taken = await worker.take({ limit: 3 });
      const reply = await worker.exchange(
        taken.map((one) => release(one)),
        { limit: 4 },
      );
      expect(reply.accepted).toEqual([true, true, true]);
      expect(ids(reply.claims.flatMap((claim) => claim.jobs))).toEqual(['job-0', 'job-1', 'job-2', 'job-3']);
    });

    it('a job that another worker has handed back is found when nothing else waits', async () => {
      await using space = await subject.space();
      const [mine, other] = [await space.open(), await space.open()];
      const [me, another] = [await TestWorker.join(mine.broker), await TestWorker.join(other.broker)];
      await mine.broker.enqueue(jobs(40));
      const theirs = await another.take({ limit: 20 });
      const ours = await me.takeAll();
      expect(ours).toHaveLength(20);
      await another.done(...theirs.map((one) => release(one)));
      expect(ids(await me.takeAll())).toEqual(ids(theirs));
    });

    it('no two workers get the same job, while they are enqueued, and every job comes', async () => {
      await using space = await subject.space();
      const clients = await Promise.all([space.open(), space.open()]);
      const workers = await Promise.all(Array.from({ length: 4 }, async () => TestWorker.join((await space.open()).broker)));
      const taken: string[] = [];
      let sending = true;
      const working = workers.map(async (worker, number) => {
        const random = numbers(number);
        for (;;) {
          const over = !sending;
          const got = await worker.take({ limit: 1 + Math.floor(random() * 40), lowestFirst: random() < 0.2 });
          taken.push(...ids(got));
          await worker.done(...got.map((one) => end(one, { keepMs: 0 })));
          if (over && got.length === 0) return;
        }
      });
      await Promise.all(
        clients.map(async ({ broker }, number) => {
          const random = numbers(100 + number);
          for (let batch = 0; batch < 40; batch++) {
            const priority = 1 + Math.floor(random() * 10);
            await broker.enqueue(
              jobs(1 + Math.floor(random() * 50), `job-${number}-${batch}`, { priority, queue: batch % 2 === 0 ? 'high' : 'low' }),
            );
          }
          await broker.enqueue(jobs(10, `last-${number}`));
        }),
      );
      sending = false;
      await Promise.all(working);
      const [first] = clients;
      const counts = await first.inspector.queues();
      expect(counts.map(({ ready, running }) => ready + running)).toEqual([0, 0, 0]);
      expect(new Set(taken).size).toBe(taken.length);
      expect(taken.length).toBeGreaterThan(500);
    });
  });
}
