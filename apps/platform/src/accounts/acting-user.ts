/** Who acts for a company, and for the platform. */
import type { PlatformDatabase } from '../database/database.ts';

/** The user who acts for a manufacturer. */
export async function actsFor(database: Pick<PlatformDatabase, 'selectFrom'>, manufacturer: number): Promise<number> {
  const { user_id } = await database.selectFrom('manufacturers').select('user_id').where('id', '=', manufacturer).executeTakeFirstOrThrow();
  return user_id;
}

/** Everybody of the staff. */
export async function staffUsers(database: Pick<PlatformDatabase, 'selectFrom'>): Promise<readonly number[]> {
  const users = await database.selectFrom('users').select('id').where('role', '=', 'staff').orderBy('id').execute();
  return users.map(({ id }) => id);
}
