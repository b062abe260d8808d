/** Whether a server, and what it holds, are such that this release can work with them. */
import { TaktlineError } from '../../support/taktline-error.ts';
import type { Connection } from './connection.ts';
import type { Keys } from './keys.ts';
import type { ServerFacts } from './server-facts.ts';

/** Of the keys and their texts: docs/redis-layout.md. */
export const layoutVersion = 1;
const oldestRedis = 7;

/** @throws TaktlineError `BROKER_URL` for a Redis that is too old, or that may throw jobs away */
export function requireServer(facts: ServerFacts, allowEviction: boolean): void {
  // Every Valkey knows what Redis 7.2 does.
  const major = facts.product === 'valkey' ? undefined : /^(\d+)\./.exec(facts.version ?? '')?.[1];
  if (major !== undefined && Number(major) < oldestRedis) {
    throw new TaktlineError('BROKER_URL', `Redis ${facts.version} is too old: ${oldestRedis}.0 is the oldest that works`);
  }
  const policy = facts.maxmemoryPolicy;
  if (policy === undefined || policy === 'noeviction' || allowEviction) return;
  throw new TaktlineError(
    'BROKER_URL',
    `Redis may evict jobs (maxmemory-policy ${policy}): set it to noeviction, or allow it with TAKTLINE_ALLOW_EVICTION=true`,
  );
}

/**
 * @param create whether a namespace that is not there yet begins now
 * @throws TaktlineError `BROKER_SCHEMA` when it is not there, or of a newer release
 */
export async function requireLayout(connection: Connection, keys: Keys, namespace: string, create: boolean): Promise<void> {
  const read = async () => (await connection.command(keys.layout, ['GET', keys.layout])) as string | null;
  let version = await read();
  // Not unasked: a worker has to start, and free memory, where none is left to write to.
  if (version === null && create) {
    await connection.command(keys.layout, ['SET', keys.layout, String(layoutVersion), 'NX']);
    version = await read();
  }
  if (version === null) {
    throw new TaktlineError('BROKER_SCHEMA', `the Redis has no namespace ${namespace}: no app has used it here yet`);
  }
  if (Number(version) === layoutVersion) return;
  throw new TaktlineError(
    'BROKER_SCHEMA',
    `namespace ${namespace} has layout ${version}, and this release knows ${layoutVersion}: upgrade taktline in this process`,
  );
}
