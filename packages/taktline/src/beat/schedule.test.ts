/** How far a schedule has come, as it is read again: after a restart, a change, a pause, by another release. */
import { expect, it } from 'vitest';
import { checkScheduleName, readDefinition, readProgress, tickId } from './schedule.ts';
import type { Timing } from './ticks.ts';

const timing: Timing = { everyMs: 60_000 };
const since = 1_000_000;
const state = (after: number, other: object = {}) => JSON.stringify({ timing: JSON.stringify(timing), after, runs: 3, ...other });

it('begins when it was put', () => {
  expect(readProgress({ state: undefined, since }, timing, 9e9)).toMatchObject({ after: since, runs: 0, pending: [] });
});

it('goes on where it was', () => {
  const progress = readProgress({ state: state(5_000_000, { pending: [7] }), since }, timing, 9e9);
  expect(progress).toMatchObject({ after: 5_000_000, runs: 3, pending: [7] });
});

it('does not catch up with the time in which it was paused', () => {
  expect(readProgress({ state: state(5_000_000), since: 6_000_000 }, timing, 9e9)).toMatchObject({ after: 6_000_000, runs: 3 });
});

it('with another timing it goes on from now, and keeps what it counted', () => {
  expect(readProgress({ state: state(5_000_000), since }, { everyMs: 1_000 }, 7_000_000)).toMatchObject({ after: 7_000_000, runs: 3 });
});

it('what comes once is due however late it was put, but not again', () => {
  const once: Timing = { at: 500 };
  expect(readProgress({ state: undefined, since }, once, 9e9).after).toBe(499);
  const done = JSON.stringify({ timing: JSON.stringify(once), after: 600 });
  expect(readProgress({ state: done, since }, once, 9e9).after).toBe(600);
  expect(readProgress({ state: done, since }, { at: 800 }, 900).after).toBe(799);
});

it('what cannot be read counts as nothing', () => {
  expect(readProgress({ state: '{', since }, timing, 9e9)).toMatchObject({ after: since, runs: 0 });
  expect(readDefinition({ definition: '{' })).toBeUndefined();
  expect(readDefinition({ definition: '{"v":9}' })).toBeUndefined();
});

it('a name is one that may stand in ids and on terminals', () => {
  expect(checkScheduleName('email.retry-failed:5')).toBe('email.retry-failed:5');
  for (const name of ['', '-x', 'a b', 'a\n', '\u001b[31m', 'a'.repeat(101), '{a}', '*'])
    expect(() => checkScheduleName(name)).toThrow(/name of a schedule/);
});

it("a tick's id says which it is", () => {
  expect(tickId('a', Date.parse('2026-01-01T00:00:00Z'))).toBe('tick:a:2026-01-01T00:00:00.000Z');
});
