/**
 * No task system, but the floor under one on Redis: a list, LPUSH and RPOP of 200 jobs at a time, and a SET with an expiry for
 * each result. No lease, no retry, no order, and nothing overlaps: what was popped is lost with its process.
 */
import { createClient } from 'redis';

const batch = 200;
const day = 24 * 3_600;

export const about = {
  name: 'floor',
  version: 'LPUSH, RPOP, SET',
  engines: '>=20',
  keepsResults: true,
  tuned: `batches of ${batch}, one connection`,
  peer: false,
  skips: {
    depth: 'it has nothing that is scheduled, and a list is as fast at any depth',
    load: 'it takes a batch, and the next one when all of it is done',
    processes: 'it is to be compared at no-op jobs',
    pools: 'it has no pool of processes',
    'pools-cpu': 'it has no pool of processes',
    recycling: 'it has no pool of processes',
  },
};

export async function open(url) {
  const client = await connect(url);
  let worker;
  return {
    bulkSize: batch,
    enqueue: (input) => client.lPush('jobs', JSON.stringify(input)),
    enqueueMany: (inputs) =>
      client.lPush(
        'jobs',
        inputs.map((input) => JSON.stringify(input)),
      ),
    async work({ concurrency, run }) {
      worker = await connect(url);
      // Ends with an error that nobody catches, and so does the process.
      void consume(worker, concurrency, run);
    },
    counts: {
      // What was popped is nowhere until its result is there.
      left: async (redis, { jobs }) => (await redis.dbSize()) < jobs,
      waiting: (redis) => redis.lLen('jobs'),
      done: async (redis) => (await redis.dbSize()) - (await redis.exists('jobs')),
      kept: countKept,
    },
    close: async () => client.destroy(),
  };
}

async function consume(client, concurrency, run) {
  for (;;) {
    const jobs = (await client.rPopCount('jobs', batch)) ?? (await client.blmPop(0, 'jobs', 'RIGHT', { COUNT: batch }))[1];
    const results = client.multi();
    for (let from = 0; from < jobs.length; from += concurrency) {
      const group = jobs.slice(from, from + concurrency).map((text) => JSON.parse(text));
      const outputs = await Promise.all(group.map((input) => run(input)));
      for (const [index, { n }] of group.entries()) results.set(`r:${n}`, JSON.stringify(outputs[index]), { EX: day });
    }
    await results.execAsPipeline();
  }
}

async function countKept(redis) {
  let kept = 0;
  for await (const keys of redis.scanIterator({ MATCH: 'r:*', COUNT: 5_000 })) {
    if (keys.length === 0) continue;
    const results = await redis.mGet(keys);
    kept += results.filter((result) => result === '{"ok":true}').length;
  }
  return kept;
}

async function connect(url) {
  const client = createClient({ url });
  client.on('error', (error) => console.error(error));
  return client.connect();
}
