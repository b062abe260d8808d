/** Ids of jobs: unique, and sorted by the time they were made. */
import { expect, it } from 'vitest';
import { newId } from './ids.ts';

it('makes UUIDs of version 7, all different, in the order in which they were made', () => {
  const from = Date.now();
  // More than one filling of the pool of random bytes.
  const ids = Array.from({ length: 2_000 }, newId);
  const to = Date.now();
  expect(new Set(ids).size).toBe(2_000);
  for (const id of ids) {
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    const madeAt = Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16);
    expect(madeAt).toBeGreaterThanOrEqual(from);
    expect(madeAt).toBeLessThanOrEqual(to);
  }
  const times = ids.map((id) => id.slice(0, 13));
  expect(times.toSorted()).toEqual(times);
});

it('draws fresh randomness for each id', () => {
  const tails = Array.from({ length: 1_000 }, () => newId().slice(-12));
  expect(new Set(tails).size).toBe(1_000);
});
