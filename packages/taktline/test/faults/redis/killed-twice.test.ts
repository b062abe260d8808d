/**
 * A Redis that is killed in the middle of a write leaves half a script at the end of its append-only file, which its second start
 * after that runs (see append-only-file.ts). The file is cut here as such a kill cuts it, for a kill at the right moment is rare.
 */
import { readdir, readFile, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it, type TestContext } from 'vitest';
import type { Claim, ClaimRequest } from '../../../src/broker/broker.ts';
import { RedisBroker } from '../../../src/broker/redis/redis-broker.ts';
import { RedisInspector } from '../../../src/broker/redis/redis-inspector.ts';
import { newId } from '../../../src/support/ids.ts';
import { eventually } from '../../support/eventually.ts';
import { describeWithRedisServers } from '../../support/redis/needs-redis.ts';
import { OwnRedis } from '../../support/redis/own-redis.ts';

const request: ClaimRequest = { queues: ['q'], limit: 100, lane: 'usual', lowestFirst: false, idle: false, hand: 0 };

class Scene {
  readonly redis: OwnRedis;
  readonly #test: TestContext;

  private constructor(redis: OwnRedis, test: TestContext) {
    this.redis = redis;
    this.#test = test;
  }

  static async open(test: TestContext): Promise<Scene> {
    const redis = await OwnRedis.make({
      config: ['appendonly yes', 'appendfsync always', 'user kept-from-it on >of-this-test ~* &* +@all -bgrewriteaof'],
    });
    test.onTestFinished(() => redis.remove());
    return new Scene(redis, test);
  }

  broker(login = ''): RedisBroker {
    const queues = [{ name: 'q', priority: 5, keepUntilEnd: true }];
    const broker = new RedisBroker({ url: this.redis.url({ login }), namespace: 'n', queues, deadLetterTtlMs: 1_000_000 });
    this.#test.onTestFinished(() => broker.close());
    return broker;
  }

  /** Killed while it wrote the last script down: of that, the last command but two is not whole. */
  async killInTheMiddle(): Promise<void> {
    await this.redis.crash();
    const folder = join(this.redis.folder, 'appendonlydir');
    const file = join(folder, (await readdir(folder)).find((name) => name.endsWith('.incr.aof')) as string);
    const text = await readFile(file, 'latin1');
    expect(text.trimEnd().endsWith('EXEC')).toBe(true);
    const commands = [...text.matchAll(/^\*\d+\r$/gm)].map(({ index }) => index);
    await truncate(file, (commands.at(-3) as number) + 12);
    await this.redis.start();
  }

  async again(): Promise<void> {
    await this.redis.crash();
    await this.redis.start();
  }

  /** Until the server has nothing to write anew. */
  async written(): Promise<void> {
    await eventually(async () => {
      const info = (await this.redis.ask('INFO', 'persistence')) as string;
      return /^aof_rewrite_in_progress:0/m.test(info) && !/^aof_last_rewrite_time_sec:-1/m.test(info);
    }, 'the append-only file is written anew');
  }
}

const joined = (broker: RedisBroker) => broker.join({ name: 'w', leaseMs: 1_000, info: {} });

const jobs = (count: number) => Array.from({ length: count }, () => ({ id: newId('q'), queue: 'q', priority: 5, envelope: '{}' }));

async function claimAll(broker: RedisBroker, worker: string): Promise<Claim> {
  const { claims } = await broker.exchange(worker, [], request);
  return claims[0] as Claim;
}

async function counts(broker: RedisBroker) {
  const [queue] = await new RedisInspector(broker, 'n').queues();
  return { ready: queue?.ready, running: queue?.running, dead: queue?.dead };
}

/** Five jobs; the claim of them was being written down when the server was killed. Another worker runs them after its start. */
async function ranAfterTheKill(scene: Scene, login: string): Promise<void> {
  const before = scene.broker(login);
  const lost = await joined(before);
  if (login === '') await scene.written();
  await before.enqueue(jobs(5));
  await claimAll(before, lost);
  await scene.killInTheMiddle();
  await before.close();
  const after = scene.broker(login);
  expect(await counts(after)).toEqual({ ready: 5, running: 0, dead: 0 });
  const worker = await joined(after);
  const claim = await claimAll(after, worker);
  const reply = await after.exchange(
    worker,
    claim.jobs.map((job) => ({ kind: 'end', job, state: 'succeeded', keepMs: 0 })),
    undefined,
  );
  expect(reply.accepted).toEqual(claim.jobs.map(() => true));
  expect(await counts(after)).toEqual({ ready: 0, running: 0, dead: 0 });
  await after.close();
}

describeWithRedisServers('a Redis that is killed in the middle of a script, and again', () => {
  it('has written its file anew in between, and runs no half of it', async (test) => {
    const scene = await Scene.open(test);
    await ranAfterTheKill(scene, '');
    await scene.written();
    await scene.again();
    const broker = scene.broker();
    expect(await counts(broker)).toEqual({ ready: 0, running: 0, dead: 0 });
    expect(await scene.redis.ask('HLEN', `${broker.keys.queue('q')}:claims`)).toBe(0);
  });

  it('where it may not: jobs that were settled do not come back, and the queue goes on', async (test) => {
    const scene = await Scene.open(test);
    const login = 'kept-from-it:of-this-test';
    await ranAfterTheKill(scene, login);
    await scene.again();
    const broker = scene.broker(login);
    const findings = await new RedisInspector(broker, 'n').examine();
    expect(findings.find(({ check }) => check === 'append-only file')).toMatchObject({ ok: false });
    // Half of the first claim is there now: what of it counted the jobs as running is not.
    expect(await scene.redis.ask('HLEN', `${broker.keys.queue('q')}:claims`)).toBe(1);
    expect(await counts(broker)).toEqual({ ready: -5, running: 0, dead: 0 });
    const worker = await joined(broker);
    await eventually(async () => (await broker.pulse(worker, ['q'], {})).lostWorkers, 'the leases of before have run out');
    expect(await broker.recover(worker)).toEqual([]);
    await broker.tidy();
    expect(await counts(broker)).toEqual({ ready: 0, running: 0, dead: 0 });
    await broker.enqueue(jobs(3));
    expect((await claimAll(broker, worker)).jobs).toHaveLength(3);
  });
});
