/**
 * The way to one server, by one connection at a time. A connection that broke is replaced when somebody asks for the next
 * command, after a pause that grows with each failure and stays short enough to work again soon after an outage. What was
 * under way when it broke is never sent again from here: nobody knows whether it ran.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { closed, isReply, translate, unavailable } from './redis-error.ts';
import type { Address } from './redis-url.ts';
import { type Argument, type Reply, Wire, type WireOptions } from './wire.ts';

/** Hands addresses to `reach` until one works out. */
export type Locate = (reach: (address: Address) => Promise<Wire>) => Promise<Wire>;

/** What a connection needs beside its end and its address. */
export interface LinkOptions extends Omit<WireOptions, 'signal'> {
  /** A connection is there. */
  readonly connected?: ((wire: Wire) => void) | undefined;
  /** Another connection has come into the place of one that broke. */
  readonly replaced?: (() => void) | undefined;
}

const slowestRetryMs = 800;

export class ServerLink {
  readonly #locate: Locate;
  readonly #options: LinkOptions;
  readonly #closing = new AbortController();
  #wire: Wire | undefined;
  #opening: Promise<Wire> | undefined;
  #over = closed();
  #connected = false;
  /** Connections in a row that failed or ended before they had answered anything. */
  #failures = 0;
  #retryAt = 0;

  constructor(locate: Locate, options: LinkOptions) {
    this.#locate = locate;
    this.#options = options;
  }

  get connected(): boolean {
    return this.#wire !== undefined;
  }

  /**
   * Sends the commands one right after the other, and gives the answer to the last. An error reply of the server rejects as
   * it is; see redis-error.ts.
   */
  send(...commands: readonly (readonly Argument[])[]): Promise<Reply> {
    // Not by way of a promise when connected, so that what is sent in one tick leaves in one write, in its order.
    return this.#wire === undefined ? this.open().then((wire) => this.#ask(wire, commands)) : this.#ask(this.#wire, commands);
  }

  /** The connection of now, or else the next one. */
  open(): Promise<Wire> {
    if (this.#wire !== undefined) return Promise.resolve(this.#wire);
    this.#opening ??= this.#connect().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  /**
   * Lets what was sent be answered, for so long at most.
   *
   * @param why what everybody gets who asks for more
   */
  async close(withinMs: number, why = closed()): Promise<void> {
    this.#over = why;
    const wire = this.#wire;
    this.#wire = undefined;
    this.#closing.abort();
    await this.#opening?.catch(() => undefined);
    if (wire !== undefined) await retire(wire, withinMs);
  }

  #ask(wire: Wire, commands: readonly (readonly Argument[])[]): Promise<Reply> {
    for (let index = 0; index < commands.length - 1; index++) wire.send(commands[index] as readonly Argument[]).catch(() => undefined);
    return wire.send(commands.at(-1) as readonly Argument[]).then(
      (reply) => {
        this.#failures = 0;
        return reply;
      },
      (error: unknown) => {
        // It was the master once. Behind the same name or the same Sentinels there is another one by now.
        if (isReply(error, 'READONLY')) this.#replace(wire);
        throw error;
      },
    );
  }

  async #connect(): Promise<Wire> {
    const { signal } = this.#closing;
    const pauseMs = this.#retryAt - performance.now();
    if (pauseMs > 0) await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) throw this.#over;
    try {
      // The signal of closing does not reach a connection that is up: close() lets it finish its work.
      const opening = new AbortController();
      const stop = () => opening.abort();
      signal.addEventListener('abort', stop, { once: true });
      const wire = await this.#locate((address) => Wire.open(address, { ...this.#options, signal: opening.signal })).finally(() =>
        signal.removeEventListener('abort', stop),
      );
      if (signal.aborted) {
        wire.cut(this.#over);
        throw this.#over;
      }
      this.#wire = wire;
      this.#options.connected?.(wire);
      if (this.#connected) this.#options.replaced?.();
      this.#connected = true;
      void wire.ended.then(() => this.#lost(wire));
      return wire;
    } catch (error) {
      if (signal.aborted) throw this.#over;
      this.#failed();
      throw translate(error);
    }
  }

  #replace(wire: Wire): void {
    if (this.#wire !== wire) return;
    this.#lost(wire);
    void retire(wire, this.#options.timeoutMs);
  }

  #lost(wire: Wire): void {
    if (this.#wire !== wire) return;
    this.#wire = undefined;
    this.#failed();
  }

  #failed(): void {
    const pauseMs = this.#failures === 0 ? 0 : Math.min(slowestRetryMs, 25 * 2 ** this.#failures);
    this.#retryAt = performance.now() + pauseMs * (0.5 + Math.random() / 2);
    this.#failures += 1;
  }
}

async function retire(wire: Wire, withinMs: number): Promise<void> {
  const late = setTimeout(() => wire.cut(unavailable('the connection was closed before Redis had answered')), withinMs);
  await wire.drained();
  clearTimeout(late);
  wire.cut(closed());
}
