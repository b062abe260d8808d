/** Ids of jobs: unique, and sorted by the time they were made. */
import { v4, v7 } from 'uuid';
import { expect, it } from 'vitest';
import { madeHere, newId, timeOfId } from './ids.ts';

it('makes UUIDs of version 8, all different, in the order in which they were made', () => {
  const from = Date.now();
  // More than one filling of the pool of random bytes.
  const ids = Array.from({ length: 2_000 }, () => newId());
  const to = Date.now();
  expect(new Set(ids).size).toBe(2_000);
  for (const id of ids) {
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
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

it('knows its own ids, and when they were made', () => {
  const from = Date.now();
  const id = newId();
  expect(madeHere(id)).toBe(true);
  expect(timeOfId(id)).toBeGreaterThanOrEqual(from);
  expect(timeOfId(id)).toBeLessThanOrEqual(Date.now());
  // What callers use as ids of their own.
  for (const other of [v7(), v4(), id.toUpperCase(), `${id} `, ` ${id}`, id.slice(1), `${id.slice(0, 35)}g`, 'order-1', '']) {
    expect(madeHere(other), other).toBe(false);
  }
});
