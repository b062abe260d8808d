/** How a worker gets its jobs, on the real broker with a pool worked by hand: no job twice, none forgotten, none held for nothing. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LogLines } from '../../test/support/log-lines.ts';
import { type TestNamespace, testNamespace } from '../../test/support/namespace.ts';
import { polled } from '../../test/support/polled.ts';
import { watched } from '../../test/support/watched.ts';
import type { Claim, ClaimedJob, ClaimRequest, NewJob, Settlement } from '../broker/broker.ts';
import { type OpenedBroker, openBroker } from '../broker/open-broker.ts';
import { newId } from '../support/ids.ts';
import { TaktlineError } from '../support/taktline-error.ts';
import { Fetcher } from './fetcher.ts';
import type { Pool } from './pools/pool.ts';

const queues = ['high', 'a', 'b', 'low'].map((name, index) => ({ name, priority: [9, 5, 5, 1][index] as number }));
let space: TestNamespace;
let opened: OpenedBroker;
let stop: (() => void) | undefined;

beforeEach(async () => {
  space = await testNamespace();
  opened = await openBroker({ url: space.url, namespace: space.name, queues, deadLetterTtlMs: 1e9 });
});
afterEach(async () => {
  stop?.();
  await opened.close();
  await space.drop();
});

/** Runs nothing: the test ends its jobs. */
class HandPool implements Pool {
  readonly slots: number;
  readonly jobs = new Map<string, ClaimedJob>();
  /** How often each job was begun. */
  readonly begun = new Map<string, number>();
  /** Called for each job that begins. */
  begins: (job: ClaimedJob) => void = () => undefined;

  constructor(slots: number) {
    this.slots = slots;
  }

  run(jobs: readonly ClaimedJob[]): void {
    for (const job of jobs) {
      this.jobs.set(job.id, job);
      this.begun.set(job.id, (this.begun.get(job.id) ?? 0) + 1);
      expect(this.jobs.size).toBeLessThanOrEqual(this.slots);
      this.begins(job);
    }
  }
  get size(): number {
    return this.slots;
  }
  resize = () => undefined;
  restart = () => false;
  terminate = () => false;
  limited = () => undefined;
  stats = () => ({ kind: 'inline' as const, size: this.slots, slots: this.slots, children: [], recycled: 0, killed: 0, crashed: 0 });
  running = () => [];
  takeProgress = () => [];
  abort = () => undefined;
  handBack = () => undefined;
  start = async () => undefined;
  stop = async () => undefined;
}

interface Asked {
  readonly settlements: readonly Settlement[];
  readonly request: ClaimRequest | undefined;
}

async function make(
  options: { readonly slots?: number; readonly pollMs?: number; readonly ageing?: boolean; readonly leaseMs?: number } = {},
) {
  const pool = new HandPool(options.slots ?? 4);
  const log = new LogLines();
  const asked: Asked[] = [];
  const state = { inFlight: 0, mostInFlight: 0, refused: 0, missing: 0, recovered: [] as Claim[] };
  /** What happens to an exchange on its way, by its number. */
  const faults = { exchange: (_: number): 'lost' | 'reply lost' | 'refused' | undefined => undefined };
  /** While it lasts nothing is answered. */
  const outage = { now: false, asked: 0 };
  const unlessAway = () => {
    if (!outage.now) return;
    outage.asked += 1;
    throw new TaktlineError('BROKER_UNAVAILABLE', 'away');
  };
  const broker = watched(opened.broker, {
    missing: async (worker, known) => {
      unlessAway();
      state.missing += 1;
      return opened.broker.missing(worker, known);
    },
    exchange: async (worker, settlements, request) => {
      unlessAway();
      asked.push({ settlements, request });
      const what = faults.exchange(asked.length);
      state.inFlight += 1;
      state.mostInFlight = Math.max(state.mostInFlight, state.inFlight);
      try {
        if (what === 'lost') throw new TaktlineError('BROKER_UNAVAILABLE', 'away');
        if (what === 'refused') throw new TaktlineError('INVALID_INPUT', 'it does not like that');
        const reply = await opened.broker.exchange(worker, settlements, request);
        if (what === 'reply lost') throw new TaktlineError('BROKER_UNAVAILABLE', 'away');
        state.refused += reply.accepted.filter((accepted) => !accepted).length;
        return reply;
      } finally {
        state.inFlight -= 1;
      }
    },
  });
  const fetcher = new Fetcher({
    broker,
    pool,
    logger: log.logger,
    queues: [['high'], ['a', 'b'], ['low']],
    pollMs: options.pollMs ?? 60_000,
    ageing: options.ageing ?? true,
    told: () => undefined,
    started: () => undefined,
    recovered: (claim) => void state.recovered.push(claim),
  });
  stop = () => fetcher.stop();
  const worker = await opened.broker.join({ name: 'w', leaseMs: options.leaseMs ?? 60_000, info: {} });
  const end = (job: ClaimedJob, settlement: Settlement = { kind: 'end', job, state: 'succeeded', result: '1', keepMs: 60_000 }) => {
    pool.jobs.delete(job.id);
    fetcher.settled(settlement);
  };
  /** Each job ends in the turn after it began. */
  const endAll = () => {
    pool.begins = (job) => setImmediate(() => end(job));
    for (const job of pool.jobs.values()) setImmediate(() => end(job));
  };
  return { pool, log, asked, state, faults, outage, fetcher, worker, end, endAll };
}

