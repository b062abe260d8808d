/** Topic: ids. One job an id, whatever its queue, for as long as the caller wants, and however often the enqueue is sent. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { Broker, ClaimedJob, NewJob } from '../../src/broker/broker.ts';
import { newId } from '../../src/support/ids.ts';
import { eventually } from '../support/eventually.ts';
import type { Subject } from './subject.ts';
import { bury, end, ids, job, jobs, named, numbers, race, release, reschedule, shuffled, TestWorker } from './test-worker.ts';

/** Ways in which a claimed job moves on; what is there of it afterwards keeps its id taken. */
const moves: Readonly<Record<string, (worker: TestWorker, broker: Broker, job: ClaimedJob) => Promise<unknown>>> = {
  'it runs': async () => undefined,
  'it waits for a retry': (worker, _, job) => worker.done(reschedule(job, 3_600_000)),
  'it was handed back': (worker, _, job) => worker.done(release(job)),
  'it waits among suspects': (worker, _, job) => worker.done(release(job, 'suspects')),
  'it succeeded': (worker, _, job) => worker.done(end(job)),
  'it was cancelled while it ran': (worker, _, job) => worker.done(end(job, { state: 'cancelled' })),
  'it is a dead letter': (worker, _, job) => worker.done(bury(job)),
};

/** How many jobs of this id there are, as far as a worker can tell: those that it holds, and those that still come. */
async function count(worker: TestWorker, broker: Broker, id: string): Promise<number> {
  const [ended] = await broker.ended([id]);
  const usual = await worker.takeAll({ limit: 1_000 });
  const suspects = await worker.takeAll({ lane: 'suspects' });
  const held = (await broker.missing(worker.id, [])).flatMap((claim) => claim.jobs);
  expect(held.length).toBeGreaterThanOrEqual(usual.length + suspects.length);
  return held.filter((job) => job.id === id).length + (ended === undefined ? 0 : 1);
}

