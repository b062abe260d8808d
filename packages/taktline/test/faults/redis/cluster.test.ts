/** A Cluster whose slots move and whose nodes are lost: every command finds the node that has its slot. */
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { slotOf } from '../../../src/broker/redis/cluster-nodes.ts';
import { Connection, script } from '../../../src/broker/redis/connection.ts';
import { eventually } from '../../support/eventually.ts';
import { describeWithRedisServers } from '../../support/redis/needs-redis.ts';
import type { OwnRedis } from '../../support/redis/own-redis.ts';
import { RedisCluster } from '../../support/redis/redis-cluster.ts';

const count = script('count', "return redis.call('incr', KEYS[1])");
const append = script('append', "return redis.call('rpush', KEYS[1], ARGV[1])");
const againWithinMs = 5_000;
/** In slots of all three nodes. */
const keys = Array.from({ length: 30 }, (_, n) => `k${n}`);

const connections: Connection[] = [];
afterEach(async () => {
  await Promise.all(connections.splice(0).map((connection) => connection.close(100)));
});

function connect(url: string): Connection {
  const connection = new Connection({ url, namespace: 'cluster', role: 'client' });
  connections.push(connection);
  return connection;
}

const run = (connection: Connection, key: string) => connection.run(count, key, [key], []);

describeWithRedisServers('a Cluster that is in order', () => {
  let cluster: RedisCluster;
  beforeAll(async () => {
    cluster = await RedisCluster.make();
  });
  afterAll(() => cluster?.remove());
  afterEach(() => Promise.all(cluster.nodes.map((node) => node.ask('FLUSHALL'))));

  const ownerOf = async (key: string) => (await cluster.owner(slotOf(key), cluster.nodes[0] as OwnRedis)) as OwnRedis;
  const another = (node: OwnRedis) => cluster.nodes.find((other) => other !== node) as OwnRedis;

  it('has each key in the slot that we think', async () => {
    for (const key of [...keys, '', '{', '{}', 'a{}b', 'a{b}c', 'a{{b}}c', '{a}{b}', 'é€😀{ü}', '123456789']) {
      expect(await cluster.nodes[0]?.ask('CLUSTER', 'KEYSLOT', key), key).toBe(slotOf(key));
    }
  });

  it('runs each script on the node of its key, known there or not, and in the order of one tick', async () => {
    const connection = connect(cluster.url());
    const fresh = script('fresh', `${append.source} -- ${Math.random()}`);
    await Promise.all(keys.flatMap((key) => ['1', '2', '3'].map((value) => connection.run(fresh, key, [key], [value]))));
    for (const key of keys) expect(await connection.command(key, ['LRANGE', key, '0', '-1'])).toEqual(['1', '2', '3']);
    for (const node of cluster.nodes) expect(Number(await node.ask('DBSIZE'))).toBeGreaterThan(0);
    expect((await connection.facts()).map(({ cluster: clustered }) => clustered)).toEqual([true, true, true]);
  });

  it('one node of it is enough to find the others', async () => {
    const connection = connect(`redis-cluster://localhost:${cluster.nodes[1]?.port}`);
    expect(await Promise.all(keys.map((key) => run(connection, key)))).toEqual(keys.map(() => 1));
  });

  it('a slot that moves is followed, while it moves and after, and nothing is done twice', async () => {
    const connection = connect(cluster.url());
    const source = await ownerOf('{m}1');
    const destination = another(source);
    await run(connection, '{m}1');
    const finish = await cluster.migrate(slotOf('{m}'), source, destination);
    // Still there, so there it is run; not there, so it goes to the new node by ASK.
    expect(await run(connection, '{m}1')).toBe(2);
    expect(await run(connection, '{m}2')).toBe(1);
    expect(Number(await destination.ask('DBSIZE'))).toBeGreaterThan(0);
    await finish();
    expect(await Promise.all(['{m}1', '{m}2'].map((key) => run(connection, key)))).toEqual([3, 2]);
    await (await cluster.migrate(slotOf('{m}'), destination, source))();
  });

  it('a script that the new node does not know is followed there too', async () => {
    const connection = connect(cluster.url());
    const fresh = script('fresh', `${count.source} -- ${Math.random()}`);
    const source = await ownerOf('{n}');
    const finish = await cluster.migrate(slotOf('{n}'), source, another(source));
    expect(await connection.run(fresh, '{n}', ['{n}'], [])).toBe(1);
    await finish();
    expect(await connection.run(fresh, '{n}', ['{n}'], [])).toBe(2);
    await (await cluster.migrate(slotOf('{n}'), another(source), source))();
  });

  it('a channel lives on the node of its slot, and is heard when its slot has moved', async () => {
    const connection = connect(cluster.url());
    const heard: string[] = [];
    let missed = 0;
    const channels = ['{a}c', '{b}c', '{c}c', '{d}c'];
    const stop = await connection.subscribe({
      channels,
      message: (channel, payload) => void heard.push(`${channel} ${payload}`),
      missed: () => void missed++,
    });
    const tell = () => Promise.all(channels.map((channel) => connection.command(channel, ['SPUBLISH', channel, 'x'])));
    expect(await tell()).toEqual([1, 1, 1, 1]);
    await eventually(async () => heard.length === 4, 'all are heard');
    const before = missed;
    const source = await ownerOf('{a}c');
    await (await cluster.migrate(slotOf('{a}c'), source, another(source)))();
    heard.length = 0;
    await eventually(async () => {
      await tell();
      return heard.includes('{a}c x');
    }, 'it is heard from its new node');
    expect(missed).toBeGreaterThan(before);
    await (await cluster.migrate(slotOf('{a}c'), another(source), source))();
    await stop();
    expect(await tell()).toEqual([0, 0, 0, 0]);
  });

  it('is refused by a URL for one server, and one server by a URL for a Cluster', async () => {
    const failures = await Promise.all(
      keys.map((key) =>
        run(connect(cluster.nodes[0]?.url() as string), key).then(
          () => undefined,
          (error: Error) => error,
        ),
      ),
    );
    expect(failures.find((failure) => failure !== undefined)).toMatchObject({
      code: 'BROKER_URL',
      message: expect.stringContaining('use redis-cluster://'),
    });
    const single = process.env['TAKTLINE_TEST_REDIS'] as string;
    await expect(run(connect(single.replace('redis:', 'redis-cluster:')), 'k')).rejects.toMatchObject({
      code: 'BROKER_URL',
      message: expect.stringContaining('no Cluster'),
    });
  });
});

