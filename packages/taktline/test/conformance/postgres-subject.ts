/** The subject of the conformance suite for Postgres: a namespace is a schema. */
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { PostgresBroker } from '../../src/broker/postgres/postgres-broker.ts';
import { PostgresInspector } from '../../src/broker/postgres/postgres-inspector.ts';
import { OwnServer } from '../support/own-server.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { type BrokerSettings, type Instance, type Network, type OwnServerSpace, queues, type Space, type Subject } from './subject.ts';

/**
 * @param url of the server that all tests share
 * @param binaries for servers of a test's own
 */
export function postgresSubject(url: () => string, binaries?: string): Subject {
  return {
    space: async () => new PostgresSpace(url()),
    ownServer: async () => {
      const server = await OwnServer.make({ binaries });
      return new PostgresServerSpace(server, await TcpProxy.before(server.port));
    },
  };
}

class PostgresSpace implements Space {
  readonly url: string;
  readonly namespace = `c_${randomBytes(6).toString('hex')}`;
  readonly #brokers: PostgresBroker[] = [];

  constructor(url: string) {
    this.url = url;
  }

  make(settings: BrokerSettings = {}): Instance {
    const { namespace, url } = this;
    const broker = new PostgresBroker({
      url: () => Promise.resolve(url),
      heartbeat: { url },
      namespace,
      queues,
      deadLetterTtlMs: 86_400_000,
      ...settings,
    });
    this.#brokers.push(broker);
    return { broker, inspector: new PostgresInspector(broker, namespace, 'the test server') };
  }

  async open(settings: BrokerSettings = {}): Promise<Instance> {
    const instance = this.make(settings);
    await instance.broker.open();
    return instance;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
    const client = new pg.Client(this.url);
    await client.connect();
    await client.query(`drop schema if exists "${this.namespace}" cascade`);
    await client.end();
  }

  protected async close(): Promise<void> {
    await Promise.all(this.#brokers.map((broker) => broker.close()));
  }
}

class PostgresServerSpace extends PostgresSpace implements OwnServerSpace {
  readonly #server: OwnServer;
  readonly #proxy: TcpProxy;

  constructor(server: OwnServer, proxy: TcpProxy) {
    super(server.url({ port: proxy.port }));
    this.#server = server;
    this.#proxy = proxy;
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
    await this.#server.remove();
  }
}
