/** What a worker has counted as arguments of pulse(), and back: histograms are arrays with a place for each bucket. */
import { buckets, type Histogram } from '../../support/histogram.ts';
import type { JobCount, Told } from '../broker.ts';
import type { QueueTable } from './queue-table.ts';
import { array, storable } from './wire.ts';

const nothingCounted: readonly unknown[] = Array.from({ length: 7 }, () => null);

/** The fourth to the tenth argument of pulse(). */
export async function packCounts(counted: Told['counted'], queues: QueueTable): Promise<readonly unknown[]> {
  if (counted === undefined) return nothingCounted;
  const { number, counts } = counted;
  return [
    number,
    counts.map(({ task }) => storable(task)),
    array(await queues.numbers(counts.map(({ queue }) => queue))),
    counts.map(({ outcome }) => outcome),
    array(counts.map(({ count }) => count)),
    counts.map(({ waited }) => dense(waited)),
    counts.map(({ ran }) => dense(ran)),
  ];
}

export function countOf(row: Record<string, unknown>): JobCount & { readonly minute: number } {
  return {
    minute: Number(row['minute']),
    task: String(row['task']),
    queue: String(row['queue']),
    outcome: String(row['outcome']),
    count: Number(row['count']),
    waited: sparse(row['waited']),
    ran: sparse(row['ran']),
  };
}

function dense(histogram: Histogram): string {
  const places = Array.from({ length: buckets }, () => 0);
  for (const [bucket, values] of histogram) places[bucket] = values;
  return array(places);
}

function sparse(places: unknown): Histogram {
  return (places as readonly string[]).map((values, bucket) => [bucket, Number(values)] as const).filter(([, values]) => values > 0);
}
