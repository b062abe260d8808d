/** Counts the starts of jobs, whose numbers are below `numbers`, and remembers when the first `jobs` of them came. */
import { setTimeout as sleep } from 'node:timers/promises';
import { now } from './clock.mjs';

export function watchStarts(jobs, numbers) {
  const times = new Float64Array(jobs + 1);
  const startOf = new Float64Array(numbers);
  const waiters = [];
  const starts = {
    count: 0,
    twice: 0,
    /** Those of the started jobs, where the contestant says them. */
    ids: [],
    at: (count) => times[count],
    /** When the job of that number started; 0 before. */
    startOf: (n) => startOf[n],
    record(n, at, id) {
      if (startOf[n] !== 0) starts.twice += 1;
      startOf[n] = at;
      if (id !== undefined) starts.ids.push(id);
      starts.count += 1;
      if (starts.count <= jobs) times[starts.count] = at;
      for (const waiter of waiters) if (starts.count === waiter.count) waiter.resolve(true);
    },
    /** Whether so many have started within the time, counted from the first start. */
    async reached(count, limitMs) {
      if (starts.count >= count) return true;
      const timer = new AbortController();
      const left = starts.count === 0 ? limitMs : limitMs - (now() - times[1]);
      const late = sleep(Math.max(0, left), false, { signal: timer.signal }).catch(() => false);
      const reached = await Promise.race([late, new Promise((resolve) => waiters.push({ count, resolve }))]);
      timer.abort();
      return reached;
    },
    /** Starts a second in each tenth of what has started. */
    tenths() {
      const step = Math.floor(Math.min(starts.count, jobs) / 10);
      if (step === 0) return [];
      return Array.from({ length: 10 }, (_, index) => {
        const [from, to] = [Math.max(1, index * step), (index + 1) * step];
        return ((to - from) / (times[to] - times[from])) * 1_000;
      });
    },
  };
  return starts;
}
