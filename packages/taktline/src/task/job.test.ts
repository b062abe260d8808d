/** A job's past: it survives its journey, stays bounded, and a damaged one never costs the job. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { type AttemptRecord, decodePast, encodePast, historyLimit, type JobPast, noPast, withAttempt } from './job.ts';

const attempt = (number: number): AttemptRecord => ({
  attempt: number,
  outcome: 'failed',
  startedAt: number,
  endedAt: number + 1,
  worker: 'w',
  error: { type: 'Error', message: 'x' },
});

it('a past comes back as it went', () => {
  fc.assert(
    fc.property(
      fc.record({
        failures: fc.nat(),
        deferrals: fc.nat(),
        losses: fc.nat(),
        lossesAlone: fc.nat(),
        redrives: fc.nat(),
        history: fc.array(fc.nat().map(attempt), { maxLength: 5 }),
      }),
      (past) => {
        expect(decodePast(encodePast(past))).toEqual(past);
      },
    ),
  );
});

it('keeps the newest attempts, oldest first', () => {
  let past: JobPast = noPast;
  for (let number = 1; number <= historyLimit + 5; number++) past = withAttempt(past, attempt(number), { failures: number });
  expect(past.failures).toBe(historyLimit + 5);
  expect(past.history.map((record) => record.attempt)).toEqual(Array.from({ length: historyLimit }, (_, index) => index + 6));
});

it('adding an attempt changes no other past', () => {
  const before = withAttempt(noPast, attempt(1));
  withAttempt(before, attempt(2), { losses: 1 });
  expect(before.history).toHaveLength(1);
  expect(before.losses).toBe(0);
  expect(noPast.history).toEqual([]);
});

it.each([undefined, '', '{', 'null', '7', '"x"', '[]', '{"history":"none"}'])('%j counts as no past', (text) => {
  expect(decodePast(text)).toEqual(noPast);
});
