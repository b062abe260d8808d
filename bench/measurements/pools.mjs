/**
 * What it costs to run tasks in child processes of a worker, and what it gains: no-op jobs through the event loop of one process,
 * and through two children.
 */
import { nothing } from '../tasks.mjs';

export const about = {
  name: 'pools',
  title: 'Process no-op jobs on the event loop of one worker, and in its two child processes, results kept',
  metrics: [{ key: 'rate', label: 'jobs/s', better: 'more' }],
  ratioTo: 'rate',
};

export const cases = (scale) => {
  const shared = { task: nothing, filled: scale === 'short' ? 10_000 : 100_000, limitMs: 10_000 };
  return [
    { ...shared, label: 'on the event loop, 100 at once', concurrency: 100 },
    { ...shared, label: 'in two child processes', concurrency: 100, pool: { children: 2, slots: 50 } },
  ];
};

export async function run({ drain }, { filled, concurrency, limitMs, task, pool }) {
  const { done, ms } = await drain({ jobs: filled, concurrency, limitMs, task, pool });
  return { rate: (done / ms) * 1_000, ...(done < filled ? { note: `${done} of ${filled} in time` } : {}) };
}
