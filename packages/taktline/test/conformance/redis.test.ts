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

describeOnRedis('Redis', (url) => {
  const subject = redisSubject(() => url, 'standalone');
  for (const topic of topics) topic(subject);
});

describeWithRedisServers('Redis with Sentinels', () => {
  let group: RedisSentinels | undefined;
  beforeAll(async () => {
    group = await RedisSentinels.make({ config: durable });
  }, 60_000);
  afterAll(() => group?.remove());
  const subject = redisSubject(() => (group as RedisSentinels).url(), 'sentinel');
  for (const topic of topics) topic(subject);
});

describeWithRedisServers('Redis Cluster', () => {
  let cluster: RedisCluster | undefined;
  beforeAll(async () => {
    cluster = await RedisCluster.make({ config: durable });
  }, 60_000);
  afterAll(() => cluster?.remove());
  const subject = redisSubject(() => (cluster as RedisCluster).url(), 'cluster');
  for (const topic of topics) topic(subject);
});
