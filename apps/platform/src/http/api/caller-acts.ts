/** What callers change, as the audit has it: who, and with which of his keys. */
import type { Caller } from '../../accounts/api-keys.ts';
import { type Act, noteAct } from '../../accounts/audit.ts';
import type { PlatformTransaction } from '../../orders/orders.ts';

/** In the transaction of the change. @param data ids and names of things; nothing that a person has written */
export function noteActOf(
  transaction: PlatformTransaction,
  { user, role, key }: Caller,
  { action, subject, data = {} }: Pick<Act, 'action' | 'subject' | 'data'>,
): Promise<void> {
  return noteAct(transaction, { actor: role, actorId: user, action, subject, data: { ...data, key } });
}
