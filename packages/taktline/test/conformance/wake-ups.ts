/** Topic: wake-ups. An idle worker hears of jobs, and a busy one of what is asked of it, without asking all the time. */
import { describe, expect, it } from 'vitest';
import type { Broker, Claim, ClaimedJob } from '../../src/broker/broker.ts';
import { eventually } from '../support/eventually.ts';
import type { Subject } from './subject.ts';
import { bury, end, ids, job, jobs, release, TestWorker } from './test-worker.ts';

/** A listener that counts. */
async function listening(broker: Broker) {
  const heard = { jobs: 0, attention: [] as string[] };
  const stop = await broker.listen(['high', 'usual', 'low'], {
    jobs: () => {
      heard.jobs += 1;
    },
    attention: (worker) => heard.attention.push(worker),
  });
  return { heard, stop };
}

export function wakeUps(subject: Subject): void {
  describe('wake-ups', () => {
    it('an idle worker hears of an enqueue', async () => {
      await using space = await subject.space();
      const [client, server] = [await space.open(), await space.open()];
      const worker = await TestWorker.join(server.broker);
      const { heard, stop } = await listening(server.broker);
      for (let round = 0; round < 5; round++) {
        expect(await worker.claim({ idle: true })).toBeUndefined();
        const before = heard.jobs;
        await client.broker.enqueue([job(`job-${round}`)]);
        await eventually(async () => heard.jobs > before, 'the worker hears of it');
        expect(await worker.take({ idle: true })).toHaveLength(1);
      }
      await stop();
    });

    it('one that has nothing to do may be handed what comes, or is woken; either way it gets each job, once', async () => {
      await using space = await subject.space();
      const [client, server] = [await space.open(), await space.open()];
      const worker = await TestWorker.join(server.broker);
      const heard = { jobs: 0, claims: [] as Claim[] };
      const stop = await server.broker.listen(
        ['high', 'usual', 'low'],
        { jobs: () => void (heard.jobs += 1), handed: (claim) => void heard.claims.push(claim), attention: () => undefined },
        worker.id,
      );
      for (let round = 0; round < 10; round++) {
        expect(await worker.claim({ idle: true, hand: 2 })).toBeUndefined();
        const before = heard.jobs;
        heard.claims = [];
        await client.broker.enqueue(jobs(1 + (round % 4), `job-${round}`));
        await eventually(async () => heard.jobs > before || heard.claims.length > 0, 'the worker hears of it');
        const got = [...heard.claims.flatMap((claim) => claim.jobs), ...(await worker.takeAll())];
        expect(ids(got).sort()).toEqual(ids(jobs(1 + (round % 4), `job-${round}`)));
        await worker.done(...got.map((one) => end(one)));
      }
      await stop();
    });

    it('hears too of what is handed back, put back from the dead letters, or has a countdown', async () => {
      await using space = await subject.space();
      const [client, server] = [await space.open(), await space.open()];
      const [worker, other] = [await TestWorker.join(server.broker), await TestWorker.join(client.broker)];
      const { heard, stop } = await listening(server.broker);
      await client.broker.enqueue(jobs(2));
      const [a, b] = (await other.take()) as [ClaimedJob, ClaimedJob];
      const asleep = async () => {
        expect(await worker.claim({ idle: true })).toBeUndefined();
        return heard.jobs;
      };
      let before = await asleep();
      await other.done(bury(b));
      await other.done(release(a));
      await eventually(async () => heard.jobs > before, 'the worker hears of the job that was handed back');
      expect(await worker.take({ idle: true })).toHaveLength(1);
      before = await asleep();
      await client.inspector.redrive({}, 1);
      await eventually(async () => heard.jobs > before, 'the worker hears of the dead letter');
      expect(await worker.take({ idle: true })).toHaveLength(1);
      before = await asleep();
      await client.broker.enqueue([job('later', { countdownMs: 3_600_000 })]);
      await eventually(async () => heard.jobs > before, 'the worker hears of the job to come');
      expect((await worker.exchange([], { idle: true })).nextDueInMs).toBeLessThanOrEqual(3_600_000);
      await stop();
    });

    it('a worker hears that a job of its is to be cancelled', async () => {
      await using space = await subject.space();
      const [client, server] = [await space.open(), await space.open()];
      const [worker, other] = [await TestWorker.join(server.broker), await TestWorker.join(server.broker)];
      const { heard, stop } = await listening(server.broker);
      await worker.claimOfNew('it');
      await other.claimOfNew('other');
      expect(await client.broker.cancel(['it', 'unknown'])).toEqual(['asked', 'unknown']);
      await eventually(async () => heard.attention.length > 0, 'the worker hears of it');
      expect(heard.attention).toEqual([worker.id]);
      expect(await client.broker.cancel(['other', 'it'])).toEqual(['asked', 'asked']);
      await eventually(async () => heard.attention.length >= 3, 'both hear of it');
      expect(new Set(heard.attention)).toEqual(new Set([worker.id, other.id]));
      await stop();
    });

    it('every listener hears, those that have stopped do not, and nobody of another namespace does', async () => {
      await using space = await subject.space();
      await using elsewhere = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      const [one, two, three] = [await listening(broker), await listening((await space.open()).broker), await listening(broker)];
      const stranger = await listening((await elsewhere.open()).broker);
      await three.stop();
      const before = [one, two, three, stranger].map(({ heard }) => heard.jobs);
      await worker.claim({ idle: true });
      await broker.enqueue([job('it')]);
      await eventually(async () => one.heard.jobs > (before[0] as number) && two.heard.jobs > (before[1] as number), 'both hear of it');
      expect([three.heard.jobs, stranger.heard.jobs]).toEqual(before.slice(2));
      await Promise.all([one.stop(), two.stop(), stranger.stop(), three.stop()]);
    });

    it('a broker that is closed while it listens ends all the same', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      await listening(broker);
      await broker.close();
      await expect(broker.ping()).rejects.toMatchObject({ code: 'BROKER_CLOSED' });
    });
  });
}
