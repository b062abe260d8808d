/**
 * One worker process, and two, on tasks that each take 1 ms of CPU: what a second process adds where cores are free. The
 * workers have processes of their own; the one that measures them only listens.
 */

export const about = {
  name: 'processes',
  title: 'Process tasks of 1 ms of CPU, concurrency 100 in each worker process, results kept',
  metrics: [{ key: 'rate', label: 'jobs/s', better: 'more' }],
  ratioTo: 'rate',
};

export const cases = (scale) =>
  [1, 2].map((processes) => ({
    label: processes === 1 ? '1 worker process' : `${processes} worker processes`,
    processes,
    filled: scale === 'short' ? 3_000 : 10_000,
    limitMs: 30_000,
  }));

export async function run({ drain }, { filled, processes, limitMs }) {
  const { done, ms } = await drain({ jobs: filled, concurrency: 100, limitMs, processes, task: { kind: 'cpu', ms: 1 } });
  return { rate: (done / ms) * 1_000, ...(done < filled ? { note: `${done} of ${filled} in time` } : {}) };
}
