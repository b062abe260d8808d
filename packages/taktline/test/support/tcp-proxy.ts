/** A TCP proxy between a client and a server: it can cut connections, go silent, and hold back what a client sends. */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

interface Link {
  readonly client: Socket;
  readonly server: Socket;
}

export class TcpProxy {
  readonly #server: Server;
  readonly #links = new Set<Link>();
  #silent = false;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async before(port: number): Promise<TcpProxy> {
    const server = createServer({ allowHalfOpen: true });
    const proxy = new TcpProxy(server);
    server.on('connection', (client) => proxy.#join(client, connect({ port, host: '127.0.0.1', allowHalfOpen: true })));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return proxy;
  }

  get port(): number {
    const address = this.#server.address();
    return address !== null && typeof address !== 'string' ? address.port : 0;
  }

  /** Nothing goes through any more, and nobody is told: as when a network drops packets. */
  goSilent(): void {
    this.#silent = true;
    for (const link of this.#links) this.#pause(link);
  }

  /** Lets go on what was held back, for clients that have gone too. */
  goOn(): void {
    this.#silent = false;
    for (const link of this.#links) this.#resume(link);
  }

  /** Resets all connections. */
  cut(): void {
    for (const { client, server } of this.#links) {
      client.resetAndDestroy();
      server.resetAndDestroy();
    }
  }

  async close(): Promise<void> {
    this.#server.close();
    for (const { client, server } of this.#links) {
      client.destroy();
      server.destroy();
    }
    if (this.#server.listening) await once(this.#server, 'close');
  }

  #join(client: Socket, server: Socket): void {
    const link = { client, server };
    this.#links.add(link);
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      one.setNoDelay();
      // What a client has sent reaches the server though the client is gone, as it does through a slow network.
      one.on('data', (chunk) => other.writable && other.write(chunk));
      one.on('end', () => other.end());
      one.on('error', () => undefined);
      one.on('close', () => {
        other.end();
        if (client.destroyed && server.destroyed) this.#links.delete(link);
      });
    }
    if (this.#silent) this.#pause(link);
  }

  #pause({ client, server }: Link): void {
    client.pause();
    server.pause();
  }

  #resume({ client, server }: Link): void {
    client.resume();
    server.resume();
  }
}
