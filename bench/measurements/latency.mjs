/**
 * Pick-up latency on an idle queue: from the call that enqueues a job to the start of its run, in the same process as
 * the worker. The worker has been idle for a while each time.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { now } from '../clock.mjs';
import { input } from '../payload.mjs';
import { quantile } from '../quantile.mjs';
import { makeTask, nothing } from '../tasks.mjs';

const warmUps = 10;
const limitMs = 10_000;

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
  const record = (_n, at) => started(at);
  const perform = makeTask(nothing);
  await session.work({
    concurrency: 10,
    task: nothing,
    record,
    async run({ n }) {
      record(n, now());
      return perform();
    },
  });
  const taken = [];
  for (let n = 0; n < warmUps + samples; n++) {
    await sleep(150 + Math.random() * 150);
    const picked = new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`a job did not start within ${limitMs} ms`)), limitMs);
      started = (at) => {
        clearTimeout(timer);
        resolve(at);
      };
    });
    const began = now();
    const [at] = await Promise.all([picked, session.enqueue(input(n))]);
    if (n >= warmUps) taken.push(at - began);
  }
  return { p50: quantile(taken, 0.5), p99: quantile(taken, 0.99) };
}
