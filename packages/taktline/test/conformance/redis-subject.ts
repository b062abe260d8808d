/** The subject of the conformance suite for Redis: a namespace is a prefix of keys. */
import { RedisBroker } from '../../src/broker/redis/redis-broker.ts';
import { RedisInspector } from '../../src/broker/redis/redis-inspector.ts';
import { RedisTimetable } from '../../src/broker/redis/redis-timetable.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/own-server.ts';
import { OwnRedis } from '../support/redis/own-redis.ts';
import { removeNamespace } from '../support/redis/redis-namespace.ts';
import { masterName } from '../support/redis/redis-sentinels.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { type BrokerKind, ServerSpace, SharedSpace, type TestServer } from './spaces.ts';
import { type OwnServerSpace, queues, type Subject } from './subject.ts';

type Kind = 'standalone' | 'sentinel' | 'cluster';

/** @param url of the servers that all tests share */
export function redisSubject(url: () => string, kind: Kind): Subject {
  return {
    space: async () => new SharedSpace(onRedis, url()),
    ownServer: () => serverSpace(kind),
  };
}

const onRedis: BrokerKind = {
  make(url, namespace, settings) {
    const broker = new RedisBroker({ url, namespace, queues, deadLetterTtlMs: 86_400_000, ...settings });
    return { broker, inspector: new RedisInspector(broker, namespace), timetable: new RedisTimetable(broker) };
  },
  async clear(url, namespace) {
    // The other kinds are servers of the suite's own, which go with it.
    if (url.startsWith('redis://')) await removeNamespace(url, namespace);
  },
};

/** A server of the kind behind a proxy: it, or who knows of it, tells the proxy's address to clients. */
async function serverSpace(kind: Kind): Promise<OwnServerSpace> {
  const port = await freePort();
  const proxy = await TcpProxy.before(port);
  const durable = ['appendonly yes', 'appendfsync everysec'];
  const cluster = [
    `cluster-enabled yes`,
    `cluster-port ${await freePort()}`,
    `cluster-announce-port ${proxy.port}`,
    'cluster-announce-ip 127.0.0.1',
  ];
  const server = await OwnRedis.make({ port, config: kind === 'cluster' ? [...durable, ...cluster] : durable });
  if (kind === 'standalone') return new ServerSpace(onRedis, server.url({ port: proxy.port }), server, proxy);
  if (kind === 'cluster') {
    await server.ask('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
    await eventually(async () => String(await server.ask('CLUSTER', 'INFO')).includes('cluster_state:ok'), 'the cluster is complete');
    return new ServerSpace(onRedis, `redis-cluster://127.0.0.1:${proxy.port}`, server, proxy);
  }
  const sentinel = await OwnRedis.make({
    sentinel: true,
    // It only says where the master is, and takes no part in what the test does to it.
    config: [`sentinel monitor ${masterName} 127.0.0.1 ${proxy.port} 1`, `sentinel down-after-milliseconds ${masterName} 3600000`],
  });
  const both: TestServer = {
    stop: () => server.stop(),
    crash: () => server.crash(),
    start: () => server.start(),
    remove: async () => void (await Promise.all([server.remove(), sentinel.remove()])),
  };
  return new ServerSpace(onRedis, `redis-sentinel://127.0.0.1:${sentinel.port}/${masterName}/0`, both, proxy);
}
