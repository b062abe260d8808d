/** Enqueue one by one: each call is awaited before the next. */
import { inputs } from '../payload.mjs';

export const about = {
  name: 'enqueue-one',
  title: 'Enqueue one by one, each awaited',
  metrics: [{ key: 'rate', label: 'jobs/s', better: 'more' }],
};

export const cases = (scale) => [{ label: '', jobs: scale === 'short' ? 1_000 : 5_000 }];

export async function run({ enqueueEach, verifyWaiting }, { jobs }) {
  const list = inputs(0, jobs);
  const began = performance.now();
  await enqueueEach(list, 1);
  const ms = performance.now() - began;
  await verifyWaiting(jobs);
  return { rate: (jobs / ms) * 1_000 };
}
