/**
 * Brings the platform's schema up to date. Kysely's migrator takes a lock in the database, so that any number of
 * processes may start at once: one migrates, the others wait for it and find nothing left to do.
 */
import { type Migration, Migrator } from 'kysely';
import { type PlatformDatabase, platformSchema } from './database.ts';
import * as email from './migrations/0001-email.ts';
import * as marketplace from './migrations/0002-marketplace.ts';
import * as money from './migrations/0003-money.ts';
import * as outbox from './migrations/0004-outbox.ts';
import * as taxAndReferences from './migrations/0005-tax-and-references.ts';
import * as payments from './migrations/0006-payments.ts';
import * as refunds from './migrations/0007-refunds.ts';
import * as matching from './migrations/0008-matching.ts';
import * as api from './migrations/0009-api.ts';

/** Every migration there is, in the order of their names. What was released is never changed. */
const migrations: Readonly<Record<string, Migration>> = {
  '0001-email': email,
  '0002-marketplace': marketplace,
  '0003-money': money,
  '0004-outbox': outbox,
  '0005-tax-and-references': taxAndReferences,
  '0006-payments': payments,
  '0007-refunds': refunds,
  '0008-matching': matching,
  '0009-api': api,
};

/**
 * Runs the migrations that are missing.
 *
 * @returns their names, none when the schema was up to date
 * @throws the database's error, or one that says that the schema was made by a newer release
 */
export async function migrate(database: PlatformDatabase): Promise<readonly string[]> {
  const migrator = new Migrator({
    db: database,
    provider: { getMigrations: async () => ({ ...migrations }) },
    migrationTableSchema: platformSchema,
  });
  const { error, results } = await migrator.migrateToLatest();
  if (error !== undefined) throw new Error(`The platform's database could not be migrated: ${messageOf(error)}`, { cause: error });
  return (results ?? []).map((result) => result.migrationName);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : 'unknown error';
}