describeWithRedisServers('a Cluster that loses a master', () => {
  it.each(['crash', 'freeze'] as const)(
    'by a %s goes on with its replica, and the other slots go on at once',
    { timeout: 120_000 },
    async (how) => {
      const cluster = await RedisCluster.make({ replicas: true, nodeTimeoutMs: 1_000 });
      try {
        const connection = connect(cluster.url());
        const heard: string[] = [];
        await connection.subscribe({ channels: keys, message: (channel) => void heard.push(channel), missed: () => undefined });
        await Promise.all(keys.map((key) => run(connection, key)));
        const [lost, healthy] = cluster.nodes as [OwnRedis, OwnRedis];
        const ofLost = keys.filter((key) => slotOf(key) <= 5_461);
        const others = keys.filter((key) => slotOf(key) > 5_462);
        await (how === 'crash' ? lost.crash() : lost.freeze());
        const failing = run(connection, ofLost[0] as string).catch((error: unknown) => error);
        expect(await Promise.all(others.map((key) => run(connection, key)))).toEqual(others.map(() => 2));
        await eventually(async () => (await cluster.owner(0, healthy)) !== lost, 'the replica is the master');
        const started = performance.now();
        await eventually(() => Promise.all(ofLost.map((key) => run(connection, key))).then(Boolean, () => false), 'its slots are served');
        heard.length = 0;
        await eventually(async () => {
          await Promise.all(keys.map((key) => connection.command(key, ['SPUBLISH', key, 'x'])));
          return keys.every((key) => heard.includes(key));
        }, 'all channels are heard');
        expect(performance.now() - started).toBeLessThan(againWithinMs);
        expect(await failing).toMatchObject({ code: 'BROKER_UNAVAILABLE' });
        lost.thaw();
      } finally {
        await cluster.remove();
      }
    },
  );
});
