/** A master that is lost: by its Sentinels the next one is found, for commands and for the subscriber. */
import { afterEach, expect, it } from 'vitest';
import { Connection, script } from '../../../src/broker/redis/connection.ts';
import { eventually } from '../../support/eventually.ts';
import { describeWithRedisServers } from '../../support/redis/needs-redis.ts';
import { OwnRedis } from '../../support/redis/own-redis.ts';
import { RedisSentinels } from '../../support/redis/redis-sentinels.ts';

const count = script('count', "return redis.call('incr', KEYS[1])");
const againWithinMs = 5_000;

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).toReversed()) await clean();
});

function connect(url: string): Connection {
  const connection = new Connection({ url, namespace: 'sentinel', role: 'client' });
  cleanups.push(() => connection.close(100));
  return connection;
}

const run = (connection: Connection) => connection.run(count, 'n', ['n'], []);

describeWithRedisServers('a master named by Sentinels', () => {
  async function group(options?: Parameters<typeof RedisSentinels.make>[0]) {
    const made = await RedisSentinels.make(options);
    cleanups.push(() => made.remove());
    return made;
  }

  /** Commands and a subscriber before, while, and after something happens to the master. */
  async function survives(
    happens: (master: OwnRedis) => Promise<void>,
    after: (master: OwnRedis) => Promise<void> = async () => undefined,
  ) {
    const redis = await group();
    const connection = connect(redis.url());
    const heard: string[] = [];
    let missed = 0;
    await connection.subscribe({ channels: ['news'], message: (_, payload) => void heard.push(payload), missed: () => void missed++ });
    expect(await run(connection)).toBe(1);
    const old = await redis.master();
    await happens(old);
    const next = await redis.failedOver(old);
    const started = performance.now();
    await eventually(() => run(connection).then(Boolean, () => false), 'commands are answered by the next master');
    await eventually(async () => {
      await next.ask('PUBLISH', 'news', 'from the next');
      return heard.length > 0;
    }, 'the subscriber hears the next master');
    expect(performance.now() - started).toBeLessThan(againWithinMs);
    expect(missed).toBeGreaterThan(1);
    await after(old);
    const id = await next.ask('GET', 'n');
    await run(connection);
    expect(Number(await next.ask('GET', 'n'))).toBe(Number(id) + 1);
  }

  it('that is killed', () => survives((master) => master.crash()));

  it('that is frozen, and thaws as a master of the past', () =>
    survives(
      async (master) => master.freeze(),
      async (master) => {
        master.thaw();
        await master.ask('PING');
      },
    ));

  it('that is made a replica while its connections stay', async () => {
    const redis = await group();
    const connection = connect(redis.url());
    expect(await run(connection)).toBe(1);
    const old = await redis.master();
    await redis.sentinels[0]?.ask('SENTINEL', 'FAILOVER', 'mymaster');
    await redis.failedOver(old);
    const started = performance.now();
    await eventually(() => run(connection).then(Boolean, () => false), 'commands are answered');
    expect(performance.now() - started).toBeLessThan(againWithinMs);
  });

  it('is believed only when it says itself that it is one', async () => {
    const redis = await group();
    const [, replica] = redis.servers as [OwnRedis, OwnRedis];
    const mistaken = await OwnRedis.make({
      sentinel: true,
      config: [`sentinel monitor mymaster 127.0.0.1 ${replica.port} 1`, 'sentinel down-after-milliseconds mymaster 60000'],
    });
    cleanups.push(() => mistaken.remove());
    const alone = `redis-sentinel://127.0.0.1:${mistaken.port}`;
    await expect(run(connect(`${alone}/mymaster`))).rejects.toMatchObject({
      code: 'BROKER_UNAVAILABLE',
      message: expect.stringContaining('not the master'),
    });
    expect(await run(connect(`${alone},127.0.0.1:${redis.sentinels[0]?.port}/mymaster`))).toBe(1);
  });

  it('is found though Sentinels are dead or frozen, and passwords differ', async () => {
    const redis = await group({
      config: ['user default on >data ~* &* +@all', 'masterauth data'],
      sentinelConfig: ['sentinel auth-pass mymaster data', 'requirepass watch'],
    });
    await redis.sentinels[0]?.crash();
    redis.sentinels[1]?.freeze();
    const started = performance.now();
    expect(await run(connect(redis.url({ login: ':data', rest: '/0?sentinelPassword=watch' })))).toBe(1);
    expect(performance.now() - started).toBeLessThan(againWithinMs);
    redis.sentinels[1]?.thaw();
    const refused = (url: string, words: string) =>
      expect(run(connect(url))).rejects.toMatchObject({ code: 'BROKER_URL', message: expect.stringContaining(words) });
    await refused(redis.url({ login: ':data' }), 'sentinelPassword');
    await refused(redis.url({ login: ':data', rest: '/0?sentinelPassword=hunter2' }), 'Redis refused the login: WRONGPASS');
    await refused(redis.url({ login: ':hunter2', rest: '/0?sentinelPassword=watch' }), 'Redis refused the login');
    await refused(redis.url({ rest: '/0?sentinelPassword=watch' }).replace('mymaster', 'other'), 'no master named "other"');
  });
});
