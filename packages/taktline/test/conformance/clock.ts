/** Topic: clocks. The broker's clock alone decides; a client whose own is an hour off, either way, changes nothing. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { eventually } from '../support/eventually.ts';
import type { Subject } from './subject.ts';
import { bury, end, ids, job, jobs, named, reschedule, TestWorker } from './test-worker.ts';

const hour = 3_600_000;

export function clocks(subject: Subject): void {
  describe.each([
    ['an hour ahead', hour],
    ['an hour behind', -hour],
  ])('a clock that is %s', (_, offMs) => {
    afterEach(() => {
      vi.restoreAllMocks();
    });

    /** From now on this process believes that it is another time. */
    function shiftClock(): void {
      const real = Date.now.bind(Date);
      vi.spyOn(Date, 'now').mockImplementation(() => real() + offMs);
      expect(Math.abs(Date.now() - real() - offMs)).toBeLessThan(1_000);
    }

    it('makes no job early or late', async () => {
      await using space = await subject.space();
      shiftClock();
      const { broker, inspector } = await space.open();
      const worker = await TestWorker.join(broker);
      const now = await worker.claimOfNew('now');
      expect(Math.abs(now.enqueuedAt - (Date.now() - offMs))).toBeLessThan(20_000);
      await broker.enqueue([
        job('soon', { countdownMs: 150 }),
        job('later', { countdownMs: 600_000 }),
        job('eta', { eta: now.enqueuedAt + 150 }),
      ]);
      await worker.done(reschedule(now, 150));
      const taken = new Map<string, number>();
      await eventually(async () => {
        const claim = await worker.claim();
        for (const { id } of claim?.jobs ?? []) taken.set(id, claim?.claimedAt ?? 0);
        return taken.size >= 3;
      }, 'they are due');
      expect([...taken.keys()].toSorted()).toEqual(['eta', 'now', 'soon']);
      for (const at of taken.values()) expect(at).toBeGreaterThanOrEqual(now.enqueuedAt + 150);
      expect(await broker.states(['later'])).toEqual(['scheduled']);
      expect((await inspector.queues())[1]?.oldestWaitMs).toBeUndefined();
    });

    it('costs no lease and no job', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const other = await TestWorker.join(broker);
      shiftClock();
      const shifted = await space.open();
      const worker = await TestWorker.join(shifted.broker, { leaseMs: 30_000 });
      const it = await worker.claimOfNew('it');
      expect(await broker.pulse(other.id, ['usual'], {})).toMatchObject({ lostWorkers: false });
      expect(await broker.recover(other.id)).toEqual([]);
      expect(await shifted.broker.recover(worker.id)).toEqual([]);
      await shifted.broker.enqueue([job('fresh', { expiresInMs: 60_000 })]);
      expect(await broker.states(['fresh'])).toEqual(['queued']);
      await worker.done(end(it));
    });

    it('makes upkeep throw away nothing too early', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      shiftClock();
      const shifted = await space.open({ deadLetterTtlMs: 600_000 });
      await broker.enqueue([...jobs(2), job('mine', named('print', 600_000))]);
      const [a, b, c] = await worker.take();
      await worker.done(bury(a as NonNullable<typeof a>), end(b as NonNullable<typeof b>), end(c as NonNullable<typeof c>, { keepMs: 0 }));
      while (await shifted.broker.tidy());
      expect(await broker.states(['job-0', 'job-1'])).toEqual(['failed', 'succeeded']);
      expect(await shifted.broker.enqueue([job('mine', named('print'))])).toEqual(['duplicate']);
      expect(ids(await worker.takeAll())).toEqual([]);
    });

    it('is found by an examination', async () => {
      await using space = await subject.space();
      const { inspector } = await space.open();
      shiftClock();
      const clock = (await inspector.examine()).find(({ check }) => check === 'clock');
      expect(clock).toMatchObject({ ok: false });
      expect(clock?.detail).toContain(offMs > 0 ? 'ahead' : 'behind');
    });
  });
}
