/** Topic: expires. A job that still waits when its time is over is not run any more; one that runs is left alone. */
import { describe, expect, it } from 'vitest';
import type { Broker, ClaimedJob } from '../../src/broker/broker.ts';
import { eventually } from '../support/eventually.ts';
import type { Subject } from './subject.ts';
import { end, ids, job, named, release, reschedule, TestWorker } from './test-worker.ts';

const expired = (broker: Broker, id: string) => eventually(async () => (await broker.states([id]))[0] === 'expired', `${id} expires`);

export function expiry(subject: Subject): void {
  describe('expires', () => {
    it('a waiting job has expired when its time is over, before anybody has touched it', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      const { enqueuedAt: now } = await worker.claimOfNew('now');
      await broker.enqueue([
        job('in', { expiresInMs: 60 }),
        job('at', { expiresAt: now + 60 }),
        job('scheduled', { countdownMs: 3_600_000, expiresInMs: 60 }),
        job('long', { expiresInMs: 3_600_000 }),
      ]);
      for (const id of ['in', 'at', 'scheduled']) await expired(broker, id);
      expect(await broker.states(['long'])).toEqual(['queued']);
    });

    it('an expired job is not claimed but ended, and the claim says that there may be more', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const worker = await TestWorker.join(broker);
      await broker.enqueue([job('late', { expiresInMs: 1 })]);
      await expired(broker, 'late');
      expect(await worker.exchange([])).toMatchObject({ claims: [], more: true });
      expect(await worker.exchange([])).toMatchObject({ claims: [], more: false });
      expect(await broker.ended(['late'])).toEqual([{ id: 'late', state: 'expired', result: undefined, past: undefined }]);
      expect(await inspector.job('late')).toMatchObject({ state: 'expired', queue: 'usual' });
    });

    it('between expired jobs the others are claimed in their order', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      const batch = Array.from({ length: 20 }, (_, index) => job(`job-${index}`, index % 3 === 0 ? { expiresInMs: 1 } : {}));
      await broker.enqueue(batch);
      await expired(broker, 'job-18');
      expect(ids(await worker.takeAll({ limit: 3 }))).toEqual(ids(batch.filter((_, index) => index % 3 !== 0)));
    });

    it('upkeep ends expired jobs that nobody claims', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      await broker.enqueue([job('late', { expiresInMs: 1 }), job('later', { countdownMs: 3_600_000, expiresInMs: 1 }), job('stays')]);
      await expired(broker, 'later');
      while (await broker.tidy());
      expect((await broker.ended(['late', 'later', 'stays'])).map(({ id, state }) => `${id} ${state}`).toSorted()).toEqual([
        'late expired',
        'later expired',
      ]);
      expect((await inspector.queues()).find(({ name }) => name === 'usual')).toMatchObject({ ready: 1, scheduled: 0 });
    });

    it('a job that runs does not expire', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      await broker.enqueue([job('it', { expiresInMs: 300 })]);
      const [it] = await worker.take();
      const clock = async () => (await worker.claimOfNew(`clock-${Math.random()}`)).enqueuedAt;
      await eventually(async () => (await clock()) > (it?.expiresAt ?? 0), 'its time is over');
      while (await broker.tidy());
      expect(await broker.states(['it'])).toEqual(['running']);
      await worker.done(end(it as ClaimedJob, { result: '1' }));
      expect(await broker.states(['it'])).toEqual(['succeeded']);
    });

    it('a job that was handed back or waits for a retry expires too', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      await broker.enqueue([job('back', { expiresInMs: 400 }), job('retry', { expiresInMs: 400 }), job('again', { expiresInMs: 400 })]);
      const [back, retry, again] = await worker.take();
      await worker.done(release(back as ClaimedJob), reschedule(retry as ClaimedJob, 3_600_000), reschedule(again as ClaimedJob, 0));
      expect(await broker.states(['back', 'retry', 'again'])).toEqual(['queued', 'retrying', 'queued']);
      for (const id of ['back', 'retry', 'again']) await expired(broker, id);
      expect(await worker.takeAll()).toEqual([]);
    });

    it('an expired job is too late to cancel, and stays expired', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      await broker.enqueue([job('ready', { expiresInMs: 1 }), job('later', { countdownMs: 3_600_000, expiresInMs: 1 })]);
      await expired(broker, 'later');
      expect(await broker.cancel(['ready', 'later'])).toEqual(['ended', 'ended']);
      expect(await broker.states(['ready', 'later'])).toEqual(['expired', 'expired']);
    });

    it('the id of an expired job stays taken', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      await broker.enqueue([job('it', { expiresInMs: 1, ...named() })]);
      await expired(broker, 'it');
      expect(await broker.enqueue([job('it', named())])).toEqual(['duplicate']);
      while (await broker.tidy());
      expect(await broker.enqueue([job('it', named())])).toEqual(['duplicate']);
    });

    it('a claimed job tells when it would have expired', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      await broker.enqueue([job('none'), job('in', { expiresInMs: 60_000 }), job('at', { expiresAt: 4_000_000_000_000 })]);
      const [none, within, at] = await worker.take();
      expect(none?.expiresAt).toBeUndefined();
      expect(within?.expiresAt).toBe((within?.enqueuedAt ?? 0) + 60_000);
      expect(at?.expiresAt).toBe(4_000_000_000_000);
    });
  });
}
