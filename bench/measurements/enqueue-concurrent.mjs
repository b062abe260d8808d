/** Enqueue from 100 callers at once, each of which awaits its own call before it makes the next. */
import { inputs } from '../payload.mjs';

const callers = 100;

export const about = {
  name: 'enqueue-concurrent',
  title: `Enqueue from ${callers} callers at once, each awaiting its own`,
  metrics: [{ key: 'rate', label: 'jobs/s', better: 'more' }],
};

export const cases = (scale) => [{ label: '', jobs: scale === 'short' ? 10_000 : 50_000 }];

export async function run({ enqueueEach, verifyWaiting }, { jobs }) {
  const list = inputs(0, jobs);
  const began = performance.now();
  await enqueueEach(list, callers);
  const ms = performance.now() - began;
  await verifyWaiting(jobs);
  return { rate: (jobs / ms) * 1_000 };
}
