import { describe, expect, it } from 'vitest';
import { nextRetry } from './retry-days.ts';

const dayMs = 86_400_000;
const first = new Date('2026-03-01T12:00:00Z');
/** Counted from the first decline. */
const nextAfter = (days: number): number | undefined => {
  const next = nextRetry(first, new Date(first.getTime() + days * dayMs));
  return next === undefined ? undefined : (next.getTime() - first.getTime()) / dayMs;
};

describe('a further try of what was declined', () => {
  it('comes on the next of its days that is not over, and makes up for none', () => {
    expect([0, 0.5, 1, 2, 3, 6.9, 7, 8, 13].map(nextAfter)).toEqual([1, 1, 3, 3, 7, 7, 14, 14, 14]);
    expect([14, 14.1, 100].map(nextAfter)).toEqual([undefined, undefined, undefined]);
  });
});
