/**
 * Workers on a Redis that goes away and comes back, forgets its scripts, or is behind a network that falls silent: they
 * consume again within five seconds, without a restart; nothing that was acknowledged is lost, and nothing is settled twice.
 * TAKTLINE_LONG=1 (`npm run test:long`) adds outages of 20 and 60 s.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, type TestContext } from 'vitest';
import { describeWithRedisServers } from '../../support/redis/needs-redis.ts';
import { OwnRedis } from '../../support/redis/own-redis.ts';
import { TcpProxy } from '../../support/tcp-proxy.ts';
import { againWithinMs, Scene } from './scene.ts';

/** After this an unanswered command is given up. */
const timeoutMs = 10_000;
const always = ['appendonly yes', 'appendfsync always'];
const everysec = ['appendonly yes', 'appendfsync everysec'];
const long = process.env['TAKTLINE_LONG'] === '1';

async function server({ onTestFinished }: TestContext, config: readonly string[] = always): Promise<OwnRedis> {
  const redis = await OwnRedis.make({ config });
  onTestFinished(() => redis.remove());
  return redis;
}

/** Nothing is lost, and no worker was taken for dead, so that nothing ran again. */
async function nothingLostOrDoubled(scene: Scene): Promise<void> {
  const { acknowledged, ...rest } = await scene.finish();
  expect(rest, scene.complaints).toEqual({ lost: [], again: 0 });
  expect(acknowledged).toBeGreaterThan(40);
}

async function outage(seconds: number, test: TestContext): Promise<void> {
  const redis = await server(test);
  const scene = await Scene.start(test, redis.url());
  await redis.stop();
  await Promise.all([sleep(seconds * 1_000), scene.refused()]);
  await redis.start();
  const tookMs = await scene.flows();
  await test.annotate(`consumed again after ${tookMs} ms`);
  expect(tookMs).toBeLessThan(againWithinMs);
  expect(scene.refusals.filter(({ code }) => code !== 'BROKER_UNAVAILABLE')).toEqual([]);
  await nothingLostOrDoubled(scene);
}

describeWithRedisServers('workers go on', () => {
  // Most of it is waiting, and each has its servers for itself. The longest come first.
  describe.concurrent('behind a network that falls silent', { timeout: 60_000 }, () => {
    async function behindProxy(test: TestContext) {
      const redis = await server(test);
      const proxy = await TcpProxy.before(redis.port);
      test.onTestFinished(() => proxy.close());
      // Their leases outlast the silence: nobody may take the jobs of the other.
      const scene = await Scene.start(test, redis.url({ port: proxy.port }), { lease: '60s', clientUrl: redis.url() });
      return { proxy, scene };
    }

    it('for longer than they wait for an answer, for new connections too', async (test) => {
      const { proxy, scene } = await behindProxy(test);
      proxy.goSilent();
      await sleep(timeoutMs + 2_000);
      await proxy.goOn();
      const tookMs = await scene.flows();
      await test.annotate(`consumed again after ${tookMs} ms`);
      expect(tookMs).toBeLessThan(againWithinMs);
      await nothingLostOrDoubled(scene);
    });

    it('on the connections that there are: that is found out within twice the time, and what arrives late changes nothing', async (test) => {
      const { proxy, scene } = await behindProxy(test);
      proxy.holdReplies();
      proxy.holdRequests();
      const tookMs = await scene.flows(1);
      await test.annotate(`consumed again after ${tookMs} ms`);
      expect(tookMs).toBeLessThan(2 * timeoutMs);
      await proxy.goOn();
      await scene.flows();
      await nothingLostOrDoubled(scene);
    });
  });

  describe.concurrent('after an outage', { timeout: 60_000 }, () => {
    it('of 1 s', (test) => outage(1, test));
    it('of 6 s', (test) => outage(6, test));
    it.runIf(long)('of 20 s', { timeout: 120_000 }, (test) => outage(20, test));
    it.runIf(long)('of 60 s', { timeout: 180_000 }, (test) => outage(60, test));
  });

  describe.concurrent('after a kill -9 of Redis', { timeout: 60_000 }, () => {
    it.for([
      ['always', always],
      ['everysec', everysec],
    ] as const)('with AOF %s', async ([, config], test) => {
      const redis = await server(test, config);
      const scene = await Scene.start(test, redis.url());
      for (let kill = 1; kill <= 2; kill++) {
        await redis.crash();
        await scene.refused();
        await redis.start();
        expect(await scene.flows()).toBeLessThan(againWithinMs);
      }
      await nothingLostOrDoubled(scene);
    });
  });

  it.concurrent('while its scripts are flushed again and again, and nobody is refused anything', { timeout: 60_000 }, async (test) => {
    const redis = await server(test);
    const scene = await Scene.start(test, redis.url());
    for (let flush = 1; flush <= 30; flush++) {
      await redis.ask('SCRIPT', 'FLUSH');
      await scene.flows(2);
    }
    expect(scene.refusals).toEqual([]);
    await nothingLostOrDoubled(scene);
  });
});
