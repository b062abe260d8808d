/** What a waiting job takes in the database, after many were enqueued in bulk: on disk in Postgres, in memory in Redis. */

export const about = {
  name: 'bytes',
  title: 'Bytes a waiting job of 150 bytes takes in the database, indexes included',
  metrics: [{ key: 'bytes', label: 'bytes/job', better: 'less' }],
};

export const cases = (scale) => [{ label: '', jobs: scale === 'short' ? 20_000 : 100_000 }];

export async function run({ fill, verifyWaiting, store }, { jobs }) {
  const before = await store.bytes();
  await fill(jobs);
  await verifyWaiting(jobs);
  return { bytes: ((await store.bytes()) - before) / jobs };
}