async function enqueue(count: number, more: Partial<NewJob> = {}): Promise<string[]> {
  const jobs = Array.from(
    { length: count },
    (): NewJob => ({ id: newId(), queue: 'a', priority: 5, envelope: '{"v":1,"task":"x","input":null}', ...more }),
  );
  for (let from = 0; from < count; from += 1_000) await opened.broker.enqueue(jobs.slice(from, from + 1_000));
  return jobs.map(({ id }) => id);
}

async function counts() {
  const [row] = await space.query<{ ready: string; open: string; done: string; dead: string }>(
    `select (select coalesce(sum(size), 0) from $ns.ready) as ready, (select count(*) from $ended) as done, (select count(*) from $ns.dead) as dead,
       (select coalesce(sum(length(replace(open::text, '0', ''))), 0) from $ns.claims) as open`,
  );
  return { ready: Number(row?.ready), open: Number(row?.open), done: Number(row?.done), dead: Number(row?.dead) };
}

describe('how much it holds', () => {
  it('is its free slots at first, and what runs stays claimed', async () => {
    await enqueue(20);
    const { fetcher, worker, pool } = await make({ slots: 4 });
    fetcher.start(worker);
    await polled(() => pool.jobs.size).toBe(4);
    expect(fetcher.held).toBe(4);
    expect(await counts()).toEqual({ ready: 16, open: 4, done: 0, dead: 0 });
  });

  it('is more once jobs turn out fast, and the rest goes back once they turn out slow', async () => {
    await enqueue(1_000);
    const { fetcher, worker, pool, endAll } = await make({ slots: 4 });
    let most = 0;
    endAll();
    const { begins } = pool;
    let done = 0;
    pool.begins = (job) => {
      most = Math.max(most, fetcher.held);
      done += 1;
      if (done < 600) begins(job);
    };
    fetcher.start(worker);
    await polled(() => done).toBeGreaterThanOrEqual(600);
    expect(most).toBeGreaterThan(12);
    // From now on nothing ends any more.
    await polled(() => {
      fetcher.shed();
      return fetcher.held;
    }).toBeLessThanOrEqual(8);
    await polled(async () => (await counts()).open).toBeLessThanOrEqual(8);
    const { ready, open, done: ended } = await counts();
    expect(ready + open + ended).toBe(1_000);
    expect([...pool.begun.values()].every((times) => times === 1)).toBe(true);
  });

  it('is at most two exchanges on their way', async () => {
    await enqueue(2_000);
    const { fetcher, worker, endAll, state } = await make({ slots: 100 });
    endAll();
    fetcher.start(worker);
    await polled(async () => (await counts()).done).toBe(2_000);
    expect(state.mostInFlight).toBe(2);
    expect(state.refused).toBe(0);
  });
});

