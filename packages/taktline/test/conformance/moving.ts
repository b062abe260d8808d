/**
 * Topic: jobs that move from one broker to another. Adopted, they stand as they stood; removed, nothing of them is left; both
 * may be repeated.
 */
import { describe, expect, it } from 'vitest';
import type { AdoptedJob } from '../../src/broker/adopted-job.ts';
import type { ClaimedJob } from '../../src/broker/broker.ts';
import { newId } from '../../src/support/ids.ts';
import { eventually } from '../support/eventually.ts';
import type { Instance, Subject } from './subject.ts';
import { bury, end, ids, job, jobs, named, past, race, release, reschedule, TestWorker } from './test-worker.ts';

type Queued = Extract<AdoptedJob, { state: 'queued' }>;
type Scheduled = Extract<AdoptedJob, { state: 'scheduled' }>;
type Dead = Extract<AdoptedJob, { state: 'dead' }>;

/** Long ago, so that no clock of a test gives it by chance. */
const then = 1_700_000_000_000;
const common = (id: string) => ({ ...job(id), fingerprint: 'print', enqueuedAt: then });
const queued = (id: string, more: Partial<Queued> = {}): Queued => ({ ...common(id), state: 'queued', ...more });
const scheduled = (id: string, more: Partial<Scheduled> = {}): Scheduled => ({
  ...common(id),
  state: 'scheduled',
  dueAt: then + 1_000_000_000_000,
  ...more,
});
const dead = (id: string, more: Partial<Dead> = {}): Dead => ({
  ...common(id),
  state: 'dead',
  task: 't',
  code: 'TASK_ERROR',
  message: 'it failed',
  diedAt: then + 5_000,
  past: past({ failures: 5 }),
  ...more,
});

/** What stands where, in the words of adopt(). */
async function standing({ inspector }: Instance): Promise<Record<string, unknown>[]> {
  const [ready, later, { items }] = await Promise.all([
    inspector.jobs('queued', { limit: 5_000 }),
    inspector.jobs('scheduled', { limit: 5_000 }),
    inspector.deadLetters({}, 5_000, undefined),
  ]);
  return [...ready, ...later.map((one) => ({ ...one, state: 'scheduled' })), ...items.map((one) => ({ ...one, state: 'dead' }))].map(
    (one) => ({ ...one, fingerprint: 'print' }),
  );
}

/** Moves all that waits from one to the other, in one go. */
async function moveAll(from: Instance, to: Instance): Promise<readonly string[]> {
  const all = (await standing(from)) as unknown as readonly AdoptedJob[];
  expect(new Set(await to.inspector.adopt(all))).toEqual(new Set(all.length === 0 ? [] : ['adopted']));
  expect([...(await from.inspector.remove(ids(all)))].toSorted()).toEqual(ids(all).toSorted());
  return ids(all);
}

const byId = <Item extends { readonly id?: unknown }>(list: readonly Item[]): Item[] =>
  list.toSorted((one, other) => (String(one.id) < String(other.id) ? -1 : 1));

