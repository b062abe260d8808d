/** Topic: opening. Any number of processes may open a broker on an empty server at once. */
import { describe, expect, it } from 'vitest';
import { Child } from '../support/child.ts';
import { queues, type Subject } from './subject.ts';
import { end, ids, job, jobs, TestWorker } from './test-worker.ts';

export function opening(subject: Subject): void {
  describe('opening', () => {
    it('eight brokers open on an empty namespace at once, and all work', async () => {
      for (let round = 0; round < 4; round++) {
        await using space = await subject.space();
        const instances = Array.from({ length: 8 }, () => space.make());
        const replies = await Promise.all(
          instances.map(async ({ broker }, index) => {
            await broker.open();
            return broker.enqueue([job(`job-${index}`)]);
          }),
        );
        expect(replies).toEqual(instances.map(() => ['created']));
        const worker = await TestWorker.join((instances[0] as (typeof instances)[number]).broker);
        expect(await worker.takeAll()).toHaveLength(8);
        expect((await (instances[1] as (typeof instances)[number]).inspector.queues()).map(({ name }) => name)).toEqual(
          queues.map(({ name }) => name),
        );
      }
    });

    it('eight processes do so', async () => {
      await using space = await subject.space();
      const children = Array.from(
        { length: 8 },
        (_, index) => new Child('open-broker.mjs', { url: space.url, namespace: space.namespace, queues, id: `job-${index}` }),
      );
      try {
        await Promise.all(children.map((child) => child.said('ready')));
        for (const child of children) child.process.send('open');
        const replies = await Promise.all(children.map(async (child) => (await child.said('enqueued'))['reply']));
        expect(replies).toEqual(children.map(() => ['created']));
      } finally {
        await Promise.all(children.map((child) => child.end()));
      }
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      expect(ids(await worker.takeAll()).toSorted()).toEqual(ids(jobs(8)));
    });

    it('opening again changes nothing that is there', async () => {
      await using space = await subject.space();
      const first = await space.open();
      await first.broker.enqueue(jobs(3));
      const worker = await TestWorker.join(first.broker);
      await worker.done(end((await worker.take({ limit: 1 }))[0] as Awaited<ReturnType<TestWorker['claimOfNew']>>));
      const second = await space.open();
      await Promise.all([second.broker.open(), second.broker.open()]);
      expect(await second.broker.states(ids(jobs(3)))).toEqual(['succeeded', 'queued', 'queued']);
      expect(ids(await worker.take())).toEqual(['job-1', 'job-2']);
    });

    it('a broker opens by itself with the first thing that is asked of it', async () => {
      await using space = await subject.space();
      expect(await space.make().broker.enqueue(jobs(1))).toEqual(['created']);
      expect(await space.make().broker.states(['job-0'])).toEqual(['queued']);
      expect((await space.make().inspector.queues()).length).toBe(3);
      await space.make().broker.ping();
    });

    it('what is asked of a closed broker is refused as such', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      await Promise.all([broker.close(), broker.close()]);
      await expect(broker.enqueue(jobs(1))).rejects.toMatchObject({ code: 'BROKER_CLOSED' });
      await expect(broker.ping()).rejects.toMatchObject({ code: 'BROKER_CLOSED' });
    });
  });
}
