/**
 * One connection to one server, from its first packet to its end. It is never mended: whoever holds it (server-link.ts)
 * makes another. Of the client it uses the connection, the protocol and pub/sub; the settings below turn off what would
 * send a command twice or keep it waiting behind our back:
 * - reconnecting and its offline queue, since a command that was sent before must not be sent again unasked;
 * - its time limit, which costs an AbortSignal a command (85,000 small commands a second became 40,000) and does not end
 *   one that was written already. Here one timer a connection watches the oldest unanswered command.
 */
import { readFile } from 'node:fs/promises';
import { TaktlineError } from '../../support/taktline-error.ts';
import { translate, unavailable } from './redis-error.ts';
import { type Address, describeAddress, type Login, type TlsFiles } from './redis-url.ts';

export type Argument = string | Buffer;
export type Reply = string | number | boolean | null | readonly Reply[] | { readonly [name: string]: Reply };

export interface WireOptions {
  /** Shown by CLIENT LIST. */
  readonly name: string;
  readonly login: Login | undefined;
  readonly database: number;
  readonly tls: TlsFiles | undefined;
  /** An answer that takes longer makes the outcome unknown, and ends the connection. */
  readonly timeoutMs: number;
  /** Ends the connection at once, whatever it does. */
  readonly signal: AbortSignal;
  /** Done on the new connection before anybody else may use it. */
  readonly prepare?: ((wire: Wire) => Promise<void>) | undefined;
  /** Asked when an answer takes long: is another server the right one by now? */
  readonly outdated?: ((address: Address) => Promise<boolean>) | undefined;
  /**
   * Ask that each second, whether answers take long or not: a master that was replaced by order goes on answering for some
   * seconds, and what it is told then is lost.
   */
  readonly watched?: boolean | undefined;
}

/** No one waits longer than this for a connection. */
const connectMs = 5_000;
/** Where a server can be replaced, a connection that is idle for so long is asked for a sign of life. */
const idleMs = 2_000;
/** An answer that takes longer makes us ask whether the server has been replaced. */
const suspicionMs = 1_000;
/** A longer text goes as bytes: the client writes a text beyond Latin-1 at half the speed (100 KB: 390 us of CPU, 180 as bytes). */
const longText = 16_384;

type Redis = typeof import('redis');
type Client = ReturnType<Redis['createClient']>;

export class Wire {
  readonly address: Address;
  /** Resolves when the connection is over. */
  readonly ended: Promise<void>;
  readonly #client: Client;
  readonly #options: WireOptions;
  readonly #abort: AbortController;
  /** Unanswered commands, oldest first. */
  readonly #pending = new Set<{ readonly at: number }>();
  #lastAt = performance.now();
  #watch: NodeJS.Timeout | undefined;
  #asking = false;
  #why: TaktlineError | undefined;
  #drained: (() => void) | undefined;
  #end: () => void = () => undefined;

  private constructor(address: Address, options: WireOptions, client: Client, abort: AbortController) {
    this.address = address;
    this.#options = options;
    this.#client = client;
    this.#abort = abort;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    client.on('error', (error: unknown) => this.cut(translate(error)));
    client.on('end', () => this.cut(unavailable('the connection to Redis has ended')));
    // A slot has gone to another node, which has to be asked from now on.
    client.on('sharded-channel-moved', () => this.cut(unavailable('a channel has moved to another node')));
  }

