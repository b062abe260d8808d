/** A real Postgres for tests: one embedded server for a test file, a database of its own for each that asks. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { joinEmbedded } from 'taktline/embedded';
import { afterAll, beforeAll } from 'vitest';
import { openDatabase, type PlatformDatabase } from '../src/database/database.ts';
import { migrate } from '../src/database/migrate.ts';

export async function startPostgres() {
  const folder = await mkdtemp(join(tmpdir(), 'taktline-platform-'));
  const members: { leave(): Promise<void> }[] = [];
  const joinNew = async () => {
    const member = await joinEmbedded(folder, { database: `test_${randomBytes(6).toString('hex')}` });
    members.push(member);
    return member;
  };
  return {
    /** The URL of a new, empty database. */
    newDatabaseUrl: async () => (await joinNew()).url,
    /** A new database with the platform's schema. Destroy it before the server is stopped. */
    async newDatabase() {
      const { url } = await joinNew();
      const database = openDatabase({ url: () => url });
      await migrate(database);
      return { url, database };
    },
    async stop() {
      for (const member of members) await member.leave();
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
