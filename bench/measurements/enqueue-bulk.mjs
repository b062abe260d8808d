/** Enqueue in bulk, in calls of the size that suits the contestant best. */
import { inputs } from '../payload.mjs';

export const about = {
  name: 'enqueue-bulk',
  title: 'Enqueue in bulk, in one process',
  metrics: [{ key: 'rate', label: 'jobs/s', better: 'more' }],
};

export const cases = (scale) =>
  [1, 2].map((callers) => ({
    label: callers === 1 ? 'one call after another' : `${callers} calls at once`,
    callers,
    jobs: scale === 'short' ? 50_000 : 200_000,
  }));

export async function run({ fill, verifyWaiting }, { jobs, callers }) {
  const list = inputs(0, jobs);
  const began = performance.now();
  await fill(jobs, callers, (from, to) => list.slice(from, to));
  const ms = performance.now() - began;
  await verifyWaiting(jobs);
  return { rate: (jobs / ms) * 1_000 };
}
