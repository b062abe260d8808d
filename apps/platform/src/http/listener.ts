/**
 * The server's socket. It is taken at the very start, so that a port in use is known before anything else is started,
 * and answers 503 until the platform is ready.
 */

import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createAdaptorServer } from '@hono/node-server';

export interface Listener {
  /** Such as `http://127.0.0.1:8080`. */
  readonly url: string;
  readonly port: number;
  /** From now on requests go here. */
  serve(app: { fetch(request: Request): Response | Promise<Response> }): void;
  /** Takes no more requests, lets those that run come to an end, then closes. */
  stop(): Promise<void>;
}

/** The port cannot be listened on; the message says what to do. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
  readonly code = 'LISTEN';
}

/** Requests that run get this long to end at a stop. */
const graceMs = 5_000;

export async function listen(host: string, port: number): Promise<Listener> {
  let handler = (_request: Request): Response | Promise<Response> =>
    new Response('starting\n', { status: 503, headers: { 'retry-after': '1', 'content-type': 'text/plain' } });
  const server = createAdaptorServer({
    fetch: (request: Request) => handler(request),
    // A client that dawdles with its headers or its body is dropped; others are served meanwhile.
    serverOptions: { headersTimeout: 10_000, requestTimeout: 30_000, connectionsCheckingInterval: 2_000 },
  }) as Server;
  server.maxConnections = 2_000;

  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(explain(error, host, port)));
    server.listen(port, host, resolve);
  });
  const address = server.address() as AddressInfo;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${address.port}`,
    port: address.port,
    serve(app) {
      handler = (request) => app.fetch(request);
    },
    async stop() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      const timer = setTimeout(() => server.closeAllConnections(), graceMs);
      await closed;
      clearTimeout(timer);
    },
  };
}

function explain(error: NodeJS.ErrnoException, host: string, port: number): Error {
  if (error.code === 'EADDRINUSE') return new ListenError(`Port ${port} on ${host} is in use. Set PORT to a free one, or to 0 for any.`);
  if (error.code === 'EACCES')
    return new ListenError(`Port ${port} on ${host} may not be opened by this user. Set PORT to one above 1023.`);
  return new ListenError(`Cannot listen on ${host}, port ${port}: ${error.code ?? error.message}`);
}