  /** @throws TaktlineError `BROKER_UNAVAILABLE`, or `BROKER_URL` when trying again would not help */
  static async open(address: Address, options: WireOptions): Promise<Wire> {
    const { createClient } = await loadRedis();
    const tls = options.tls === undefined ? {} : await tlsOptions(options.tls);
    if (options.signal.aborted) throw unavailable('the connection was given up');
    const limitMs = Math.min(connectMs, options.timeoutMs);
    const abort = new AbortController();
    const client = createClient({
      RESP: 3,
      name: options.name,
      ...(options.login === undefined ? {} : { username: options.login.username ?? 'default', password: options.login.password }),
      database: options.database,
      disableOfflineQueue: true,
      disableClientInfo: true,
      maintNotifications: 'disabled',
      commandOptions: { timeout: 0 },
      // The signal reaches a socket that still connects, which destroy() of the client does not.
      socket: { ...address, ...tls, connectTimeout: limitMs, reconnectStrategy: false, signal: abort.signal } as object,
    });
    const wire = new Wire(address, options, client as unknown as Client, abort);
    const stop = () => wire.cut(unavailable('the connection was given up'));
    options.signal.addEventListener('abort', stop, { once: true });
    void wire.ended.then(() => options.signal.removeEventListener('abort', stop));
    const how = options.tls === undefined ? '' : ' to TLS';
    const guard = setTimeout(() => wire.cut(unavailable(`${describeAddress(address)} did not answer${how} within ${limitMs} ms`)), limitMs);
    try {
      // A frozen server accepts connections, but never answers the greeting.
      await Promise.race([client.connect(), wire.ended]);
      if (wire.#why === undefined) await options.prepare?.(wire);
      if (wire.#why !== undefined) throw wire.#why;
      wire.#start();
      return wire;
    } catch (error) {
      wire.cut(translate(error));
      throw wire.#why ?? translate(error);
    } finally {
      clearTimeout(guard);
    }
  }

  /** Commands sent in one tick leave in one write. An error reply rejects as the server gave it, all else as our error. */
  send(args: readonly Argument[]): Promise<Reply> {
    if (this.#why !== undefined) return Promise.reject(this.#why);
    const sent = { at: performance.now() };
    this.#lastAt = sent.at;
    this.#pending.add(sent);
    return this.#client.sendCommand(args.map(asBytesWhenLong)).then(
      (reply) => {
        this.#answered(sent);
        return reply as unknown as Reply;
      },
      (error: unknown) => {
        this.#answered(sent);
        throw this.#why ?? error;
      },
    );
  }

  async subscribe(channels: readonly string[], sharded: boolean, message: (channel: string, payload: string) => void): Promise<void> {
    const listener = (payload: string, channel: string) => message(channel, payload);
    // Channels of several slots in one SSUBSCRIBE would be refused.
    if (sharded) await Promise.all(channels.map((channel) => this.#client.sSubscribe(channel, listener)));
    else await this.#client.subscribe([...channels], listener);
  }

  /** Resolves when nothing waits for an answer any more. */
  async drained(): Promise<void> {
    if (this.#pending.size === 0 || this.#why !== undefined) return;
    await new Promise<void>((resolve) => {
      this.#drained = resolve;
    });
  }

  /** Ends it at once. Whoever still waits for an answer gets this error. */
  cut(why: TaktlineError): void {
    if (this.#why !== undefined) return;
    this.#why = why;
    clearInterval(this.#watch);
    this.#client.destroy();
    this.#abort.abort();
    this.#drained?.();
    this.#end();
  }

  #answered(sent: { readonly at: number }): void {
    this.#pending.delete(sent);
    if (this.#pending.size === 0) this.#drained?.();
  }

  /** Finds a connection that is half open within twice the time limit: an idle one is asked for a sign of life. */
  #start(): void {
    const { timeoutMs, outdated, watched } = this.#options;
    const everyMs = Math.min(1_000, timeoutMs / 8);
    const pingMs = outdated === undefined ? timeoutMs : Math.min(idleMs, timeoutMs / 2);
    let last = performance.now();
    this.#watch = setInterval(() => {
      const now = performance.now();
      const late = now - last > 2 * everyMs;
      last = now;
      // This process's loop was blocked: the answers may be here, unread.
      if (late) return;
      if (watched === true && !this.#asking) void this.#suspect();
      const [oldest] = this.#pending;
      if (oldest === undefined) {
        if (now - this.#lastAt > pingMs) this.send(['PING']).catch(() => undefined);
      } else if (now - oldest.at > timeoutMs) {
        this.cut(unavailable(`${describeAddress(this.address)} did not answer within ${timeoutMs} ms`));
      } else if (now - oldest.at > suspicionMs && !this.#asking) {
        void this.#suspect();
      }
    }, everyMs).unref();
  }

  async #suspect(): Promise<void> {
    this.#asking = true;
    if (await this.#options.outdated?.(this.address).catch(() => false)) {
      this.cut(unavailable(`${describeAddress(this.address)} has been replaced by another server`));
    }
    this.#asking = false;
  }
}

async function loadRedis(): Promise<Redis> {
  try {
    return await import('redis');
  } catch (cause) {
    throw new TaktlineError('BROKER_URL', 'a Redis broker needs the package redis: npm install redis', { cause });
  }
}

function asBytesWhenLong(argument: Argument): Argument {
  return typeof argument === 'string' && argument.length > longText ? Buffer.from(argument) : argument;
}

/** Without `ca` those of SSL_CERT_FILE count, where it is set, and else those of Node.js with NODE_EXTRA_CA_CERTS. */
async function tlsOptions({ ca = process.env['SSL_CERT_FILE'], cert, key, servername }: TlsFiles): Promise<object> {
  const read = async (name: string, path: string | undefined) =>
    path === undefined || path === '' ? {} : { [name]: await readFile(path) };
  const contents = await Promise.all([read('ca', ca), read('cert', cert), read('key', key)]);
  return Object.assign({ tls: true }, ...contents, servername === undefined ? {} : { servername }) as object;
}
