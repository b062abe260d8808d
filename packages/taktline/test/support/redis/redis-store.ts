/** A namespace on a Redis, as its keys: docs/redis-layout.md. On a Cluster it can be looked at, not cleared. */
import { randomBytes } from 'node:crypto';
import { Connection } from '../../../src/broker/redis/connection.ts';
import { buckets, Keys } from '../../../src/broker/redis/keys.ts';
import { groupSeparator, readRecord, separator } from '../../../src/broker/redis/records.ts';
import { hash12 } from '../../../src/support/ids.ts';
import type { EndedRow, ScheduledRow, Store } from '../store.ts';

export class RedisStore implements Store {
  readonly url: string;
  readonly name: string;
  readonly #keys: Keys;
  readonly #connection: Connection;

  constructor(url: string, name = `t_${randomBytes(6).toString('hex')}`) {
    this.url = url;
    this.name = name;
    this.#keys = new Keys(name);
    this.#connection = new Connection({ url, namespace: name, role: 'test' });
  }

  async count(what: Parameters<Store['count']>[0]): Promise<number> {
    const { workers } = this.#keys;
    switch (what) {
      case 'ready':
        return this.#sum(async (base) => {
          const keys = await this.#list('ZRANGE', `${base}:ready`, '0', '-1');
          const raws = keys.length === 0 ? [] : await this.#list('HMGET', `${base}:jobs`, ...keys);
          return raws.reduce((jobs, raw) => jobs + readRecord(raw).size, 0);
        });
      case 'scheduled':
        return this.#sum((base) => this.#number('ZCARD', `${base}:due`));
      case 'ended':
        return (await this.ended()).length;
      case 'dead':
        return this.#sum((base) => this.#number('HLEN', `${base}:dead`));
      case 'workers':
        return this.#number('ZCOUNT', workers[0], '(0', '+inf');
      case 'idle':
        return this.#sum((base) => this.#number('SCARD', `${base}:idle`));
    }
  }

  /** As the broker has counted them itself, which has to come to the same. */
  async counted(what: 'ready' | 'running' | 'ended'): Promise<number> {
    return this.#sum((base) => this.#number('HGET', `${base}:meta`, what));
  }

  claims(worker?: string): Promise<number> {
    return this.#sum((base) =>
      worker === undefined ? this.#number('HLEN', `${base}:claims`) : this.#number('SCARD', `${base}:held:${worker}`),
    );
  }

  async scheduled(): Promise<readonly ScheduledRow[]> {
    const [seconds, micros] = await this.#list('TIME');
    const now = Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000);
    return this.#collect(async (base) => {
      const ids = await this.#list('ZRANGE', `${base}:due`, '0', '-1');
      return Promise.all(
        ids.map(async (id) => {
          const { past } = readRecord((await this.#ask('HGET', `${base}:jobs`, id)) as string);
          return { id, dueInMs: (await this.#number('ZSCORE', `${base}:due`, id)) - now, past: past === '' ? undefined : past };
        }),
      );
    });
  }

  async letTimePass(): Promise<void> {
    for (const base of await this.#bases()) {
      for (const id of await this.#list('ZRANGE', `${base}:due`, '0', '-1')) await this.#ask('ZADD', `${base}:due`, 'XX', '1', id);
    }
  }

  async ended(): Promise<readonly EndedRow[]> {
    const rows = await this.#collect(async (base) => {
      const ended = Object.entries((await this.#ask('HGETALL', `${base}:ended`)) as Readonly<Record<string, string>>);
      const jobs = ended.length === 0 ? [] : await this.#list('HMGET', `${base}:jobs`, ...ended.map(([key]) => key));
      return ended.flatMap(([, raw], index) => {
        const [head, results, pasts] = raw.split(groupSeparator) as [string, string, string];
        const [state, at] = head.split(',') as [string, string];
        const [result, past] = [results.split(separator), pasts.split(separator)];
        return readRecord(jobs[index] as string).ids.map((id, place) => ({
          id,
          state,
          result: result[place] ?? '',
          past: past[place] ?? '',
          finishedAt: Number(at),
        }));
      });
    });
    return rows.toSorted((one, other) => (one.id < other.id ? -1 : 1));
  }

  async remarks(): Promise<readonly string[]> {
    const letters = await this.#collect((base) => this.#list('HVALS', `${base}:dead`));
    const rows = await this.ended();
    return [...letters.flatMap((letter) => letter.split(groupSeparator).slice(0, 3)), ...rows.map(({ past }) => past)];
  }

  async forge(id: string, envelope: string): Promise<void> {
    const base = this.#keys.queue('work');
    const arrival = await this.#number('HINCRBY', `${base}:meta`, 'arrivals', '1');
    await this.#ask('HSET', `${base}:jobs`, id, ['1,,1,5', '', id, envelope].join(groupSeparator));
    await this.#ask('ZADD', `${base}:ready`, String(5 * 2 ** 47 + arrival), id);
    await this.#ask('HINCRBY', `${base}:meta`, 'ready', '1');
  }

  async releaseId(id: string): Promise<void> {
    const bucket = this.#keys.bucket(hash12(id) % buckets);
    const [, ...rest] = ((await this.#ask('HGET', bucket, id)) as string).split(',');
    await this.#ask('HSET', bucket, id, ['1', ...rest].join(','));
    for (const base of await this.#bases()) await this.#ask('ZADD', `${base}:named`, 'XX', '1', id);
  }

  async putEarlier(schedule: string, ms: number): Promise<void> {
    const { schedules } = this.#keys;
    const [head, ...rest] = ((await this.#ask('HGET', schedules, schedule)) as string).split(groupSeparator) as [string, ...string[]];
    const parsed = JSON.parse(head) as { since: number };
    await this.#ask('HSET', schedules, schedule, [JSON.stringify({ ...parsed, since: parsed.since - ms }), ...rest].join(groupSeparator));
  }

  async connections(): Promise<number> {
    const clients = ((await this.#ask('CLIENT', 'LIST')) as string).split('\n');
    return clients.filter((line) => line.includes(` name=taktline:${this.name}:`) && !line.includes(`:${this.name}:test `)).length;
  }

  async exists(): Promise<boolean> {
    return (await this.#all()).length > 0;
  }

  async clear(): Promise<void> {
    const keys = await this.#all();
    if (keys.length > 0) await this.#ask('UNLINK', ...keys);
  }

  async drop(): Promise<void> {
    await this.clear();
    await this.close();
  }

  /** Leaves all as it is. */
  close(): Promise<void> {
    return this.#connection.close();
  }

  async #all(): Promise<readonly string[]> {
    const found = new Set<string>();
    let cursor = '0';
    do {
      const [next, keys] = (await this.#ask('SCAN', cursor, 'MATCH', `taktline:{${this.name}[:}]*`, 'COUNT', '1000')) as [string, string[]];
      for (const key of keys) found.add(key);
      cursor = next;
    } while (cursor !== '0');
    return [...found];
  }

  async #bases(): Promise<readonly string[]> {
    return (await this.#list('HKEYS', this.#keys.queues)).map((name) => this.#keys.queue(name));
  }

  async #collect<Item>(read: (base: string) => Promise<readonly Item[]>): Promise<readonly Item[]> {
    return (await Promise.all((await this.#bases()).map(read))).flat();
  }

  async #sum(read: (base: string) => Promise<number>): Promise<number> {
    return (await this.#collect(async (base) => [await read(base)])).reduce((sum, number) => sum + number, 0);
  }

  async #number(...command: string[]): Promise<number> {
    return Number(await this.#ask(...command));
  }

  async #list(...command: string[]): Promise<string[]> {
    return (await this.#ask(...command)) as string[];
  }

  #ask(...command: string[]): Promise<unknown> {
    // The key is what comes next, where there is one.
    return this.#connection.command(command[1] ?? '', command);
  }
}
