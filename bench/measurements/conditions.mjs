/**
 * Enqueue in bulk and process, under conditions that are less kind than those of the other measurements: each case does both,
 * on an empty database.
 */
import { inputs } from '../payload.mjs';

export const about = {
  name: 'conditions',
  title: 'Enqueue in bulk (2 calls at once), then process at concurrency 100',
  metrics: [
    { key: 'processed', label: 'processed/s', better: 'more' },
    { key: 'enqueued', label: 'enqueued/s', better: 'more' },
  ],
  ratioTo: 'processed',
};

export const cases = (scale, on) =>
  [
    { label: '150 bytes a job' },
    { label: '1 KB a job', size: 1_024 },
    { label: '1 ms of network delay', roundTripMs: 1 },
    ...(on === 'redis' ? [{ label: 'appendfsync always', settings: { appendfsync: 'always' } }] : []),
  ].map((one) => ({ ...one, jobs: scale === 'short' ? 30_000 : 100_000, limitMs: 20_000 }));

export async function run({ fill, verifyWaiting, drain }, { jobs, size, limitMs }) {
  const list = inputs(0, jobs, size);
  const began = performance.now();
  await fill(jobs, 2, (from, to) => list.slice(from, to));
  const enqueueMs = performance.now() - began;
  await verifyWaiting(jobs);
  const { done, ms } = await drain({ jobs, concurrency: 100, limitMs });
  return {
    processed: (done / ms) * 1_000,
    enqueued: (jobs / enqueueMs) * 1_000,
    ...(done < jobs ? { note: `${done} of ${jobs} in time` } : {}),
  };
}