describe('the order', () => {
  it('is by queue, highest first, and those of one priority take turns at being first', async () => {
    const { fetcher, worker, asked } = await make({ pollMs: 10 });
    fetcher.start(worker);
    await polled(() => asked.filter(({ request }) => request !== undefined).length).toBeGreaterThan(8);
    const orders = asked.flatMap(({ request }) => (request === undefined ? [] : [request.queues.join()]));
    expect(new Set(orders)).toEqual(new Set(['high,a,b,low', 'high,b,a,low']));
    expect(orders[1]).not.toBe(orders[0]);
  });

  it('is turned round by every 16th claim, so that the lowest moves; unless ageing is off', async () => {
    const firsts: boolean[][] = [];
    for (const ageing of [true, false]) {
      const { fetcher, worker, asked } = await make({ pollMs: 10, ageing });
      fetcher.start(worker);
      await polled(() => asked.filter(({ request }) => request !== undefined).length).toBeGreaterThanOrEqual(33);
      fetcher.stop();
      firsts.push(asked.flatMap(({ request }) => (request === undefined ? [] : [request.lowestFirst])).slice(0, 33));
    }
    expect(firsts[0]?.flatMap((lowest, index) => (lowest ? [index + 1] : []))).toEqual([16, 32]);
    expect(firsts[1]).not.toContain(true);
  });
});

describe('with nothing to do', () => {
  it('it sleeps, and is awake when it is woken', async () => {
    const { fetcher, worker, pool, asked } = await make();
    fetcher.start(worker);
    // It looks three times more, for what was enqueued while it lay down.
    await polled(() => asked.length).toBe(4);
    await enqueue(1);
    fetcher.wake();
    await polled(() => pool.jobs.size).toBe(1);
  });

  it('it looks by itself, for the wake-up that got lost', async () => {
    const { fetcher, worker, pool, asked } = await make({ pollMs: 300 });
    fetcher.start(worker);
    await polled(() => asked.length).toBe(4);
    await enqueue(1);
    const since = performance.now();
    await polled(() => pool.jobs.size).toBe(1);
    expect(performance.now() - since).toBeLessThan(20_000);
  });

  it('it is back when the next scheduled job is due, however slow its poll', async () => {
    await enqueue(1, { countdownMs: 400 });
    const { fetcher, worker, pool } = await make({ pollMs: 60_000 });
    const since = performance.now();
    fetcher.start(worker);
    await polled(() => pool.jobs.size).toBe(1);
    expect(performance.now() - since).toBeGreaterThan(200);
  });
});

