/** Namespaces for the suite's topics, whatever broker they are on. */
import { randomBytes } from 'node:crypto';
import type { TcpProxy } from '../support/tcp-proxy.ts';
import type { BrokerSettings, Instance, Network, OwnServerSpace, Space } from './subject.ts';

/** How brokers of one kind are made, and what is done when their namespace is not needed any more. */
export interface BrokerKind {
  make(url: string, namespace: string, settings: BrokerSettings): Instance;
  /** Not called for a server that goes with the namespace. */
  clear(url: string, namespace: string): Promise<void>;
}

/** On a server that all tests share. */
export class SharedSpace implements Space {
  readonly url: string;
  readonly namespace = `c_${randomBytes(6).toString('hex')}`;
  readonly #kind: BrokerKind;
  readonly #instances: Instance[] = [];

  constructor(kind: BrokerKind, url: string) {
    this.#kind = kind;
    this.url = url;
  }

  make(settings: BrokerSettings = {}): Instance {
    const instance = this.#kind.make(this.url, this.namespace, settings);
    this.#instances.push(instance);
    return instance;
  }

  async open(settings: BrokerSettings = {}): Promise<Instance> {
    const instance = this.make(settings);
    await instance.broker.open();
    return instance;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
    await this.#kind.clear(this.url, this.namespace);
  }

  protected async close(): Promise<void> {
    await Promise.all(this.#instances.map(({ broker }) => broker.close()));
  }
}

/** What a test may do to a server of its own. */
export interface TestServer {
  stop(): Promise<void>;
  crash(): Promise<void>;
  start(): Promise<void>;
  remove(): Promise<void>;
}

/** On a server of its own, behind a proxy. */
export class ServerSpace extends SharedSpace implements OwnServerSpace {
  readonly #server: TestServer;
  readonly #proxy: TcpProxy;

  constructor(kind: BrokerKind, url: string, server: TestServer, proxy: TcpProxy) {
    super(kind, url);
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