export function uniqueIds(subject: Subject): void {
  describe('ids', () => {
    it('the first enqueue of an id makes its job, the next ones do not, whatever their queue, priority or time', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      expect(await broker.enqueue([job('it', { ...named(), envelope: '"first"' })])).toEqual(['created']);
      const again: Partial<NewJob>[] = [
        {},
        { queue: 'high' },
        { priority: 9 },
        { countdownMs: 60_000 },
        { eta: 1 },
        { envelope: '"other"' },
      ];
      for (const more of again) expect(await broker.enqueue([job('it', { ...named(), ...more })])).toEqual(['duplicate']);
      expect(await broker.enqueue([job('it', named('another print'))])).toEqual(['conflict']);
      expect(await broker.enqueue([job('it', { ...named('another print'), queue: 'low' })])).toEqual(['conflict']);
      const worker = await TestWorker.join(broker);
      const taken = await worker.takeAll();
      expect(taken.map(({ id, queue, envelope }) => ({ id, queue, envelope }))).toEqual([
        { id: 'it', queue: 'usual', envelope: '"first"' },
      ]);
    });

    it('an id that stands several times in one batch is its first job', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const batch = [
        job('a', { ...named('one'), envelope: '1' }),
        job('plain'),
        job('b', { ...named('one'), countdownMs: 3_600_000, envelope: '2' }),
        job('a', { ...named('one'), countdownMs: 3_600_000, envelope: '3' }),
        job('b', { ...named('one'), envelope: '4' }),
        job('a', { ...named('two'), queue: 'high', envelope: '5' }),
      ];
      expect(await broker.enqueue(batch)).toEqual(['created', 'created', 'created', 'duplicate', 'duplicate', 'conflict']);
      const worker = await TestWorker.join(broker);
      expect((await worker.takeAll()).map(({ id, envelope }) => `${id} ${envelope}`)).toEqual(['a 1', `plain ${job('plain').envelope}`]);
      expect(await broker.states(['a', 'b'])).toEqual(['running', 'scheduled']);
    });

    it('says of each job of a mixed batch what became of it', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      await broker.enqueue([job('old', named()), job('other', named())]);
      const batch = [
        job('new', named()),
        job('old', named()),
        job('plain'),
        job('other', named('changed')),
        job('later', { countdownMs: 60_000 }),
      ];
      expect(await broker.enqueue(batch)).toEqual(['created', 'duplicate', 'created', 'conflict', 'created']);
    });

    for (const [where, move] of Object.entries(moves)) {
      it(`an id stays taken when ${where}`, async () => {
        await using space = await subject.space();
        const { broker } = await space.open();
        const worker = await TestWorker.join(broker);
        await broker.enqueue([job('it', named())]);
        const [it] = await worker.take();
        await move(worker, broker, it as ClaimedJob);
        expect(await broker.enqueue([job('it', named())])).toEqual(['duplicate']);
        expect(await broker.enqueue([job('it', named('changed'))])).toEqual(['conflict']);
      });

      it(`an id whose time is over stays taken while its job is there: ${where}`, async () => {
        await using space = await subject.space();
        const { broker } = await space.open();
        const worker = await TestWorker.join(broker);
        await broker.enqueue([job('it', named('print', 1)), job('tidied', named('print', 1))]);
        for (const taken of await worker.take()) await move(worker, broker, taken);
        expect(await broker.enqueue([job('it', named())])).toEqual(['duplicate']);
        // Upkeep must not forget it either.
        while (await broker.tidy());
        expect(await broker.enqueue([job('tidied', named())])).toEqual(['duplicate']);
      });

      it(`the enqueue of an id that the engine made can be sent again: ${where}`, async () => {
        await using space = await subject.space();
        const { broker } = await space.open();
        const worker = await TestWorker.join(broker);
        const id = newId();
        await broker.enqueue([job(id)]);
        const [it] = await worker.take();
        await move(worker, broker, it as ClaimedJob);
        const [before] = await broker.states([id]);
        for (const more of [{}, { countdownMs: 60_000 }, { eta: 1 }]) {
          expect(await broker.enqueue([job(id, { ...named(), ...more })])).toEqual(['duplicate']);
        }
        expect(await broker.states([id])).toEqual([before]);
        const there = await count(worker, broker, id);
        expect(there + (before === 'retrying' ? 1 : 0)).toBe(1);
      });
    }

    it('the enqueue of an id that the engine made can be sent again: it waits, is scheduled, or never came', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      const [waiting, scheduled, never] = [newId(), newId(), newId()] as const;
      await broker.enqueue([job(waiting)]);
      await broker.enqueue([job(scheduled, { countdownMs: 3_600_000 })]);
      const again = [job(waiting, named()), job(scheduled, { ...named(), countdownMs: 3_600_000 }), job(never, named())];
      expect(await broker.enqueue(again)).toEqual(['duplicate', 'duplicate', 'created']);
      expect(await broker.enqueue(again)).toEqual(['duplicate', 'duplicate', 'duplicate']);
      expect(await broker.states([waiting, scheduled, never])).toEqual(['queued', 'scheduled', 'queued']);
      expect(ids(await worker.takeAll())).toEqual([waiting, never]);
    });

    it('an enqueue and its repetition that arrive together make one job', async () => {
      await using space = await subject.space();
      const [first, again] = [await space.open(), await space.open()];
      const worker = await TestWorker.join(first.broker);
      for (let round = 0; round < 150; round++) {
        const id = newId();
        const timed = round % 3 === 0 ? { countdownMs: round % 2 } : {};
        await race(
          round,
          // The first may find that it comes too late; its sender has given up on it long since.
          () => first.broker.enqueue([job(id, timed)]).catch(() => undefined),
          () => again.broker.enqueue([job(id, { ...timed, ...named() })]),
        );
        const taken = await eventually(async () => {
          const got = await worker.takeAll();
          return got.length > 0 && got;
        }, 'the job comes');
        await worker.done(...taken.map((one) => end(one)));
        expect(ids(taken)).toEqual([id]);
        expect(await worker.takeAll()).toEqual([]);
      }
    });

    it('an enqueue that arrives after its repetition has been worked off makes no second job', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      const [first, second] = [newId(), newId()] as const;
      await broker.enqueue([job(first, named()), job(second, named())]);
      await worker.done(...(await worker.take()).map((one) => end(one, { keepMs: 0 })));
      await broker.enqueue([job(first)]).catch(() => undefined);
      await broker.enqueue([job(second, { countdownMs: 1 })]).catch(() => undefined);
      expect(await broker.states([first, second])).toEqual([undefined, undefined]);
    });

    it('an id is free again when its time is over and nothing of its job is there', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      await broker.enqueue([job('gone', named('print', 1)), job('kept', named('print', 1)), job('long', named())]);
      const first = await worker.take();
      await worker.done(...first.map((one) => end(one, { keepMs: one.id === 'kept' ? 1 : 0 })));
      await eventually(async () => (await broker.enqueue([job('gone', named('other'))]))[0] === 'created', 'the id is free');
      await eventually(async () => (await broker.enqueue([job('kept', named('other'))]))[0] === 'created', 'the id is free');
      expect(await broker.enqueue([job('long', named())])).toEqual(['duplicate']);
      expect(ids(await worker.takeAll()).toSorted()).toEqual(['gone', 'kept']);
    });

    it('eight clients that enqueue the same 500 ids, while a worker claims and settles, make each once', async () => {
      await using space = await subject.space();
      const clients = await Promise.all(Array.from({ length: 8 }, () => space.open()));
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      const batch = jobs(500, 'same', named());
      const made = new Map<string, number>();
      let sending = true;
      const runs = new Map<string, number>();
      const working = (async () => {
        for (let round = 0; ; round++) {
          const over = !sending;
          const taken = await worker.take({ limit: 37 });
          for (const { id } of taken) runs.set(id, (runs.get(id) ?? 0) + 1);
          await worker.done(...taken.map((one) => (round % 5 === 4 ? bury(one) : end(one, { keepMs: round % 2 === 0 ? 0 : 60_000 }))));
          if (over && taken.length === 0) return;
          await nextTurn();
        }
      })();
      await Promise.all(
        clients.map(async ({ broker: client }, number) => {
          const mine = shuffled(batch, numbers(number));
          for (let from = 0; from < mine.length; from += 61) {
            const part = mine.slice(from, from + 61);
            for (const [index, reply] of (await client.enqueue(part)).entries()) {
              expect(['created', 'duplicate']).toContain(reply);
              if (reply === 'created') made.set((part[index] as NewJob).id, (made.get((part[index] as NewJob).id) ?? 0) + 1);
            }
          }
        }),
      );
      sending = false;
      await working;
      const once = new Map(batch.map(({ id }) => [id, 1]));
      expect(new Map([...made].toSorted())).toEqual(new Map([...once].toSorted()));
      expect(new Map([...runs].toSorted())).toEqual(new Map([...once].toSorted()));
    });
  });
}
