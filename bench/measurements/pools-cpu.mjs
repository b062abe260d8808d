/** The same as pools.mjs with tasks that take 20 ms of CPU each, which an event loop runs one after another. */
export { run } from './pools.mjs';

export const about = {
  name: 'pools-cpu',
  title: 'Process tasks of 20 ms of CPU on the event loop of one worker, and in its two child processes, results kept',
  metrics: [{ key: 'rate', label: 'jobs/s', better: 'more', digits: 1 }],
  ratioTo: 'rate',
};

export const cases = (scale) => {
  const shared = { task: { kind: 'cpu', ms: 20 }, filled: scale === 'short' ? 200 : 1_000, limitMs: 40_000 };
  return [
    { ...shared, label: 'on the event loop', concurrency: 10 },
    { ...shared, label: 'in two child processes', concurrency: 2, pool: { children: 2, slots: 1 } },
  ];
};