describe('what it is handed', () => {
  /** A claim for the worker, of which the fetcher has not heard. */
  const claimOf = async (worker: string, count: number): Promise<Claim> => {
    for (;;) {
      await enqueue(count);
      const request = { queues: ['a'], limit: count, lane: 'usual', lowestFirst: false, idle: false, hand: 0 } as const;
      const [claim] = (await opened.broker.exchange(worker, [], request)).claims;
      if (claim !== undefined) return claim;
    }
  };

  it('is asked for by a worker that has nothing to do, and by no other', async () => {
    const { fetcher, worker, pool, asked, state, end } = await make({ slots: 3 });
    fetcher.start(worker);
    await polled(() => asked.length).toBe(4);
    expect(asked.map(({ request }) => request?.hand)).toEqual([3, 3, 3, 3]);
    await enqueue(1);
    fetcher.wake();
    await polled(() => pool.jobs.size).toBe(1);
    await polled(() => asked.at(-1)?.request?.hand).toBe(0);
    // What an exchange on its way may bring counts as if it were there.
    await polled(() => state.inFlight).toBe(0);
    // It says so as it settles.
    for (const job of [...pool.jobs.values()]) end(job);
    await polled(() => asked.find(({ settlements }) => settlements.length > 0)?.request?.hand).toBe(3);
  });

  it('runs at once, is settled with the next question, and what has no room goes back', async () => {
    const { fetcher, worker, pool, asked, end } = await make({ slots: 3 });
    fetcher.start(worker);
    await polled(() => asked.length).toBe(4);
    fetcher.handed(await claimOf(worker, 2));
    expect(pool.jobs.size).toBe(2);
    fetcher.handed(await claimOf(worker, 2));
    expect(pool.jobs.size).toBe(3);
    await polled(counts).toMatchObject({ open: 3, ready: 1 });
    for (const job of [...pool.jobs.values()]) end(job);
    await polled(() => pool.jobs.size).toBe(1);
    for (const job of [...pool.jobs.values()]) end(job);
    await polled(counts).toMatchObject({ open: 0, ready: 0, done: 4 });
    expect([...pool.begun.values()]).toEqual([1, 1, 1, 1]);
  });

  it('and has not heard of is found by the count that a pulse tells, and is not begun again when it comes late', async () => {
    const { fetcher, worker, pool, asked, state } = await make({ slots: 3 });
    fetcher.start(worker);
    await polled(() => asked.length).toBe(4);
    const claim = await claimOf(worker, 1);
    fetcher.holds(0);
    fetcher.holds(1);
    expect(pool.jobs.size).toBe(0);
    fetcher.holds(1);
    await polled(() => pool.jobs.size).toBe(1);
    fetcher.handed(claim);
    expect([...pool.begun.values()]).toEqual([1]);
    // What it knows of raises no doubt.
    fetcher.holds(1);
    fetcher.holds(1);
    await polled(counts).toMatchObject({ open: 1 });
    expect([...pool.begun.values()]).toEqual([1]);
    expect(state.missing).toBe(1);
  });

  it('as it stops is found, and goes back', async () => {
    const { fetcher, worker, pool, asked } = await make({ slots: 3 });
    fetcher.start(worker);
    await polled(() => asked.length).toBe(4);
    await claimOf(worker, 2);
    fetcher.drain();
    expect(await fetcher.quiet(5_000)).toBe(true);
    expect(pool.begun.size).toBe(0);
    expect(await counts()).toEqual({ ready: 2, open: 0, done: 0, dead: 0 });
  });
});

describe('a broker that fails', () => {
  it('and refuses a batch without a culprit in it gets those one by one, and then batches again', async () => {
    await enqueue(400);
    const { fetcher, worker, asked, faults, endAll } = await make({ slots: 40 });
    let refused = 0;
    faults.exchange = (count) => {
      const { settlements } = asked[count - 1] as Asked;
      if (refused > 0 || settlements.length < 5) return undefined;
      refused = settlements.length;
      return 'refused';
    };
    endAll();
    fetcher.start(worker);
    await polled(async () => (await counts()).done).toBe(400);
    const sizes = asked.map(({ settlements }) => settlements.length).filter((size) => size > 0);
    const after = sizes.slice(sizes.indexOf(refused) + 1);
    expect(after.filter((size) => size === 1).length).toBeGreaterThanOrEqual(refused);
    expect(Math.max(...after.slice(refused))).toBeGreaterThan(1);
    expect(await counts()).toEqual({ ready: 0, open: 0, done: 400, dead: 0 });
  });

  it.each(['lost', 'reply lost'] as const)('%s: each job is begun once and settled once', async (what) => {
    await enqueue(300);
    const { fetcher, worker, pool, faults, endAll } = await make({ slots: 20 });
    let left = 3;
    faults.exchange = (count) => {
      if (left === 0 || count < 2) return undefined;
      left -= 1;
      return what;
    };
    endAll();
    fetcher.start(worker);
    await polled(async () => (await counts()).done).toBe(300);
    expect(left).toBe(0);
    expect([...pool.begun.values()].filter((times) => times !== 1)).toEqual([]);
    expect(await counts()).toEqual({ ready: 0, open: 0, done: 300, dead: 0 });
    await polled(() => fetcher.held).toBe(0);
  });

  it('in doubt it asks what is missing, busy or idle, and begins what it did not know of', async () => {
    const { fetcher, worker, pool, end } = await make();
    fetcher.start(worker);
    for (const busy of [false, true]) {
      if (busy) await enqueue(1);
      if (busy) fetcher.wake();
      await polled(() => fetcher.held).toBe(busy ? 1 : 0);
      // A claim that the fetcher never heard of, as of a broker that has forgotten how it was settled.
      let unknown: Claim | undefined;
      while (unknown === undefined) {
        await enqueue(1);
        const request = { queues: ['a'], limit: 1, lane: 'usual', lowestFirst: false, idle: false, hand: 0 } as const;
        [unknown] = (await opened.broker.exchange(worker, [], request)).claims;
      }
      fetcher.doubt();
      await polled(() => pool.begun.get(unknown?.jobs[0]?.id as string)).toBe(1);
      for (const job of [...pool.jobs.values()]) end(job);
      await polled(counts).toMatchObject({ ready: 0, open: 0, dead: 0 });
    }
    expect([...pool.begun.values()].filter((times) => times !== 1)).toEqual([]);
  });

  it('says so once a row, and goes on by itself', async () => {
    await enqueue(2);
    const { fetcher, worker, pool, faults, log, asked } = await make();
    faults.exchange = (count) => (count <= 3 ? 'lost' : undefined);
    fetcher.start(worker);
    await polled(() => pool.jobs.size).toBe(2);
    expect(asked.length).toBeGreaterThanOrEqual(4);
    expect(log.with('exchange with the broker failed').length).toBeLessThanOrEqual(3);
    expect(log.with('exchange with the broker failed')[0]).toMatchObject({ level: 'warn', code: 'BROKER_UNAVAILABLE' });
  });

  it('to store one outcome: that job is a dead letter, and the others of its batch are settled', async () => {
    const ids = await enqueue(10);
    const { fetcher, worker, pool, end, log } = await make({ slots: 10 });
    fetcher.start(worker);
    await polled(() => pool.jobs.size).toBe(10);
    for (const job of [...pool.jobs.values()]) {
      const result = job.id === ids[6] ? '"\u0000"' : '1';
      end(job, { kind: 'end', job, state: 'succeeded', result, keepMs: 60_000 });
    }
    await polled(counts).toEqual({ ready: 0, open: 0, done: 9, dead: 1 });
    expect(await space.query('select id, code from $ns.dead')).toEqual([{ id: ids[6], code: 'INVALID_INPUT' }]);
    expect(log.with('cannot be stored')).toMatchObject([{ level: 'error', job: ids[6] }]);
  });
});

