/** Topic: requests to workers. Each is told until it is answered or over, and answers can be read as long. */
import { describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';
import type { Subject } from './subject.ts';
import { TestWorker } from './test-worker.ts';

export function requesting(subject: Subject): void {
  describe('requests to workers', () => {
    const body = JSON.stringify({ verb: 'ping', text: '"quoted" \\u0000 👍' });

    it('are told to those who are asked, with each pulse, until they answer', async () => {
      await using space = await subject.space();
      const [client, server] = [await space.open(), await space.open()];
      const workers = [
        await TestWorker.join(server.broker),
        await TestWorker.join(server.broker),
        await TestWorker.join(server.broker),
      ] as const;
      const pulse = async (worker: TestWorker) => (await server.broker.pulse(worker.id, ['usual'], {})).requests;
      const [one, two, three] = workers;
      expect(await pulse(one)).toEqual([]);
      const id = await client.inspector.ask([one.id, two.id], body, 60_000);
      expect(await pulse(one)).toEqual([{ id, body }]);
      expect(await pulse(one)).toEqual([{ id, body }]);
      expect(await pulse(three)).toEqual([]);
      expect(await client.inspector.answers(id)).toEqual([]);
      await server.broker.answer(one.id, id, '"pong"');
      expect(await pulse(one)).toEqual([]);
      expect(await pulse(two)).toEqual([{ id, body }]);
      expect(await client.inspector.answers(id)).toEqual([{ worker: one.id, body: '"pong"' }]);
      await server.broker.answer(two.id, id, body);
      // The first answer stays.
      await server.broker.answer(one.id, id, '"later"');
      const answers = await client.inspector.answers(id);
      expect(new Map(answers.map((answer) => [answer.worker, answer.body]))).toEqual(
        new Map([
          [one.id, '"pong"'],
          [two.id, body],
        ]),
      );
    });

    it('several stand side by side, in their order', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const worker = await TestWorker.join(broker);
      const asked = [];
      for (const text of ['1', '2', '3']) asked.push(await inspector.ask([worker.id], text, 60_000));
      const requests = async () => (await broker.pulse(worker.id, [], {})).requests;
      expect(await requests()).toEqual(asked.map((id, index) => ({ id, body: String(index + 1) })));
      await broker.answer(worker.id, asked[1] as string, '"x"');
      expect((await requests()).map(({ body }) => body)).toEqual(['1', '3']);
    });

    it('one whose time is over is not told any more, and an answer that comes too late is not kept', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const worker = await TestWorker.join(broker);
      const id = await inspector.ask([worker.id], body, 1);
      await eventually(async () => (await broker.pulse(worker.id, [], {})).requests.length === 0, 'the request is over');
      while (await broker.tidy());
      await broker.answer(worker.id, id, '"late"');
      expect(await inspector.answers(id)).toEqual([]);
    });

    it('wake the worker that is asked', async () => {
      await using space = await subject.space();
      const [client, server] = [await space.open(), await space.open()];
      const [worker, other] = [await TestWorker.join(server.broker), await TestWorker.join(server.broker)];
      const heard: string[] = [];
      const listener = { jobs: () => undefined, attention: (id: string) => void heard.push(id) };
      const stops = [await server.broker.listen(['usual'], listener, worker.id), await server.broker.listen(['usual'], listener, other.id)];
      await client.inspector.ask([worker.id], body, 60_000);
      await eventually(async () => heard.includes(worker.id), 'the worker hears of it');
      expect(heard).not.toContain(other.id);
      await Promise.all(stops.map((stop) => stop()));
    });

    it('to a worker that has left harm nobody', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const worker = await TestWorker.join(broker);
      await worker.leave();
      const id = await inspector.ask([worker.id, '999999'], body, 60_000);
      expect(await inspector.answers(id)).toEqual([]);
      await broker.answer('999999', id, '"forged"');
    });
  });

  describe('what a worker announces', () => {
    it('replaces what it said when it joined', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const worker = await TestWorker.join(broker, { info: { queues: ['a'], tasks: [] } });
      await broker.announce(worker.id, { queues: ['a', 'b'], tasks: [], size: 3 });
      expect(await inspector.workers()).toMatchObject([{ name: 'worker', info: { queues: ['a', 'b'], tasks: [], size: 3 } }]);
      expect((await broker.pulse(worker.id, [], {})).alive).toBe(true);
      await worker.leave();
      await broker.announce(worker.id, { queues: [] });
      expect(await inspector.workers()).toEqual([]);
    });
  });
}
