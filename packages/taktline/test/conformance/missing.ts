/** Topic: missing. After a lost reply a worker finds the claim that was in it, and nothing comes to light later. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { ClaimedJob } from '../../src/broker/broker.ts';
import { eventually } from '../support/eventually.ts';
import type { Subject } from './subject.ts';
import { end, ids, jobs, release, TestWorker } from './test-worker.ts';

export function missingClaims(subject: Subject): void {
  describe('missing', () => {
    it('tells of the claims that the worker does not know, with what is left of them', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const [worker, other] = [await TestWorker.join(broker), await TestWorker.join(broker)];
      await broker.enqueue(jobs(9));
      const known = await worker.claim({ limit: 3 });
      const unheard = await worker.claim({ limit: 3 });
      await other.claim({ limit: 3 });
      expect(await broker.missing(worker.id, [known?.id as string])).toEqual([unheard]);
      await worker.done(end(unheard?.jobs[1] as ClaimedJob));
      const [found, ...rest] = await broker.missing(worker.id, [known?.id as string]);
      expect(rest).toEqual([]);
      expect(found).toMatchObject({ id: unheard?.id, lane: 'usual', claimedAt: unheard?.claimedAt });
      expect(found?.lost).toBeUndefined();
      expect(found?.jobs).toEqual([unheard?.jobs[0], unheard?.jobs[2]]);
      await worker.done(...(found?.jobs ?? []).map((one) => release(one)));
      expect(await broker.missing(worker.id, [known?.id as string])).toEqual([]);
      expect(await broker.missing(worker.id, [])).toEqual([known]);
      // The worker goes on as before.
      expect(ids(await worker.take())).toEqual(['job-3', 'job-5']);
    });

    it('tells of a claim that was taken over, as such', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const lost = await TestWorker.join(broker, { name: 'lost' });
      await lost.claimOfNew('it');
      await lost.leave();
      const worker = await TestWorker.join(broker);
      const claims = await eventually(async () => {
        const taken = await broker.recover(worker.id);
        return taken.length > 0 && taken;
      }, 'it is recovered');
      expect(await broker.missing(worker.id, [])).toEqual(claims);
    });

    it('an exchange that is under way meanwhile has claimed before, or claims nothing', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      const outcomes = { before: 0, nothing: 0 };
      // How long it is on its way before the question: as long as it takes that now the one and now the other comes first.
      let turns = 0;
      for (let round = 0; round < 200; round++) {
        await broker.enqueue(jobs(2, `job-${round}`));
        // The reply of the exchange is taken for lost: only what missing() says counts.
        const exchange = worker.claim();
        for (let turn = 0; turn < turns; turn++) await nextTurn();
        const missing = await broker.missing(worker.id, []);
        const reply = await exchange;
        expect(await broker.missing(worker.id, [])).toEqual(missing);
        expect(missing).toEqual(reply === undefined ? [] : [reply]);
        outcomes[reply === undefined ? 'nothing' : 'before'] += 1;
        turns = reply === undefined ? 2 * turns + 1 : Math.floor(turns / 2);
        const left = await worker.takeAll();
        await worker.done(...[...missing.flatMap((claim) => claim.jobs), ...left].map((one) => end(one, { keepMs: 0 })));
      }
      // Whether any is overtaken is up to the broker; outage.ts holds one back until it is.
      expect(outcomes.before).toBeGreaterThan(5);
    });
  });
}
