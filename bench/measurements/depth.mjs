/**
 * Claim rate by depth: how fast jobs come to run while at least so many still wait. The first jobs warm up and are not
 * counted.
 */

export const about = {
  name: 'depth',
  title: 'Claim rate at depth, concurrency 100',
  metrics: [{ key: 'rate', label: 'jobs/s', better: 'more' }],
  ratioTo: 'rate',
};

export const cases = (scale) => {
  const jobs = scale === 'short' ? 30_000 : 100_000;
  const warmUp = jobs / 10;
  return [10_000, scale === 'short' ? 200_000 : 1_000_000].map((depth) => ({
    label: `${depth.toLocaleString('en')} waiting`,
    jobs,
    warmUp,
    filled: warmUp + jobs + depth,
    limitMs: 15_000,
  }));
};

export async function run({ pace }, { filled, jobs, warmUp, limitMs }) {
  const { ran, ms } = await pace({ filled, from: warmUp, until: warmUp + jobs, concurrency: 100, limitMs });
  return { rate: (ran / ms) * 1_000, ...(ran < jobs ? { note: `${ran} of ${jobs} in time` } : {}) };
}
