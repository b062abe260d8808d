/** The tables by which the platform's transactions enqueue their jobs; they are the engine's. */
import type { Kysely } from 'kysely';
import { migrateOutbox } from 'taktline';

export async function up(db: Kysely<unknown>): Promise<void> {
  await migrateOutbox(db);
}
