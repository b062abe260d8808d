/** A Cluster of three masters, with a replica each if so wished. */
import { eventually } from '../eventually.ts';
import { freePort } from '../own-server.ts';
import { OwnRedis } from './own-redis.ts';

const masters = 3;
const slots = 16_384;

export interface ClusterOptions {
  readonly replicas?: boolean;
  /** How long a node is silent before the others take it for lost. Default 10 s, so that a busy machine loses none. */
  readonly nodeTimeoutMs?: number;
  readonly config?: readonly string[];
}

export class RedisCluster {
  /** The masters of the start, then their replicas in the same order. */
  readonly nodes: readonly OwnRedis[];

  private constructor(nodes: readonly OwnRedis[]) {
    this.nodes = nodes;
  }

  static async make({ replicas = false, nodeTimeoutMs = 10_000, config = [] }: ClusterOptions = {}): Promise<RedisCluster> {
    const nodes: OwnRedis[] = [];
    const buses = new Map<OwnRedis, number>();
    try {
      await Promise.all(
        Array.from({ length: replicas ? 2 * masters : masters }, async () => {
          const bus = await freePort();
          const node = await OwnRedis.make({
            config: [
              'cluster-enabled yes',
              `cluster-port ${bus}`,
              `cluster-node-timeout ${nodeTimeoutMs}`,
              'repl-diskless-sync-delay 0',
              ...config,
            ],
          });
          nodes.push(node);
          buses.set(node, bus);
        }),
      );
      await Promise.all(
        nodes.map(async (node, index) => {
          // Else they would settle by themselves who is who, one after the other.
          await node.ask('CLUSTER', 'SET-CONFIG-EPOCH', String(index + 1));
          const from = Math.ceil((slots * index) / masters);
          const to = Math.ceil((slots * (index + 1)) / masters) - 1;
          if (index < masters) await node.ask('CLUSTER', 'ADDSLOTSRANGE', String(from), String(to));
        }),
      );
      const [first, ...others] = nodes as [OwnRedis, ...OwnRedis[]];
      for (const other of others) await first.ask('CLUSTER', 'MEET', '127.0.0.1', String(other.port), String(buses.get(other)));
      const cluster = new RedisCluster(nodes);
      await cluster.#agree(/cluster_known_nodes:(\d+)/, String(nodes.length));
      for (const [index, replica] of nodes.slice(masters).entries()) {
        await replica.ask('CLUSTER', 'REPLICATE', await cluster.id(nodes[index] as OwnRedis));
      }
      await cluster.#agree(/cluster_state:(\w+)/, 'ok');
      for (const replica of nodes.slice(masters)) {
        await eventually(async () => String(await replica.ask('INFO', 'replication')).includes('master_link_status:up'), 'it follows');
      }
      return cluster;
    } catch (error) {
      await Promise.all(nodes.map((node) => node.remove()));
      throw error;
    }
  }

  url({ login = '', rest = '' } = {}): string {
    const hosts = this.nodes.map(({ port }) => `127.0.0.1:${port}`).join(',');
    return `redis-cluster://${login === '' ? '' : `${login}@`}${hosts}${rest}`;
  }

  async id(node: OwnRedis): Promise<string> {
    return String(await node.ask('CLUSTER', 'MYID'));
  }

  /** The master that has the slot by now, as this node sees it. */
  async owner(slot: number, seenBy: OwnRedis): Promise<OwnRedis | undefined> {
    const ranges = (await seenBy.ask('CLUSTER', 'SLOTS')) as readonly (readonly [number, number, readonly [string, number]])[];
    const port = ranges.find(([from, to]) => from <= slot && slot <= to)?.[2][1];
    return this.nodes.find((node) => node.port === port);
  }

  /** Says that one slot moves. Until `finish` the source sends keys that it does not have to the destination, by ASK. */
  async migrate(slot: number, source: OwnRedis, destination: OwnRedis): Promise<() => Promise<void>> {
    await destination.ask('CLUSTER', 'SETSLOT', String(slot), 'IMPORTING', await this.id(source));
    await source.ask('CLUSTER', 'SETSLOT', String(slot), 'MIGRATING', await this.id(destination));
    return async () => {
      // One by one, so that others come in between, as they do when redis-cli moves slots.
      for (;;) {
        const [key] = (await source.ask('CLUSTER', 'GETKEYSINSLOT', String(slot), '1')) as string[];
        if (key === undefined) break;
        await source.ask('MIGRATE', '127.0.0.1', String(destination.port), key, '0', '5000');
      }
      for (const node of [destination, source]) await node.ask('CLUSTER', 'SETSLOT', String(slot), 'NODE', await this.id(destination));
    };
  }

  async remove(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.remove()));
  }

  async #agree(pattern: RegExp, value: string): Promise<void> {
    for (const node of this.nodes) {
      await eventually(async () => pattern.exec(String(await node.ask('CLUSTER', 'INFO')))?.[1] === value, `${pattern.source} is ${value}`);
    }
  }
}
