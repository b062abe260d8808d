/**
 * Claim rate by depth: how fast jobs come to run while at least so many still wait, and on Redis while so many are scheduled
 * beside them. The first jobs warm up and are not counted.
 */

export const about = {
  name: 'depth',
  title: 'Claim rate at depth, concurrency 100',
  metrics: [{ key: 'rate', label: 'jobs/s', better: 'more' }],
  ratioTo: 'rate',
};

export const cases = (scale, on) => {
  const jobs = scale === 'short' ? 30_000 : 100_000;
  const warmUp = jobs / 10;
  const many = scale === 'short' ? 200_000 : 1_000_000;
  const depths = [{ depth: 10_000 }, { depth: many }, ...(on === 'redis' ? [{ depth: 10_000, scheduled: many }] : [])];
  return depths.map(({ depth, scheduled }) => ({
    label: `${depth.toLocaleString('en')} waiting${scheduled === undefined ? '' : `, ${scheduled.toLocaleString('en')} scheduled`}`,
    jobs,
    warmUp,
    filled: warmUp + jobs + depth,
    scheduled,
    limitMs: 15_000,
  }));
};

export async function run({ pace }, { filled, jobs, warmUp, limitMs }) {
  const { ran, ms } = await pace({ filled, from: warmUp, until: warmUp + jobs, concurrency: 100, limitMs });
  return { rate: (ran / ms) * 1_000, ...(ran < jobs ? { note: `${ran} of ${jobs} in time` } : {}) };
}
