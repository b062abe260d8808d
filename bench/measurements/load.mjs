/**
 * How long jobs wait for their start in a worker at 70% of what it can run: tasks that wait 20 ms, and callers that come by
 * chance (a Poisson process). The wait is counted from the enqueue call. The worker has a process of its own. A job that has
 * not started at the end counts with the time until then.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { now } from '../clock.mjs';
import { inputs } from '../payload.mjs';
import { quantile } from '../quantile.mjs';
import { watchStarts } from '../starts.mjs';

const taskMs = 20;
const share = 0.7;
const warmUpSeconds = 1;

export const about = {
  name: 'load',
  title: `Wait for the start at ${share * 100}% load, tasks of ${taskMs} ms, one worker process`,
  metrics: [
    { key: 'p50', label: 'p50 ms', better: 'less', digits: 2 },
    { key: 'p99', label: 'p99 ms', better: 'less', digits: 2 },
    { key: 'p999', label: 'p99.9 ms', better: 'less', digits: 2 },
  ],
};

export const cases = (scale) =>
  [10, 100].map((concurrency) => {
    const rate = Math.round((share * concurrency * 1_000) / taskMs);
    const seconds = scale === 'short' ? 4 : 20;
    return { label: `concurrency ${concurrency}, ${rate.toLocaleString('en')} jobs/s`, concurrency, rate, seconds };
  });

export async function run({ session, work, verifyAllDone }, { concurrency, rate, seconds }) {
  const warmUp = rate * warmUpSeconds;
  const jobs = warmUp + rate * seconds;
  const list = inputs(0, jobs);
  const starts = watchStarts(jobs, jobs);
  const workers = await work(starts, { concurrency, processes: 1, task: { kind: 'wait', ms: taskMs } });
  const called = await call(session.enqueue, list, rate);
  const inTime = await starts.reached(jobs, 2 * (warmUpSeconds + seconds) * 1_000);
  const end = now();
  if (inTime) await verifyAllDone(jobs, starts, 10_000);
  await workers.stop();
  const waits = Array.from(called.subarray(warmUp), (at, index) => (starts.startOf(warmUp + index) || end) - at);
  return {
    p50: quantile(waits, 0.5),
    p99: quantile(waits, 0.99),
    p999: quantile(waits, 0.999),
    ...(inTime ? {} : { note: `${starts.count} of ${jobs} in time` }),
  };
}

/** Enqueues each job when its time has come, and gives the times of the calls. */
async function call(enqueue, list, rate) {
  const called = new Float64Array(list.length);
  const calls = [];
  const gap = () => (-Math.log(1 - Math.random()) / rate) * 1_000;
  let due = now() + gap();
  for (let n = 0; n < list.length; n++) {
    while (now() < due) await sleep(1);
    called[n] = now();
    calls.push(enqueue(list[n]));
    due += gap();
  }
  await Promise.all(calls);
  return called;
}
