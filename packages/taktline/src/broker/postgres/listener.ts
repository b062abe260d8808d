/**
 * Holds one connection that LISTENs, for wake-ups or events, and makes a new one whenever it breaks. Each time that it has
 * (re)connected it says so, since what was sent meanwhile is lost.
 */
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { clientConfig, loadPg } from './connection.ts';

export interface ListenerOptions {
  readonly url: () => Promise<string>;
  readonly channel: string;
  said(payload: string): void;
  /** Connected, for the first time or again: what was said before has not been heard. */
  connected(): void;
}

const slowestRetryMs = 2_000;
/** How long a server may take to close a connection before it is cut. */
const hangUpMs = 1_000;

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
    if (this.#client !== undefined) await hangUp(this.#client);
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
    let client: pg.Client | undefined;
    try {
      const { Client } = await loadPg();
      client = new Client(clientConfig(await this.#options.url(), 'taktline listener', 10_000));
      const made = client;
      const ended = new Promise<void>((resolve) => {
        made.once('end', resolve);
        made.once('error', () => resolve());
      });
      client.on('error', () => undefined);
      client.on('notification', ({ payload }) => this.#options.said(payload ?? ''));
      await client.connect();
      await client.query(`listen ${client.escapeIdentifier(this.#options.channel)}`);
      this.#client = client;
      if (this.#stopping.signal.aborted) await client.end();
      this.#options.connected();
      return { ended };
    } catch {
      if (client !== undefined) void hangUp(client);
      return undefined;
    }
  }
}

/** A server that has stopped answering never closes its end, and the open socket would keep this process alive. */
async function hangUp(client: pg.Client): Promise<void> {
  const { stream } = (client as unknown as { readonly connection: { readonly stream: Duplex } }).connection;
  const cut = setTimeout(() => stream.destroy(), hangUpMs);
  await client.end().catch(() => undefined);
  clearTimeout(cut);
}
