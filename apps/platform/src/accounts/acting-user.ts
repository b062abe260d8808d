/** Who acts for a company. */
import type { PlatformDatabase } from '../database/database.ts';

/** The user who acts for a manufacturer. */
export async function actsFor(database: Pick<PlatformDatabase, 'selectFrom'>, manufacturer: number): Promise<number> {
  const { user_id } = await database.selectFrom('manufacturers').select('user_id').where('id', '=', manufacturer).executeTakeFirstOrThrow();
  return user_id;
}
