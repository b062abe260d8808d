/** Waiting for ends of jobs, on the real broker: the end, the time, an outage, and jobs that are not there. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { type TestNamespace, testNamespace } from '../../test/support/namespace.ts';
import { polled } from '../../test/support/polled.ts';
import type { Broker } from '../broker/broker.ts';
import { type OpenedBroker, openBroker } from '../broker/open-broker.ts';
import { newId } from '../support/ids.ts';
import { TaktlineError } from '../support/taktline-error.ts';
import { ResultWaiter } from './result-waiter.ts';

let space: TestNamespace;
let opened: OpenedBroker;
let waiter: ResultWaiter;
/** What the waiter asked, and what it was told instead of asking the broker. */
let asked: { readonly ended: (readonly string[])[]; readonly states: (readonly string[])[] };
let outage: Error | undefined;

beforeAll(async () => {
  space = await testNamespace();
  opened = await openBroker({ url: space.url, namespace: space.name, queues: [{ name: 'work', priority: 5 }], deadLetterTtlMs: 1e9 });
});

afterAll(async () => {
  await opened.close();
  await space.drop();
});

beforeEach(() => {
  asked = { ended: [], states: [] };
  outage = undefined;
  const watched: Pick<Broker, 'ended' | 'states'> = {
    ended: async (ids) => {
      asked.ended.push(ids);
      if (outage !== undefined) throw outage;
      return opened.broker.ended(ids);
    },
    states: async (ids) => {
      asked.states.push(ids);
      return opened.broker.states(ids);
    },
  };
  waiter = new ResultWaiter(async () => watched as Broker);
});

afterEach(() => waiter.close());

/** Jobs that run tomorrow; cancelling one ends it. */
async function jobs(count: number): Promise<string[]> {
  const ids = Array.from({ length: count }, newId);
  for (let from = 0; from < count; from += 1_000) {
    await opened.broker.enqueue(
      ids
        .slice(from, from + 1_000)
        .map((id) => ({ id, queue: 'work', priority: 5, envelope: '{"v":1,"task":"x","input":null}', countdownMs: 86_400_000 })),
    );
  }
  return ids;
}

it('gives the end of the job, to everybody who waits for it', async () => {
  const [id] = (await jobs(1)) as [string];
  const waits = [waiter.wait(id, 10_000), waiter.wait(id, 10_000)];
  await opened.broker.cancel([id]);
  expect(await Promise.all(waits)).toMatchObject([
    { id, state: 'cancelled' },
    { id, state: 'cancelled' },
  ]);
});

it('asks about all jobs in one round trip', async () => {
  const ids = await jobs(50);
  const waits = Promise.all(ids.map((id) => waiter.wait(id, 10_000)));
  await opened.broker.cancel(ids);
  await waits;
  expect(asked.ended.length).toBeLessThan(20);
  expect(asked.ended[0]).toHaveLength(50);
});

it('asks about each of more jobs than fit a round trip', async () => {
  const ids = await jobs(10_050);
  const waits = ids.map((id) => waiter.wait(id, 20_000).catch(() => undefined));
  await opened.broker.cancel([ids[10_040] as string]);
  expect(await waits[10_040]).toMatchObject({ state: 'cancelled' });
  waiter.close();
  await Promise.all(waits);
});

