import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { market, need, offer, supplier, today } from '../../test/matching-market.ts';
import type { ProcessOffer, Supplier } from './market.ts';
import { defaultWeights, rank, type ScoreParts, scoreOf, smoothedOnTime, smoothedRating, type Weights } from './score.ts';

const none: Weights = { price: 0, distance: 0, lead: 0, load: 0, rating: 0, onTime: 0 };
const all: ScoreParts = { price: 1, distance: 1, lead: 1, load: 1, rating: 1, onTime: 1 };
const partNames = Object.keys(all) as readonly (keyof ScoreParts)[];

const shares = fc.double({ min: 0, max: 1, noNaN: true });
const partsArbitrary: fc.Arbitrary<ScoreParts> = fc.record({
  price: shares,
  distance: shares,
  lead: shares,
  load: shares,
  rating: shares,
  onTime: shares,
});
const weight = fc.double({ min: 0, max: Number.MAX_VALUE, noNaN: true });
const weightsArbitrary: fc.Arbitrary<Weights> = fc
  .record({ price: weight, distance: weight, lead: weight, load: weight, rating: weight, onTime: weight })
  .filter((weights) => partNames.some((name) => weights[name] > 0));

const offers = (more: Partial<ProcessOffer>) => ({ offers: new Map([['cnc_milling', offer(more)]]) });
/** Due late enough for all of them. */
const order = need({ dueOn: '2027-02-12' });

function scoreOfOne(more: Partial<Supplier>, weights: Weights = defaultWeights): number {
  const rival = supplier({ id: 'rival' });
  const found = rank(order, [rival, supplier({ id: 'one', ...more })], { today, weights }).candidates.find(
    ({ supplierId }) => supplierId === 'one',
  );
  if (found === undefined) throw new Error('left out');
  return found.score;
}

describe('scoreOf', () => {
  it('is from 0 to 1 whatever is weighed how', () => {
    fc.assert(
      fc.property(partsArbitrary, weightsArbitrary, (parts, weights) => {
        const score = scoreOf(parts, weights);
        expect(score).toBeGreaterThanOrEqual(0);
        expect(score).toBeLessThanOrEqual(1);
      }),
    );
    expect(scoreOf(all, defaultWeights)).toBe(1);
    expect(scoreOf(none, defaultWeights)).toBe(0);
  });

  it('is never less for a better part', () => {
    fc.assert(
      fc.property(partsArbitrary, weightsArbitrary, fc.constantFrom(...partNames), shares, (parts, weights, name, better) => {
        const [low, high] = [Math.min(parts[name], better), Math.max(parts[name], better)];
        expect(scoreOf({ ...parts, [name]: high }, weights)).toBeGreaterThanOrEqual(scoreOf({ ...parts, [name]: low }, weights));
      }),
    );
  });

  it('counts the ratios of the weights alone', () => {
    fc.assert(
      fc.property(partsArbitrary, fc.constantFrom(0.001, 3, 1e300, 1e-300), (parts, factor) => {
        const scaled = Object.fromEntries(partNames.map((name) => [name, defaultWeights[name] * factor]));
        expect(scoreOf(parts, { ...none, ...scaled })).toBeCloseTo(scoreOf(parts, defaultWeights), 12);
      }),
    );
  });

  it('takes the largest and the smallest numbers for weights', () => {
    for (const one of [Number.MAX_VALUE, Number.MIN_VALUE]) {
      expect(
        scoreOf({ ...all, price: 0, load: 0, lead: 0 }, { price: one, distance: one, lead: one, load: one, rating: one, onTime: one }),
      ).toBe(0.5);
    }
  });

  it('is one part when that alone is weighed', () => {
    expect(scoreOf({ ...none, load: 0.3 }, { ...none, load: 7 })).toBe(0.3);
  });

  it.each<[string, Partial<Weights>]>([
    ['price', { price: -0.1 }],
    ['lead', { lead: Number.NaN }],
    ['onTime', { onTime: Number.POSITIVE_INFINITY }],
    ['weights', none],
  ])('refuses weights, by the name of one: %s', (field, more) => {
    const refusal = expect.objectContaining({ name: 'MatchingError', code: 'INVALID_WEIGHTS', field });
    expect(() => scoreOf(all, { ...defaultWeights, ...more })).toThrow(refusal);
    expect(() => rank(order, [], { today, weights: { ...defaultWeights, ...more } })).toThrow(refusal);
  });
});

