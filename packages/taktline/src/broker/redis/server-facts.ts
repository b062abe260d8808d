/** What a server says of itself. What its user may not ask, and what it does not know, is undefined. */
import { wantsRenewal } from './append-only-file.ts';
import { isReply } from './redis-error.ts';
import type { Argument, Reply } from './wire.ts';

export interface ServerFacts {
  readonly product: 'redis' | 'valkey';
  /** Such as `7.0.15`; of a Valkey its own. */
  readonly version: string | undefined;
  readonly role: string | undefined;
  readonly replicas: number | undefined;
  /** Bytes; 0 is without limit. */
  readonly maxmemory: number | undefined;
  readonly maxmemoryPolicy: string | undefined;
  readonly appendonly: boolean | undefined;
  readonly appendfsync: string | undefined;
  /** Its append-only file was not written anew since it was started; see append-only-file.ts. */
  readonly appendonlyStale: boolean | undefined;
  /** When it writes snapshots, as configured; empty for never. */
  readonly save: string | undefined;
  readonly cluster: boolean | undefined;
  /** Milliseconds since the Unix epoch, by its clock. */
  readonly time: number | undefined;
}

/** Asks in one round trip. */
export async function readFacts(send: (args: readonly Argument[]) => Promise<Reply>): Promise<ServerFacts> {
  const ask = (...args: string[]) =>
    send(args).catch((error: unknown) => {
      // Forbidden to the user, or, by some who rent out a Redis, to everybody.
      if (isReply(error, 'NOPERM') || isReply(error, 'ERR')) return undefined;
      throw error;
    });
  const [text, config, time] = await Promise.all([
    ask('INFO'),
    ask('CONFIG', 'GET', 'maxmemory', 'maxmemory-policy', 'appendonly', 'appendfsync', 'save'),
    ask('TIME'),
  ]);
  const info = new Map([...(typeof text === 'string' ? text : '').matchAll(/^(\w+):(.*?)\r?$/gm)].map(([, name, value]) => [name, value]));
  const settings = new Map<string, string>(Object.entries(config ?? {}) as [string, string][]);
  const number = (value: string | undefined) => (value === undefined ? undefined : Number(value));
  const flag = (value: string | undefined) => (value === undefined ? undefined : value === '1' || value === 'yes');
  const [seconds, micros] = (time ?? []) as readonly string[];
  return {
    product: info.get('server_name') === 'valkey' ? 'valkey' : 'redis',
    version: info.get('valkey_version') ?? info.get('redis_version'),
    role: info.get('role'),
    replicas: number(info.get('connected_slaves')),
    maxmemory: number(settings.get('maxmemory') ?? info.get('maxmemory')),
    maxmemoryPolicy: settings.get('maxmemory-policy') ?? info.get('maxmemory_policy'),
    appendonly: flag(settings.get('appendonly') ?? info.get('aof_enabled')),
    appendfsync: settings.get('appendfsync'),
    appendonlyStale: wantsRenewal(typeof text === 'string' ? text : ''),
    save: settings.get('save'),
    cluster: flag(info.get('cluster_enabled')),
    time: seconds === undefined ? undefined : Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000),
  };
}
