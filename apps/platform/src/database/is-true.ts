/** Asks the database about one thing. */
import { type RawBuilder, sql } from 'kysely';
import type { PlatformDatabase } from './database.ts';

/** Whether an expression holds. One that is null does not. */
export async function isTrue(database: PlatformDatabase, expression: RawBuilder<boolean>): Promise<boolean> {
  const { rows } = await sql<{ answer: boolean | null }>`select ${expression} as answer`.execute(database);
  return rows[0]?.answer === true;
}
