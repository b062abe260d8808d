/**
 * Process a million jobs while a transaction elsewhere is held open, as a backup or a report does. Vacuum may not
 * remove what died since its snapshot, and a claim that walks over the dead index entries of all claims before it gets
 * slower and slower: `end` is the rate over the last tenth.
 */

export const about = {
  name: 'held',
  title: 'Process under a transaction held open elsewhere (REPEATABLE READ, idle), concurrency 100',
  on: ['postgres'],
  metrics: [
    { key: 'rate', label: 'jobs/s', better: 'more' },
    { key: 'end', label: 'jobs/s at the end', better: 'more' },
  ],
  ratioTo: 'rate',
};

export const cases = (scale) =>
  [
    { label: 'none held', hold: undefined },
    { label: 'with a snapshot', hold: 'select count(*) from pg_class' },
    { label: 'with a snapshot and a transaction id', hold: 'select pg_current_xact_id()' },
  ].map((one) => ({ ...one, filled: scale === 'short' ? 200_000 : 1_000_000, limitMs: scale === 'short' ? 15_000 : 60_000 }));

export async function run({ drain, store }, params) {
  const release = params.hold === undefined ? undefined : await store.hold(params.hold);
  const { done, ms, tenths } = await drain({ jobs: params.filled, concurrency: 100, limitMs: params.limitMs });
  await release?.();
  return {
    rate: (done / ms) * 1_000,
    end: tenths.at(-1),
    tenths,
    ...(done < params.filled ? { note: `${done} of ${params.filled} in time` } : {}),
  };
}