export function moving(subject: Subject): void {
  describe('moving', () => {
    it('an adopted job stands as it stood, with its times, priority, lane and past', async () => {
      await using space = await subject.space();
      const instance = await space.open();
      const worker = await TestWorker.join(instance.broker);
      const given: AdoptedJob[] = [
        queued('plain'),
        queued(newId('usual'), { priority: 9, expiresAt: then + 1_000_000_000_000 }),
        queued('tried', { queue: 'high', priority: 1, past: past({ failures: 2, redrives: 1 }) }),
        queued('suspect', { queue: 'low', lane: 'suspects', past: past({ losses: 1 }) }),
        queued('alone', { queue: 'low', lane: 'alone', past: past({ losses: 2, lossesAlone: 1 }) }),
        scheduled('later', { priority: 3, expiresAt: then + 2_000_000_000_000 }),
        scheduled('retry', { queue: 'low', past: past({ failures: 1 }) }),
        scheduled(newId('high'), { queue: 'high', priority: 10 }),
        dead('letter', { priority: 8, message: 'it "failed"\n Grüße 👍' }),
        dead(newId('low'), { queue: 'low', task: 'other', code: 'BROKEN' }),
      ];
      expect(await instance.inspector.adopt(given)).toEqual(given.map(() => 'adopted'));
      expect(byId(await standing(instance))).toEqual(byId(given));
      expect(await instance.inspector.job('suspect')).toMatchObject({ state: 'queued', lane: 'suspects', priority: 5 });
      expect(await instance.inspector.job('plain')).toEqual({ ...job('plain'), state: 'queued', enqueuedAt: then });
      expect(await instance.broker.states(['plain', 'later', 'retry', 'letter'])).toEqual(['queued', 'scheduled', 'retrying', 'failed']);
      expect(
        (await instance.inspector.queues()).map(({ name, ready, scheduled, running, dead }) => ({ name, ready, scheduled, running, dead })),
      ).toEqual([
        { name: 'high', ready: 1, scheduled: 1, running: 0, dead: 0 },
        { name: 'usual', ready: 2, scheduled: 1, running: 0, dead: 1 },
        { name: 'low', ready: 2, scheduled: 1, running: 0, dead: 1 },
      ]);
      const taken = await worker.take({ queues: ['usual', 'high'] });
      expect(ids(taken)).toEqual([given[1]?.id, 'plain', 'tried']);
      expect(taken.map(({ enqueuedAt }) => enqueuedAt)).toEqual([then, then, then]);
      expect(taken[2]).toMatchObject({ past: past({ failures: 2, redrives: 1 }), envelope: job('tried').envelope });
      expect(taken[0]?.expiresAt).toBe(then + 1_000_000_000_000);
      expect(await worker.take({ queues: ['low'] })).toEqual([]);
      expect(ids(await worker.take({ queues: ['low'], lane: 'suspects' }))).toEqual(['suspect']);
      expect(ids(await worker.take({ queues: ['low'], lane: 'alone' }))).toEqual(['alone']);
      expect(await instance.inspector.redrive({ ids: ['letter'] }, 10)).toEqual(['letter']);
      expect(await instance.inspector.job('letter')).toMatchObject({ state: 'queued', priority: 8, enqueuedAt: then });
    });

    it('what is queued keeps its order within its priority, behind what waits here; what is due comes by its time', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const worker = await TestWorker.join(broker);
      await broker.enqueue(jobs(3, 'own'));
      const list = Array.from({ length: 200 }, (_, index) =>
        queued(index % 2 === 0 ? newId('usual') : `named-${index}`, { priority: index % 3 === 0 ? 7 : 5 }),
      );
      for (const part of [list.slice(0, 120), list.slice(120)]) await inspector.adopt(part);
      await inspector.adopt([
        scheduled('due-2', { dueAt: then + 2, priority: 2, past: past({ failures: 1 }) }),
        scheduled('due-1', { dueAt: then + 1, priority: 2 }),
      ]);
      await broker.enqueue([job('last')]);
      const taken = await eventually(async () => {
        const got = await worker.takeAll({ limit: 1_000 });
        return got.length > 0 && got;
      }, 'they come');
      const of = (priority: number) => ids(list.filter((one) => one.priority === priority));
      expect(ids(taken)).toEqual([...of(7), 'own-0', 'own-1', 'own-2', ...of(5), 'last', 'due-1', 'due-2']);
      expect(taken.at(-1)).toMatchObject({ id: 'due-2', past: past({ failures: 1 }), enqueuedAt: then });
    });

    it('an adopted job that has expired meanwhile ends as expired', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const worker = await TestWorker.join(broker);
      await inspector.adopt([queued('late', { expiresAt: then + 1 }), scheduled('later', { expiresAt: then + 1 })]);
      expect(await worker.takeAll()).toEqual([]);
      while (await broker.tidy());
      expect((await broker.ended(['late', 'later'])).map(({ id, state }) => `${id} ${state}`).toSorted()).toEqual([
        'late expired',
        'later expired',
      ]);
    });

    it('adopting again changes nothing, wherever the job stands, and when it has ended and is forgotten', async () => {
      await using space = await subject.space();
      const instance = await space.open();
      const { broker, inspector } = instance;
      const worker = await TestWorker.join(broker);
      const names = (prefix: string) => [`${prefix}-named`, newId('usual')];
      const ways: Record<string, (taken: ClaimedJob) => Promise<void>> = {
        runs: async () => undefined,
        retries: (one) => worker.done(reschedule(one, 3_600_000)),
        waits: (one) => worker.done(release(one)),
        suspected: (one) => worker.done(release(one, 'alone')),
        ended: (one) => worker.done(end(one)),
        forgotten: (one) => worker.done(end(one, { keepMs: 0 })),
        died: (one) => worker.done(bury(one)),
        discarded: async (one) => {
          await worker.done(bury(one));
          await inspector.discard({ ids: [one.id] }, 1);
        },
      };
      const all: AdoptedJob[] = [];
      const forgotten: string[] = [];
      for (const [way, act] of Object.entries(ways)) {
        const given = names(way).map((id) => queued(id));
        await inspector.adopt(given);
        for (const one of await worker.take()) await act(one);
        all.push(...given);
        if (way === 'forgotten' || way === 'discarded') forgotten.push(...ids(given));
      }
      const before = await broker.states(ids(all));
      const stood = await standing(instance);
      for (const again of [all, all.map((one) => scheduled(one.id)), all.map((one) => dead(one.id)), all]) {
        expect(await inspector.adopt(again)).toEqual(all.map(() => 'there'));
      }
      while (await broker.tidy());
      expect(await inspector.adopt(all)).toEqual(all.map(() => 'there'));
      expect(await broker.states(ids(all))).toEqual(before);
      expect(await broker.states(forgotten)).toEqual(forgotten.map(() => undefined));
      expect(await standing(instance)).toEqual(stood);
    });

    it('a job that came here by itself is not adopted either: there with the same work, a conflict with other', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const packed = Array.from({ length: 60 }, () => job(newId('usual')));
      await broker.enqueue(packed);
      const single = newId('usual');
      await broker.enqueue([job(single, { countdownMs: 3_600_000 })]);
      await broker.enqueue([job('same', named()), job('other', named('another')), job('short', named('another', 1))]);
      const own = [queued(packed[30]?.id as string), queued(single), queued('same'), dead('other'), scheduled('short', { queue: 'high' })];
      const fresh = [queued('fresh'), queued('fresh')];
      await eventually(async () => (await broker.enqueue([job('short', named('another', 1))]))[0] === 'duplicate', 'its time is over');
      expect(await inspector.adopt([...own, ...fresh])).toEqual(['there', 'there', 'there', 'conflict', 'conflict', 'adopted', 'there']);
      expect((await inspector.queues()).map(({ ready, scheduled, dead }) => [ready, scheduled, dead])).toEqual([
        [0, 0, 0],
        [64, 1, 0],
        [0, 0, 0],
      ]);
    });

    it('a later enqueue of an adopted id makes no second job, while it waits and when it is forgotten', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const worker = await TestWorker.join(broker);
      const own = newId('usual');
      await inspector.adopt([queued('it'), queued(own), dead('letter'), scheduled('later')]);
      const again = [job('it', named()), job(own, named()), job('letter', named()), job('later', named())];
      expect(await broker.enqueue(again)).toEqual(['duplicate', 'duplicate', 'duplicate', 'duplicate']);
      expect(await broker.enqueue([job('it', { ...named('changed'), queue: 'high' })])).toEqual(['conflict']);
      await worker.done(...(await worker.take()).map((one) => end(one, { keepMs: 0 })));
      expect(await broker.enqueue(again.slice(0, 2))).toEqual(['duplicate', 'duplicate']);
      expect(await worker.takeAll()).toEqual([]);
      // Others are none the worse for it.
      expect(await broker.enqueue([...jobs(2, 'plain'), job('named', named())])).toEqual(['created', 'created', 'created']);
    });

    it('what cannot be kept is refused, and then none of the call is put', async () => {
      await using space = await subject.space();
      const { inspector, broker } = await space.open();
      const refusals: [Partial<Queued>, string][] = [
        [{ envelope: 'a\u001eb' }, 'INVALID_INPUT'],
        [{ envelope: 'a\u001db' }, 'INVALID_INPUT'],
        [{ envelope: '"\ud800"' }, 'INVALID_INPUT'],
        [{ past: 'a\u001eb' }, 'INVALID_INPUT'],
        [{ id: '' }, 'INVALID_INPUT'],
        [{ id: 'a\u001eb' }, 'INVALID_INPUT'],
        [{ queue: 'nowhere' }, 'UNKNOWN_QUEUE'],
      ];
      for (const [more, code] of refusals) {
        await expect(inspector.adopt([queued('good'), queued('bad', more)])).rejects.toMatchObject({ code });
      }
      expect(await broker.states(['good', 'bad'])).toEqual([undefined, undefined]);
      expect(await inspector.adopt([])).toEqual([]);
      // A dead letter is the last resort: what it says is made storable.
      expect(await inspector.adopt([dead('letter', { message: 'half \ud800 a pair' })])).toEqual(['adopted']);
      expect((await inspector.deadLetters({}, 1, undefined)).items[0]?.message).toBe('half \ufffd a pair');
    });

    it('removes what waits, is scheduled or is dead, also out of packs, and leaves the others in place', async () => {
      await using space = await subject.space();
      const instance = await space.open();
      const { broker, inspector } = instance;
      const worker = await TestWorker.join(broker);
      await broker.enqueue([job('runs'), job('dies'), job('ends'), job('retries')]);
      const [runs, dies, ends, retries] = (await worker.take()) as [ClaimedJob, ClaimedJob, ClaimedJob, ClaimedJob];
      await worker.done(bury(dies), end(ends), reschedule(retries, 3_600_000));
      const packed = Array.from({ length: 100 }, () => job(newId('usual')));
      await broker.enqueue(packed);
      await broker.enqueue([job('single', { queue: 'high' }), job('later', { countdownMs: 3_600_000 }), job('named', named())]);
      const some = [0, 40, 41, 99].map((index) => packed[index]?.id as string);
      const wanted = ['runs', 'dies', 'ends', 'retries', 'single', 'later', 'named', 'unknown', newId('usual'), ...some];
      const gone = ['dies', 'retries', 'single', 'later', 'named', ...some];
      expect([...(await inspector.remove(wanted))].toSorted()).toEqual(gone.toSorted());
      expect(await inspector.remove(wanted)).toEqual([]);
      expect(await broker.states(gone)).toEqual(gone.map(() => undefined));
      expect(await broker.states(['runs', 'ends'])).toEqual(['running', 'succeeded']);
      expect((await inspector.queues()).map(({ ready, scheduled, running, dead }) => [ready, scheduled, running, dead])).toEqual([
        [0, 0, 0, 0],
        [96, 0, 1, 0],
        [0, 0, 0, 0],
      ]);
      const left = packed.filter(({ id }) => !some.includes(id));
      expect(ids(await inspector.jobs('queued', { limit: 200 }))).toEqual(ids(left));
      expect(ids(await worker.takeAll({ limit: 30 }))).toEqual(ids(left));
      await worker.done(end(runs));
      expect(await inspector.remove([])).toEqual([]);
    });

    it('an id that was removed is free, for the same work and for other', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      await broker.enqueue([job('a', named()), job('b', named())]);
      expect(await inspector.remove(['a', 'b'])).toHaveLength(2);
      expect(await broker.enqueue([job('a', named()), job('b', { ...named('changed'), queue: 'high' })])).toEqual(['created', 'created']);
      expect(await broker.states(['a', 'b'])).toEqual(['queued', 'queued']);
    });

    it('jobs go there and back and there again, each as it was', async () => {
      await using here = await subject.space();
      await using there = await subject.space();
      const [one, other] = [await here.open(), await there.open()];
      const worker = await TestWorker.join(one.broker);
      const packed = Array.from({ length: 40 }, () => job(newId('usual')));
      await one.broker.enqueue(packed);
      const taken = await worker.take({ limit: 1_000 });
      await one.broker.enqueue([job('named', named()), job('later', { ...named(), countdownMs: 3_600_000 })]);
      const [first, second, third] = taken as [ClaimedJob, ClaimedJob, ClaimedJob];
      await worker.done(reschedule(first, 3_600_000), bury(second), release(third, 'suspects', { losses: 1 }));
      const before = byId(await standing(one));
      expect(before).toHaveLength(5);
      for (const [from, to] of [
        [one, other],
        [other, one],
        [one, other],
        [other, one],
      ] as const) {
        await moveAll(from, to);
        expect(byId(await standing(to))).toEqual(before);
        expect(await standing(from)).toEqual([]);
      }
      // The others of their pack ran all the time.
      await worker.done(...taken.slice(3).map((job) => end(job)));
      expect(byId(await standing(one))).toEqual(before);
      const moved = await moveAll(one, other);
      expect(await other.broker.enqueue([job('named', named()), job('later', named())])).toEqual(['duplicate', 'duplicate']);
      expect(await one.broker.states(moved)).toEqual(moved.map(() => undefined));
    });

    it('two who adopt the same jobs at once put each once', async () => {
      await using space = await subject.space();
      const [one, other] = [await space.open(), await space.open()];
      const worker = await TestWorker.join(one.broker);
      for (let round = 0; round < 30; round++) {
        const list = Array.from({ length: 9 }, (_, index) => (index % 3 === 0 ? queued(newId('usual')) : queued(`${round}-${index}`)));
        const replies = await race(
          round,
          () => one.inspector.adopt(list),
          () => other.inspector.adopt(list.toReversed()),
        );
        const put = [replies[0], replies[1].toReversed()].map((own) => own.map((reply) => (reply === 'adopted' ? 1 : 0)));
        expect(list.map((_, index) => (put[0]?.[index] ?? 0) + (put[1]?.[index] ?? 0))).toEqual(list.map(() => 1));
        const taken = await worker.takeAll();
        expect(ids(taken).toSorted()).toEqual(ids(list).toSorted());
        await worker.done(...taken.map((job) => end(job, { keepMs: 0 })));
      }
    });

    it('of a job that is claimed and removed at once, one of the two has it', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const worker = await TestWorker.join(broker);
      for (let round = 0; round < 30; round++) {
        const list = Array.from({ length: 24 }, () => job(newId('usual')));
        await broker.enqueue(list);
        const [gone, taken] = await race(
          round,
          () => inspector.remove(ids(list).filter((_, index) => index % 2 === 0)),
          () => worker.take({ limit: 17 }),
        );
        const rest = await worker.takeAll();
        expect([...gone, ...ids(taken), ...ids(rest)].toSorted()).toEqual(ids(list).toSorted());
        await worker.done(...[...taken, ...rest].map((one) => end(one, { keepMs: 0 })));
      }
    });

    it('an idle worker is woken by what is adopted', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      let heard = 0;
      const stop = await broker.listen(['high', 'usual', 'low'], {
        jobs: () => {
          heard += 1;
        },
        attention: () => undefined,
      });
      expect(await worker.claim({ idle: true })).toBeUndefined();
      const before = heard;
      await (await space.open()).inspector.adopt([queued('it')]);
      await eventually(async () => heard > before, 'the worker hears of it');
      await stop();
      expect(ids(await worker.takeAll())).toEqual(['it']);
    });
  });
}
