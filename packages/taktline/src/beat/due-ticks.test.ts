/** What becomes of ticks: punctual ones are run, late ones as their schedule's catch-up policy says, none twice and none forgotten. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type CatchUp, dueTicks, lateMs } from './due-ticks.ts';
import { ticksOf } from './ticks.ts';

const now = 1_000_000_000;
const everySecond = ticksOf({ everyMs: 1_000 });
const everyMinute = ticksOf({ everyMs: 60_000 });
const all = (most: number): CatchUp => ({ policy: 'all', most });

it('nothing is due before its time', () => {
  expect(dueTicks(everySecond, { policy: 'skip' }, now, now + 999)).toEqual({ run: [], missed: 0, newestMissed: [] });
});

it('what is not late is run, whatever the policy', () => {
  for (const catchUp of [{ policy: 'skip' }, { policy: 'latest' }, all(1)] as const) {
    expect(dueTicks(everySecond, catchUp, now, now + 3_500)).toEqual({
      run: [now + 1_000, now + 2_000, now + 3_000],
      missed: 0,
      newestMissed: [],
    });
    expect(dueTicks(everySecond, catchUp, now - lateMs, now).run).toHaveLength(lateMs / 1_000);
  }
});

describe('after a downtime of ten minutes', () => {
  const until = Math.ceil(now / 60_000) * 60_000 + 40_000;
  const after = until - 600_000 - 40_000;
  const last = until - 40_000;

  it.each<[CatchUp, readonly number[], number]>([
    [{ policy: 'skip' }, [], 10],
    [{ policy: 'latest' }, [last], 9],
    [all(3), [last - 120_000, last - 60_000, last], 7],
    [all(100), Array.from({ length: 10 }, (_, index) => last - (9 - index) * 60_000), 0],
  ])('%j', (catchUp, run, missed) => {
    const due = dueTicks(everyMinute, catchUp, after, until);
    expect(due.run).toEqual(run);
    expect(due.missed).toBe(missed);
    expect(due.newestMissed).toHaveLength(Math.min(10, missed));
  });
});

it('what comes once is caught up or given up like all others', () => {
  const ticks = ticksOf({ at: now });
  expect(dueTicks(ticks, { policy: 'latest' }, now - 1, now + 86_400_000)).toEqual({ run: [now], missed: 0, newestMissed: [] });
  expect(dueTicks(ticks, { policy: 'skip' }, now - 1, now + 86_400_000)).toEqual({ run: [], missed: 1, newestMissed: [now] });
});

it('each tick is run or missed, once; those that are run stand in order, and are the newest', () => {
  const policies = fc.oneof(fc.constantFrom<CatchUp>({ policy: 'skip' }, { policy: 'latest' }), fc.integer({ min: 1, max: 50 }).map(all));
  fc.assert(
    fc.property(
      fc.integer({ min: 1_000, max: 90_000 }),
      policies,
      fc.nat(3_000_000),
      fc.nat(3_000_000),
      (everyMs, catchUp, from, length) => {
        const ticks = ticksOf({ everyMs });
        const [after, until] = [now + from, now + from + length];
        const every = ticks.newest(after, until, 1e6).toReversed();
        const { run, missed, newestMissed } = dueTicks(ticks, catchUp, after, until);
        expect(run.length + missed).toBe(every.length);
        expect(run).toEqual(every.slice(every.length - run.length));
        expect(newestMissed).toEqual(every.slice(0, missed).toReversed().slice(0, newestMissed.length));
        expect(run.length).toBeGreaterThanOrEqual(every.filter((tick) => tick > until - lateMs).length);
      },
    ),
  );
});