describe('suspects', () => {
  /** Puts jobs into a lane, as recovery does. */
  const suspects = async (count: number, lane: 'suspects' | 'alone') => {
    const before = await opened.broker.join({ name: 'before', leaseMs: 60_000, info: {} });
    const ids = await enqueue(count);
    const [claim] = (
      await opened.broker.exchange(before, [], {
        queues: ['a'],
        limit: count,
        lane: 'usual',
        lowestFirst: false,
        idle: false,
        hand: 0,
      })
    ).claims;
    await opened.broker.exchange(
      before,
      (claim as Claim).jobs.map((job) => ({ kind: 'release', job, lane })),
      undefined,
    );
    return ids;
  };

  it('are claimed by tens, with nothing else in the process; then the others get their time', async () => {
    const lane = await suspects(15, 'suspects');
    const others = await enqueue(30);
    const { fetcher, worker, pool, end } = await make({ slots: 20 });
    const together: (readonly string[])[] = [];
    pool.begins = () => together.push([...pool.jobs.keys()]);
    fetcher.start(worker);
    await polled(() => pool.jobs.size).toBe(20);
    expect([...pool.jobs.keys()].every((id) => others.includes(id))).toBe(true);
    fetcher.suspectsWait(['suspects']);
    // Nothing new begins before the last of the others has ended.
    const [last, ...rest] = [...pool.jobs.values()] as [ClaimedJob, ...ClaimedJob[]];
    for (const job of rest) end(job);
    await polled(async () => (await counts()).done).toBe(19);
    expect(pool.jobs.size).toBe(1);
    end(last);
    await polled(() => pool.jobs.size).toBe(10);
    expect([...pool.jobs.keys()].every((id) => lane.includes(id))).toBe(true);
    for (const job of [...pool.jobs.values()]) end(job);
    await polled(() => [...pool.jobs.keys()].filter((id) => others.includes(id)).length).toBe(10);
    for (const ids of together) expect(ids.some((id) => lane.includes(id)) && ids.some((id) => others.includes(id))).toBe(false);
  });

  it('that may be guilty by themselves are claimed one by one', async () => {
    await suspects(3, 'alone');
    const { fetcher, worker, pool, endAll } = await make({ slots: 20 });
    let most = 0;
    fetcher.start(worker);
    endAll();
    const { begins } = pool;
    pool.begins = (job) => {
      most = Math.max(most, fetcher.held);
      begins(job);
    };
    await polled(async () => {
      fetcher.suspectsWait(['alone']);
      return (await counts()).done;
    }).toBe(3);
    expect(most).toBe(1);
  });
});

