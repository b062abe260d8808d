/** The subject of the conformance suite for Redis: a namespace is a prefix of keys. */
import { randomBytes } from 'node:crypto';
import { RedisBroker } from '../../src/broker/redis/redis-broker.ts';
import { RedisInspector } from '../../src/broker/redis/redis-inspector.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/own-server.ts';
import { OwnRedis } from '../support/redis/own-redis.ts';
import { removeNamespace } from '../support/redis/redis-namespace.ts';
import { masterName } from '../support/redis/redis-sentinels.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { type BrokerSettings, type Instance, type Network, type OwnServerSpace, queues, type Space, type Subject } from './subject.ts';

type Kind = 'standalone' | 'sentinel' | 'cluster';

/** @param url of the servers that all tests share */
export function redisSubject(url: () => string, kind: Kind): Subject {
  return {
    space: async () => new RedisSpace(url()),
    ownServer: () => RedisServerSpace.make(kind),
  };
}

class RedisSpace implements Space {
  readonly url: string;
  readonly namespace = `c_${randomBytes(6).toString('hex')}`;
  readonly #brokers: RedisBroker[] = [];

  constructor(url: string) {
    this.url = url;
  }

  make(settings: BrokerSettings = {}): Instance {
    const { namespace, url } = this;
    const broker = new RedisBroker({ url, namespace, queues, deadLetterTtlMs: 86_400_000, ...settings });
    this.#brokers.push(broker);
    return { broker, inspector: new RedisInspector(broker, namespace) };
  }

  async open(settings: BrokerSettings = {}): Promise<Instance> {
    const instance = this.make(settings);
    await instance.broker.open();
    return instance;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
    // The other kinds are servers of the suite's own, which go with it.
    if (!this.url.startsWith('redis://')) return;
    await removeNamespace(this.url, this.namespace);
  }

  protected async close(): Promise<void> {
    await Promise.all(this.#brokers.map((broker) => broker.close()));
  }
}

/** A server of the kind behind a proxy: it, or who knows of it, tells the proxy's address to clients. */
class RedisServerSpace extends RedisSpace implements OwnServerSpace {
  readonly #server: OwnRedis;
  readonly #sentinel: OwnRedis | undefined;
  readonly #proxy: TcpProxy;

  private constructor(url: string, server: OwnRedis, sentinel: OwnRedis | undefined, proxy: TcpProxy) {
    super(url);
    this.#server = server;
    this.#sentinel = sentinel;
    this.#proxy = proxy;
  }

  static async make(kind: Kind): Promise<RedisServerSpace> {
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
    if (kind === 'standalone') return new RedisServerSpace(server.url({ port: proxy.port }), server, undefined, proxy);
    if (kind === 'cluster') {
      await server.ask('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
      await eventually(async () => String(await server.ask('CLUSTER', 'INFO')).includes('cluster_state:ok'), 'the cluster is complete');
      return new RedisServerSpace(`redis-cluster://127.0.0.1:${proxy.port}`, server, undefined, proxy);
    }
    const sentinel = await OwnRedis.make({
      sentinel: true,
      // It only says where the master is, and takes no part in what the test does to it.
      config: [`sentinel monitor ${masterName} 127.0.0.1 ${proxy.port} 1`, `sentinel down-after-milliseconds ${masterName} 3600000`],
    });
    return new RedisServerSpace(`redis-sentinel://127.0.0.1:${sentinel.port}/${masterName}/0`, server, sentinel, proxy);
  }

  get network(): Network {
    return this.#proxy;
  }

  stop(): Promise<void> {
    return this.#server.stop();
  }

  crash(): Promise<void> {
    return this.#server.crash();
  }

  start(): Promise<void> {
    return this.#server.start();
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
    await this.#proxy.close();
    await Promise.all([this.#server.remove(), this.#sentinel?.remove()]);
  }
}
