/**
 * The masters of a Redis Cluster and the slots that each of them has. The map is read from any node, and again when a node
 * says that a slot has moved, when a node cannot be reached, and when one is slow to answer.
 * See https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { TaktlineError } from '../../support/taktline-error.ts';
import { closed, isReply, translate, unavailable } from './redis-error.ts';
import { type Address, describeAddress } from './redis-url.ts';
import type { ServerLink } from './server-link.ts';
import type { Reply } from './wire.ts';

export const slotCount = 16_384;
/** A frozen node must not keep us from the others. */
const patienceMs = 1_000;

export class ClusterNodes {
  readonly #make: (address: Address) => ServerLink;
  readonly #seeds: readonly Address[];
  readonly #links = new Map<string, ServerLink>();
  /** Which node has a slot, by its described address. */
  #owners: (string | undefined)[] = [];
  #addresses = new Map<string, Address>();
  #stale = true;
  #closed = false;
  #reading: Promise<void> | undefined;
  /** Told when slots have moved. */
  readonly changed = new Set<() => void>();

  constructor(seeds: readonly Address[], make: (address: Address) => ServerLink) {
    this.#seeds = seeds;
    this.#make = make;
  }

  /** The node that has the key. A promise only while the map has to be read first, so that the usual way costs no turn. */
  link(key: string): ServerLink | Promise<ServerLink> {
    return this.#stale ? this.refresh().then(() => this.#known(key)) : this.#known(key);
  }

  /** Which node has the key, by the map as it is. */
  owner(key: string): Address | undefined {
    const name = this.#owners[slotOf(key)];
    return name === undefined ? undefined : this.#addresses.get(name);
  }

  at(address: Address): ServerLink {
    // A reading of the map may still be on its way from node to node.
    if (this.#closed) throw closed();
    const name = describeAddress(address);
    const link = this.#links.get(name) ?? this.#make(address);
    this.#links.set(name, link);
    return link;
  }

  async masters(): Promise<readonly ServerLink[]> {
    if (this.#stale) await this.refresh();
    return [...this.#addresses.values()].map((address) => this.at(address));
  }

  /**
   * What an error says about the map. MOVED and ASK mean that nothing was done, and name the node to send the same command
   * to, after ASKING if so; then this returns it.
   */
  follow(failure: unknown, key: string): { readonly link: ServerLink; readonly asking: boolean } | undefined {
    const asking = isReply(failure, 'ASK');
    if (!asking && !isReply(failure, 'MOVED')) {
      // Unreachable, or not in order: the next command reads the map first.
      if (failure instanceof TaktlineError || isReply(failure, 'CLUSTERDOWN')) this.#stale = true;
      return undefined;
    }
    const [, host = '', port] = /^\S+ \d+ (.*):(\d+)$/.exec((failure as Error).message) ?? [];
    // A node that knows no name for another one means its own.
    const here = this.owner(key)?.host ?? host;
    const to = { host: host === '' || host === '?' ? here : host, port: Number(port) };
    if (!asking) this.refresh().catch(() => undefined);
    return { link: this.at(to), asking };
  }

  /** Whether the node has no slots any more. */
  async outdated(address: Address): Promise<boolean> {
    await this.refresh();
    return !this.#addresses.has(describeAddress(address));
  }

  /** @throws TaktlineError the last one, when no node answers */
  refresh(): Promise<void> {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async close(withinMs: number): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#links.values()].map((link) => link.close(withinMs)));
  }

  #known(key: string): ServerLink {
    const address = this.owner(key);
    if (address !== undefined) return this.at(address);
    this.#stale = true;
    throw unavailable('no node of the Redis Cluster has that slot now');
  }

  async #read(): Promise<void> {
    let failure: unknown;
    for (const address of this.#candidates()) {
      try {
        const late = new AbortController();
        const reply = await Promise.race([
          this.at(address).send(['CLUSTER', 'SLOTS']),
          sleep(patienceMs, undefined, { signal: late.signal, ref: false }).then(() => {
            throw unavailable(`${describeAddress(address)} did not answer within ${patienceMs} ms`);
          }),
        ]).finally(() => late.abort());
        this.#use(reply, address);
        return;
      } catch (error) {
        failure = error;
      }
    }
    throw translate(failure);
  }

  /** Those that are connected first, then the other known ones, then those of the URL. */
  #candidates(): Iterable<Address> {
    const known = [...this.#addresses.values()];
    const up = ({ connected }: ServerLink) => connected;
    const first = known.filter((address) => up(this.at(address)));
    const all = [...first.sort(() => Math.random() - 0.5), ...known, ...this.#seeds];
    return new Map(all.map((address) => [describeAddress(address), address])).values();
  }

  #use(reply: Reply, asked: Address): void {
    const owners: (string | undefined)[] = Array.from({ length: slotCount });
    const addresses = new Map<string, Address>();
    for (const [from, to, [host, port]] of reply as readonly (readonly [number, number, readonly [string | null, number]])[]) {
      // A node that knows no name for itself is the one that was asked.
      const address = { host: host === null || host === '' || host === '?' ? asked.host : host, port };
      const name = describeAddress(address);
      addresses.set(name, address);
      owners.fill(name, from, to + 1);
    }
    const moved = owners.some((name, slot) => name !== this.#owners[slot]);
    this.#owners = owners;
    this.#addresses = addresses;
    this.#stale = false;
    for (const [name, link] of this.#links) {
      if (addresses.has(name)) continue;
      this.#links.delete(name);
      void link.close(patienceMs, unavailable(`${name} has left the Redis Cluster, or has no slots any more`));
    }
    if (moved) for (const tell of this.changed) tell();
  }
}

/** The slot of a key: CRC16 (XMODEM) of what stands in its first braces, if anything does. */
export function slotOf(key: string): number {
  const open = key.indexOf('{');
  const close = open === -1 ? -1 : key.indexOf('}', open + 1);
  let crc = 0;
  for (const byte of Buffer.from(close > open + 1 ? key.slice(open + 1, close) : key)) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021;
    crc &= 0xffff;
  }
  return crc % slotCount;
}
