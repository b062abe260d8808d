/** A chore that runs again and again: never twice at once, on demand at once, and no more once it is stopped. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Periodic } from './periodic.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function chore(everyMs = 1_000) {
  const ends: ((error?: Error) => void)[] = [];
  const failures: number[] = [];
  let running = 0;
  let most = 0;
  const periodic = new Periodic({
    everyMs,
    run: async () => {
      running += 1;
      most = Math.max(most, running);
      await new Promise<void>((resolve, reject) => ends.push((error) => (error === undefined ? resolve() : reject(error)))).finally(() => {
        running -= 1;
      });
    },
    failed: (_, inARow) => void failures.push(inARow),
  });
  return { periodic, ends, failures, most: () => most, settle: () => vi.advanceTimersByTimeAsync(0) };
}

it('runs about every period, counted from the end of the last run', async () => {
  const { periodic, ends, settle } = chore();
  periodic.start();
  await vi.advanceTimersByTimeAsync(949);
  expect(ends).toHaveLength(0);
  await vi.advanceTimersByTimeAsync(101);
  expect(ends).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(ends).toHaveLength(1);
  ends[0]?.();
  await settle();
  await vi.advanceTimersByTimeAsync(1_051);
  expect(ends).toHaveLength(2);
});

it('now() runs it at once, and once more after a run that is under way', async () => {
  const { periodic, ends, most, settle } = chore();
  periodic.start();
  periodic.now();
  expect(ends).toHaveLength(1);
  periodic.now();
  periodic.now();
  expect(ends).toHaveLength(1);
  ends[0]?.();
  await settle();
  expect(ends).toHaveLength(2);
  ends[1]?.();
  await settle();
  expect(ends).toHaveLength(2);
  expect(most()).toBe(1);
});

it('counts failures in a row, and goes on', async () => {
  const { periodic, ends, failures, settle } = chore(10);
  periodic.start();
  for (const error of [new Error('one'), new Error('two'), undefined, new Error('one again')]) {
    await vi.advanceTimersByTimeAsync(11);
    ends.at(-1)?.(error);
    await settle();
  }
  expect(failures).toEqual([1, 2, 1]);
});

it('stop() waits for the run that is under way and starts no other, even when one was asked for', async () => {
  const { periodic, ends } = chore();
  periodic.start();
  periodic.now();
  periodic.now();
  let stopped = false;
  const stopping = periodic.stop().then(() => {
    stopped = true;
  });
  await vi.advanceTimersByTimeAsync(5_000);
  expect(stopped).toBe(false);
  ends[0]?.();
  await stopping;
  periodic.now();
  periodic.start();
  await vi.advanceTimersByTimeAsync(5_000);
  expect(ends).toHaveLength(1);
  expect(vi.getTimerCount()).toBe(0);
});

it('stop() before start() is no mistake', async () => {
  const { periodic, ends } = chore();
  await periodic.stop();
  periodic.start();
  await vi.advanceTimersByTimeAsync(5_000);
  expect(ends).toHaveLength(0);
});
