/**
 * Addresses that get no mail. A mailbox that does not exist gets none at all, since mail servers think ill of senders
 * who keep trying; a person who unsubscribed gets no bulk mail, but still what belongs to an order or an account.
 */
import type { PlatformDatabase } from '../database/database.ts';
import type { SuppressionReason } from '../database/tables.ts';
import { normaliseAddress } from './addresses.ts';

export class Suppressions {
  readonly #database: PlatformDatabase;

  constructor(database: PlatformDatabase) {
    this.#database = database;
  }

  /** Adding an address twice changes nothing. */
  async add(address: string, reason: SuppressionReason): Promise<void> {
    await this.#database
      .insertInto('email_suppressions')
      .values({ address: normaliseAddress(address), reason })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }

  /** Why mail to this address is held back; undefined when it is not. */
  async reasonFor(address: string, bulk: boolean): Promise<SuppressionReason | undefined> {
    const row = await this.#database
      .selectFrom('email_suppressions')
      .select('reason')
      .where('address', '=', normaliseAddress(address))
      .where('reason', 'in', bulk ? ['bounce', 'unsubscribe'] : ['bounce'])
      .orderBy('reason')
      .executeTakeFirst();
    return row?.reason;
  }

  /** Lets mail through again. @returns whether the address was held back */
  async remove(address: string): Promise<boolean> {
    const result = await this.#database
      .deleteFrom('email_suppressions')
      .where('address', '=', normaliseAddress(address))
      .executeTakeFirst();
    return result.numDeletedRows > 0n;
  }
}
