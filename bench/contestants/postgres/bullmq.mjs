/**
 * BullMQ on its Postgres backend. It completes a job and claims the next one in one statement, a job at a time, so that
 * connections are what helps it. Finished jobs and their results are kept, which is its default.
 */

import { resolve } from 'node:path';
import { createPostgresBackend, Queue, runMigrations, Worker } from 'bullmq';
import pg from 'pg';

/** A child process for each job that runs at once: two are as good as any on two cores. */
const sandbox = resolve(import.meta.dirname, '../bullmq-sandbox.cjs');

const connections = 16;

export const about = {
  name: 'bullmq',
  folder: 'node_modules/bullmq',
  keepsResults: true,
  skips: { recycling: 'it does not replace its child processes' },
  tuned: `Postgres backend, ${connections} connections; addBulk of 1,000`,
};

export async function open(url) {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await runMigrations(client);
  await client.end();
  const connection = { connectionString: url, max: connections };
  const queue = new Queue('bench', { connection }, createPostgresBackend);
  await queue.waitUntilReady();
  let worker;
  return {
    bulkSize: 1_000,
    enqueue: (input) => queue.add('bench', input),
    enqueueMany: (inputs) => queue.addBulk(inputs.map((data) => ({ name: 'bench', data }))),
    async work({ concurrency, run, task, pool }) {
      process.env.BENCH_POOL_TASK = JSON.stringify(task);
      const processor = pool === undefined ? (job) => run(job.data) : sandbox;
      const atOnce = pool === undefined ? concurrency : pool.children;
      worker = new Worker('bench', processor, { connection, concurrency: atOnce }, createPostgresBackend);
      worker.on('error', (error) => console.error(error));
      await worker.waitUntilReady();
    },
    counts: {
      left: "select exists (select 1 from bullmq.job where state <> 'completed')",
      waiting: "select count(*) from bullmq.job where state not in ('completed', 'active')",
      done: "select count(*) from bullmq.job where state = 'completed'",
      kept: `select count(*) from bullmq.job where return_value::jsonb = '{"ok": true}'`,
    },
    async close() {
      await worker?.close(true);
      await queue.close();
    },
  };
}
