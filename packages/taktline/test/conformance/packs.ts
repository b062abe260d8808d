/**
 * Topic: jobs that come together. Brokers may keep them as one record (src/broker/packs.ts); whatever is done to one of
 * them, it is done to that one only.
 */
import fc from 'fast-check';
import { v7 } from 'uuid';
import { describe, expect, it } from 'vitest';
import type { ClaimedJob, NewJob, Settlement } from '../../src/broker/broker.ts';
import { newId } from '../../src/support/ids.ts';
import { eventually } from '../support/eventually.ts';
import type { Subject } from './subject.ts';
import { bury, end, ids, job, named, past, race, release, reschedule, TestWorker } from './test-worker.ts';

/** An id as the engine of another process makes it at that time. */
const idAt = (ms: number) => v7({ msecs: ms }).replace(/^(.{14})7/, '$18');
const together = (count: number, more: Partial<NewJob> = {}): NewJob[] => Array.from({ length: count }, () => job(newId(), more));

export function packing(subject: Subject): void {
  describe('jobs that come together', () => {
    it('are claimed in order, as many as are wanted, whatever the number', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const worker = await TestWorker.join(broker);
      const batch = together(1_500);
      for (const part of [batch.slice(0, 1_000), batch.slice(1_000, 1_005), batch.slice(1_005)]) await broker.enqueue(part);
      const taken: ClaimedJob[] = [];
      for (const limit of [1, 1, 2, 7, 30, 5, 100, 127, 1, 50, 3]) {
        const got = await worker.take({ limit });
        expect(got).toHaveLength(limit);
        taken.push(...got);
      }
      // A large claim may leave a pack alone that would have to be parted, but brings at least half of what is wanted.
      const got = await worker.take({ limit: 600 });
      expect(got.length).toBeGreaterThanOrEqual(300);
      expect(got.length).toBeLessThanOrEqual(600);
      taken.push(...got);
      expect((await inspector.queues()).find(({ name }) => name === 'usual')).toMatchObject({
        ready: 1_500 - taken.length,
        running: taken.length,
      });
      taken.push(...(await worker.takeAll({ limit: 10_000 })));
      expect(ids(taken)).toEqual(ids(batch));
      expect(taken.map(({ envelope }) => envelope)).toEqual(batch.map(({ envelope }) => envelope));
      expect(await worker.done(...taken.map((one) => end(one, { result: JSON.stringify(one.id) })))).toBeUndefined();
      expect((await broker.ended(ids(batch))).map(({ id, result }) => [id, result]).toSorted()).toEqual(
        ids(batch)
          .map((id) => [id, JSON.stringify(id)])
          .toSorted(),
      );
    });

    it('of queues and priorities keep their order', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      const low = together(40, { priority: 2 });
      const high = together(40, { priority: 9 });
      const other = together(40, { queue: 'high' });
      await broker.enqueue([...low, ...high, ...other]);
      const taken: ClaimedJob[] = [];
      for (let got = await worker.take({ limit: 33 }); got.length > 0; got = await worker.take({ limit: 33 })) taken.push(...got);
      expect(ids(taken)).toEqual(ids([...other, ...high, ...low]));
    });

    it('go to many workers that want a few each, every one once', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const workers = await Promise.all(Array.from({ length: 6 }, (_, at) => TestWorker.join(broker, { name: `w${at}` })));
      const batch = together(900);
      await broker.enqueue(batch);
      const taken: ClaimedJob[] = [];
      await Promise.all(
        workers.map(async (worker, at) => {
          // While another takes from a pack it may seem empty.
          while (taken.length < batch.length) taken.push(...(await worker.take({ limit: 1 + at * 9 })));
        }),
      );
      expect(ids(taken).toSorted()).toEqual(ids(batch).toSorted());
    });

    it('are found, cancelled, released and settled one by one', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const worker = await TestWorker.join(broker);
      const batch = together(100);
      await broker.enqueue(batch);
      const at = (index: number) => (batch[index] as NewJob).id;
      expect(await inspector.job(at(50))).toMatchObject({
        id: at(50),
        state: 'queued',
        queue: 'usual',
        priority: 5,
        envelope: batch[50]?.envelope,
      });
      expect(ids(await inspector.jobs('queued', { limit: 60 }))).toEqual(ids(batch.slice(0, 60)));
      expect(await broker.cancel([at(0), at(41), at(42), at(99), newId()])).toEqual(['done', 'done', 'done', 'done', 'unknown']);
      expect(await broker.cancel([at(41), at(43)])).toEqual(['ended', 'done']);
      const gone = new Set([at(0), at(41), at(42), at(43), at(99)]);
      const rest = batch.filter(({ id }) => !gone.has(id));
      expect(await broker.states([...gone, at(44)])).toEqual(['cancelled', 'cancelled', 'cancelled', 'cancelled', 'cancelled', 'queued']);
      expect(await inspector.purge('usual', 3)).toBe(3);
      const taken = await worker.take({ limit: 60 });
      expect(ids(taken)).toEqual(ids(rest.slice(3, 63)));
      const one = (index: number) => taken[index] as ClaimedJob;
      expect(await inspector.job(one(20).id)).toMatchObject({ state: 'running', priority: 5, envelope: one(20).envelope });
      expect(ids(await inspector.jobs('running', { limit: 100 }))).toEqual(ids(taken));
      expect(await broker.cancel([one(7).id])).toEqual(['asked']);
      const ways: Settlement[] = [
        release(one(20)),
        release(one(3)),
        reschedule(one(4), 0),
        bury(one(5)),
        reschedule(one(7), 0),
        end(one(8), { keepMs: 0 }),
      ];
      await worker.done(...ways);
      expect(await broker.states([20, 3, 4, 5, 7, 8].map((index) => one(index).id))).toEqual([
        'queued',
        'queued',
        'queued',
        'failed',
        'cancelled',
        undefined,
      ]);
      // Those that were released come first, in their order, and the one that tries again last.
      const next = await worker.takeAll();
      expect(ids(next)).toEqual([one(3).id, one(20).id, ...ids(rest.slice(63)), one(4).id]);
      expect(next.at(-1)?.past).toBe(past({ failures: 1 }));
    });

    it('end each with its own result and past, in any order and in parts', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      await fc.assert(
        fc.asyncProperty(
          fc.array(
            fc.record({
              state: fc.constantFrom('succeeded' as const, 'succeeded' as const, 'cancelled' as const),
              result: fc.option(fc.json(), { nil: undefined }),
              past: fc.option(
                fc.nat().map((failures) => past({ failures })),
                { nil: undefined },
              ),
              keepMs: fc.constantFrom(600_000, 600_000, 600_000, 300_000),
            }),
            { minLength: 1, maxLength: 60 },
          ),
          fc.array(fc.nat(), { minLength: 60, maxLength: 60 }),
          fc.nat({ max: 60 }),
          async (outcomes, shuffle, cut) => {
            const worker = await TestWorker.join(broker);
            const batch = together(outcomes.length);
            await broker.enqueue(batch);
            const taken = await worker.take({ limit: 1_000 });
            expect(taken).toHaveLength(batch.length);
            const settlements = taken
              .map((one, index) => ({
                order: shuffle[index] as number,
                it: end(one, outcomes[index] as Partial<Extract<Settlement, { kind: 'end' }>>),
              }))
              .toSorted((one, other) => one.order - other.order)
              .map(({ it }) => it);
            await worker.done(...settlements.slice(0, cut));
            await worker.done(...settlements.slice(cut));
            const byId = (one: { readonly id: string }, other: { readonly id: string }) => (one.id < other.id ? -1 : 1);
            expect((await broker.ended(ids(batch))).toSorted(byId)).toEqual(
              batch
                .map(({ id }, index) => ({
                  id,
                  state: outcomes[index]?.state,
                  result: outcomes[index]?.result,
                  past: outcomes[index]?.past,
                }))
                .toSorted(byId),
            );
            const some = batch[(shuffle[0] as number) % batch.length] as NewJob;
            const stored = await inspector.job(some.id);
            expect(stored?.enqueuedAt).toBe(taken.find(({ id }) => id === some.id)?.enqueuedAt);
            await worker.leave();
          },
        ),
        { numRuns: 25 },
      );
    });

    it('that were enqueued one after the other end with their own times', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const worker = await TestWorker.join(broker);
      const batch = together(20);
      for (const one of batch) await broker.enqueue([one]);
      const taken = await worker.take();
      await worker.done(...taken.map((one) => end(one)));
      for (const one of taken) expect((await inspector.job(one.id))?.enqueuedAt).toBe(one.enqueuedAt);
    });

    it('of which some were settled before: the others are accepted', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      const batch = together(64);
      await broker.enqueue(batch);
      const taken = await worker.take();
      const odd = taken.filter((_, index) => index % 3 === 1);
      await worker.done(...odd.map((one) => end(one, { result: '"first"' })));
      const again = await worker.settle(...taken.map((one) => end(one, { result: '"second"', past: past({ failures: 2 }) })));
      expect(again).toEqual(taken.map((_, index) => index % 3 !== 1));
      const results = new Map((await broker.ended(ids(batch))).map(({ id, result }) => [id, result]));
      expect(taken.map(({ id }) => results.get(id))).toEqual(taken.map((_, index) => (index % 3 === 1 ? '"first"' : '"second"')));
    });

    it('of a claim that was taken over: nothing that the lost worker says is accepted', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const lost = await TestWorker.join(broker);
      const batch = together(64);
      await broker.enqueue(batch);
      const taken = await lost.take();
      await lost.leave();
      const heir = await TestWorker.join(broker);
      const [claim] = await broker.recover(heir.id);
      expect(ids(claim?.jobs ?? [])).toEqual(ids(batch));
      expect(await lost.settle(...taken.map((one) => end(one, { result: '"stale"' })))).toEqual(taken.map(() => false));
      // Nor from anybody else under the claim that is no more.
      expect(await heir.settle(...taken.map((one) => end(one, { result: '"stale"' })))).toEqual(taken.map(() => false));
      expect(await broker.states(ids(batch))).toEqual(batch.map(() => 'running'));
      await heir.done(...(claim?.jobs ?? []).map((one) => end(one, { result: '"good"' })));
      expect((await broker.ended(ids(batch))).map(({ result }) => result)).toEqual(batch.map(() => '"good"'));
    });

    it('expire each with its batch', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const worker = await TestWorker.join(broker);
      const late = together(40, { expiresInMs: 1 });
      const later = together(40, { expiresInMs: 600_000 });
      const never = together(40);
      await broker.enqueue([...late, ...later, ...never]);
      const [before] = (await inspector.queues()).filter(({ name }) => name === 'usual');
      expect(before?.ready).toBe(120);
      await new Promise((resolve) => setTimeout(resolve, 5));
      expect(ids(await worker.takeAll())).toEqual(ids([...later, ...never]));
      expect(await broker.states(ids(late))).toEqual(late.map(() => 'expired'));
      const waiting = together(40, { expiresInMs: 1 });
      await broker.enqueue(waiting);
      await new Promise((resolve) => setTimeout(resolve, 5));
      while (await broker.tidy());
      expect(ids(await inspector.jobs('queued', { limit: 100 }))).toEqual([]);
      expect((await broker.ended(ids(waiting))).map(({ state }) => state)).toEqual(waiting.map(() => 'expired'));
    });

    it('are found among those of other processes, whose ids lie between theirs', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const worker = await TestWorker.join(broker);
      const now = Date.now();
      // Four processes: each of their packs spans 250 ms, and each of those 64 ms more than the one before.
      const batches = [0, 1, 2, 3].map((process) => Array.from({ length: 26 }, (_, at) => job(idAt(now + process * 64 + at * 10))));
      for (const batch of batches) await broker.enqueue(batch);
      const all = batches.flat();
      const states = () => broker.states(ids(all));
      expect(await states()).toEqual(all.map(() => 'queued'));
      for (const one of all) expect((await broker.states([one.id]))[0]).toBe('queued');
      expect((await inspector.job(all[30]?.id ?? ''))?.envelope).toBe(all[30]?.envelope);
      expect(await broker.states(Array.from({ length: 26 }, (_, at) => idAt(now + at * 20)))).toEqual(
        Array.from({ length: 26 }, () => undefined),
      );
      const cancelled = [all[0], all[51], all[77]].map((one) => (one as NewJob).id);
      expect(await broker.cancel(cancelled)).toEqual(['done', 'done', 'done']);
      const taken = await worker.takeAll();
      expect(ids(taken)).toEqual(ids(all).filter((id) => !cancelled.includes(id)));
      await worker.done(...taken.map((one) => end(one, { result: JSON.stringify(one.id) })));
      expect(await states()).toEqual(ids(all).map((id) => (cancelled.includes(id) ? 'cancelled' : 'succeeded')));
      for (const one of taken.slice(0, 30)) expect((await broker.ended([one.id]))[0]?.result).toBe(JSON.stringify(one.id));
    });

    it('are cancelled by the thousand', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      const batch = together(3_000);
      for (let from = 0; from < batch.length; from += 1_000) await broker.enqueue(batch.slice(from, from + 1_000));
      const gone = ids(batch).filter((_, index) => index % 100 < 70);
      expect(new Set(await broker.cancel(gone))).toEqual(new Set(['done']));
      expect(ids(await worker.takeAll({ limit: 1_000 }))).toEqual(ids(batch).filter((_, index) => index % 100 >= 70));
    });

    it('make their ids free when their results are gone, and one of them may come again', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      const batch = together(12);
      await broker.enqueue(batch);
      await worker.done(...(await worker.take()).map((one) => end(one, { keepMs: 50 })));
      await eventually(async () => (await broker.ended(ids(batch))).length === 0, 'their time is over');
      const again = [batch[0], batch[5], batch[11]].map((one) => ({ ...(one as NewJob), ...named() }));
      expect(await broker.enqueue(again)).toEqual(['created', 'created', 'created']);
      const taken = await worker.take();
      expect(ids(taken)).toEqual(ids(again));
      await worker.done(...taken.map((one) => end(one, { result: '"again"' })));
      expect((await broker.ended(ids(again))).map(({ result }) => result)).toEqual(['"again"', '"again"', '"again"']);
      expect(await broker.cancel(ids(again))).toEqual(['ended', 'ended', 'ended']);
    });

    it('with others that wait for a time or have names: each is what it was given as', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      await broker.enqueue([job('there', named())]);
      const mixed = together(40).map((one, index) =>
        index % 10 === 3
          ? { ...one, countdownMs: 3_600_000 }
          : index % 10 === 7
            ? { ...one, id: index === 7 ? 'there' : `named-${index}`, ...named() }
            : one,
      );
      expect(await broker.enqueue(mixed)).toEqual(mixed.map(({ id }) => (id === 'there' ? 'duplicate' : 'created')));
      expect(await broker.states(ids(mixed))).toEqual(mixed.map(({ countdownMs }) => (countdownMs === undefined ? 'queued' : 'scheduled')));
      expect(ids(await worker.takeAll()).toSorted()).toEqual(
        mixed
          .filter(({ countdownMs }) => countdownMs === undefined)
          .map(({ id }) => id)
          .toSorted(),
      );
    });

    it('can be sent again one by one under their ids, wherever they are', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      const [waiting, running, ended] = [together(20), together(20), together(20)];
      await broker.enqueue(ended);
      await worker.done(...(await worker.take()).map((one) => end(one)));
      await broker.enqueue(running);
      await worker.take();
      await broker.enqueue(waiting);
      const again = [waiting, running, ended].flatMap((batch) => batch.slice(3, 9)).map((one) => ({ ...one, ...named() }));
      expect(await broker.enqueue(again)).toEqual(again.map(() => 'duplicate'));
      expect(ids(await worker.takeAll())).toEqual(ids(waiting));
    });

    it('and are sent again at the same time make one job each', async () => {
      await using space = await subject.space();
      const [first, again] = [await space.open(), await space.open()];
      const worker = await TestWorker.join(first.broker);
      for (let round = 0; round < 60; round++) {
        const batch = together(12);
        const [, replies] = await race(
          round,
          // The first may find that it comes too late: then none of it is made.
          () => first.broker.enqueue(batch).catch(() => undefined),
          () => again.broker.enqueue(batch.slice(4, 8).map((one) => ({ ...one, ...named() }))),
        );
        expect(new Set(replies).size).toBe(1);
        const taken = await worker.takeAll();
        expect(ids(taken)).toEqual(ids(replies[0] === 'created' ? batch.slice(4, 8) : batch));
        await worker.done(...taken.map((one) => end(one)));
      }
    });
  });
}
