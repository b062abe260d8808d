/** What a waiting job takes in the database: tables, indexes and TOAST, after many were enqueued in bulk. */

export const about = {
  name: 'bytes',
  title: 'Bytes a waiting job of 150 bytes takes in the database, indexes included',
  metrics: [{ key: 'bytes', label: 'bytes/job', better: 'less' }],
};

export const cases = (scale) => [{ label: '', jobs: scale === 'short' ? 20_000 : 100_000 }];

const size = `select sum(pg_total_relation_size(c.oid))::bigint as bytes from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'm', 'S') and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')`;

export async function run({ fill, verifyWaiting, value }, { jobs }) {
  const before = Number(await value(size));
  await fill(jobs);
  await verifyWaiting(jobs);
  return { bytes: (Number(await value(size)) - before) / jobs };
}
