/** A master, its replica and three Sentinels, who know of one another from the start. */
import { randomBytes } from 'node:crypto';
import { eventually } from '../eventually.ts';
import { freePort } from '../own-server.ts';
import { OwnRedis, type OwnRedisOptions } from './own-redis.ts';

export const masterName = 'mymaster';

export interface SentinelOptions {
  /** For both servers. */
  readonly config?: readonly string[];
  /** For the Sentinels. */
  readonly sentinelConfig?: readonly string[];
}

export class RedisSentinels {
  readonly servers: readonly OwnRedis[];
  readonly sentinels: readonly OwnRedis[];

  private constructor(servers: readonly OwnRedis[], sentinels: readonly OwnRedis[]) {
    this.servers = servers;
    this.sentinels = sentinels;
  }

  static async make({ config = [], sentinelConfig = [] }: SentinelOptions = {}): Promise<RedisSentinels> {
    const started: OwnRedis[] = [];
    const make = async (options: OwnRedisOptions) => {
      const server = await OwnRedis.make(options);
      started.push(server);
      return server;
    };
    try {
      const common = ['repl-diskless-sync-delay 0', 'repl-timeout 5', ...config];
      const master = await make({ config: common });
      const replica = await make({ config: [...common, `replicaof 127.0.0.1 ${master.port}`] });
      await eventually(
        async () => String(await replica.ask('INFO', 'replication')).includes('master_link_status:up'),
        'the replica follows',
      );
      const all = await Promise.all([1, 2, 3].map(async () => ({ id: randomBytes(20).toString('hex'), port: await freePort() })));
      const sentinels = await Promise.all(
        all.map(({ id, port }) =>
          make({
            sentinel: true,
            port,
            config: [
              `sentinel myid ${id}`,
              `sentinel monitor ${masterName} 127.0.0.1 ${master.port} 2`,
              `sentinel down-after-milliseconds ${masterName} 1000`,
              `sentinel failover-timeout ${masterName} 3000`,
              `sentinel known-replica ${masterName} 127.0.0.1 ${replica.port}`,
              ...all
                .filter((other) => other.id !== id)
                .map((other) => `sentinel known-sentinel ${masterName} 127.0.0.1 ${other.port} ${other.id}`),
              ...sentinelConfig,
            ],
          }),
        ),
      );
      return new RedisSentinels([master, replica], sentinels);
    } catch (error) {
      await Promise.all(started.map((server) => server.remove()));
      throw error;
    }
  }

  url({ login = '', rest = '/0' } = {}): string {
    const hosts = this.sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',');
    return `redis-sentinel://${login === '' ? '' : `${login}@`}${hosts}/${masterName}${rest}`;
  }

  /** As the Sentinels see it. */
  async master(): Promise<OwnRedis> {
    const reply = await this.sentinels[0]?.ask('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', masterName);
    const port = Number((reply as readonly string[])[1]);
    return this.servers.find((server) => server.port === port) as OwnRedis;
  }

  /** Resolves when the Sentinels name another master, and that is one. */
  async failedOver(from: OwnRedis): Promise<OwnRedis> {
    return eventually(async () => {
      const master = await this.master();
      return master !== from && String(await master.ask('INFO', 'replication')).includes('role:master') && master;
    }, 'the Sentinels make the replica the master');
  }

  async remove(): Promise<void> {
    await Promise.all([...this.sentinels, ...this.servers].map((server) => server.remove()));
  }
}
