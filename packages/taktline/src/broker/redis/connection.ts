/**
 * The connections of one app to one Redis, whichever way it is run: one for commands to each server, and those of its
 * subscribers. A command that got no answer fails with BROKER_UNAVAILABLE, may have run or not, and is never sent again
 * from here; those that the server answered with NOSCRIPT, MOVED or ASK did nothing, and are.
 */
import { createHash } from 'node:crypto';
import { renewAppendOnlyFile } from './append-only-file.ts';
import { ClusterNodes } from './cluster-nodes.ts';
import { closed, isReply, translate, unavailable } from './redis-error.ts';
import { type Address, describeRedisUrl, parseRedisUrl, type RedisTarget } from './redis-url.ts';
import { mustBeMaster, Sentinels } from './sentinel.ts';
import { readFacts, type ServerFacts } from './server-facts.ts';
import { type Locate, ServerLink } from './server-link.ts';
import { Subscriber, type SubscriberOptions } from './subscriber.ts';
import type { Argument, Reply, Wire } from './wire.ts';

export interface ConnectionOptions {
  readonly url: string;
  /** Lower case letters, digits and underscores. */
  readonly namespace: string;
  /** What the connection is for; stands with the namespace in CLIENT LIST. */
  readonly role: string;
  /** How long a command may take before its connection is given up. Default 10 s. */
  readonly timeoutMs?: number;
}

export interface Script {
  readonly name: string;
  readonly source: string;
  /** The SHA-1 that the server knows it by. */
  readonly sha: string;
  /** It touches keys whose names it makes from those that it is given. */
  readonly makesKeys: boolean;
}

export function script(name: string, source: string, { makesKeys = false } = {}): Script {
  return { name, source, sha: createHash('sha1').update(source).digest('hex'), makesKeys };
}

/**
 * The end of a key that never exists. While a slot moves, a node of a Cluster judges by the keys that a script is given whether
 * it has what the script needs; given this one too, it runs no script (TRYAGAIN) until the slot has moved as a whole. Else a
 * script that makes keys would run on the new node without those that are still on the old one.
 */
const neverThere = ':none';

const defaultTimeoutMs = 10_000;
const redirectionsAtMost = 5;
const closeWithinMs = 5_000;

export class Connection {
  /** The URL without user, password and parameters. */
  readonly where: string;
  readonly #options: ConnectionOptions;
  readonly #target: RedisTarget;
  readonly #closing = new AbortController();
  readonly #sentinels: Sentinels | undefined;
  /** Set on a Cluster, where #server is not. */
  readonly #nodes: ClusterNodes | undefined;
  readonly #server: ServerLink | undefined;
  readonly #subscribers = new Set<Subscriber>();
  /** Told when commands may reach another server than before, or one that was started again: it need not know all that the other did. */
  readonly replaced = new Set<() => void>();
  #closed = false;
  /** Commands that have not been answered. */
  #working = 0;
  #idle: (() => void) | undefined;

