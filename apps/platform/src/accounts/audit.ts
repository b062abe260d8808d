/** Who has changed what, for those who ask later. No personal data and no secrets: ids and names of things only. */
import type { PlatformDatabase } from '../database/database.ts';
import type { UserRole } from '../database/marketplace-tables.ts';

export interface Act {
  /** `operator`: whoever has the command line. */
  readonly actor: UserRole | 'operator';
  readonly actorId?: number;
  /** Such as `order.submit`. */
  readonly action: string;
  /** What it is about, such as `order:7`. */
  readonly subject: string;
  readonly data?: Readonly<Record<string, ActDetail>>;
}

type ActDetail = number | boolean | string | null | readonly string[];

/** In the transaction of what it tells of. */
export async function noteAct(
  transaction: Pick<PlatformDatabase, 'insertInto'>,
  { actor, actorId, action, subject, data = {} }: Act,
): Promise<void> {
  await transaction
    .insertInto('audit')
    .values({ actor, actor_id: actorId ?? null, action, subject, data: JSON.stringify(data) })
    .execute();
}
