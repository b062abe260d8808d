import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPostgres, type TestPostgres } from '../../test/database.ts';
import { openDatabase } from './database.ts';
import { migrate } from './migrate.ts';

let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.stop());

describe('migrate', () => {
  it('runs once, however many start at the same time', async () => {
    const url = await postgres.newDatabaseUrl();
    const databases = Array.from({ length: 6 }, () => openDatabase({ url: () => url, connections: 2 }));
    try {
      const runs = await Promise.all(databases.map((database) => migrate(database)));
      expect(runs.flat()).toEqual([
        '0001-email',
        '0002-marketplace',
        '0003-money',
        '0004-outbox',
        '0005-tax-and-references',
        '0006-payments',
        '0007-refunds',
        '0008-matching',
        '0009-api',
      ]);
      const [database] = databases as [(typeof databases)[0]];
      expect(await migrate(database)).toEqual([]);
      expect(await database.selectFrom('email_deliveries').selectAll().execute()).toEqual([]);
    } finally {
      await Promise.all(databases.map((database) => database.destroy()));
    }
  });

  it('leaves the schemas of others alone', async () => {
    const { database } = await postgres.newDatabase();
    try {
      const tables = await database.introspection.getTables();
      expect(new Set(tables.map((table) => table.schema))).toEqual(new Set(['platform', 'taktline_outbox']));
    } finally {
      await database.destroy();
    }
  });

  it('says so when a newer release has been here', async () => {
    const { database } = await postgres.newDatabase();
    try {
      await database
        .withTables<{ kysely_migration: { name: string; timestamp: string } }>()
        .insertInto('kysely_migration')
        .values({ name: '9999-later', timestamp: '2030' })
        .execute();
      await expect(migrate(database)).rejects.toThrow(/9999-later/);
    } finally {
      await database.destroy();
    }
  });
});
