/** Topic: outages. While the server is away every verb says so, soon; when it is back the same broker goes on. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Broker, Claim, ClaimedJob, HeartbeatLink } from '../../src/broker/broker.ts';
import { TaktlineError } from '../../src/support/taktline-error.ts';
import { eventually } from '../support/eventually.ts';
import type { Instance, OwnServerSpace, Subject } from './subject.ts';
import { end, ids, job, jobs, named, TestWorker } from './test-worker.ts';

const timeoutMs = 1_000;
/** A verb is over when one try to connect and one to ask have timed out, whatever else this machine does. */
const soonMs = 2 * timeoutMs + 2_500;
/** The promise of DESIGN.md for the time after an outage. */
const backMs = 5_000;

const unavailable = (error: unknown) => error instanceof TaktlineError && error.code === 'BROKER_UNAVAILABLE';

/** Every verb of the contract, as a call. */
function verbs({ broker, inspector }: Instance, worker: string, held: ClaimedJob): Readonly<Record<string, () => Promise<unknown>>> {
  return {
    ping: () => broker.ping(),
    enqueue: () => broker.enqueue(jobs(2, 'during')),
    'enqueue unique': () => broker.enqueue([job('during-too', named())]),
    join: () => broker.join({ name: 'during', leaseMs: 60_000, info: {} }),
    leave: () => broker.leave('0'),
    exchange: () => broker.exchange(worker, [end({ ...held, position: 99 })], undefined),
    pulse: () => broker.pulse(worker, ['usual'], {}),
    missing: () => broker.missing(worker, []),
    recover: () => broker.recover(worker),
    tidy: () => broker.tidy(),
    cancel: () => broker.cancel(['unknown']),
    ended: () => broker.ended(['unknown']),
    states: () => broker.states(['unknown']),
    queues: () => inspector.queues(),
    workers: () => inspector.workers(),
    job: () => inspector.job('unknown'),
    jobs: () => inspector.jobs('queued', { limit: 1 }),
    deadLetters: () => inspector.deadLetters({}, 1, undefined),
    redrive: () => inspector.redrive({}, 1),
    discard: () => inspector.discard({ ids: ['unknown'] }, 1),
    purge: () => inspector.purge('low', 1),
    examine: () => inspector.examine(),
  };
}

/** The verbs that do not say within time that the broker is unavailable, with what they do instead. */
async function dishonest(calls: Readonly<Record<string, () => Promise<unknown>>>): Promise<string[]> {
  const started = performance.now();
  const told = await Promise.all(
    Object.entries(calls).map(async ([name, call]) => {
      try {
        return `${name} returned ${JSON.stringify(await call())}`;
      } catch (error) {
        const tookMs = performance.now() - started;
        if (!unavailable(error)) return `${name} threw ${String(error)}`;
        return tookMs > soonMs ? `${name} took ${tookMs} ms` : undefined;
      }
    }),
  );
  return told.filter((line) => line !== undefined);
}

