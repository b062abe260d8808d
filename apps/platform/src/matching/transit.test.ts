import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MatchingError } from './matching-error.ts';
import { checkTransit, defaultTransit, distanceKm, transitDays } from './transit.ts';

const place = (latitude: number, longitude: number) => ({ latitude, longitude });
const places = fc.record({
  latitude: fc.double({ min: -90, max: 90, noNaN: true }),
  longitude: fc.double({ min: -180, max: 180, noNaN: true }),
});
const half = Math.PI * 6_371.0088;

describe('distanceKm', () => {
  it.each([
    ['a quarter of a meridian', place(0, 0), place(90, 0), half / 2],
    ['from pole to pole', place(90, 0), place(-90, 77), half],
    ['half the equator', place(0, -90), place(0, 90), half],
    // Of these, rounding makes more than the whole.
    ['between opposite places', place(-57.31826354856442, -42.39835464574699), place(57.3182635604227, 137.60164535963065), half],
    ['over the date line', place(0, 179.5), place(0, -179.5), half / 180],
    ['from London to Paris', place(51.5074, -0.1278), place(48.8566, 2.3522), 343.6],
  ])('is right %s', (_, one, other, km) => {
    expect(distanceKm(one, other)).toBeCloseTo(km, 0);
  });

  it('is the same both ways, from 0 to half of the circumference, for all places', () => {
    fc.assert(
      fc.property(places, places, (one, other) => {
        const km = distanceKm(one, other);
        expect(km).toBeGreaterThanOrEqual(0);
        expect(km).toBeLessThanOrEqual(half + 1e-6);
        expect(distanceKm(other, one)).toBeCloseTo(km, 6);
        expect(distanceKm(one, one)).toBe(0);
      }),
    );
  });
});

describe('transitDays', () => {
  it.each([
    [0, 1],
    [100, 1],
    [100.1, 2],
    [1_500, 4],
    [20_015, 10],
  ])('of %d km are %d', (km, days) => {
    expect(transitDays(km, defaultTransit)).toBe(days);
  });
});

describe('checkTransit', () => {
  const end = Number.POSITIVE_INFINITY;

  it.each([
    ['no step', []],
    ['no end', [{ upToKm: 100, days: 1 }]],
    [
      'kilometres that do not rise',
      [
        { upToKm: 100, days: 1 },
        { upToKm: 100, days: 2 },
        { upToKm: end, days: 3 },
      ],
    ],
    [
      'days that fall',
      [
        { upToKm: 100, days: 2 },
        { upToKm: end, days: 1 },
      ],
    ],
    ['half a day', [{ upToKm: end, days: 0.5 }]],
    ['days below 0', [{ upToKm: end, days: -1 }]],
    [
      'no number',
      [
        { upToKm: Number.NaN, days: 1 },
        { upToKm: end, days: 2 },
      ],
    ],
  ])('refuses %s', (_, steps) => {
    expect(() => checkTransit(steps)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION', field: 'transit' }));
    expect(() => checkTransit(steps)).toThrow(MatchingError);
  });

  it('takes one step to anywhere, and the default', () => {
    checkTransit([{ upToKm: end, days: 0 }]);
    checkTransit(defaultTransit);
  });
});
