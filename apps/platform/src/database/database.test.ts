import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPostgres, type TestPostgres } from '../../test/database.ts';
import { isUnreachable, openDatabase, pingDatabase } from './database.ts';

let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.stop());

describe('a connection that the server ends', () => {
  it.each(['between two statements', 'in a statement'])('%s of a transaction fails the transaction, and nothing else', async (when) => {
    const url = await postgres.newDatabaseUrl();
    const database = openDatabase({ url: () => url, connections: 2 });
    try {
      const failed = database.transaction().execute(async (transaction) => {
        const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(transaction);
        const under = when === 'in a statement' ? sql`select pg_sleep(60)`.execute(transaction) : undefined;
        await Promise.all([under, sql`select pg_terminate_backend(${rows[0]?.pid}, 10000)`.execute(database)]);
        await pingDatabase(transaction as never);
      });
      const error: unknown = await failed.then(
        () => undefined,
        (reason: unknown) => reason,
      );
      expect(error).toMatchObject({ message: expect.stringMatching(/terminat|connection error/) as string });
      expect(isUnreachable(error)).toBe(true);
      await pingDatabase(database);
    } finally {
      await database.destroy();
    }
  });
});
