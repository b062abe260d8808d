/**
 * Brings the broker's schema up to date. Every process that opens the broker calls this; one of them does the work, in
 * one transaction under a lock, and the others wait and find it done.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { TaktlineError } from '../../support/taktline-error.ts';
import type { Connection } from './connection.ts';

/** The oldest server that is supported. */
export const oldestServer = 140_000;

/** From src and from dist alike: both lie as deep. */
const folder = new URL('../../../src/broker/postgres/migrations/', import.meta.url);

/** The schema's name in SQL. The namespace has been checked: lower case letters, digits and underscores. */
export function quoted(namespace: string): string {
  return `"${namespace}"`;
}

export async function migrate(connection: Connection, namespace: string): Promise<void> {
  const files = (await readdir(folder)).filter((name) => name.endsWith('.sql')).sort();
  const [server] = await connection.query<{ version: number }>({
    name: 'tl_version',
    text: `select current_setting('server_version_num')::int as version`,
  });
  if (server !== undefined && server.version < oldestServer) {
    throw new TaktlineError('BROKER_SCHEMA', `Postgres ${Math.floor(server.version / 10_000)} is too old: 14 is the oldest that works`);
  }
  if ((await installedVersion(connection, namespace)) === files.length) return;
  await connection.transaction(async (client) => {
    await client.query('select pg_advisory_xact_lock($1)', [lockKey(namespace)]);
    // Reading the catalogue after the wait: "if not exists" alone asks a cache that may still say "not there", and runs into
    // the schema that was made meanwhile.
    const there = await client.query('select 1 from pg_namespace where nspname = $1', [namespace]);
    if (there.rows.length === 0) await client.query(`create schema ${quoted(namespace)}`);
    await client.query(`set local search_path = ${quoted(namespace)}, pg_temp`);
    await client.query(
      'create table if not exists schema_version (version integer primary key, installed_at timestamptz not null default now())',
    );
    const { rows } = await client.query<{ version: number | null }>('select max(version) as version from schema_version');
    const version = rows[0]?.version ?? 0;
    if (version > files.length) throw newer(namespace, version, files.length);
    for (const [index, file] of files.entries()) {
      if (index < version) continue;
      await client.query(await readFile(new URL(file, folder), 'utf8'));
      await client.query('insert into schema_version (version) values ($1)', [index + 1]);
    }
    // Functions find their tables whatever the caller's search_path is. Those left out have none, and without a setting of
    // their own Postgres can inline them, which a batch of a thousand jobs notices.
    const functions = await client.query<{ name: string }>(
      `select p.oid::regprocedure::text as name from pg_proc p join pg_namespace n on n.oid = p.pronamespace
       where n.nspname = $1 and p.prokind = 'f' and p.proname not in ('now_ms', 'moment', 'made_here', 'window_end', 'windows', 'covers')`,
      [namespace],
    );
    for (const { name } of functions.rows) await client.query(`alter function ${name} set search_path = ${quoted(namespace)}, pg_temp`);
  });
}

/**
 * For those who only look: a mistyped name makes no schema, and a newer command line upgrades nothing under older workers.
 *
 * @throws TaktlineError `BROKER_SCHEMA` when the schema is missing or of another version
 */
export async function requireSchema(connection: Connection, namespace: string): Promise<void> {
  const version = await installedVersion(connection, namespace);
  if (version === 0) {
    throw new TaktlineError('BROKER_SCHEMA', `the database has no schema ${namespace}: no app has used that namespace here yet`);
  }
  const known = (await readdir(folder)).filter((name) => name.endsWith('.sql')).length;
  if (version < known) {
    throw new TaktlineError(
      'BROKER_SCHEMA',
      `schema ${namespace} has version ${version}, and this release needs ${known}: start an app or a worker of this release, which upgrades it`,
    );
  }
}

/** 0 when the schema is not there. */
export async function installedVersion(connection: Connection, namespace: string): Promise<number> {
  const [table] = await connection.query<{ there: boolean }>(
    { name: 'tl_schema_there', text: 'select to_regclass($1) is not null as there' },
    [`${quoted(namespace)}.schema_version`],
  );
  if (table?.there !== true) return 0;
  const [row] = await connection.query<{ version: number | null }>({
    name: 'tl_schema_version',
    text: `select max(version) as version from ${quoted(namespace)}.schema_version`,
  });
  const version = row?.version ?? 0;
  const known = (await readdir(folder)).filter((name) => name.endsWith('.sql')).length;
  if (version > known) throw newer(namespace, version, known);
  return version;
}

function newer(namespace: string, version: number, known: number): TaktlineError {
  return new TaktlineError(
    'BROKER_SCHEMA',
    `schema ${namespace} has version ${version}, and this release knows up to ${known}: upgrade taktline in this process`,
  );
}

/** A number of 63 bits that stands for the namespace. */
function lockKey(namespace: string): string {
  return (createHash('sha256').update(`taktline migrate ${namespace}`).digest().readBigInt64BE() >> 1n).toString();
}
