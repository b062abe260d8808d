/** Chooses the implementation by the URL. The one place that knows all of them; each is loaded only when it is used. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { TaktlineError } from '../support/taktline-error.ts';
import type { Broker, QueueDeclaration } from './broker.ts';
import type { Inspector } from './inspector.ts';
import { describeRedisUrl, isRedisScheme, parseRedisUrl } from './redis/redis-url.ts';
import type { Timetable } from './timetable.ts';

export interface BrokerOptions {
  readonly url: string;
  /** Lower case letters, digits and underscores; checked by whoever took it from outside. */
  readonly namespace: string;
  readonly queues: readonly QueueDeclaration[];
  readonly deadLetterTtlMs: number;
  /** Of a queue on Redis, where memory is what they take; see the options of an app. */
  readonly deadLetterLimit?: number;
  readonly endedLimit?: number;
  /** False: use what is there, and neither create nor upgrade anything. Default true. */
  readonly create?: boolean;
}

export interface OpenedBroker {
  readonly broker: Broker;
  readonly inspector: Inspector;
  readonly timetable: Timetable;
  /** The URL without user and password, for people. */
  readonly where: string;
  /** Closes the broker and what it stands on. */
  close(): Promise<void>;
}

/** @throws TaktlineError `BROKER_URL` */
export function checkBrokerUrl(url: string): 'postgres' | 'embedded' | 'redis' {
  const scheme = /^([a-z][a-z0-9+-]*):/i.exec(url)?.[1]?.toLowerCase();
  if (scheme === 'postgres' || scheme === 'postgresql') {
    if (!URL.canParse(url))
      throw new TaktlineError('BROKER_URL', 'the broker URL cannot be read: expected postgres://user:password@host:5432/database');
    return 'postgres';
  }
  if (scheme === 'embedded') {
    if (url.slice('embedded:'.length).trim() === '')
      throw new TaktlineError('BROKER_URL', 'embedded: names no folder; expected for example embedded:.taktline');
    return 'embedded';
  }
  if (scheme !== undefined && isRedisScheme(scheme)) {
    parseRedisUrl(url);
    return 'redis';
  }
  throw new TaktlineError(
    'BROKER_URL',
    `the broker URL ${scheme === undefined ? 'has no scheme' : `is of an unknown kind, ${scheme}:`}; expected redis://host:6379, postgres://user:password@host:5432/database or embedded:<folder>`,
  );
}

/** The URL as it may be shown. */
export function describeUrl(url: string): string {
  if (/^(redis|valkey)/i.test(url)) return describeRedisUrl(url);
  if (!URL.canParse(url) || url.startsWith('embedded:')) return url;
  const parsed = new URL(url);
  return `${parsed.protocol}//${parsed.host}${parsed.pathname}`;
}

/** Whether two URLs name one broker, whoever logs in there. */
export function samePlace(one: string, other: string): boolean {
  try {
    checkBrokerUrl(one);
    return describeUrl(one) === describeUrl(other);
  } catch {
    return false;
  }
}

/** Connects, and brings the schema up to date. */
export async function openBroker(options: BrokerOptions): Promise<OpenedBroker> {
  const kind = checkBrokerUrl(options.url);
  if (kind === 'redis') return openRedis(options);
  const { PostgresBroker } = await import('./postgres/postgres-broker.ts');
  const { PostgresInspector } = await import('./postgres/postgres-inspector.ts');
  const { PostgresTimetable } = await import('./postgres/postgres-timetable.ts');
  const { namespace, create = true } = options;
  const shared = { namespace, queues: options.queues, deadLetterTtlMs: options.deadLetterTtlMs, create };
  const where = describeUrl(options.url);
  if (kind === 'postgres') {
    const broker = new PostgresBroker({ ...shared, url: () => Promise.resolve(options.url), heartbeat: { url: options.url } });
    await broker.open().catch(async (error: unknown) => {
      await broker.close();
      throw error;
    });
    const timetable = new PostgresTimetable(broker);
    return { broker, inspector: new PostgresInspector(broker, namespace, where), timetable, where, close: () => broker.close() };
  }
  const folder = resolve(options.url.slice('embedded:'.length));
  if (!create && !existsSync(folder)) {
    throw new TaktlineError('BROKER_SCHEMA', `there is no embedded broker in ${folder}: no app has used that folder yet`);
  }
  const { joinEmbedded, currentUrl } = await import('./embedded/embedded-postgres.ts');
  const member = await joinEmbedded(folder);
  const broker = new PostgresBroker({ ...shared, url: () => currentUrl(folder), heartbeat: { embedded: folder } });
  const close = async (): Promise<void> => {
    await broker.close();
    await member.leave();
  };
  await broker.open().catch(async (error: unknown) => {
    await close();
    throw error;
  });
  const timetable = new PostgresTimetable(broker);
  return { broker, inspector: new PostgresInspector(broker, namespace, where), timetable, where, close };
}

async function openRedis({ create = true, ...options }: BrokerOptions): Promise<OpenedBroker> {
  const { RedisBroker } = await import('./redis/redis-broker.ts');
  const { RedisInspector } = await import('./redis/redis-inspector.ts');
  const { RedisTimetable } = await import('./redis/redis-timetable.ts');
  const allowEviction = process.env['TAKTLINE_ALLOW_EVICTION'] === 'true';
  const broker = new RedisBroker({ ...options, create, allowEviction });
  await broker.open().catch(async (error: unknown) => {
    await broker.close();
    throw error;
  });
  return {
    broker,
    inspector: new RedisInspector(broker, options.namespace),
    timetable: new RedisTimetable(broker),
    where: broker.connection.where,
    close: () => broker.close(),
  };
}
