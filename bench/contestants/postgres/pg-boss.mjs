/**
 * pg-boss with a table of its own for the queue, fetches in batches that follow each other without a pause while they
 * come back full, woken by NOTIFY, and an outcome for each job, so that each keeps its result. The handler is given a
 * batch and runs as many of its jobs at once as the concurrency says. No cron, no supervision.
 */
import { PgBoss } from 'pg-boss';

const batchSize = 1_000;
const fetchers = 4;

export const about = {
  name: 'pg-boss',
  folder: 'node_modules/pg-boss',
  skips: { pools: 'it has no pool of processes', 'pools-cpu': 'it has no pool of processes', recycling: 'it has no pool of processes' },
  keepsResults: true,
  tuned: `partition, notify, batchSize ${batchSize}, localConcurrency ${fetchers} (no more than the concurrency), burstWhenBatchFull, perJobResults, no supervision; insert of 10,000`,
};

export async function open(url) {
  const boss = new PgBoss({ connectionString: url, useListenNotify: true, schedule: false, supervise: false });
  boss.on('error', (error) => console.error(error));
  await boss.start();
  await boss.createQueue('bench', { partition: true, notify: true });
  return {
    bulkSize: 10_000,
    enqueue: (input) => boss.send('bench', input),
    enqueueMany: (inputs) =>
      boss.insert(
        'bench',
        inputs.map((data) => ({ data })),
      ),
    async work({ concurrency, run }) {
      const localConcurrency = Math.min(fetchers, concurrency);
      const atOnce = Math.floor(concurrency / localConcurrency);
      const options = { batchSize, localConcurrency, burstWhenBatchFull: true, perJobResults: true, pollingIntervalSeconds: 0.5 };
      await boss.work('bench', options, async (jobs) => {
        const results = [];
        for (let from = 0; from < jobs.length; from += atOnce) {
          const group = jobs.slice(from, from + atOnce);
          const outputs = await Promise.all(group.map((job) => run(job.data)));
          for (const [index, { id }] of group.entries()) results.push({ id, status: 'completed', output: outputs[index] });
        }
        return results;
      });
    },
    counts: {
      left: "select exists (select 1 from pgboss.job where name = 'bench' and state < 'completed')",
      waiting: "select count(*) from pgboss.job where name = 'bench' and state = 'created'",
      done: "select count(*) from pgboss.job where name = 'bench' and state = 'completed'",
      kept: `select count(*) from pgboss.job where name = 'bench' and output = '{"ok": true}'`,
    },
    close: () => boss.stop({ graceful: false }),
  };
}