describe('the end', () => {
  it('drain() claims no more, hands back what has not begun, and quiet() waits for the rest', async () => {
    await enqueue(200);
    const { fetcher, worker, pool, end } = await make({ slots: 4 });
    fetcher.start(worker);
    await polled(() => pool.jobs.size).toBe(4);
    fetcher.drain();
    expect(await fetcher.quiet(30)).toBe(false);
    for (const job of [...pool.jobs.values()]) end(job);
    expect(await fetcher.quiet(5_000)).toBe(true);
    fetcher.wake();
    expect(await counts()).toEqual({ ready: 196, open: 0, done: 4, dead: 0 });
    expect(pool.begun.size).toBe(4);
  });

  it('quiet() does not wait for a broker that is away when there is nothing to tell it, and does when there is', async () => {
    await enqueue(1);
    const { fetcher, worker, pool, end, state, outage } = await make({ slots: 4, pollMs: 20 });
    fetcher.start(worker);
    await polled(() => pool.jobs.size).toBe(1);
    outage.now = true;
    await polled(() => outage.asked).toBeGreaterThan(1);
    fetcher.drain();
    for (const job of [...pool.jobs.values()]) end(job);
    expect(await fetcher.quiet(100)).toBe(false);
    outage.now = false;
    expect(await fetcher.quiet(10_000)).toBe(true);
    expect(state.refused).toBe(0);
    expect((await counts()).done).toBe(1);

    const idle = await make({ pollMs: 20 });
    idle.fetcher.start(idle.worker);
    idle.outage.now = true;
    await polled(() => idle.outage.asked).toBeGreaterThan(1);
    idle.fetcher.drain();
    expect(await idle.fetcher.quiet(60_000)).toBe(true);
    idle.fetcher.stop();
  });

  it('a claim that arrives after drain() goes back whole', async () => {
    await enqueue(10);
    const { fetcher, worker, pool } = await make({ slots: 4 });
    fetcher.start(worker);
    fetcher.drain();
    expect(await fetcher.quiet(5_000)).toBe(true);
    expect(pool.begun.size).toBe(0);
    expect(await counts()).toEqual({ ready: 10, open: 0, done: 0, dead: 0 });
  });

  it('a worker that was taken for dead settles nothing, and hears it', async () => {
    await enqueue(4);
    const { fetcher, worker, pool, end, log, state } = await make({ slots: 4, leaseMs: 1 });
    fetcher.start(worker);
    await polled(() => pool.jobs.size).toBe(4);
    const other = await opened.broker.join({ name: 'other', leaseMs: 60_000, info: {} });
    let recovered: readonly Claim[] = [];
    await polled(async () => {
      recovered = [...recovered, ...(await opened.broker.recover(other))];
      return recovered.flatMap(({ jobs }) => jobs).length;
    }).toBe(4);
    for (const job of [...pool.jobs.values()]) end(job);
    await polled(() => state.refused).toBe(4);
    expect(log.with('refused')).toMatchObject([{ level: 'warn' }]);
    expect((await counts()).done).toBe(0);
  });

  it('after forget() nothing of what it held is settled', async () => {
    await enqueue(4);
    const { fetcher, worker, pool, end, asked } = await make({ slots: 4 });
    fetcher.start(worker);
    await polled(() => pool.jobs.size).toBe(4);
    fetcher.forget();
    fetcher.drain();
    for (const job of [...pool.jobs.values()]) end(job);
    expect(await fetcher.quiet(5_000)).toBe(true);
    expect(asked.flatMap(({ settlements }) => settlements)).toEqual([]);
  });
});
