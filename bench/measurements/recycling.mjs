/**
 * What it costs to replace the children of a pool that leak: tasks of 5 ms of CPU that each keep 50 KB for ever, in children that
 * are never replaced, and in children that are replaced when they take 150 MB.
 */
import { setTimeout as sleep } from 'node:timers/promises';

export const about = {
  name: 'recycling',
  on: ['redis'],
  title: 'Process tasks of 5 ms of CPU that each leak 50 KB, in two child processes, results kept',
  metrics: [
    { key: 'rate', label: 'jobs/s', better: 'more', digits: 1 },
    { key: 'most', label: 'most MB of a child', better: 'less' },
    { key: 'replaced', label: 'children replaced', better: 'less' },
  ],
  ratioTo: 'rate',
};

const sampleMs = 50;
const mb = 1024 * 1024;

export const cases = (scale) => {
  const shared = { filled: scale === 'short' ? 2_000 : 10_000, limitMs: 120_000, task: { kind: 'leak', ms: 5, bytes: 50_000 } };
  const pool = { children: 2, slots: 1 };
  return [
    { ...shared, label: 'never replaced', pool },
    { ...shared, label: 'replaced at 150 MB', pool: { ...pool, maxMemoryPerChild: 150 * mb } },
  ];
};

export async function run({ session, drain }, { filled, limitMs, task, pool }) {
  let most = 0;
  let over = false;
  const sampling = (async () => {
    while (!over) {
      for (const { rssBytes } of session.pool?.()?.children ?? []) most = Math.max(most, rssBytes);
      await sleep(sampleMs);
    }
  })();
  const { done, ms } = await drain({ jobs: filled, concurrency: 2, limitMs, task, pool });
  over = true;
  await sampling;
  const replaced = session.pool?.()?.recycled ?? 0;
  return { rate: (done / ms) * 1_000, most: most / mb, replaced, ...(done < filled ? { note: `${done} of ${filled} in time` } : {}) };
}
