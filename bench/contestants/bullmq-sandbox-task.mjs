/** What a child process of BullMQ does. */
import { now } from '../clock.mjs';
import { reportStarts } from '../start-reports.mjs';
import { makeTask } from '../tasks.mjs';

// It would outlive the worker that was killed.
process.on('disconnect', () => process.exit());
const record = reportStarts();
const task = makeTask(JSON.parse(process.env.BENCH_POOL_TASK));

export function perform({ n }) {
  record(n, now(), undefined);
  return task();
}
