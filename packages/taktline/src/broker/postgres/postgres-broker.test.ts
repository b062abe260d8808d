/** What the conformance suite cannot see of the Postgres broker: where its claims look, and what it keeps of a connection. */
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type TestNamespace, testNamespace } from '../../../test/support/namespace.ts';
import type { ClaimedJob, ClaimRequest } from '../broker.ts';
import { rankOf } from './claim-rows.ts';
import { PostgresBroker } from './postgres-broker.ts';

const queues = [
  { name: 'first', priority: 9 },
  { name: 'second', priority: 5 },
];

let space: TestNamespace;
let broker: PostgresBroker;

beforeEach(async () => {
  space = await testNamespace();
  const url = () => Promise.resolve(space.url);
  broker = new PostgresBroker({ url, heartbeat: { url: space.url }, namespace: space.name, queues, deadLetterTtlMs: 86_400_000 });
  await broker.open();
});

afterEach(async () => {
  vi.restoreAllMocks();
  await broker.close();
  await space.drop();
});

const request: ClaimRequest = { queues: ['first', 'second'], limit: 3, lane: 'usual', lowestFirst: false, idle: false, hand: 0 };
const batch = (queue: string, count: number) =>
  Array.from({ length: count }, (_, index) => ({ id: `${queue}-${index}`, queue, priority: 5, envelope: '{}' }));

/** The lower ends of the ranges that each exchange looked at, by queue: the lists are arguments 18 and 19 of exchange(). */
async function looks(act: () => Promise<unknown>): Promise<Map<number, bigint>[]> {
  const query = vi.spyOn(broker.connection, 'query');
  await act();
  return query.mock.calls
    .filter(([statement]) => statement === broker.statements.exchange)
    .map(([, values = []]) => {
      const list = (value: unknown) => String(value).slice(1, -1).split(',');
      const lowest = new Map<number, bigint>();
      for (const [index, queue] of list(values[17]).entries()) {
        // The last range of a queue is the one that begins at its floor.
        lowest.set(Number(queue), BigInt(list(values[18])[index] as string));
      }
      return lowest;
    });
}

describe('a claim', () => {
  it.each(['first', 'second'])('does not look again at what was claimed from the %s queue', async (queue) => {
    await broker.enqueue(batch(queue, 9));
    const worker = await broker.join({ name: 'w', leaseMs: 60_000, info: {} });
    const ranks: bigint[] = [];
    const seen = await looks(async () => {
      for (let round = 0; round < 3; round++) {
        const [claim] = (await broker.exchange(worker, [], request)).claims;
        ranks.push(rankOf(claim?.jobs.at(-1) as ClaimedJob));
      }
    });
    const [number] = await broker.queues.numbers([queue]);
    const [other] = await broker.queues.numbers([queue === 'first' ? 'second' : 'first']);
    expect(seen.map((lowest) => lowest.get(number as number))).toEqual([-1n, ranks[0], ranks[1]]);
    expect(seen.map((lowest) => lowest.get(other as number))).toEqual([-1n, -1n, -1n]);
  });
});

describe('a connection', () => {
  it('is kept when the server refuses a statement', async () => {
    const pid = async () =>
      (await broker.connection.query<{ pid: number }>({ name: 'pid', text: 'select pg_backend_pid() as pid' }))[0]?.pid;
    const before = await pid();
    await broker.enqueue(batch('first', 1));
    await expect(broker.enqueue(batch('first', 1))).rejects.toMatchObject({ code: 'INVALID_INPUT' });
    await expect(broker.enqueue([{ id: 'nul \0', queue: 'first', priority: 5, envelope: '{}' }])).rejects.toMatchObject({
      code: 'INVALID_INPUT',
    });
    expect(await pid()).toBe(before);
  });
});

describe('an enqueue in a transaction of a caller', () => {
  let client: pg.Client;
  beforeEach(async () => {
    client = new pg.Client(space.url);
    await client.connect();
  });
  afterEach(() => client.end());

  const run = async <Row>(text: string, values: readonly unknown[]) => (await client.query(text, [...values])).rows as Row[];
  const one = (id: string, envelope = '{}') => ({ id, queue: 'first', priority: 5, envelope });

  it.each([
    ['one job', [one('a')]],
    ['jobs that come together', [one('a'), one('b')]],
    ['a job for later', [{ ...one('a'), countdownMs: 60_000 }]],
  ])('of %s takes a transaction, and one in its own database', async (_, jobs) => {
    const refused = async (message: string) =>
      expect(broker.enqueueIn(run, jobs)).rejects.toMatchObject({
        code: 'OUTBOX_TRANSACTION',
        message: expect.stringContaining(message) as string,
      });
    await refused('no transaction is open');
    await client.query('begin');
    expect(await broker.enqueueIn(run, jobs)).toEqual(jobs.map(() => 'created'));
    await client.query('rollback');
    await space.query('update $ns.origin set id = gen_random_uuid()');
    await client.query('begin');
    await refused('in another database');
    await client.query('rollback');
    expect(await space.query('select id from $ns.ready union all select id from $ns.scheduled')).toEqual([]);
  });

  it.each([
    ['id', [one('a\u001eb')]],
    ['id', [one('a\u001db')]],
    ['id of several', [one('a'), one('b\u001ec')]],
    ['envelope', [one('a', '{}\u001e{}')]],
    ['envelope', [one('a', '{}\u001d{}')]],
    ['empty envelope', [one('a', '')]],
  ])('refuses a separator in an %s', async (_, jobs) => {
    await client.query('begin');
    await expect(broker.enqueueIn(run, jobs)).rejects.toMatchObject({ code: '22023' });
    await client.query('rollback');
  });
});
