/** What the tests of `taktline migrate` share: places on real servers, a mixed set of jobs, and a look at what stands where. */
import { expect } from 'vitest';
import type { ClaimedJob } from '../../src/broker/broker.ts';
import { newId } from '../../src/support/ids.ts';
import { encodeEnvelope, encodeHead, fingerprint, toJson } from '../../src/task/codec.ts';
import { postgresSubject } from '../conformance/postgres-subject.ts';
import { redisSubject } from '../conformance/redis-subject.ts';
import type { Instance, Space } from '../conformance/subject.ts';
import { bury, job, release, reschedule, TestWorker } from '../conformance/test-worker.ts';
import { Cli, type Ended } from './cli.ts';

/** An empty namespace on the Postgres, or the Redis, of the test run. */
export function place(kind: 'postgres' | 'redis'): Promise<Space> {
  const name = kind === 'postgres' ? 'TAKTLINE_TEST_POSTGRES' : 'TAKTLINE_TEST_REDIS';
  const url = () => {
    const found = process.env[name];
    if (found === undefined) throw new Error(`${name} is missing: run the tests with vitest from the repository root`);
    return found;
  };
  return (kind === 'postgres' ? postgresSubject(url) : redisSubject(url, 'standalone')).space();
}

export function migrate(from: Space, to: Space, ...more: readonly string[]): Cli {
  const places = ['--from', from.url, '--namespace', from.namespace, '--to', to.url, '--to-namespace', to.namespace];
  return new Cli(['migrate', ...places, ...(more.includes('--dry-run') ? [] : ['--yes']), ...more]);
}

export async function migrated(from: Space, to: Space, ...more: readonly string[]): Promise<Ended> {
  const ended = await migrate(from, to, ...more).ended;
  expect(ended).toMatchObject({ code: 0, stderr: '' });
  return ended;
}

const head = encodeHead({ task: 't', inputVersion: 1 });
export const work = (id: string, input: unknown = { id }) => ({ envelope: encodeEnvelope(head, toJson(input, 'the input')) });
/** As a caller who gives the id enqueues it. */
export const given = (id: string, input: unknown = { id }) => ({
  ...work(id, input),
  unique: { fingerprint: fingerprint('t', toJson(input, 'the input')), forMs: 600_000 },
});

/** Packs, named jobs, scheduled and retrying ones, suspects and dead letters, in three queues; `each` of most of them. */
export async function fill({ broker }: Instance, each: number): Promise<void> {
  const worker = await TestWorker.join(broker);
  const batch = <Made>(count: number, make: (index: number) => Made): Made[] => Array.from({ length: count }, (_, index) => make(index));
  // Some that a worker has had in its hands, each of a pack.
  await broker.enqueue(batch(4 * each, () => newId('usual')).map((id) => job(id, work(id))));
  const taken = await worker.takeAll({ limit: 500 });
  const ways = [
    (one: ClaimedJob) => reschedule(one, 3_600_000, { failures: 2 }),
    (one: ClaimedJob) => bury(one, { message: `refused\n"${one.id}"`, code: 'BROKEN' }),
    (one: ClaimedJob) => release(one, 'suspects', { losses: 1 }),
    (one: ClaimedJob) => release(one, 'usual', { deferrals: 1 }),
  ];
  for (let from = 0; from < taken.length; from += 500)
    await worker.done(...taken.slice(from, from + 500).map((one, index) => (ways[index % 4] as (typeof ways)[number])(one)));
  await worker.leave();
  for (const queue of ['high', 'usual', 'low']) {
    const priority = (index: number) => (index < each / 2 ? 5 : 8);
    await broker.enqueue(batch(each, (index) => job(newId(queue), { queue, priority: priority(index), ...work(`p-${index}`) })));
    const id = (what: string, index: number) => `${queue}-${what}-${index}`;
    await broker.enqueue(
      batch(each, (index) => job(id('named', index), { queue, priority: 1 + (index % 10), ...given(id('named', index)) })),
    );
    await broker.enqueue(
      batch(each, (index) =>
        job(id('later', index), { queue, eta: 4_000_000_000_000 + index, expiresAt: 5_000_000_000_000, ...given(id('later', index)) }),
      ),
    );
  }
  await broker.enqueue([
    job('large', { ...given('large', 'x'.repeat(3_000_000)) }),
    job('larger', { ...given('larger', 'y'.repeat(3_000_000)) }),
  ]);
}

export type Standing = Readonly<Record<string, unknown>>;

/** Every job, by queue and state in its order, with all that is known of it. */
export async function standing({ inspector }: Instance): Promise<Readonly<Record<string, readonly Standing[]>>> {
  const all: Record<string, readonly Standing[]> = {};
  for (const { name: queue, priority } of await inspector.queues()) {
    const limit = 100_000;
    all[`${queue} (${priority}) queued`] = (await inspector.jobs('queued', { queue, limit })) as unknown as Standing[];
    all[`${queue} (${priority}) scheduled`] = (await inspector.jobs('scheduled', { queue, limit })) as unknown as Standing[];
    all[`${queue} (${priority}) dead`] = (await inspector.deadLetters({ queue }, limit, undefined)).items as unknown as Standing[];
  }
  // In the same millisecond the brokers may order otherwise.
  const time = (one: Standing) => Number(one['dueAt'] ?? one['diedAt'] ?? 0);
  return Object.fromEntries(
    Object.entries(all)
      .filter(([, list]) => list.length > 0)
      .map(([key, list]) => [
        key,
        key.endsWith('queued')
          ? list
          : list.toSorted((one, other) => time(one) - time(other) || (String(one['id']) < String(other['id']) ? -1 : 1)),
      ]),
  );
}

export const counted = (all: Readonly<Record<string, readonly unknown[]>>): number =>
  Object.values(all).reduce((sum, list) => sum + list.length, 0);
