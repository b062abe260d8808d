/** Topic: settle. Each job of a claim is settled once, by the worker that holds the claim, in any order and company. */
import { describe, expect, it } from 'vitest';
import type { ClaimedJob, Settlement } from '../../src/broker/broker.ts';
import { eventually } from '../support/eventually.ts';
import type { Subject } from './subject.ts';
import { bury, end, ids, job, jobs, numbers, past, release, reschedule, shuffled, TestWorker } from './test-worker.ts';

export function settling(subject: Subject): void {
  describe('settle', () => {
    it('a job that ended is kept with its result and its past, as long as it is to be', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const worker = await TestWorker.join(broker);
      await broker.enqueue(jobs(4));
      const [a, b, c, d] = (await worker.take()) as [ClaimedJob, ClaimedJob, ClaimedJob, ClaimedJob];
      await worker.done(
        end(a, { result: '{"sum":3}' }),
        end(b, { state: 'cancelled', past: past({ failures: 2 }) }),
        end(c, { result: '"not kept"', keepMs: 0 }),
        end(d),
      );
      expect(await broker.states(['job-0', 'job-1', 'job-2', 'job-3'])).toEqual(['succeeded', 'cancelled', undefined, 'succeeded']);
      const ended = await broker.ended(['job-3', 'job-2', 'job-1', 'job-0', 'unknown']);
      expect(ended.toSorted((one, other) => (one.id < other.id ? -1 : 1))).toEqual([
        { id: 'job-0', state: 'succeeded', result: '{"sum":3}', past: undefined },
        { id: 'job-1', state: 'cancelled', result: undefined, past: past({ failures: 2 }) },
        { id: 'job-3', state: 'succeeded', result: undefined, past: undefined },
      ]);
      const stored = await inspector.job('job-0');
      expect(stored).toMatchObject({ state: 'succeeded', result: '{"sum":3}', enqueuedAt: a.enqueuedAt });
      expect(stored?.finishedAt).toBeGreaterThanOrEqual(a.enqueuedAt);
      expect(await worker.takeAll()).toEqual([]);
    });

    it('a job that is rescheduled comes again with its past, behind those that wait', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      await broker.enqueue([job('it', { priority: 7 }), ...jobs(3, 'other', { priority: 7 }), job('lesser')]);
      const [it] = await worker.take({ limit: 1 });
      await worker.done(reschedule(it as ClaimedJob, 0, { failures: 3 }));
      expect(await broker.states(['it'])).toEqual(['queued']);
      const taken = await worker.take();
      expect(ids(taken)).toEqual(['other-0', 'other-1', 'other-2', 'it', 'lesser']);
      expect(taken[3]).toMatchObject({ past: past({ failures: 3 }), envelope: it?.envelope, enqueuedAt: it?.enqueuedAt, queue: 'usual' });
      expect(taken.map((one) => one.past).filter((one) => one !== undefined)).toHaveLength(1);
    });

    it('a rescheduled job keeps its priority through a delay', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      await broker.enqueue([job('it', { priority: 8 }), ...jobs(3)]);
      const [it] = await worker.take({ limit: 1 });
      await worker.done(reschedule(it as ClaimedJob, 1));
      await eventually(async () => (await worker.exchange([], { lane: 'suspects' })).nextDueInMs === undefined, 'it is due');
      expect(ids(await worker.take())).toEqual(['it', 'job-0', 'job-1', 'job-2']);
    });

    it('a job that is handed back keeps its past, or gets a new one', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      await broker.enqueue(jobs(3));
      const first = (await worker.take()) as ClaimedJob[];
      await worker.done(...first.map((one) => release(one, 'usual', { losses: one.position })));
      const second = await worker.take();
      expect(second.map((one) => one.past)).toEqual([past({ losses: 0 }), past({ losses: 1 }), past({ losses: 2 })]);
      await worker.done(
        release(second[0] as ClaimedJob),
        release(second[1] as ClaimedJob, 'usual', { losses: 9 }),
        end(second[2] as ClaimedJob),
      );
      expect((await worker.take()).map((one) => one.past)).toEqual([past({ losses: 0 }), past({ losses: 9 })]);
    });

    it('a job that failed for good is a dead letter', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const worker = await TestWorker.join(broker);
      await broker.enqueue([job('it', { queue: 'high', priority: 9 })]);
      const [it] = await worker.take();
      await worker.done(bury(it as ClaimedJob, { task: 'some.task', code: 'BROKEN', message: 'it broke', past: past({ failures: 1 }) }));
      expect(await broker.states(['it'])).toEqual(['failed']);
      expect(await broker.ended(['it'])).toEqual([{ id: 'it', state: 'failed', result: undefined, past: past({ failures: 1 }) }]);
      const { items } = await inspector.deadLetters({}, 10, undefined);
      expect(items).toMatchObject([
        {
          id: 'it',
          queue: 'high',
          task: 'some.task',
          code: 'BROKEN',
          message: 'it broke',
          envelope: it?.envelope,
          past: past({ failures: 1 }),
        },
      ]);
      expect(items[0]?.diedAt).toBeGreaterThanOrEqual(items[0]?.enqueuedAt ?? Number.POSITIVE_INFINITY);
      expect(await worker.takeAll()).toEqual([]);
    });

    it('what a dead letter says never keeps it from being stored', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const worker = await TestWorker.join(broker);
      const texts = ['nul \0', 'half \ud800', 'other half \udc00!', 'separator \x1e', '"quoted" \\ \n', '\u{1f600}'];
      await broker.enqueue(texts.map((_, index) => job(`job-${index}`)));
      const taken = await worker.take();
      await worker.done(...taken.map((one, index) => bury(one, { message: texts[index] as string, task: texts[index] as string })));
      const { items } = await inspector.deadLetters({}, 10, undefined);
      const messages = new Map(items.map(({ id, message, task }) => [id, [message, task]]));
      expect(messages.size).toBe(6);
      for (const index of [3, 4, 5]) expect(messages.get(`job-${index}`)).toEqual([texts[index], texts[index]]);
    });

    it('the jobs of a claim settle one by one, in any order and any way', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      const random = numbers(5);
      const batch = jobs(70);
      await broker.enqueue(batch);
      const taken = [...(await worker.take()), ...(await worker.take())];
      expect(taken).toHaveLength(70);
      const expected = new Map<string, string | undefined>(taken.map(({ id }) => [id, 'running']));
      for (const one of shuffled(taken, random)) {
        const ways: [Settlement, string | undefined][] = [
          [end(one), 'succeeded'],
          [end(one, { keepMs: 0 }), undefined],
          [end(one, { state: 'cancelled' }), 'cancelled'],
          [reschedule(one, 3_600_000), 'retrying'],
          [reschedule(one, 0), 'queued'],
          [release(one), 'queued'],
          [release(one, 'alone'), 'queued'],
          [bury(one), 'failed'],
        ];
        const [settlement, state] = ways[Math.floor(random() * ways.length)] as [Settlement, string | undefined];
        await worker.done(settlement);
        expected.set(one.id, state);
        if (random() < 0.2) expect(await broker.states(ids(batch))).toEqual(ids(batch).map((id) => expected.get(id)));
      }
      expect(await broker.states(ids(batch))).toEqual(ids(batch).map((id) => expected.get(id)));
      expect(await broker.missing(worker.id, [])).toEqual([]);
    });

    it('a second settlement of a job is refused, whatever it says', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      await broker.enqueue(jobs(3));
      const [a, b, c] = (await worker.take()) as [ClaimedJob, ClaimedJob, ClaimedJob];
      await worker.done(end(a, { result: '"first"' }));
      expect(await worker.settle(end(a, { result: '"second"' }), bury(a), release(a), reschedule(a, 0))).toEqual([
        false,
        false,
        false,
        false,
      ]);
      await worker.done(end(b), end(c));
      // Now nothing is left of the claim.
      expect(await worker.settle(release(b), bury(c))).toEqual([false, false]);
      expect(await broker.states(['job-0', 'job-1', 'job-2'])).toEqual(['succeeded', 'succeeded', 'succeeded']);
      expect(await broker.ended(['job-0'])).toMatchObject([{ result: '"first"' }]);
      expect(await worker.takeAll()).toEqual([]);
    });

    it('of two settlements of a job in one batch the first counts', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      await broker.enqueue(jobs(2));
      const [a, b] = (await worker.take()) as [ClaimedJob, ClaimedJob];
      expect(await worker.settle(end(a, { result: '1' }), release(b), end(a, { result: '2' }), bury(b))).toEqual([
        true,
        true,
        false,
        false,
      ]);
      expect(await broker.ended(['job-0'])).toMatchObject([{ result: '1' }]);
      expect(await broker.states(['job-1'])).toEqual(['queued']);
    });

    it('a settlement under a wrong claim, of another worker, or of a place that is not there is refused', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const [mine, other] = [await TestWorker.join(broker), await TestWorker.join(broker)];
      await broker.enqueue(jobs(4));
      const [a, b] = (await mine.take({ limit: 2 })) as [ClaimedJob, ClaimedJob];
      const [c] = (await other.take({ limit: 2 })) as [ClaimedJob];
      expect(await mine.settle(end({ ...a, claim: '987654321' }))).toEqual([false]);
      expect(await mine.settle(end(c), bury(c), release(c))).toEqual([false, false, false]);
      expect(await other.settle(end(a), reschedule(b, 0))).toEqual([false, false]);
      expect(await mine.settle(end({ ...a, position: 2 }), end({ ...a, position: 4_000 }))).toEqual([false, false]);
      expect(await broker.states(['job-0', 'job-1', 'job-2', 'job-3'])).toEqual(['running', 'running', 'running', 'running']);
      await mine.done(end(a), end(b));
      await other.done(end(c));
    });

    it('says of each settlement of a mixed batch whether it was accepted', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const [mine, other] = [await TestWorker.join(broker), await TestWorker.join(broker)];
      await broker.enqueue(jobs(9));
      const first = (await mine.take({ limit: 3 })) as ClaimedJob[];
      const second = (await mine.take({ limit: 3 })) as ClaimedJob[];
      const theirs = (await other.take({ limit: 3 })) as ClaimedJob[];
      const [a, b, c] = first as [ClaimedJob, ClaimedJob, ClaimedJob];
      const [d, e, f] = second as [ClaimedJob, ClaimedJob, ClaimedJob];
      const [g, h, i] = theirs as [ClaimedJob, ClaimedJob, ClaimedJob];
      await mine.done(end(b), end(d));
      const mixed = [release(h), end(e), bury(b), reschedule(a, 0), end(g), end(d), bury(f), end(i, { keepMs: 0 }), end(c, { keepMs: 0 })];
      expect(await mine.settle(...mixed)).toEqual([false, true, false, true, false, false, true, false, true]);
      expect(await broker.states(ids(jobs(9)))).toEqual([
        'queued',
        'succeeded',
        undefined,
        'succeeded',
        'succeeded',
        'failed',
        'running',
        'running',
        'running',
      ]);
    });

    it('settling without claiming claims nothing, and an exchange of nothing is nothing', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      await broker.enqueue(jobs(2));
      const [it] = await worker.take({ limit: 1 });
      expect(await broker.exchange(worker.id, [end(it as ClaimedJob)], undefined)).toMatchObject({
        accepted: [true],
        claims: [],
        more: false,
      });
      expect(await broker.exchange(worker.id, [], undefined)).toMatchObject({ accepted: [], claims: [], more: false });
      expect(await broker.states(['job-1'])).toEqual(['queued']);
    });
  });
}