export function outages(subject: Subject): void {
  describe('outages', { timeout: 120_000 }, () => {
    let space: OwnServerSpace;
    let instance: Instance;
    let broker: Broker;
    let worker: TestWorker;
    let round = 0;

    beforeAll(async () => {
      space = await subject.ownServer();
      instance = await space.open({ timeoutMs });
      broker = instance.broker;
    });

    afterAll(async () => {
      await space?.[Symbol.asyncDispose]();
    });

    beforeEach(async () => {
      round += 1;
      worker = await TestWorker.join(broker, { name: `worker-${round}` });
    });

    /** Resolves when the broker answers again, and checks that this is soon enough. */
    async function back(): Promise<void> {
      const started = performance.now();
      await eventually(
        async () =>
          broker
            .ping()
            .then(() => true)
            .catch(() => false),
        'the broker is back',
        { withinMs: backMs },
      );
      expect(performance.now() - started).toBeLessThan(backMs);
    }

    it('a stopped server: every verb says so, and works again afterwards; nothing acknowledged is lost', async () => {
      await broker.enqueue([...jobs(20, 'before'), job('timed', { countdownMs: 50 }), job('mine', named())]);
      const held = (await worker.take({ limit: 5 })) as ClaimedJob[];
      const calls = verbs(instance, worker.id, held[0] as ClaimedJob);
      await space.stop();
      expect(await dishonest(calls)).toEqual([]);
      // A broker that was never open neither.
      await expect(space.make({ timeoutMs }).broker.open()).rejects.toMatchObject({ code: 'BROKER_UNAVAILABLE' });
      await space.start();
      await back();
      for (const [name, call] of Object.entries(calls)) await expect(call(), name).resolves.not.toThrow();
      await worker.done(...held.map((one) => end(one)));
      expect(await broker.enqueue([job('mine', named())])).toEqual(['duplicate']);
      const taken: string[] = [];
      await eventually(async () => {
        const got = await worker.take({ limit: 50 });
        taken.push(...ids(got));
        await worker.done(...got.map((one) => end(one, { keepMs: 0 })));
        return taken.includes('timed');
      }, 'all come');
      // What was sent during the outage was refused, and is not there: the server never got it.
      const expected = [...ids(jobs(20, 'before')).slice(5), 'timed', 'mine', 'during-0', 'during-1', 'during-too'];
      expect(taken.toSorted()).toEqual(expected.toSorted());
    });

    it('a silent network: every verb gives up in time, and works again afterwards', async () => {
      const it = await worker.claimOfNew(`it-${round}`);
      const calls = verbs(instance, worker.id, it);
      space.network.goSilent();
      expect(await dishonest(calls)).toEqual([]);
      await space.network.goOn();
      await back();
      for (const [name, call] of Object.entries(calls)) if (!name.startsWith('enqueue')) await expect(call(), name).resolves.not.toThrow();
      await worker.done(end(it));
      // Whatever of that has arrived after all.
      await worker.done(...(await worker.takeAll()).map((one) => end(one, { keepMs: 0 })));
    });

    it('an enqueue whose reply is lost can be sent again under its id', async () => {
      const id = '01980000-0000-8000-8000-00000000000a';
      // What it does once and then remembers, it does now.
      await worker.done(end(await worker.claimOfNew('before')));
      space.network.holdReplies();
      await expect(broker.enqueue([job(id)])).rejects.toMatchObject({ code: 'BROKER_UNAVAILABLE' });
      expect(await broker.enqueue([job(id, named())])).toEqual(['duplicate']);
      await space.network.goOn();
      expect(ids(await worker.takeAll())).toEqual([id]);
    });

    it('an enqueue that arrives late, after it was sent again and worked off, makes no second job', async () => {
      const [plain, timed] = ['01980000-0000-8000-8000-00000000000b', '01980000-0000-8000-8000-00000000000c'] as const;
      await broker.ping();
      space.network.holdRequests();
      await expect(broker.enqueue([job(plain)])).rejects.toMatchObject({ code: 'BROKER_UNAVAILABLE' });
      await broker.ping();
      space.network.holdRequests();
      await expect(broker.enqueue([job(timed, { countdownMs: 1 })])).rejects.toMatchObject({ code: 'BROKER_UNAVAILABLE' });
      expect(await broker.enqueue([job(plain, named()), job(timed, named())])).toEqual(['created', 'created']);
      await worker.done(...(await worker.takeAll()).map((one) => end(one, { keepMs: 0 })));
      await space.network.goOn();
      expect(await broker.states([plain, timed])).toEqual([undefined, undefined]);
      expect(await worker.takeAll()).toEqual([]);
    });

    it('a claim whose reply is lost is found by asking what is missing', async () => {
      await broker.enqueue(jobs(3, `lost-${round}`));
      space.network.holdReplies();
      await expect(worker.claim({ queues: ['usual'] })).rejects.toMatchObject({ code: 'BROKER_UNAVAILABLE' });
      const [claim, ...rest] = await broker.missing(worker.id, []);
      expect(rest).toEqual([]);
      expect(ids(claim?.jobs ?? [])).toEqual(ids(jobs(3, `lost-${round}`)));
      await space.network.goOn();
      await worker.done(...(claim?.jobs ?? []).map((one) => end(one)));
    });

    it('a claim that arrives late, after the worker has asked what it misses, takes nothing', async () => {
      await broker.enqueue(jobs(3, `late-${round}`));
      space.network.holdRequests();
      await expect(worker.claim({ queues: ['usual'] })).rejects.toMatchObject({ code: 'BROKER_UNAVAILABLE' });
      expect(await broker.missing(worker.id, [])).toEqual([]);
      await space.network.goOn();
      expect(await broker.missing(worker.id, [])).toEqual([]);
      expect(new Set(await broker.states(ids(jobs(3, `late-${round}`))))).toEqual(new Set(['queued']));
      expect(ids(await worker.take())).toEqual(ids(jobs(3, `late-${round}`)));
    });

    it('a settlement whose reply is lost was made, and its repetition is refused', async () => {
      const it = await worker.claimOfNew(`settled-${round}`);
      space.network.holdReplies();
      await expect(worker.settle(end(it, { result: '1' }))).rejects.toMatchObject({ code: 'BROKER_UNAVAILABLE' });
      expect(await worker.settle(end(it, { result: '2' }))).toEqual([false]);
      expect(await broker.ended([it.id])).toMatchObject([{ state: 'succeeded', result: '1' }]);
      await space.network.goOn();
    });

    it('connections that are cut again and again: every job is worked off, none twice', async () => {
      const batch = jobs(300, `flap-${round}`);
      const queued = new Set<string>();
      const settled = new Map<string, number>();
      const known = new Map<string, readonly ClaimedJob[]>();
      const persistently = async <Value>(call: () => Promise<Value>): Promise<Value> =>
        eventually(async () => {
          try {
            return { value: await call() };
          } catch (error) {
            if (!unavailable(error)) throw error;
            return undefined;
          }
        }, 'the broker answers').then(({ value }) => value);
      let flapping = true;
      const flaps = (async () => {
        for (let flap = 0; flap < 25; flap++) {
          await new Promise((resolve) => setTimeout(resolve, 20 + ((flap * 37) % 90)));
          space.network.cut();
        }
        flapping = false;
      })();
      const sending = (async () => {
        for (const one of batch) {
          await persistently(() => broker.enqueue([{ ...one, ...named() }]));
          queued.add(one.id);
        }
      })();
      while (flapping || settled.size < batch.length) {
        try {
          // A slow worker, so that it is cut off at every point.
          const claim = await worker.claim({ limit: 5 });
          if (claim !== undefined) known.set(claim.id, claim.jobs);
          for (const [claim, held] of known) {
            for (const one of held) {
              const [accepted] = await worker.settle(end(one, { keepMs: 600_000 }));
              if (accepted === true) settled.set(one.id, (settled.get(one.id) ?? 0) + 1);
              // Refused: it was accepted before, and the reply was lost.
              else settled.set(one.id, settled.get(one.id) ?? 1);
            }
            known.delete(claim);
          }
        } catch (error) {
          if (!unavailable(error)) throw error;
          const missing: readonly Claim[] = await persistently(() => broker.missing(worker.id, [...known.keys()]));
          for (const claim of missing) known.set(claim.id, claim.jobs);
        }
      }
      await Promise.all([flaps, sending]);
      expect(queued.size).toBe(300);
      expect(new Set(settled.values())).toEqual(new Set([1]));
      expect(new Set(await persistently(() => broker.states(ids(batch))))).toEqual(new Set(['succeeded']));
      expect(await persistently(() => broker.missing(worker.id, []))).toEqual([]);
      expect(await persistently(() => worker.takeAll())).toEqual([]);
    });

    it('a listener that was cut off hears again, and is told that something may have come', async () => {
      let heard = 0;
      const stop = await broker.listen(['usual'], {
        jobs: () => {
          heard += 1;
        },
        attention: () => undefined,
      });
      const before = heard;
      await space.stop();
      await space.start();
      await back();
      await eventually(async () => heard > before, 'it is told', { withinMs: 10_000 });
      await worker.claim({ idle: true });
      const after = heard;
      await broker.enqueue([job(`heard-${round}`)]);
      await eventually(async () => heard > after, 'it hears again');
      await stop();
      await worker.done(...(await worker.takeAll()).map((one) => end(one)));
    });

    it('after an outage longer than their leases, workers get a lease of time to come back', async () => {
      const leaseMs = 2_000;
      const [one, two] = [await TestWorker.join(broker, { leaseMs }), await TestWorker.join(broker, { leaseMs: 60_000 })];
      const it = await one.claimOfNew(`leased-${round}`);
      await space.stop();
      const down = performance.now();
      await eventually(async () => performance.now() - down > leaseMs + 200, 'the lease runs out');
      await space.start();
      await back();
      expect(await broker.recover(two.id)).toEqual([]);
      const { module, options } = broker.heartbeat(one.id, leaseMs);
      const link = ((await import(/* @vite-ignore */ module)) as { openHeartbeat(given: typeof options): HeartbeatLink }).openHeartbeat(
        options,
      );
      expect(await link.renew()).toBe(true);
      expect(await broker.recover(two.id)).toEqual([]);
      await one.done(end(it));
      await link.close();
    });

    it('a crash: what was acknowledged is there, and a claim that the server has forgotten settles nothing', async () => {
      for (let crash = 0; crash < 3; crash++) {
        const all = jobs(200, `crash-${crash}`);
        await broker.enqueue(all);
        const done = (await worker.take({ limit: 20 })) as ClaimedJob[];
        await worker.done(...done.map((one) => end(one, { result: '1' })));
        const before: ClaimedJob[] = [];
        while (before.length < 50) before.push(...(await worker.take({ limit: 1 })));
        await space.crash();
        await space.start();
        await back();
        expect(ids(await broker.ended(ids(all))).toSorted()).toEqual(ids(done).toSorted());
        const kept = new Set((await broker.missing(worker.id, [])).map(({ id }) => id));
        const after: ClaimedJob[] = [];
        while (after.length < 60) after.push(...(await worker.take({ limit: 1 })));
        expect(after.filter((one) => before.some(({ claim }) => claim === one.claim))).toEqual([]);
        expect(await worker.settle(...before.map((one) => end(one)))).toEqual(before.map(({ claim }) => kept.has(claim)));
        expect(new Set(await broker.states(ids(after)))).toEqual(new Set(['running']));
        await worker.done(...after.map((one) => end(one)), ...(await worker.takeAll()).map((one) => end(one)));
        expect(new Set(await broker.states(ids(all)))).toEqual(new Set(['succeeded']));
      }
    });

    it('closes in time while the network is silent', async () => {
      const { broker: other } = await space.open({ timeoutMs });
      await other.listen(['usual'], { jobs: () => undefined, attention: () => undefined });
      space.network.goSilent();
      const started = performance.now();
      await other.close();
      expect(performance.now() - started).toBeLessThan(soonMs);
      await space.network.goOn();
    });
  });
}
