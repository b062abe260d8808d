/**
 * The broker contract on Redis, as it is run: a server alone, a master that Sentinels watch, and a Cluster. What a test does
 * to a server of its own (stop it, kill it, disturb its network) it does to one of the same kind.
 */
import { afterAll, beforeAll } from 'vitest';
import { describeOnRedis, describeWithRedisServers } from '../support/redis/needs-redis.ts';
import { RedisCluster } from '../support/redis/redis-cluster.ts';
import { RedisSentinels } from '../support/redis/redis-sentinels.ts';
import { redisSubject } from './redis-subject.ts';
import { topics } from './topics.ts';

const durable = ['appendonly yes', 'appendfsync everysec'];

/** A group of servers that all tests share. */
interface Servers {
  url(): string;
  remove(): Promise<void>;
}

describeOnRedis('Redis', (url) => {
  const subject = redisSubject(() => url, 'standalone');
  for (const topic of topics) topic(subject);
});

describeOnServers('Redis with Sentinels', 'sentinel', () => RedisSentinels.make({ config: durable }));
describeOnServers('Redis Cluster', 'cluster', () => RedisCluster.make({ config: durable }));

function describeOnServers(name: string, kind: 'sentinel' | 'cluster', make: () => Promise<Servers>): void {
  describeWithRedisServers(name, () => {
    let servers: Servers | undefined;
    beforeAll(async () => {
      servers = await make();
    }, 60_000);
    afterAll(() => servers?.remove());
    const subject = redisSubject(() => (servers as Servers).url(), kind);
    for (const topic of topics) topic(subject);
  });
}
