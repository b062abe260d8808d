/**
 * Workers whose master is replaced, or whose queue moves to another node: they consume again within five seconds. What the
 * next master had not received when the old one went is lost, see docs/durability.md; all else is there, and settled once.
 */
import { describe, expect, it, type TestContext } from 'vitest';
import { slotOf } from '../../../src/broker/redis/cluster-nodes.ts';
import { Keys } from '../../../src/broker/redis/keys.ts';
import { createApp, silentLogger } from '../../../src/index.ts';
import { eventually } from '../../support/eventually.ts';
import { Gate } from '../../support/gate.ts';
import { describeWithRedisServers } from '../../support/redis/needs-redis.ts';
import { OwnRedis } from '../../support/redis/own-redis.ts';
import { RedisCluster } from '../../support/redis/redis-cluster.ts';
import { RedisSentinels } from '../../support/redis/redis-sentinels.ts';
import { againWithinMs, Scene } from './scene.ts';

const config = ['appendonly yes'];
/** A replica on the same machine is no further behind than this. */
const lagMs = 1_000;
/** From the moment when the Sentinels name another master, until nobody writes to the old one any more. */
const leavesWithinMs = 3_000;

/** From when the old master began to go, to when it was of no consequence any more. */
interface Change {
  readonly from: number;
  readonly to: number;
}

async function again(scene: Scene, test: TestContext): Promise<void> {
  const tookMs = await scene.flows();
  await test.annotate(`consumed again after ${tookMs} ms`);
  expect(tookMs).toBeLessThan(againWithinMs);
}

/** Lost is at most what was acknowledged by a master that was about to go. */
async function finish(scene: Scene, test: TestContext, changes: readonly Change[]): Promise<void> {
  const { lost, acknowledged } = await scene.finish();
  await test.annotate(`${lost.length} of ${acknowledged} were lost`);
  expect(lost.filter((at) => !changes.some(({ from, to }) => from - lagMs <= at && at <= to))).toEqual([]);
  expect(acknowledged).toBeGreaterThan(40);
}

describeWithRedisServers('workers go on after a failover', () => {
  describe.concurrent('by Sentinels, or a move', { timeout: 60_000 }, () => {
    it.for(['a crash', 'an order'] as const)('upon %s', async (why, test) => {
      const redis = await RedisSentinels.make({ config });
      test.onTestFinished(() => redis.remove());
      const scene = await Scene.start(test, redis.url());
      const old = await redis.master();
      const from = performance.now();
      if (why === 'a crash') await old.crash();
      else await redis.sentinels[0]?.ask('SENTINEL', 'FAILOVER', 'mymaster');
      await redis.failedOver(old);
      // Whoever is connected asks the Sentinels once a second, and leaves.
      const left = performance.now() + leavesWithinMs;
      // They leave the old master alone for some seconds, and it goes on answering.
      if (why === 'an order')
        await eventually(
          () =>
            old.ask('INFO', 'replication').then(
              (info) => String(info).includes('role:slave'),
              () => false,
            ),
          'it is a replica',
        );
      await again(scene, test);
      await finish(scene, test, [{ from, to: why === 'an order' ? left : performance.now() }]);
    });

    it('of the slot of their queue to another node of a Cluster and back', async (test) => {
      const cluster = await RedisCluster.make({ config });
      test.onTestFinished(() => cluster.remove());
      const scene = await Scene.start(test, cluster.url(), { lease: '30s' });
      const slot = slotOf(new Keys(scene.namespace).queue('work'));
      const source = (await cluster.owner(slot, cluster.nodes[0] as OwnRedis)) as OwnRedis;
      const destination = cluster.nodes.find((node) => node !== source) as OwnRedis;
      for (const [from, to] of [
        [source, destination],
        [destination, source],
      ] as const) {
        const moved = await cluster.migrate(slot, from, to);
        // Whoever asks meanwhile is told to try again.
        await scene.refused();
        await moved();
        await again(scene, test);
      }
      expect(scene.refusals.filter(({ message }) => !/TRYAGAIN|CLUSTERDOWN/.test(message))).toEqual([]);
      const { acknowledged, ...rest } = await scene.finish();
      expect(rest, scene.complaints).toEqual({ lost: [], again: 0 });
      expect(acknowledged).toBeGreaterThan(40);
    });
  });

  it('in a Cluster, of the node that has their queue, then of the one that has their leases', { timeout: 90_000 }, async (test) => {
    const cluster = await RedisCluster.make({ replicas: true, nodeTimeoutMs: 1_000, config });
    test.onTestFinished(() => cluster.remove());
    const [masters, replicas] = [cluster.nodes.slice(0, 3), cluster.nodes.slice(3)];
    const scene = await Scene.start(test, cluster.url());
    const keys = new Keys(scene.namespace);
    const changes: Change[] = [];
    for (const slot of [slotOf(keys.queue('work')), slotOf(keys.workers[0])]) {
      const old = (await cluster.owner(slot, replicas[0] as OwnRedis)) as OwnRedis;
      // It had both, and has been replaced already.
      if (!masters.includes(old)) break;
      const from = performance.now();
      await old.crash();
      for (const replica of replicas) await eventually(async () => (await cluster.owner(slot, replica)) !== old, 'it is replaced');
      await again(scene, test);
      changes.push({ from, to: performance.now() });
    }
    await finish(scene, test, changes);
  });
});

describeWithRedisServers('a master that has not heard of a settlement', () => {
  it('gets the job done all the same, by the worker that has it', async (test) => {
    // What a replica has that fell behind, one server has that goes back to its last snapshot.
    const redis = await OwnRedis.make();
    test.onTestFinished(() => redis.remove());
    // It does not ask by itself while the server is away, and so finds out nothing by failing.
    const app = createApp({ brokerUrl: redis.url(), queues: [{ name: 'work', priority: 5 }], logger: silentLogger });
    test.onTestFinished(() => app.close());
    const gate = new Gate();
    let runs = 0;
    const task = app.task({
      name: 'twice',
      queue: 'work',
      run: async () => {
        runs += 1;
        await gate.pass();
        return runs;
      },
    });
    await app.worker({ pollInterval: '1h' }).start();
    const handle = await task.delay();
    await gate.reached;
    await redis.ask('SAVE');
    gate.open();
    expect(await handle.result()).toBe(1);
    await redis.crash();
    await redis.start();
    await eventually(
      () =>
        handle.status().then(
          (status) => status === 'succeeded',
          () => false,
        ),
      'it has ended again',
    );
    expect(runs).toBe(2);
  });
});
