/** Topic: dead letters. They can be listed by pages, filtered, put back with a new set of attempts, and thrown away. */
import { describe, expect, it } from 'vitest';
import type { ClaimedJob } from '../../src/broker/broker.ts';
import type { DeadLetterFilter, Inspector, StoredDeadLetter } from '../../src/broker/inspector.ts';
import { decodePast, type JobPast } from '../../src/task/job.ts';
import type { Subject } from './subject.ts';
import { bury, end, ids, job, named, past, TestWorker } from './test-worker.ts';

const history: JobPast['history'] = [
  { attempt: 1, outcome: 'failed', startedAt: 1, endedAt: 2, worker: 'w', error: { type: 'Error', message: 'it broke' } },
  { attempt: 2, outcome: 'lost', startedAt: 3, endedAt: 4, worker: 'v' },
];

async function listed(inspector: Inspector, filter: DeadLetterFilter = {}, limit = 100): Promise<StoredDeadLetter[]> {
  const all: StoredDeadLetter[] = [];
  let cursor: string | undefined;
  do {
    const page = await inspector.deadLetters(filter, limit, cursor);
    expect(page.items.length).toBeLessThanOrEqual(limit);
    all.push(...page.items);
    cursor = page.cursor;
  } while (cursor !== undefined);
  return all;
}

/** Makes one dead letter after the other, so that each has died no earlier than the one before. */
async function dead(worker: TestWorker, letters: readonly { id: string; queue?: string; task?: string; code?: string }[]): Promise<void> {
  for (const { id, queue = 'usual', task = 't', code = 'TASK_ERROR' } of letters) {
    const it = await worker.claimOfNew(id, queue);
    await worker.done(
      bury(it, { task, code, past: past({ failures: 5, deferrals: 2, losses: 1, lossesAlone: 1, unknownTimes: 3, history }) }),
    );
  }
}

const mixed = Array.from({ length: 24 }, (_, index) => ({
  id: `letter-${String(index).padStart(2, '0')}`,
  queue: ['high', 'usual'][index % 2] as string,
  task: ['email.send', 'email.bulk', 'report'][index % 3] as string,
  code: ['BROKEN', 'TIME_LIMIT'][Math.floor(index / 2) % 2] as string,
}));

