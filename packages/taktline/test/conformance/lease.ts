/** Topic: leases. What a worker holds is its own while its lease lives; then another one takes it over, exactly once. */
import { describe, expect, it } from 'vitest';
import type { Broker, Claim, ClaimedJob, HeartbeatLink, HeartbeatSpec } from '../../src/broker/broker.ts';
import { eventually } from '../support/eventually.ts';
import type { Subject } from './subject.ts';
import { bury, end, ids, job, jobs, race, release, reschedule, TestWorker } from './test-worker.ts';

/** What a heartbeat thread does with the spec. */
async function heartbeat(broker: Broker, worker: TestWorker, leaseMs: number): Promise<HeartbeatLink> {
  const { module, options } = structuredClone(broker.heartbeat(worker.id, leaseMs));
  const { openHeartbeat } = (await import(/* @vite-ignore */ module)) as {
    openHeartbeat(options: HeartbeatSpec['options']): HeartbeatLink;
  };
  return openHeartbeat(options);
}

/** Recovers until a call brings nothing and nobody is lost any more. */
async function recoverAll(worker: TestWorker): Promise<Claim[]> {
  const all: Claim[] = [];
  await eventually(async () => {
    const claims = await worker.broker.recover(worker.id);
    all.push(...claims);
    return claims.length === 0 && !(await worker.broker.pulse(worker.id, ['usual'], {})).lostWorkers;
  }, 'all is recovered');
  return all;
}

/** Resolves when the lease of some other worker has run out. */
async function leaseOver(worker: TestWorker): Promise<void> {
  await eventually(async () => (await worker.broker.pulse(worker.id, ['usual'], {})).lostWorkers, 'a lease has run out');
}

const jobsOf = (claims: readonly Claim[]): ClaimedJob[] => claims.flatMap((claim) => claim.jobs);

