/** A real Postgres for tests: one embedded server for a test file, a database of its own for each that asks. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import pg from 'pg';
import { joinEmbedded } from 'taktline/embedded';
import { afterAll, beforeAll } from 'vitest';
import { openDatabase, type PlatformDatabase } from '../src/database/database.ts';
import { migrate } from '../src/database/migrate.ts';

export async function startPostgres() {
  const folder = await mkdtemp(join(tmpdir(), 'taktline-platform-'));
  const member = await joinEmbedded(folder, { database: 'migrated' });
  const urlOf = (name: string) => Object.assign(new URL(member.url), { pathname: name }).href;
  const run = async (name: string, statement: string) => {
    const client = new pg.Client(urlOf(name));
    await client.connect();
    await client.query(statement).finally(() => client.end());
  };
  const newDatabaseUrl = async (from: 'template1' | 'migrated' = 'template1') => {
    const name = `test_${randomBytes(6).toString('hex')}`;
    await run('postgres', `create database ${name} template ${from}`);
    return urlOf(name);
  };
  let migrated: Promise<void> | undefined;
  /** Nobody may be connected to what is copied. */
  const migrateFirst = async () => {
    const database = openDatabase({ url: () => member.url });
    await migrate(database).finally(() => database.destroy());
  };
  return {
    /** The URL of a new, empty database. */
    newDatabaseUrl: () => newDatabaseUrl(),
    /** A new database with the platform's schema. Destroy it before the server is stopped. */
    async newDatabase() {
      migrated ??= migrateFirst();
      await migrated;
      const url = await newDatabaseUrl('migrated');
      const database = openDatabase({ url: () => url });
      // A copy would pass for the first one where both send jobs to one broker.
      await sql`update taktline_outbox.origin set id = gen_random_uuid()`.execute(database);
      return { url, database };
    },
    async stop() {
      await member.leave();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export type TestPostgres = Awaited<ReturnType<typeof startPostgres>>;

/** For a test file that needs one database: opened before its tests, closed after them. @param use is given it */
export function withDatabase(use: (database: PlatformDatabase) => void): void {
  let close = async (): Promise<void> => {};
  beforeAll(async () => {
    const postgres = await startPostgres();
    close = () => postgres.stop();
    const { database } = await postgres.newDatabase();
    close = async () => {
      await database.destroy();
      await postgres.stop();
    };
    use(database);
  });
  afterAll(() => close());
}
