/**
 * Histograms of times. The bounds of their buckets grow by the square root of two, from 1 ms to 24 days in 64 buckets, so
 * that any two of them can be added whoever made them, and a percentile read from one is off by a sixth at most.
 */

/** Bucket 0 is below 1 ms; bucket b from 1 on ends at the square root of two to the power of b. */
export const buckets = 64;

/** @param ms what is negative (two clocks) counts as 0 */
export function bucketOf(ms: number): number {
  return ms < 1 ? 0 : Math.min(buckets - 1, 1 + Math.floor(2 * Math.log2(ms)));
}

/** Where a bucket ends, in milliseconds. */
export function upperBound(bucket: number): number {
  return 2 ** (bucket / 2);
}

/** [bucket, number of values], for those that have any. */
export type Histogram = readonly (readonly [bucket: number, values: number])[];

/** The sum of several. */
export function added(histograms: readonly Histogram[]): Histogram {
  const sum = new Map<number, number>();
  for (const histogram of histograms) for (const [bucket, values] of histogram) sum.set(bucket, (sum.get(bucket) ?? 0) + values);
  return [...sum].sort(([one], [other]) => one - other);
}

/**
 * The value below which a share of all values lies, in milliseconds; values are taken to lie evenly within their bucket.
 *
 * @param share 0 to 1
 * @returns undefined when there are no values
 */
export function quantile(histogram: Histogram, share: number): number | undefined {
  const sorted = added([histogram]);
  const all = sorted.reduce((sum, [, values]) => sum + values, 0);
  if (all === 0) return undefined;
  let below = 0;
  for (const [bucket, values] of sorted) {
    if (below + values >= share * all) {
      const from = bucket === 0 ? 0 : upperBound(bucket - 1);
      return from + ((share * all - below) / values) * (upperBound(bucket) - from);
    }
    below += values;
  }
  return upperBound(sorted.at(-1)?.[0] ?? 0);
}
