/**
 * Holds one connection that LISTENs for wake-ups, and makes a new one whenever it breaks. Each time it has (re)connected
 * it says so as if jobs had come, since what was sent meanwhile is lost.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { clientConfig, loadPg } from './connection.ts';

export interface ListenerOptions {
  readonly url: () => Promise<string>;
  readonly channel: string;
  said(payload: string): void;
}

const slowestRetryMs = 2_000;

export class Listener {
  readonly #options: ListenerOptions;
  readonly #stopping = new AbortController();
  #client: pg.Client | undefined;
  #running: Promise<void> | undefined;

  constructor(options: ListenerOptions) {
    this.#options = options;
  }

  /** Resolves when the first try to connect is over, whether it worked or not. */
  async start(): Promise<void> {
    const first = await this.#connect();
    this.#running ??= this.#keep(first);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#client?.end().catch(() => undefined);
    await this.#running;
  }

  /** Waits for the end of each connection and makes the next one. */
  async #keep(first: { readonly ended: Promise<void> } | undefined): Promise<void> {
    let connected = first;
    let delayMs = 50;
    while (!this.#stopping.signal.aborted) {
      if (connected !== undefined) {
        await connected.ended;
        delayMs = 50;
      }
      await sleep(delayMs, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
      if (this.#stopping.signal.aborted) return;
      delayMs = Math.min(slowestRetryMs, delayMs * 2);
      connected = await this.#connect();
    }
  }

  /** Undefined when it failed. */
  async #connect(): Promise<{ readonly ended: Promise<void> } | undefined> {
    try {
      const { Client } = await loadPg();
      const client = new Client(clientConfig(await this.#options.url(), 'taktline listener', 10_000));
      const ended = new Promise<void>((resolve) => {
        client.once('end', resolve);
        client.once('error', () => resolve());
      });
      client.on('error', () => undefined);
      client.on('notification', ({ payload }) => this.#options.said(payload ?? ''));
      await client.connect();
      await client.query(`listen ${client.escapeIdentifier(this.#options.channel)}`);
      this.#client = client;
      if (this.#stopping.signal.aborted) await client.end();
      this.#options.said('j');
      return { ended };
    } catch {
      return undefined;
    }
  }
}
