/**
 * Pick-up latency on an idle queue: from the call that enqueues a job to the start of its run, in the same process as
 * the worker, so that one clock tells both. The worker has been idle for a while each time.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { input } from '../payload.mjs';

const warmUps = 10;

export const about = {
  name: 'latency',
  title: 'Pick-up latency on an idle queue, from the enqueue call to the start of the run',
  metrics: [
    { key: 'p50', label: 'p50 ms', better: 'less', digits: 2 },
    { key: 'p99', label: 'p99 ms', better: 'less', digits: 2 },
  ],
};

export const cases = (scale) => [{ label: 'concurrency 10', samples: scale === 'short' ? 30 : 150 }];

export async function run({ session }, { samples }) {
  let started;
  await session.work({
    concurrency: 10,
    run: async () => {
      started();
      return { ok: true };
    },
  });
  const taken = [];
  for (let n = 0; n < warmUps + samples; n++) {
    await sleep(150 + Math.random() * 150);
    const picked = new Promise((resolve) => {
      started = () => resolve(performance.now());
    });
    const began = performance.now();
    const [at] = await Promise.all([picked, session.enqueue(input(n))]);
    if (n >= warmUps) taken.push(at - began);
  }
  taken.sort((a, b) => a - b);
  const quantile = (share) => taken[Math.min(taken.length - 1, Math.ceil(taken.length * share) - 1)];
  return { p50: quantile(0.5), p99: quantile(0.99) };
}
