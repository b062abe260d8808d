/** Buckets and percentiles of times. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { added, bucketOf, buckets, quantile, upperBound } from './histogram.ts';

it('a value lies in the bucket whose bounds are around it', () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 2 ** 31, noNaN: true }), (ms) => {
      const bucket = bucketOf(ms);
      // Rounding of the logarithm may put a value that is a bound to the last digit on either side.
      expect(ms).toBeLessThanOrEqual(upperBound(bucket) * (1 + 1e-9));
      expect(ms).toBeGreaterThanOrEqual(bucket === 0 ? 0 : upperBound(bucket - 1) * (1 - 1e-9));
    }),
  );
  expect([bucketOf(-5), bucketOf(0.99), bucketOf(1), bucketOf(2), bucketOf(1e15)]).toEqual([0, 0, 1, 3, buckets - 1]);
});

it('a percentile is off by no more than its bucket is wide', () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 1, max: 1e8, noNaN: true }), { minLength: 1 }),
      fc.double({ min: 0.01, max: 1, noNaN: true }),
      (values, share) => {
        const told = quantile(
          values.map((value) => [bucketOf(value), 1]),
          share,
        ) as number;
        const exact = values.toSorted((one, other) => one - other)[Math.ceil(share * values.length) - 1] as number;
        expect(told / exact).toBeLessThan(1.4143);
        expect(told / exact).toBeGreaterThan(0.7);
      },
    ),
  );
});

it('adds histograms, and knows none of an empty one', () => {
  expect(
    added([
      [
        [3, 1],
        [1, 2],
      ],
      [[3, 4]],
    ]),
  ).toEqual([
    [1, 2],
    [3, 5],
  ]);
  expect(quantile([], 0.5)).toBeUndefined();
});
