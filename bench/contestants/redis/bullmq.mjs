/**
 * BullMQ on Redis. BENCH_BULLMQ_CLIENT chooses its client: `redis` (node-redis, the default) or `ioredis`. A job costs it one
 * script call, which completes it and claims the next; finished jobs, with input and result, are kept for a day and to a
 * million, as Taktline keeps them by age and count.
 *
 * Tried on a machine that did other work too, a few seconds each: of the clients node-redis 6.3 and ioredis 5.11 and 6.0 differed by
 * less than the noise in jobs a second (node-redis took 55 to 80 microseconds of the worker's CPU for a job, ioredis 75 to 95,
 * and ioredis a tenth to a fifth less of the server's); ioredis with enableAutoPipelining was no faster, and Valkey GLIDE 2 did
 * a fifth of it. addBulk of 100, 200, 500, 2,000 and 5,000 were not above 1,000, and two calls at once are a third above one. A
 * concurrency of 200 was below 100. Keeping finished jobs by age and count cost at most a tenth against keeping all.
 * skipLockRenewal and skipStalledCheck gained nothing, and are what leases are for.
 */
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { Queue, Worker } from 'bullmq';

/** A child process for each job that runs at once: two are as good as any on two cores. */
const sandbox = resolve(import.meta.dirname, '../bullmq-sandbox.cjs');
const client = process.env.BENCH_BULLMQ_CLIENT ?? 'redis';
const bulkSize = 1_000;
const day = 24 * 3_600;
const keep = { age: day, count: 1_000_000 };

export const about = {
  name: 'bullmq',
  folder: 'node_modules/bullmq',
  keepsResults: true,
  skips: { recycling: 'it does not replace its child processes' },
  tuned: `client ${client}, a connection for each side; addBulk of ${bulkSize.toLocaleString('en')}; removeOnComplete age ${keep.age} s, count ${keep.count}`,
};

export async function open(url) {
  const queue = new Queue('bench', { connection: await connect(url) });
  await queue.waitUntilReady();
  let worker;
  const many = (inputs, opts) => queue.addBulk(inputs.map((data) => ({ name: 'bench', data, opts })));
  return {
    bulkSize,
    enqueue: (input) => queue.add('bench', input),
    enqueueMany: (inputs) => many(inputs),
    scheduleMany: (inputs) => many(inputs, { delay: day * 1_000 }),
    async work({ concurrency, run, task, pool }) {
      process.env.BENCH_POOL_TASK = JSON.stringify(task);
      const processor = pool === undefined ? (job) => run(job.data) : sandbox;
      const atOnce = pool === undefined ? concurrency : pool.children;
      worker = new Worker('bench', processor, { connection: await connect(url), concurrency: atOnce, removeOnComplete: keep });
      worker.on('error', (error) => console.error(error));
      await worker.waitUntilReady();
    },
    counts: {
      left: async (redis) =>
        (await redis.lLen('bull:bench:wait')) + (await redis.lLen('bull:bench:active')) + (await redis.zCard('bull:bench:prioritized')) > 0,
      waiting: (redis) => redis.lLen('bull:bench:wait'),
      done: (redis) => redis.zCard('bull:bench:completed'),
      kept: countKept,
    },
    scripts: scriptNames,
    async close() {
      await worker?.close(true);
      await queue.close();
    },
  };
}

async function connect(url) {
  if (client === 'ioredis') {
    const { Redis } = await import('ioredis');
    return new Redis(url, { maxRetriesPerRequest: null });
  }
  if (client !== 'redis') throw new Error(`BENCH_BULLMQ_CLIENT is ${client}: expected redis or ioredis`);
  const { createClient } = await import('redis');
  const connection = createClient({ url });
  connection.on('error', (error) => console.error(error));
  return connection.connect();
}

async function countKept(redis) {
  const page = 5_000;
  let kept = 0;
  for (let from = 0; ; from += page) {
    const ids = await redis.zRange('bull:bench:completed', from, from + page - 1);
    if (ids.length === 0) return kept;
    const results = await Promise.all(ids.map((id) => redis.hGet(`bull:bench:${id}`, 'returnvalue')));
    kept += results.filter((result) => result === '{"ok":true}').length;
  }
}

function scriptNames() {
  const scripts = createRequire(import.meta.url)(resolve(import.meta.dirname, '../../node_modules/bullmq/dist/cjs/scripts/index.js'));
  return new Map(Object.values(scripts).map(({ name, content }) => [createHash('sha1').update(content).digest('hex'), name]));
}
