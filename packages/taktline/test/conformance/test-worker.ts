/** Jobs, settlements and a worker, in few words: what every topic is written with. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect } from 'vitest';
import type { Broker, Claim, ClaimedJob, ClaimRequest, ExchangeReply, Lane, NewJob, Settlement } from '../../src/broker/broker.ts';
import { encodePast, type JobPast, noPast } from '../../src/task/job.ts';

export function job(id: string, more: Partial<NewJob> = {}): NewJob {
  return { id, queue: 'usual', priority: 5, envelope: JSON.stringify({ v: 1, task: 't', input: id }), ...more };
}

export function jobs(count: number, prefix = 'job', more: Partial<NewJob> = {}): NewJob[] {
  return Array.from({ length: count }, (_, index) => job(`${prefix}-${index}`, more));
}

/** Options of a job whose caller gave the id. */
export const named = (fingerprint = 'print', forMs = 600_000) => ({ unique: { fingerprint, forMs } });

export const past = (more: Partial<JobPast> = {}): string => encodePast({ ...noPast, ...more });

export const end = (job: ClaimedJob, more: Partial<Extract<Settlement, { kind: 'end' }>> = {}): Settlement => ({
  kind: 'end',
  job,
  state: 'succeeded',
  keepMs: 600_000,
  ...more,
});
export const reschedule = (job: ClaimedJob, delayMs: number, more: Partial<JobPast> = { failures: 1 }): Settlement => ({
  kind: 'reschedule',
  job,
  delayMs,
  past: past(more),
});
export const release = (job: ClaimedJob, lane: Lane = 'usual', more?: Partial<JobPast>): Settlement => ({
  kind: 'release',
  job,
  lane,
  ...(more === undefined ? {} : { past: past(more) }),
});
export const bury = (job: ClaimedJob, more: Partial<Extract<Settlement, { kind: 'bury' }>> = {}): Settlement => ({
  kind: 'bury',
  job,
  task: 't',
  code: 'TASK_ERROR',
  message: 'it failed',
  past: past({ failures: 5 }),
  ...more,
});

export const ids = (list: readonly { readonly id: string }[]): string[] => list.map(({ id }) => id);

export class TestWorker {
  readonly broker: Broker;
  readonly id: string;
  readonly name: string;

  private constructor(broker: Broker, id: string, name: string) {
    this.broker = broker;
    this.id = id;
    this.name = name;
  }

  static async join(broker: Broker, { name = 'worker', leaseMs = 60_000, info = {} } = {}): Promise<TestWorker> {
    return new TestWorker(broker, await broker.join({ name, leaseMs, info }), name);
  }

  exchange(settlements: readonly Settlement[], request: Partial<ClaimRequest> = {}): Promise<ExchangeReply> {
    return this.broker.exchange(this.id, settlements, {
      queues: ['high', 'usual', 'low'],
      limit: 100,
      lane: 'usual',
      lowestFirst: false,
      idle: false,
      hand: 0,
      ...request,
    });
  }

  async claim(request: Partial<ClaimRequest> = {}): Promise<Claim | undefined> {
    return (await this.exchange([], request)).claims[0];
  }

  /** The jobs of one exchange. */
  async take(request: Partial<ClaimRequest> = {}): Promise<readonly ClaimedJob[]> {
    return (await this.exchange([], request)).claims.flatMap((claim) => claim.jobs);
  }

  /** The jobs of as many claims as it takes until one comes back empty. */
  async takeAll(request: Partial<ClaimRequest> = {}): Promise<ClaimedJob[]> {
    const all: ClaimedJob[] = [];
    for (;;) {
      const { claims, more } = await this.exchange([], request);
      for (const claim of claims) all.push(...claim.jobs);
      if (claims.length === 0 && !more) return all;
    }
  }

  /** Enqueues a job of its own, and takes it: tells what the broker's clock says. */
  async claimOfNew(id: string, queue = 'usual'): Promise<ClaimedJob> {
    await this.broker.enqueue([job(id, { queue })]);
    const [it] = await this.take({ queues: [queue], limit: 1 });
    if (it?.id !== id) throw new Error(`${id} was not the next job of queue ${queue}`);
    return it;
  }

  /** @returns whether each was accepted */
  async settle(...settlements: readonly Settlement[]): Promise<readonly boolean[]> {
    return (await this.broker.exchange(this.id, settlements, undefined)).accepted;
  }

  /** Settles, and fails the test unless all were accepted. */
  async done(...settlements: readonly Settlement[]): Promise<void> {
    expect(await this.settle(...settlements)).toEqual(settlements.map(() => true));
  }

  leave(): Promise<void> {
    return this.broker.leave(this.id);
  }
}

/** Starts all at once, each a few turns of the loop apart at most, by a plan that differs from round to round. */
export async function race<Results extends readonly unknown[]>(
  round: number,
  ...racers: { [Index in keyof Results]: () => Promise<Results[Index]> }
): Promise<Results> {
  return Promise.all(
    racers.map(async (run, index) => {
      // Short leads and long ones, since a turn is longer or shorter by what the machine does beside.
      const turns = ((round * 7 + index * 13) % (racers.length * 5)) * (1 + (round % 4));
      for (let turn = 0; turn < turns; turn++) await nextTurn();
      return run();
    }),
  ) as unknown as Promise<Results>;
}

/** A stream of numbers below 1 that is the same in every run of a seed. */
export function numbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export function shuffled<Item>(items: readonly Item[], random: () => number): Item[] {
  const copy = [...items];
  for (let at = copy.length - 1; at > 0; at--) {
    const other = Math.floor(random() * (at + 1));
    [copy[at], copy[other]] = [copy[other] as Item, copy[at] as Item];
  }
  return copy;
}