describe('rank', () => {
  it.each<[string, keyof ScoreParts, fc.Arbitrary<number>, (value: number) => Partial<Supplier>]>([
    ['price', 'price', fc.integer({ min: 0, max: 1_000_000 }), (setupMinor) => offers({ setupMinor, minimumMinor: 0 })],
    ['distance', 'distance', fc.double({ min: 0, max: 60, noNaN: true }), (south) => ({ longitude: 11.575, latitude: 48.137 - south })],
    ['lead time', 'lead', fc.integer({ min: 0, max: 40 }), (leadDays) => ({ leadDays })],
    ['load', 'load', shares, (load) => ({ load })],
    ['missing rating', 'rating', fc.double({ min: 0, max: 4, noNaN: true }), (missing) => ({ rating: 5 - missing })],
    ['lateness', 'onTime', shares, (late) => ({ onTime: 1 - late })],
  ])('never scores more %s higher', (_, part, values, sellerOf) => {
    fc.assert(
      fc.property(values, values, (one, other) => {
        const [less, more] = [sellerOf(Math.min(one, other)), sellerOf(Math.max(one, other))];
        expect(scoreOfOne(less)).toBeGreaterThanOrEqual(scoreOfOne(more));
        expect(scoreOfOne(less, { ...none, [part]: 1 })).toBeGreaterThanOrEqual(scoreOfOne(more, { ...none, [part]: 1 }));
      }),
      { numRuns: 40 },
    );
  });

  it('puts each part on its scale', () => {
    const [first, second] = rank(order, [supplier({ id: 'a', load: 0.25 }), supplier({ id: 'b', ...offers({ setupMinor: 81_000 }) })], {
      today,
    }).candidates;
    expect(first).toMatchObject({ supplierId: 'a', parts: { price: 1, load: 0.75 } });
    expect(second?.parts.price).toBe(0.5);
    expect(first?.parts.distance).toBeCloseTo(500 / 556.3, 3);
    // Made by Friday of the first week, 7 days from today, and one day on the way.
    expect(first?.slots[0]?.totalDays).toBe(8);
    expect(first?.parts.lead).toBe(14 / 22);
    expect(first?.parts.rating).toBeCloseTo((4.4 - 1) / 4, 12);
    expect(first?.parts.onTime).toBeCloseTo(0.94, 12);
  });

  it('gives each slot the score of its own time, the first one the best', () => {
    const [candidate] = rank(order, [supplier()], { today }).candidates;
    const scores = candidate?.slots.map(({ score }) => score) ?? [];
    expect(scores).toHaveLength(3);
    expect(scores[0]).toBe(candidate?.score);
    expect(scores).toEqual(scores.toSorted((one, other) => other - one));
    expect(new Set(scores).size).toBe(3);
  });

  it('breaks ties by id, in whatever order they come', () => {
    const sellers = ['b', 'a', 'C', 'ä', 'a1'].map((id) => supplier({ id }));
    const ids = ['C', 'a', 'a1', 'b', 'ä'];
    fc.assert(
      fc.property(fc.shuffledSubarray(sellers, { minLength: 5 }), (shuffled) => {
        expect(rank(order, shuffled, { today }).candidates.map(({ supplierId }) => supplierId)).toEqual(ids);
      }),
    );
  });

  it('takes a new supplier for an average one', () => {
    const unknown = { rating: undefined, ratings: 0, onTime: undefined, deliveries: 0 };
    expect(smoothedRating(unknown)).toBe(4);
    expect(smoothedOnTime(unknown)).toBe(0.9);
    expect(scoreOfOne(unknown)).toBeLessThan(scoreOfOne({ rating: 4.8, ratings: 100, onTime: 0.98, deliveries: 100 }));
    expect(scoreOfOne(unknown)).toBeGreaterThan(scoreOfOne({ rating: 3, ratings: 100, onTime: 0.7, deliveries: 100 }));
  });

  it('believes a record the more the longer it is', () => {
    expect(smoothedRating({ rating: 5, ratings: 1 })).toBeLessThan(smoothedRating({ rating: 4.8, ratings: 100 }));
    expect(smoothedRating({ rating: 5, ratings: 1_000_000 })).toBeCloseTo(5, 4);
    expect(smoothedOnTime({ onTime: 0, deliveries: 1 })).toBeCloseTo(9 / 11, 12);
  });

  it('comes back from JSON as it was, with those left out', () => {
    const { needs, suppliers } = market(5, 40, 3);
    for (const one of needs) {
      const ranking = rank(one, suppliers, { today });
      expect(JSON.parse(JSON.stringify(ranking))).toEqual(ranking);
      expect(ranking.candidates.length + ranking.leftOut.length).toBe(40);
    }
  });

  it('ranks nobody where nobody is', () => {
    expect(rank(order, [], { today })).toEqual({ candidates: [], leftOut: [] });
  });
});
