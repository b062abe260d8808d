/**
 * Topic: a job's life. Random sequences of all that clients, workers and people do, against the broker and a model of it:
 * every acknowledged job is in exactly one place, and comes to exactly one end. TEST_RUNS sets how many are tried.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ClaimedJob, Lane, NewJob, Settlement } from '../../src/broker/broker.ts';
import { newId } from '../../src/support/ids.ts';
import { compare, Model } from './model.ts';
import type { Instance, Subject } from './subject.ts';
import { bury, end, ids, job, release, reschedule, TestWorker } from './test-worker.ts';

const workersAtOnce = 3;
const allQueues = ['high', 'usual', 'low'] as const;
const lanes: readonly Lane[] = ['usual', 'suspects', 'alone'];

const small = fc.nat({ max: 1_000 });
/** Ways to settle a job. */
const ways = fc.constantFrom<((job: ClaimedJob) => Settlement)[]>(
  (one) => end(one, { result: '1' }),
  (one) => end(one, { keepMs: 0 }),
  (one) => end(one, { state: 'cancelled' }),
  (one) => reschedule(one, 0),
  (one) => reschedule(one, 3_600_000),
  (one) => release(one),
  (one) => release(one, 'suspects', { losses: 1 }),
  (one) => release(one, 'alone', { losses: 2 }),
  (one) => bury(one),
);

/** A thing that somebody does; numbers are taken modulo what there is to choose from at the time. */
type Deed =
  | {
      readonly does: 'enqueue';
      readonly jobs: readonly { id: number; print: number; queue: number; priority: number; later: boolean; plain: boolean }[];
    }
  | {
      readonly does: 'claim';
      readonly worker: number;
      readonly limit: number;
      readonly lane: Lane;
      readonly lowestFirst: boolean;
      readonly queues: readonly string[];
    }
  | { readonly does: 'settle'; readonly worker: number; readonly picks: readonly { which: number; way: (job: ClaimedJob) => Settlement }[] }
  | { readonly does: 'settle stale'; readonly worker: number; readonly which: number; readonly way: (job: ClaimedJob) => Settlement }
  | { readonly does: 'lose' | 'recover' | 'pulse' | 'ask what is missing'; readonly worker: number }
  | { readonly does: 'cancel'; readonly which: readonly number[] }
  | { readonly does: 'redrive' | 'discard'; readonly limit: number }
  | { readonly does: 'tidy' };

const newJob = fc.record({
  id: fc.nat({ max: 11 }),
  print: fc.nat({ max: 5 }).map((value) => (value === 0 ? 1 : 0)),
  queue: fc.nat({ max: 2 }),
  priority: fc.constantFrom(2, 5, 9),
  later: fc.nat({ max: 7 }).map((value) => value === 0),
  plain: fc.boolean(),
});

/** A few, or as many alike ones without ids of their own as make a pack. */
const newJobs = fc.oneof(
  { weight: 3, arbitrary: fc.array(newJob, { minLength: 1, maxLength: 5 }) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(newJob, fc.integer({ min: 8, max: 14 }))
      .map(([one, count]) => Array.from({ length: count }, () => ({ ...one, plain: true, later: false }))),
  },
);

