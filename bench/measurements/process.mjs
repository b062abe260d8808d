/**
 * Process a full queue with one worker process. The clock runs from the start of the first job to the moment at which
 * the database has the last completion. A contestant that is not done in time is stopped there, and its rate is that of
 * what the database says was done.
 */

export const about = {
  name: 'process',
  title: 'Process with one worker process, results kept',
  metrics: [
    { key: 'rate', label: 'jobs/s', better: 'more' },
    { key: 'cpu', label: 'worker CPU µs/job', better: 'less', digits: 1 },
  ],
};

export const cases = (scale) =>
  [1, 10, 100].map((concurrency) => ({
    label: `concurrency ${concurrency}`,
    concurrency,
    filled: scale === 'short' ? 50_000 : 200_000,
    limitMs: scale === 'short' ? 10_000 : 20_000,
  }));

export async function run({ drain }, { filled, concurrency, limitMs }) {
  const { done, ms, cpuMs } = await drain({ jobs: filled, concurrency, limitMs });
  return { rate: (done / ms) * 1_000, cpu: (cpuMs * 1_000) / done, ...(done < filled ? { note: `${done} of ${filled} in time` } : {}) };
}