  /**
   * Connects when it is first used.
   *
   * @throws TaktlineError `BROKER_URL`
   */
  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#target = parseRedisUrl(options.url);
    this.where = describeRedisUrl(options.url);
    const { topology, addresses } = this.#target;
    if (topology === 'sentinel') this.#sentinels = new Sentinels(this.#target, this.#name('sentinel'), this.#closing.signal);
    if (topology === 'cluster') this.#nodes = new ClusterNodes(addresses, (address) => this.#link(options.role, at(address)));
    else this.#server = this.#link(options.role, this.#locate);
    this.#nodes?.changed.add(this.#replaced);
  }

  /** Whether keys of one script must share a slot. */
  get clustered(): boolean {
    return this.#nodes !== undefined;
  }

  /** Keys in groups that one script may use. */
  together(keys: readonly string[]): readonly (readonly string[])[] {
    if (keys.length === 0) return [];
    return this.clustered ? keys.map((key) => [key]) : [keys];
  }

  /**
   * Runs a script. Several that are called in one tick travel together, and run in their order on each server.
   *
   * @param slotKey one of the keys, or any text in their slot: says which node of a Cluster runs it
   * @throws TaktlineError `BROKER_UNAVAILABLE` when it may be sent again; it may have run, unless the message is the server's
   */
  async run(script: Script, slotKey: string, keys: readonly string[], args: readonly Argument[]): Promise<Reply> {
    const all = this.clustered && script.makesKeys ? [...keys, `${keys[0]}${neverThere}`] : keys;
    const rest = [String(all.length), ...all, ...args];
    return this.#inFlight(() =>
      this.#send(slotKey, ['EVALSHA', script.sha, ...rest]).catch((error: unknown) => {
        // Never seen by this server, or flushed. Running it by its source makes it known again.
        if (isReply(error, 'NOSCRIPT')) return this.#send(slotKey, ['EVAL', script.source, ...rest]);
        throw error;
      }),
    );
  }

  /** Sends one command to the server, or to the node that has the slot. Throws as `run`. */
  async command(slotKey: string, args: readonly Argument[]): Promise<Reply> {
    return this.#inFlight(() => this.#send(slotKey, args));
  }

  /** Of the server, or of every master of the Cluster. */
  async facts(): Promise<readonly ServerFacts[]> {
    return this.#inFlight(async () => {
      const links = this.#server === undefined ? ((await this.#nodes?.masters()) ?? []) : [this.#server];
      return Promise.all(links.map((link) => readFacts((args) => link.send(args))));
    });
  }

  /** Resolves when the first try to connect is over, whether it worked or not, to a function that ends it. */
  async subscribe(options: SubscriberOptions): Promise<() => Promise<void>> {
    if (this.#closed) throw closed();
    const make = (locate: Locate, prepare: (wire: Wire) => Promise<void>) => this.#link('subscriber', locate, prepare);
    const subscriber = new Subscriber(options, make, this.#locate, this.#nodes);
    this.#subscribers.add(subscriber);
    await subscriber.start();
    return async () => {
      this.#subscribers.delete(subscriber);
      await subscriber.stop();
    };
  }

  /** Lets what was asked for before be answered, within a bound. Whoever asks for more gets BROKER_CLOSED. */
  async close(withinMs = closeWithinMs): Promise<void> {
    this.#closed = true;
    await Promise.all([this.#drained(withinMs), ...[...this.#subscribers].map((subscriber) => subscriber.stop())]);
    this.#closing.abort();
    await Promise.all([this.#server?.close(0), this.#nodes?.close(0)]);
  }

  async #inFlight<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#closed) throw closed();
    this.#working += 1;
    try {
      return await work();
    } catch (error) {
      throw translate(error);
    } finally {
      this.#working -= 1;
      if (this.#working === 0) this.#idle?.();
    }
  }

  async #drained(withinMs: number): Promise<void> {
    if (this.#working === 0) return;
    await new Promise<void>((resolve) => {
      const late = setTimeout(resolve, withinMs);
      this.#idle = () => {
        clearTimeout(late);
        resolve();
      };
    });
  }

  /** As the server's answer, error replies untranslated. */
  async #send(slotKey: string, args: readonly Argument[]): Promise<Reply> {
    // No promise on the usual way, see ServerLink.send.
    if (this.#server !== undefined) return this.#server.send(args);
    const nodes = this.#nodes as ClusterNodes;
    const found = nodes.link(slotKey);
    let link = found instanceof Promise ? await found : found;
    let commands = [args];
    for (let hops = 0; ; hops++) {
      try {
        return await link.send(...commands);
      } catch (error) {
        const next = nodes.follow(error, slotKey);
        if (next === undefined) throw error;
        if (hops === redirectionsAtMost) throw unavailable('the nodes of the Redis Cluster do not agree on who has that slot');
        link = next.link;
        commands = next.asking ? [['ASKING'], args] : [args];
      }
    }
  }

  readonly #replaced = (): void => {
    for (const tell of this.replaced) tell();
  };

  readonly #locate: Locate = (reach) => {
    if (this.#sentinels !== undefined) return this.#sentinels.locate(reach);
    return reach(this.#target.addresses[0] as Address);
  };

  #link(role: string, locate: Locate, prepare?: (wire: Wire) => Promise<void>): ServerLink {
    const { login, database, tls } = this.#target;
    const finder = this.#nodes ?? this.#sentinels;
    return new ServerLink(locate, {
      name: this.#name(role),
      login,
      database,
      tls,
      timeoutMs: this.#options.timeoutMs ?? defaultTimeoutMs,
      prepare: async (wire) => {
        if (this.#sentinels !== undefined) await mustBeMaster(wire);
        await prepare?.(wire);
      },
      connected: role === 'app' ? (wire) => void renewAppendOnlyFile(wire) : undefined,
      replaced: this.#replaced,
      outdated: finder === undefined ? undefined : (address) => finder.outdated(address),
      watched: this.#sentinels !== undefined,
    });
  }

  #name(role: string): string {
    return `taktline:${this.#options.namespace}:${role}`;
  }
}

function at(address: Address): Locate {
  return (reach) => reach(address);
}
