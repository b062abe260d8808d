/**
 * A TCP proxy between clients and a server, which does to connections what networks do: cut them, drop everything without
 * a word, or deliver requests and replies late, when their sender has given up.
 */
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

  /** Nothing goes through any more, on new connections neither, and nobody is told. */
  goSilent(): void {
    this.#silent = true;
    this.holdRequests();
    this.holdReplies();
  }

  /** What the clients of today's connections send stays on its way. */
  holdRequests(): void {
    for (const { client } of this.#links) client.pause();
  }

  /** What the server answers on today's connections stays on its way. */
  holdReplies(): void {
    for (const { server } of this.#links) server.pause();
  }

  /** Delivers what was held back. Resolves when the server has done with the connections whose clients have gone. */
  async goOn(): Promise<void> {
    this.#silent = false;
    const gone: Promise<unknown>[] = [];
    for (const { client, server } of this.#links) {
      client.once('end', () => gone.push(server.closed ? Promise.resolve() : once(server, 'close')));
      client.resume();
      server.resume();
    }
    // The end of a client that has gone already is read within a few turns.
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setTimeout(resolve, 1));
    await Promise.all(gone);
  }

  /** Resets all connections. */
  cut(): void {
    for (const { client, server } of this.#links) {
      client.resetAndDestroy();
      server.resetAndDestroy();
    }
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.cut();
    await closed;
  }

  #join(client: Socket, server: Socket): void {
    const link = { client, server };
    this.#links.add(link);
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      one.setNoDelay();
      // What a client has sent reaches the server though the client is gone.
      one.on('data', (chunk) => other.writable && other.write(chunk));
      one.on('end', () => other.end());
      one.on('error', () => undefined);
      one.on('close', () => {
        other.end();
        if (client.destroyed && server.destroyed) this.#links.delete(link);
      });
    }
    if (!this.#silent) return;
    client.pause();
    server.pause();
  }
}
