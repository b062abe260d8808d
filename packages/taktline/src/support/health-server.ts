/**
 * Answers probes over HTTP: 200 while everything that was asked for does its work, 503 when something does not. It tells of
 * progress, not of a connection: a worker whose broker answers a PING may still be stuck.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { TaktlineError } from './taktline-error.ts';

export interface Health {
  readonly live: boolean;
  /** For so long nothing has moved that should; in milliseconds. */
  readonly stalledMs: number;
}

export interface HealthServerOptions {
  /** 0: any that is free. */
  readonly port: number;
  /** Default `127.0.0.1`. */
  readonly host?: string;
  /** Of each part by its name. Undefined for one that does not answer. */
  look(): Promise<Readonly<Record<string, Health | undefined>>>;
}

const paths = new Set(['/', '/health', '/healthz', '/livez']);

export class HealthServer {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** @throws TaktlineError `INVALID_OPTION` when it cannot listen there */
  static async start({ port, host = '127.0.0.1', look }: HealthServerOptions): Promise<HealthServer> {
    const server = createServer({ requestTimeout: 5_000, headersTimeout: 5_000, keepAliveTimeout: 5_000 }, (request, response) => {
      const answer = (status: number, body: object, headers: Readonly<Record<string, string>> = {}): void => {
        const text = `${JSON.stringify(body)}\n`;
        response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers });
        response.end(request.method === 'HEAD' ? undefined : text);
      };
      request.resume();
      if (request.method !== 'GET' && request.method !== 'HEAD') return answer(405, { error: 'GET only' }, { allow: 'GET, HEAD' });
      if (!paths.has((request.url ?? '/').split('?')[0] as string)) return answer(404, { error: 'try /health' });
      look().then(
        (parts) => {
          const live = Object.values(parts).every((part) => part?.live === true);
          answer(live ? 200 : 503, { status: live ? 'live' : 'stalled', ...parts });
        },
        () => answer(503, { status: 'stalled' }),
      );
    });
    server.maxConnections = 100;
    await new Promise<void>((resolve, reject) => {
      server.once('error', (cause: NodeJS.ErrnoException) =>
        reject(
          new TaktlineError('INVALID_OPTION', `the health port cannot listen on ${host}:${port}: ${cause.code ?? cause.message}`, {
            cause,
          }),
        ),
      );
      server.listen(port, host, resolve);
    });
    return new HealthServer(server);
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }
}