const deed: fc.Arbitrary<Deed> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ does: fc.constant('enqueue' as const), jobs: newJobs }) },
  {
    weight: 6,
    arbitrary: fc.record({
      does: fc.constant('claim' as const),
      worker: small,
      limit: fc.integer({ min: 1, max: 6 }),
      lane: fc.oneof({ weight: 4, arbitrary: fc.constant<Lane>('usual') }, { weight: 2, arbitrary: fc.constantFrom(...lanes) }),
      lowestFirst: fc.nat({ max: 3 }).map((value) => value === 0),
      queues: fc.shuffledSubarray([...allQueues], { minLength: 1 }),
    }),
  },
  {
    weight: 7,
    arbitrary: fc.record({
      does: fc.constant('settle' as const),
      worker: small,
      picks: fc.array(fc.record({ which: small, way: ways }), { minLength: 1, maxLength: 5 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ does: fc.constant('settle stale' as const), worker: small, which: small, way: ways }) },
  { weight: 3, arbitrary: fc.record({ does: fc.constantFrom('lose' as const, 'recover' as const, 'recover' as const), worker: small }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constantFrom('pulse' as const, 'ask what is missing' as const), worker: small }) },
  { weight: 2, arbitrary: fc.record({ does: fc.constant('cancel' as const), which: fc.array(small, { minLength: 1, maxLength: 3 }) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      does: fc.constantFrom('redrive' as const, 'redrive' as const, 'discard' as const),
      limit: fc.integer({ min: 1, max: 4 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('tidy' as const) }) },
);

/** The broker and the model, and everybody who does something to both. */
class World {
  readonly model = new Model();
  readonly #instances: readonly Instance[];
  readonly #workers: TestWorker[] = [];
  readonly #lost: TestWorker[] = [];
  /** Every job as it was ever handed out. */
  readonly #handedOut: ClaimedJob[] = [];

  private constructor(instances: readonly Instance[]) {
    this.#instances = instances;
  }

  static async make(instances: readonly Instance[]): Promise<World> {
    const world = new World(instances);
    for (let at = 0; at < workersAtOnce; at++) await world.#employ(at);
    return world;
  }

  async act(deed: Deed): Promise<void> {
    switch (deed.does) {
      case 'enqueue':
        return this.#enqueue(deed.jobs);
      case 'claim':
        return this.#claim(this.#worker(deed.worker), deed);
      case 'settle': {
        const worker = this.#worker(deed.worker);
        const held = this.model.heldBy(worker.id);
        if (held.length === 0) return;
        return this.#settle(
          worker,
          deed.picks.map(({ which, way }) => way((held[which % held.length] as (typeof held)[number]).as)),
        );
      }
      case 'settle stale': {
        const one = this.#handedOut[deed.which % Math.max(1, this.#handedOut.length)];
        const everybody = [...this.#workers, ...this.#lost];
        const worker = everybody[deed.worker % everybody.length] as TestWorker;
        return one === undefined ? undefined : this.#settle(worker, [deed.way(one)]);
      }
      case 'lose': {
        const worker = this.#worker(deed.worker);
        await worker.leave();
        this.model.lose(worker.id);
        this.#lost.push(worker);
        return this.#employ(deed.worker % workersAtOnce);
      }
      case 'recover':
        return this.#recover(this.#worker(deed.worker));
      case 'pulse':
        return this.#pulse(this.#worker(deed.worker));
      case 'ask what is missing':
        return this.#missing(this.#worker(deed.worker));
      case 'cancel': {
        const known = [...this.model.jobs.keys(), 'unknown'];
        const asked = [...new Set(deed.which.map((which) => known[which % known.length] as string))];
        expect(await this.#any.broker.cancel(asked)).toEqual(this.model.cancel(asked));
        return;
      }
      case 'redrive':
      case 'discard': {
        const dead = this.model.idsAt('dead');
        const done = await this.#any.inspector[deed.does]({}, deed.limit);
        expect(done).toHaveLength(Math.min(deed.limit, dead.length));
        expect(dead).toEqual(expect.arrayContaining([...done]));
        if (deed.does === 'redrive') this.model.redriven(done);
        else this.model.discarded(done);
        return;
      }
      case 'tidy':
        expect(await this.#any.broker.tidy()).toBe(false);
        return;
    }
  }

  /** Everything that the broker tells is what the model has. */
  async agree(): Promise<void> {
    const all = [...this.model.jobs.keys()];
    expect(await this.#any.broker.states(all)).toEqual(all.map((id) => this.model.state(id)));
  }

  /** Brings every job to its end, and checks that each came to one. */
  async finish(): Promise<void> {
    const worker = this.#worker(0);
    await this.#recover(worker);
    for (const other of this.#workers) await this.#missing(other);
    const counts = await this.#any.inspector.queues();
    for (const [total, at] of [
      [counts.reduce((sum, { ready }) => sum + ready, 0), 'ready'],
      [counts.reduce((sum, { scheduled }) => sum + scheduled, 0), 'scheduled'],
      [counts.reduce((sum, { running }) => sum + running, 0), 'held'],
      [counts.reduce((sum, { dead }) => sum + dead, 0), 'dead'],
    ] as const) {
      expect(total, at).toBe(this.model.idsAt(at).length);
    }
    const scheduled = this.model.idsAt('scheduled');
    expect(await this.#any.broker.cancel(scheduled)).toEqual(this.model.cancel(scheduled));
    for (const lane of lanes) {
      while (this.model.claimable({ queues: allQueues, lane, lowestFirst: false }).length > 0) {
        await this.#claim(worker, { limit: 50, lane, lowestFirst: false, queues: allQueues });
      }
    }
    for (const other of this.#workers)
      await this.#settle(
        other,
        this.model.heldBy(other.id).map(({ as }) => end(as)),
      );
    await this.agree();
    for (const { id, place, finals } of this.model.jobs.values()) {
      expect(['ended', 'dead', 'forgotten'], id).toContain(place.at);
      expect(finals, id).toBe(1);
    }
    for (const lane of lanes) expect(await worker.takeAll({ lane })).toEqual([]);
  }

  get #any(): Instance {
    return this.#instances[this.#handedOut.length % this.#instances.length] as Instance;
  }

  #worker(number: number): TestWorker {
    return this.#workers[number % workersAtOnce] as TestWorker;
  }

  async #employ(at: number): Promise<void> {
    const { broker } = this.#instances[at % this.#instances.length] as Instance;
    this.#workers[at] = await TestWorker.join(broker, { name: `worker-${at}` });
  }

  async #enqueue(wanted: Extract<Deed, { does: 'enqueue' }>['jobs']): Promise<void> {
    const batch = wanted.map(({ id, print, queue, priority, later, plain }): NewJob => {
      return job(plain ? newId() : `named-${id}`, {
        queue: allQueues[queue] as string,
        priority,
        ...(later ? { countdownMs: 3_600_000 } : {}),
        ...(plain ? {} : { unique: { fingerprint: `print-${print}`, forMs: 3_600_000 } }),
      });
    });
    expect(await this.#any.broker.enqueue(batch)).toEqual(this.model.enqueue(batch));
  }

  async #claim(worker: TestWorker, request: { limit: number; lane: Lane; lowestFirst: boolean; queues: readonly string[] }): Promise<void> {
    const expected = this.model.claimable(request);
    const taken = expected.length === 0 ? await worker.take(request) : await this.#takeSome(worker, request);
    const keys = taken.map(({ id }) => expected.find((one) => one.id === id)?.key ?? [Number.NaN]);
    if (this.#instances.length === 1) expect(keys).toEqual(expected.slice(0, request.limit).map(({ key }) => key));
    // What another broker has put back in front is found within a second; what comes, comes in order.
    else expect(keys).toEqual(keys.toSorted(compare));
    for (const one of taken) {
      const known = this.model.jobs.get(one.id);
      expect([one.queue, one.envelope, one.lane]).toEqual([known?.queue, known?.envelope, request.lane]);
      this.model.claimed(worker.id, one);
      this.#handedOut.push(one);
    }
  }

  async #takeSome(worker: TestWorker, request: { limit: number; lane: Lane; lowestFirst: boolean; queues: readonly string[] }) {
    for (;;) {
      const taken = await worker.take(request);
      if (taken.length > 0 || this.#instances.length === 1) return taken;
    }
  }

  async #settle(worker: TestWorker, settlements: readonly Settlement[]): Promise<void> {
    expect(await worker.settle(...settlements)).toEqual(this.model.settle(worker.id, settlements));
  }

  async #recover(worker: TestWorker): Promise<void> {
    const lost = this.model.lost();
    const found: ClaimedJob[] = [];
    for (;;) {
      const claims = await worker.broker.recover(worker.id);
      if (claims.length === 0) break;
      found.push(...claims.flatMap((claim) => claim.jobs));
    }
    expect(ids(found).toSorted()).toEqual(lost.toSorted());
    for (const one of found) {
      this.model.recovered(worker.id, one);
      this.#handedOut.push(one);
    }
  }

  async #pulse(worker: TestWorker): Promise<void> {
    const { alive, cancelled } = await worker.broker.pulse(worker.id, allQueues, {});
    expect(alive).toBe(true);
    const asked = this.model.heldBy(worker.id).filter(({ cancelAsked }) => cancelAsked);
    expect(cancelled.map(({ claim, position }) => `${claim} ${position}`).toSorted()).toEqual(
      asked.map(({ as }) => `${as.claim} ${as.position}`).toSorted(),
    );
  }

  async #missing(worker: TestWorker): Promise<void> {
    const told = (await worker.broker.missing(worker.id, [])).flatMap((claim) => claim.jobs);
    const held = this.model.heldBy(worker.id).map(({ as }) => as);
    const byId = (one: ClaimedJob, other: ClaimedJob) => (one.id < other.id ? -1 : 1);
    expect(told.toSorted(byId)).toEqual(held.toSorted(byId));
  }
}

export function livesOfJobs(subject: Subject): void {
  describe('a job’s life', () => {
    it.each([
      ['through one broker', 1],
      ['through three', 3],
    ])('whatever is done to jobs %s, each is in one place and comes to one end', { timeout: 180_000 }, async (_, brokers) => {
      await fc.assert(
        fc.asyncProperty(fc.array(deed, { minLength: 10, maxLength: 60, size: 'max' }), async (deeds) => {
          await using space = await subject.space();
          const instances = await Promise.all(Array.from({ length: brokers }, () => space.open()));
          const world = await World.make(instances);
          for (const one of deeds) {
            await world.act(one);
            await world.agree();
          }
          await world.finish();
        }),
        // Looking for the shortest sequence that fails can take for ever.
        { numRuns: Number(process.env['TEST_RUNS'] ?? 25), interruptAfterTimeLimit: 90_000 },
      );
    });
  });
}