describe('gives up', () => {
  it('when the time is over, and not before; the job goes on', async () => {
    const [id] = (await jobs(1)) as [string];
    const started = performance.now();
    await expect(waiter.wait(id, 120)).rejects.toMatchObject({ code: 'RESULT_TIMEOUT', jobId: id });
    expect(performance.now() - started).toBeGreaterThanOrEqual(119);
    expect(await opened.broker.states([id])).toEqual(['scheduled']);
  });

  it('on one wait, while another one for the same job goes on', async () => {
    const [id] = (await jobs(1)) as [string];
    const patient = waiter.wait(id, 10_000);
    await expect(waiter.wait(id, 30)).rejects.toMatchObject({ code: 'RESULT_TIMEOUT' });
    await opened.broker.cancel([id]);
    expect(await patient).toMatchObject({ state: 'cancelled' });
  });

  it('on a job that nobody knows, long before the time is over', async () => {
    const id = newId();
    await expect(waiter.wait(id, 60_000)).rejects.toMatchObject({ code: 'JOB_NOT_FOUND', jobId: id });
  });

  it('on a job that expired while nobody tidied up', async () => {
    const id = newId();
    await opened.broker.enqueue([{ id, queue: 'work', priority: 5, envelope: '{"v":1,"task":"x","input":null}', expiresInMs: 1 }]);
    expect(await waiter.wait(id, 60_000)).toMatchObject({ id, state: 'expired' });
  });

  it('when it is closed, at once, and on what comes later', async () => {
    const [id] = (await jobs(1)) as [string];
    const wait = waiter.wait(id, 60_000);
    waiter.close();
    await expect(wait).rejects.toMatchObject({ code: 'BROKER_CLOSED' });
    await expect(waiter.wait(id, 60_000)).rejects.toMatchObject({ code: 'BROKER_CLOSED' });
  });

  it('when the broker says that it cannot be used at all', async () => {
    const [id] = (await jobs(1)) as [string];
    outage = new TaktlineError('BROKER_SCHEMA', 'the schema is gone');
    await expect(waiter.wait(id, 60_000)).rejects.toMatchObject({ code: 'BROKER_SCHEMA' });
  });
});

it('outlives an outage of the broker', async () => {
  const [id] = (await jobs(1)) as [string];
  outage = new TaktlineError('BROKER_UNAVAILABLE', 'away');
  const wait = waiter.wait(id, 20_000);
  await polled(() => asked.ended.length).toBeGreaterThan(2);
  await opened.broker.cancel([id]);
  outage = undefined;
  expect(await wait).toMatchObject({ state: 'cancelled' });
});

it('asks less and less often, and at once for a new job', async () => {
  vi.useFakeTimers();
  try {
    const polls: number[] = [];
    const quiet: Pick<Broker, 'ended' | 'states'> = {
      ended: async () => {
        polls.push(performance.now());
        return [];
      },
      states: async (ids) => ids.map(() => 'running' as const),
    };
    const timed = new ResultWaiter(async () => quiet as Broker);
    const waits = [timed.wait('a', 60_000).catch(() => undefined)];
    await vi.advanceTimersByTimeAsync(20_000);
    const gaps = polls.slice(1).map((at, index) => at - (polls[index] as number));
    expect(gaps[0]).toBeLessThanOrEqual(4);
    expect(gaps.toSorted((a, b) => a - b)).toEqual(gaps);
    expect(gaps.at(-1)).toBe(250);
    const asked = polls.length;
    waits.push(timed.wait('b', 60_000).catch(() => undefined));
    await vi.advanceTimersByTimeAsync(2);
    expect(polls.length).toBe(asked + 1);
    timed.close();
    await Promise.all(waits);
    expect(vi.getTimerCount()).toBe(0);
  } finally {
    vi.useRealTimers();
  }
});

it('a job that is waited for again while its end is on the way does not stop the next wait', async () => {
  const [first, second] = (await jobs(2)) as [string, string];
  await opened.broker.cancel([first]);
  const waits = [waiter.wait(first, 10_000)];
  await polled(() => asked.ended.length).toBeGreaterThan(0);
  waits.push(waiter.wait(first, 10_000));
  await Promise.all(waits);
  const wait = waiter.wait(second, 10_000);
  await opened.broker.cancel([second]);
  expect(await wait).toMatchObject({ id: second, state: 'cancelled' });
});

it('asks nothing once nobody waits', async () => {
  const [id] = (await jobs(1)) as [string];
  const wait = waiter.wait(id, 10_000);
  await opened.broker.cancel([id]);
  await wait;
  const before = asked.ended.length;
  const [other] = (await jobs(1)) as [string];
  expect(other).not.toBe(id);
  expect(asked.ended.length).toBe(before);
});