export function deadLetters(subject: Subject): void {
  describe('dead letters', () => {
    it('are listed newest first, by pages of any size, each once', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const worker = await TestWorker.join(broker);
      expect(await inspector.deadLetters({}, 10, undefined)).toEqual({ items: [], cursor: undefined });
      await dead(worker, mixed);
      // Some that died in the same millisecond.
      await broker.enqueue(Array.from({ length: 12 }, (_, index) => job(`same-${index}`)));
      await worker.done(...(await worker.take()).map((one) => bury(one)));
      const whole = await listed(inspector);
      expect(whole).toHaveLength(36);
      expect(ids(whole).slice(12)).toEqual(ids(mixed).toReversed());
      expect(whole.every((one, index) => index === 0 || one.diedAt <= (whole[index - 1]?.diedAt ?? 0))).toBe(true);
      for (const limit of [1, 5, 12, 36, 37]) expect(await listed(inspector, {}, limit)).toEqual(whole);
      expect((await inspector.deadLetters({}, 36, undefined)).cursor).toBeUndefined();
    });

    it('can be filtered by id, queue, task, code and time, and by all at once', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      await dead(await TestWorker.join(broker), mixed);
      const whole = await listed(inspector);
      const matching = (test: (letter: StoredDeadLetter) => boolean) => ids(whole.filter(test));
      const found = async (filter: DeadLetterFilter) => ids(await listed(inspector, filter, 5));
      const diedBefore = (whole[8] as StoredDeadLetter).diedAt;
      expect(await found({ queue: 'high' })).toEqual(matching(({ queue }) => queue === 'high'));
      expect(await found({ task: 'email.send' })).toEqual(matching(({ task }) => task === 'email.send'));
      expect(await found({ code: 'TIME_LIMIT' })).toEqual(matching(({ code }) => code === 'TIME_LIMIT'));
      expect(await found({ diedBefore })).toEqual(matching(({ diedAt }) => diedAt < diedBefore));
      expect(await found({ ids: ['letter-03', 'letter-20', 'unknown'] })).toEqual(['letter-20', 'letter-03']);
      expect(await found({ ids: [] })).toEqual([]);
      expect(await found({ task: 'email' })).toEqual([]);
      expect(await found({ queue: 'usual', task: 'report', code: 'BROKEN', diedBefore })).toEqual(
        matching(({ queue, task, code, diedAt }) => queue === 'usual' && task === 'report' && code === 'BROKEN' && diedAt < diedBefore),
      );
      await expect(inspector.deadLetters({ queue: 'nowhere' }, 5, undefined)).rejects.toMatchObject({ code: 'UNKNOWN_QUEUE' });
    });

    it('are put back in their queues, by filter, within a limit, until none is left', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const worker = await TestWorker.join(broker);
      await dead(worker, mixed);
      expect(await inspector.redrive({ ids: ['letter-05'] }, 10)).toEqual(['letter-05']);
      expect(await inspector.redrive({ ids: ['letter-05'] }, 10)).toEqual([]);
      const sends = ids(mixed.filter(({ task }) => task === 'email.send'));
      expect((await inspector.redrive({ task: 'email.send' }, 100)).toSorted()).toEqual(sends);
      const rest: string[] = [];
      for (;;) {
        const some = await inspector.redrive({}, 4);
        expect(some.length).toBeLessThanOrEqual(4);
        if (some.length === 0) break;
        rest.push(...some);
      }
      expect([...rest, ...sends, 'letter-05'].toSorted()).toEqual(ids(mixed));
      expect(await listed(inspector)).toEqual([]);
      const taken = await worker.takeAll();
      expect(taken.map(({ id, queue }) => `${id} ${queue}`).toSorted()).toEqual(mixed.map(({ id, queue }) => `${id} ${queue}`));
    });

    it('a job that was put back has a new set of attempts and its whole history', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const worker = await TestWorker.join(broker);
      await broker.enqueue([job('it', { priority: 8, ...named() }), job('other', { priority: 7 })]);
      const [before] = await worker.take({ limit: 1 });
      await worker.done(
        bury(before as ClaimedJob, {
          past: past({ failures: 5, deferrals: 2, losses: 3, lossesAlone: 3, unknownSince: 1, unknownTimes: 9, history }),
        }),
      );
      await inspector.redrive({}, 1);
      expect(await broker.states(['it'])).toEqual(['queued']);
      expect(await broker.ended(['it'])).toEqual([]);
      expect(await broker.enqueue([job('it', named())])).toEqual(['duplicate']);
      const [after, other] = (await worker.take()) as [ClaimedJob, ClaimedJob];
      expect(other.id).toBe('other');
      expect(after).toMatchObject({ id: 'it', envelope: before?.envelope, enqueuedAt: before?.enqueuedAt, lane: 'usual' });
      expect(decodePast(after.past)).toEqual({ failures: 0, deferrals: 0, losses: 0, lossesAlone: 0, redrives: 1, history });
      await worker.done(bury(after, { past: after.past as string }), end(other));
      await inspector.redrive({}, 1);
      const [again] = await worker.take();
      expect(decodePast(again?.past).redrives).toBe(2);
      await worker.done(end(again as ClaimedJob));
      expect(await broker.states(['it'])).toEqual(['succeeded']);
    });

    it('several people put them back at once: each goes back once', async () => {
      await using space = await subject.space();
      const instances = await Promise.all([space.open(), space.open(), space.open()]);
      const worker = await TestWorker.join(instances[0].broker);
      const batch = Array.from({ length: 60 }, (_, index) => job(`job-${index}`));
      await instances[0].broker.enqueue(batch);
      await worker.done(...(await worker.take()).map((one) => bury(one)));
      const replies = await Promise.all([...instances, ...instances].map(({ inspector }) => inspector.redrive({}, 60)));
      expect(replies.flat().toSorted()).toEqual(ids(batch).toSorted());
      expect(ids(await worker.takeAll()).toSorted()).toEqual(ids(batch).toSorted());
    });

    it('are thrown away by filter, within a limit', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const worker = await TestWorker.join(broker);
      await dead(worker, mixed);
      expect((await inspector.discard({ queue: 'high', code: 'BROKEN' }, 2)).length).toBe(2);
      expect((await inspector.discard({ queue: 'high', code: 'BROKEN' }, 100)).length).toBe(4);
      const left = ids(mixed.filter(({ queue, code }) => queue !== 'high' || code !== 'BROKEN'));
      expect(ids(await listed(inspector)).toSorted()).toEqual(left);
      expect(await inspector.discard({ ids: [left[0] as string] }, 100)).toEqual([left[0]]);
      expect(await broker.states([left[0] as string, left[1] as string])).toEqual([undefined, 'failed']);
      expect(await worker.takeAll()).toEqual([]);
    });
  });
}