export function leases(subject: Subject): void {
  describe('leases', () => {
    it('a lease that is renewed does not run out', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const [mine, other] = [await TestWorker.join(broker, { leaseMs: 1_000 }), await TestWorker.join(broker)];
      const link = await heartbeat(broker, mine, 1_000);
      try {
        const it = await mine.claimOfNew('it');
        let clock = it.enqueuedAt;
        for (let look = 0; clock < it.enqueuedAt + 2_500; look++) {
          expect(await link.renew()).toBe(true);
          expect((await broker.pulse(other.id, ['usual'], {})).lostWorkers).toBe(false);
          expect(await broker.recover(other.id)).toEqual([]);
          clock = (await other.claimOfNew(`clock-${look}`)).enqueuedAt;
        }
        expect(await broker.pulse(mine.id, ['usual'], {})).toMatchObject({ alive: true });
        await mine.done(end(it));
      } finally {
        await link.close();
      }
    });

    it('a lease that has run out: others see it, take over, and the lost worker can change nothing', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const lost = await TestWorker.join(broker, { name: 'the lost one', leaseMs: 200 });
      const other = await TestWorker.join(broker, { name: 'the other' });
      const link = await heartbeat(broker, lost, 200);
      try {
        await broker.enqueue(jobs(5));
        const claim = (await lost.claim({ limit: 4 })) as Claim;
        const [a, b, c, d] = claim.jobs as [ClaimedJob, ClaimedJob, ClaimedJob, ClaimedJob];
        await lost.done(end(b));
        const pulse = await eventually(async () => {
          const told = await broker.pulse(other.id, ['usual'], {});
          return told.lostWorkers && told;
        }, 'the lease runs out');
        expect(pulse.alive).toBe(true);
        const [taken, ...rest] = await eventually(async () => {
          const claims = await broker.recover(other.id);
          return claims.length > 0 && claims;
        }, 'the jobs are taken over');
        expect(rest).toEqual([]);
        expect(ids(taken?.jobs ?? [])).toEqual(['job-0', 'job-2', 'job-3']);
        expect(taken?.jobs.map(({ position }) => position)).toEqual([0, 2, 3]);
        expect(taken?.id).not.toBe(claim.id);
        expect(taken).toMatchObject({ lane: 'usual', lost: { worker: 'the lost one', claimedAt: claim.claimedAt, open: 3 } });
        expect(taken?.lost?.lostAt).toBeGreaterThan(claim.claimedAt);

        expect(await lost.settle(end(a), bury(c), release(d), reschedule(a, 0))).toEqual([false, false, false, false]);
        expect(await lost.exchange([end(c)], { limit: 5 })).toMatchObject({ accepted: [false], claims: [] });
        expect(await broker.pulse(lost.id, ['usual'], {})).toMatchObject({ alive: false });
        expect(await link.renew()).toBe(false);
        expect(await broker.recover(lost.id)).toEqual([]);
        expect(await broker.states(ids(jobs(5)))).toEqual(['running', 'succeeded', 'running', 'running', 'queued']);
        expect((await inspector.workers()).map(({ name }) => name)).toEqual(['the other']);

        const [a2, c2, d2] = taken?.jobs as [ClaimedJob, ClaimedJob, ClaimedJob];
        await other.done(end(a2), bury(c2), release(d2));
        expect(ids(await other.take())).toEqual(['job-3', 'job-4']);
      } finally {
        await link.close();
      }
    });

    it('a lost worker joins again under another id and goes on', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const lost = await TestWorker.join(broker, { leaseMs: 1 });
      const it = await lost.claimOfNew('it');
      const other = await TestWorker.join(broker);
      await other.done(...jobsOf(await recoverAll(other)).map((one) => release(one)));
      const back = await TestWorker.join(broker);
      expect(back.id).not.toBe(lost.id);
      expect(ids(await back.take())).toEqual(['it']);
      expect(await back.settle(end(it))).toEqual([false]);
    });

    it('several recover at once: each claim moves once', async () => {
      await using space = await subject.space();
      const others = await Promise.all(Array.from({ length: 6 }, async () => TestWorker.join((await space.open()).broker)));
      const { broker } = await space.open();
      await broker.enqueue(jobs(300));
      const lost = await Promise.all(Array.from({ length: 3 }, () => TestWorker.join(broker, { leaseMs: 1 })));
      const held = new Set<string>();
      for (let round = 0; round < 20; round++) {
        for (const worker of lost) for (const { id } of await worker.take({ limit: 5 })) held.add(id);
      }
      expect(held.size).toBe(300);
      const recovered = jobsOf((await Promise.all(others.map((worker) => recoverAll(worker)))).flat());
      expect(recovered).toHaveLength(300);
      expect(new Set(ids(recovered))).toEqual(held);
      for (const worker of others) {
        const mine = jobsOf(await worker.broker.missing(worker.id, []));
        await worker.done(...mine.map((one) => end(one, { keepMs: 0 })));
      }
      expect(await broker.states([...held])).toEqual([...held].map(() => undefined));
    });

    it('recovery goes in bounded steps, and a worker of many claims is dead from the first one', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const lost = await TestWorker.join(broker, { leaseMs: 1 });
      const link = await heartbeat(broker, lost, 1);
      const batch = jobs(30, 'big', { envelope: 'x'.repeat(600_000) });
      for (let from = 0; from < 30; from += 6) await broker.enqueue(batch.slice(from, from + 6));
      await broker.enqueue(jobs(400, 'small'));
      const held = [...(await lost.takeAll({ limit: 3 })), ...(await lost.takeAll({ limit: 1 }))];
      expect(held).toHaveLength(430);
      const other = await TestWorker.join(broker);
      const first = await eventually(async () => {
        const claims = await broker.recover(other.id);
        return claims.length > 0 && jobsOf(claims);
      }, 'the lease runs out');
      expect(first.reduce((sum, { envelope }) => sum + envelope.length, 0)).toBeLessThan(8 * 1_048_576);
      expect(await broker.pulse(lost.id, ['usual'], {})).toMatchObject({ alive: false });
      expect(await link.renew()).toBe(false);
      await link.close();
      expect(await lost.settle(...held.map((one) => end(one)))).toEqual(held.map(() => false));
      expect(await lost.take()).toEqual([]);
      const all = [...first, ...jobsOf(await recoverAll(other))];
      expect(ids(all).toSorted()).toEqual(ids(held).toSorted());
    });

    it('what a lost recoverer had taken over is taken over again, and names the worker that ran it', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const first = await TestWorker.join(broker, { name: 'first', leaseMs: 1 });
      await broker.enqueue(jobs(3));
      const claim = await first.claim();
      const second = await TestWorker.join(broker, { name: 'second', leaseMs: 60_000 });
      const [taken] = await eventually(async () => {
        const claims = await broker.recover(second.id);
        return claims.length > 0 && claims;
      }, 'the second takes over');
      await second.done(release(taken?.jobs[1] as ClaimedJob));
      await second.leave();
      const third = await TestWorker.join(broker, { name: 'third' });
      const again = await recoverAll(third);
      expect(again).toHaveLength(1);
      expect(ids(jobsOf(again))).toEqual(['job-0', 'job-2']);
      expect(again[0]?.lost).toMatchObject({ worker: 'first', claimedAt: claim?.claimedAt, open: 3 });
      expect(await second.settle(end(taken?.jobs[0] as ClaimedJob))).toEqual([false]);
      await third.done(...jobsOf(again).map((one) => end(one)));
    });

    it('a suspect that is lost again is recovered with its lane', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const lost = await TestWorker.join(broker);
      await lost.done(release(await lost.claimOfNew('it'), 'alone'));
      await lost.take({ lane: 'alone' });
      await lost.leave();
      const other = await TestWorker.join(broker);
      expect(await recoverAll(other)).toMatchObject([{ lane: 'alone', jobs: [{ id: 'it', lane: 'alone' }] }]);
    });

    it('a worker that leaves with nothing is gone; what one leaves behind is taken over as if it had been lost', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const [tidy, messy] = [await TestWorker.join(broker, { name: 'tidy' }), await TestWorker.join(broker, { name: 'messy' })];
      await tidy.done(end(await tidy.claimOfNew('done')));
      const it = await messy.claimOfNew('it');
      await tidy.leave();
      expect((await inspector.workers()).map(({ name }) => name)).toEqual(['messy']);
      await messy.leave();
      const other = await TestWorker.join(broker, { name: 'other' });
      expect(await broker.pulse(other.id, ['usual'], {})).toMatchObject({ lostWorkers: true });
      expect(await recoverAll(other)).toMatchObject([{ lost: { worker: 'messy', open: 1 }, jobs: [{ id: 'it' }] }]);
      expect(await messy.settle(end(it))).toEqual([false]);
      expect((await inspector.workers()).map(({ name }) => name)).toEqual(['other']);
    });

    it('a job that was handed back, and runs elsewhere, is no part of its first claim when that is taken over', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const [first, second, heir] = [await TestWorker.join(broker), await TestWorker.join(broker), await TestWorker.join(broker)];
      await broker.enqueue(jobs(3));
      const [back] = (await first.take()) as [ClaimedJob, ClaimedJob, ClaimedJob];
      await first.done(release(back));
      const [again] = (await second.take()) as [ClaimedJob];
      expect(again.id).toBe('job-0');
      await first.leave();
      expect(ids(jobsOf(await recoverAll(heir)))).toEqual(['job-1', 'job-2']);
      expect(await broker.states(ids(jobs(3)))).toEqual(['running', 'running', 'running']);
      expect(await inspector.job('job-0')).toMatchObject({ state: 'running', claimedAt: expect.any(Number) as number });
      expect(await broker.cancel(['job-0'])).toEqual(['asked']);
      expect((await broker.pulse(second.id, ['usual'], {})).cancelled).toEqual([{ claim: again.claim, position: 0 }]);
      await second.done(end(again));
    });

    it('a settle and a recovery that race: one of them, never both, never neither', { timeout: 120_000 }, async () => {
      await using space = await subject.space();
      const [one, two] = [await space.open(), await space.open()];
      const recoverer = await TestWorker.join(two.broker);
      const outcomes = { settled: 0, recovered: 0 };
      for (let round = 0; round < 1_000; round++) {
        const lost = await TestWorker.join(one.broker, { leaseMs: 1 });
        const id = `job-${round}`;
        const it = await lost.claimOfNew(id);
        await leaseOver(recoverer);
        const [accepted, claims] = await race(
          round,
          async () => {
            // A recovery is several round trips: the settle comes between any two of them.
            for (let trip = 0; trip < round % 4; trip++) await one.broker.ping();
            return lost.settle(end(it, { result: `"${round}"` }));
          },
          () => two.broker.recover(recoverer.id),
        );
        const recovered = jobsOf(claims).filter((one) => one.id === id);
        if (accepted[0] === true) {
          outcomes.settled += 1;
          expect(recovered).toEqual([]);
          expect(await two.broker.states([id])).toEqual(['succeeded']);
        } else {
          outcomes.recovered += 1;
          // The settle can be refused by a recovery that comes back for the claim.
          const found = recovered.length > 0 ? recovered : jobsOf(await recoverAll(recoverer));
          expect(ids(found)).toEqual([id]);
          await recoverer.done(end(found[0] as ClaimedJob, { keepMs: 0 }));
        }
        if (round % 50 === 49) expect(await recoverAll(recoverer)).toEqual([]);
      }
      expect(outcomes.settled + outcomes.recovered).toBe(1_000);
      // A race in which one side always wins shows nothing.
      expect(Math.min(outcomes.settled, outcomes.recovered)).toBeGreaterThan(20);
    });

    it('a claim and a recovery of its worker that race lose no job', async () => {
      await using space = await subject.space();
      const [one, two] = [await space.open(), await space.open()];
      const recoverer = await TestWorker.join(two.broker);
      for (let round = 0; round < 200; round++) {
        const lost = await TestWorker.join(one.broker, { leaseMs: 1 });
        await two.broker.enqueue([job(`job-${round}`)]);
        await leaseOver(recoverer);
        const [, claims] = await race(
          round,
          () => lost.claim(),
          () => (round % 2 === 0 ? two.broker.recover(recoverer.id) : lost.leave().then(() => [])),
        );
        const found = [...jobsOf(claims), ...jobsOf(await recoverAll(recoverer)), ...(await recoverer.takeAll())];
        expect(ids(found)).toEqual([`job-${round}`]);
        await recoverer.done(...found.map((one) => end(one, { keepMs: 0 })));
      }
    });
  });
}
