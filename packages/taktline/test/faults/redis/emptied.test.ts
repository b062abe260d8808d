/** A Redis that loses all that it held (FLUSHALL) while workers are there: what is enqueued afterwards runs, soon. */
import { expect, it, type TestContext } from 'vitest';
import { z } from 'zod';
import { createApp, silentLogger } from '../../../src/index.ts';
import { eventually } from '../../support/eventually.ts';
import { describeWithRedisServers } from '../../support/redis/needs-redis.ts';
import { OwnRedis } from '../../support/redis/own-redis.ts';

/** A worker of two slots, with a short lease, whose first attempts do not end before they are told to. */
async function scene({ onTestFinished }: TestContext) {
  const redis = await OwnRedis.make();
  const app = createApp({
    brokerUrl: redis.url(),
    queues: [
      { name: 'work', priority: 5 },
      { name: 'ends', priority: 5, keepUntilEnd: true },
    ],
    logger: silentLogger,
  });
  onTestFinished(async () => {
    await app.close();
    await redis.remove();
  });
  const begun: number[] = [];
  const work = app.task({
    name: 'work',
    queue: 'work',
    input: z.object({ n: z.number() }),
    run: async ({ n }, ctx) => {
      begun.push(n);
      if (begun.filter((one) => one === n).length === 1)
        await new Promise((_, reject) => ctx.signal.addEventListener('abort', () => reject(ctx.signal.reason), { once: true }));
      return n;
    },
  });
  await app.worker({ concurrency: 2, lease: '2s' }).start();
  return { redis, app, work, begun };
}

describeWithRedisServers('a Redis that is emptied', () => {
  it('jobs that a worker has claimed before it finds out run again when it has', async (test) => {
    const { redis, work, begun } = await scene(test);
    await redis.ask('FLUSHALL');
    const handles = await work.enqueueMany([{ n: 1 }, { n: 2 }]);
    await eventually(async () => begun.length === 2, 'they are claimed by the worker that Redis does not know any more');
    expect(await Promise.all(handles.map((handle) => handle.result({ timeout: '20s' })))).toEqual([1, 2]);
    expect(begun.toSorted()).toEqual([1, 1, 2, 2]);
  });
});
