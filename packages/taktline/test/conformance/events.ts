/** Topic: events. Those who listen are told, and workers know whether anybody does. */
import { describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';
import type { Subject } from './subject.ts';
import { TestWorker } from './test-worker.ts';

export function telling(subject: Subject): void {
  describe('events', () => {
    it('reach everybody who listens, in their order and as they were', async () => {
      await using space = await subject.space();
      await using elsewhere = await subject.space();
      const [{ broker }, one, two, stranger] = [await space.open(), await space.open(), await space.open(), await elsewhere.open()];
      const heard: string[][] = [[], [], []];
      const stops = [one, two, stranger].map(({ inspector }, index) => inspector.watch((event) => void heard[index]?.push(event)));
      const [stop, ...others] = await Promise.all(stops);
      const events = ['[1]', `["${'ü'.repeat(3_400)}"]`, '["quote \\" and \\\\ and 👍"]', '[4]'];
      await eventually(async () => {
        await broker.publish(['["are you there?"]']);
        return heard[0]?.length !== 0 && heard[1]?.length !== 0;
      }, 'both listen');
      await broker.publish(events);
      await eventually(async () => [0, 1].every((index) => heard[index]?.at(-1) === '[4]'), 'both hear all');
      for (const index of [0, 1]) expect(heard[index]?.slice(-4)).toEqual(events);
      expect(heard[2]).toEqual([]);
      await stop?.();
      const before = heard[0]?.length;
      await broker.publish(['[5]']);
      await eventually(async () => heard[1]?.at(-1) === '[5]', 'the other hears it');
      expect(heard[0]).toHaveLength(before as number);
      await Promise.all(others.map((end) => end()));
    });

    it('pulses say whether somebody listens', async () => {
      await using space = await subject.space();
      const [{ broker }, other] = [await space.open(), await space.open()];
      const worker = await TestWorker.join(broker);
      const watched = async () => (await broker.pulse(worker.id, ['usual'], {})).watched;
      expect(await watched()).toBe(false);
      const stop = await other.inspector.watch(() => undefined);
      expect(await watched()).toBe(true);
      await stop();
      await stop();
    });

    it('with nobody who listens go nowhere, and a broker that is closed ends what listens', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      await broker.publish(['[1]', '[2]']);
      await broker.publish([]);
      await inspector.watch(() => undefined);
      await broker.close();
    });
  });
}
