/**
 * Hears what is published on some channels, and goes on doing so after every outage. Nobody keeps what is published while
 * it is away, so each time that it has (re)connected it says that something may have been missed. On a Cluster a channel
 * lives in the slot of its name (sharded pub/sub): one connection for each node that has any of the channels.
 */
import type { TaktlineError } from '../../support/taktline-error.ts';
import type { ClusterNodes } from './cluster-nodes.ts';
import { translate, unavailable } from './redis-error.ts';
import { describeAddress } from './redis-url.ts';
import { type Locate, ServerLink } from './server-link.ts';
import type { Wire } from './wire.ts';

export interface SubscriberOptions {
  readonly channels: readonly string[];
  message(channel: string, payload: string): void;
  /** Connected, for the first time or again: what was published before has not been heard. */
  missed(): void;
  /** Told of each failed try to connect; it goes on trying. */
  failed?(error: TaktlineError): void;
}

/** A link whose every connection first does this. */
export type MakeLink = (locate: Locate, prepare: (wire: Wire) => Promise<void>) => ServerLink;

const hangUpMs = 100;

export class Subscriber {
  readonly #options: SubscriberOptions;
  readonly #make: MakeLink;
  readonly #nodes: ClusterNodes | undefined;
  readonly #locate: Locate;
  /** By node and channels. */
  readonly #links = new Map<string, { readonly link: ServerLink; running: Promise<void> }>();
  #stopped = false;

  /** @param nodes undefined on a single server, which `locate` finds */
  constructor(options: SubscriberOptions, make: MakeLink, locate: Locate, nodes: ClusterNodes | undefined) {
    this.#options = options;
    this.#make = make;
    this.#locate = locate;
    this.#nodes = nodes;
  }

  /** Resolves when the first try is over, whether it worked or not. */
  async start(): Promise<void> {
    this.#nodes?.changed.add(this.#regroup);
    await this.#nodes?.refresh().catch((error: unknown) => this.#options.failed?.(translate(error)));
    this.#regroup();
    await Promise.all([...this.#links.values()].map(({ link }) => link.open().catch(() => undefined)));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#nodes?.changed.delete(this.#regroup);
    await Promise.all([...this.#links.keys()].map((key) => this.#drop(key)));
  }

  /** Starts a link for each new group of channels and ends those of groups that are no more. */
  readonly #regroup = (): void => {
    const groups = this.#groups();
    for (const key of this.#links.keys()) if (!groups.has(key)) void this.#drop(key);
    for (const [key, { channels, locate }] of groups) {
      if (this.#stopped || this.#links.has(key)) continue;
      const { message } = this.#options;
      const link = this.#make(locate, (wire) => wire.subscribe(channels, this.#nodes !== undefined, message));
      const kept = { link, running: Promise.resolve() };
      this.#links.set(key, kept);
      kept.running = this.#keep(key, link);
    }
  };

  #groups(): Map<string, { readonly channels: string[]; readonly locate: Locate }> {
    const groups = new Map<string, { readonly channels: string[]; readonly locate: Locate }>();
    const nodes = this.#nodes;
    if (nodes === undefined) return groups.set('', { channels: [...this.#options.channels], locate: this.#locate });
    const byNode = new Map<string, { readonly channels: string[]; readonly locate: Locate }>();
    for (const channel of this.#options.channels) {
      const address = nodes.owner(channel);
      // Nobody has the slot now. When somebody does again, the map's change leads back here.
      if (address === undefined) continue;
      const group = byNode.get(describeAddress(address));
      if (group === undefined) byNode.set(describeAddress(address), { channels: [channel], locate: (reach) => reach(address) });
      else group.channels.push(channel);
    }
    for (const [node, group] of byNode) groups.set([node, ...group.channels].join(' '), group);
    return groups;
  }

  async #keep(key: string, link: ServerLink): Promise<void> {
    const current = () => !this.#stopped && this.#links.get(key)?.link === link;
    while (current()) {
      try {
        const wire = await link.open();
        this.#options.missed();
        await wire.ended;
      } catch (error) {
        if (!current()) return;
        this.#options.failed?.(translate(error));
      }
      // Its slots may have gone to another node; then the map's change ends this link.
      await this.#nodes?.refresh().catch(() => undefined);
    }
  }

  async #drop(key: string): Promise<void> {
    const dropped = this.#links.get(key);
    this.#links.delete(key);
    await dropped?.link.close(hangUpMs, unavailable('the channels have moved'));
    await dropped?.running;
  }
}
