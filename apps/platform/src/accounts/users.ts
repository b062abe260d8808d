/** Users: people who buy, make or run the platform. What may be said of one is said here, for the HTTP API and the command line. */
import type { Selectable } from 'kysely';
import { z } from 'zod';
import type { PlatformDatabase } from '../database/database.ts';
import type { UsersTable } from '../database/marketplace-tables.ts';
import { addressSchema } from '../email/addresses.ts';
import { isPrintable } from '../invoices/invoice-fonts.ts';
import { canBeSeen } from '../invoices/printable-text.ts';
import { vatIdPattern } from '../invoices/tax.ts';
import { isIdOf } from '../invoices/tax-rules.ts';
import type { PlatformTransaction } from '../orders/orders.ts';
import { AccountError } from './account-error.ts';

export type User = Selectable<UsersTable>;

export const userRoles = ['buyer', 'manufacturer', 'staff'] as const;

/** It may enter a mail's subject, so it has no line breaks; and Postgres keeps no half of a surrogate pair. */
const lineOfText = /^(?=.*\S)[^\p{Cc}\p{Cs}\u2028\u2029]+$/u;

/** One line of text that says something. */
export const line = (longest: number) =>
  z
    .string()
    .max(longest)
    .regex(lineOfText, { error: 'expected one line of text, without control characters' })
    // As the OpenAPI document has it: without the flag, which is always set there.
    .meta({ pattern: lineOfText.source });

/** One that may have to stand on an invoice. */
export const printedLine = (longest: number) =>
  line(longest)
    .refine(canBeSeen, { error: 'expected something that can be seen' })
    .refine(isPrintable, { error: 'expected letters of Latin, Greek or Cyrillic scripts, as invoices are printed in' });

export const country = z.string().regex(/^[A-Z]{2}$/, { error: 'expected a country as ISO 3166-1 has it, such as DE' });

/** What a user may change of himself. */
export const userFields = {
  name: printedLine(200).meta({ description: 'As mails and invoices have it.', examples: ['Ann Baker'] }),
  address: z
    .array(printedLine(200))
    .min(1)
    .max(6)
    .meta({ description: 'The lines of the postal address, without name and country.', examples: [['1 High Street', '10115 Berlin']] }),
  vat_id: z
    .string()
    .regex(vatIdPattern, { error: 'expected a VAT id such as DE123456789' })
    .meta({ description: 'Of the own country. Decides about tax within the EU once the staff has checked it.', examples: ['DE123456789'] }),
};

export const newUserFields = {
  role: z.enum(userRoles).meta({ description: 'What the user may do. It does not change.' }),
  ...userFields,
  email: addressSchema.meta({ description: 'Where mails go. No other user has it, in capitals or not.', examples: ['ann@example.com'] }),
  country: country.meta({ description: 'Of the address: ISO 3166-1 alpha-2.', examples: ['DE'] }),
};

export interface NewUser extends Pick<User, 'role' | 'name' | 'email' | 'address' | 'country'> {
  readonly vat_id?: string | undefined;
}

/** @throws AccountError `EMAIL_TAKEN`, `VAT_ID_COUNTRY` */
export async function addUser(transaction: Pick<PlatformDatabase, 'insertInto'>, { vat_id, ...user }: NewUser): Promise<User> {
  mustBeOf(user, vat_id);
  const added = await transaction
    .insertInto('users')
    .values({ ...user, vat_id: vat_id ?? null })
    .onConflict((conflict) => conflict.doNothing())
    .returningAll()
    .executeTakeFirst();
  if (added === undefined) throw new AccountError('EMAIL_TAKEN', 'another user has this email address');
  return added;
}

export type UserChange = {
  readonly [Field in 'name' | 'address' | 'vat_id']?: User[Field] | undefined;
};

/** Changes what is given. Another VAT id is not checked yet. @throws AccountError `NOT_FOUND`, `VAT_ID_COUNTRY` */
export async function changeUser(transaction: PlatformTransaction, id: number, change: UserChange): Promise<User> {
  const before = await lockUser(transaction, id);
  const { vat_id = before.vat_id } = change;
  mustBeOf(before, vat_id);
  return transaction
    .updateTable('users')
    .set({ ...change, ...(vat_id === before.vat_id ? {} : { vat_id_checked_at: null }) })
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirstOrThrow();
}

/**
 * The staff has found that this VAT id is the user's: from now on it counts for tax.
 *
 * @throws AccountError `NOT_FOUND`, `VAT_ID_CHANGED`
 */
export async function noteVatIdChecked(transaction: PlatformTransaction, id: number, vatId: string): Promise<User> {
  const { vat_id } = await lockUser(transaction, id);
  if (vat_id !== vatId) throw new AccountError('VAT_ID_CHANGED', 'the user has another VAT id, or none: check that one');
  return transaction
    .updateTable('users')
    .set({ vat_id_checked_at: new Date() })
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirstOrThrow();
}

async function lockUser(transaction: PlatformTransaction, id: number): Promise<User> {
  const user = await transaction.selectFrom('users').selectAll().where('id', '=', id).forUpdate().executeTakeFirst();
  if (user === undefined) throw noUser();
  return user;
}

function mustBeOf({ country: home }: Pick<User, 'country'>, vatId: string | null | undefined): void {
  if (vatId == null || isIdOf(home, vatId)) return;
  throw new AccountError('VAT_ID_COUNTRY', 'a VAT id begins with the letters of its country: give the one of the country of the address');
}

/** @throws AccountError `NOT_FOUND` */
export async function userById(database: Pick<PlatformDatabase, 'selectFrom'>, id: number): Promise<User> {
  const user = await database.selectFrom('users').selectAll().where('id', '=', id).executeTakeFirst();
  if (user === undefined) throw noUser();
  return user;
}

/** The manufacturer that a user acts for; undefined when he has none. */
export async function manufacturerOf(database: Pick<PlatformDatabase, 'selectFrom'>, user: number): Promise<number | undefined> {
  return (await database.selectFrom('manufacturers').select('id').where('user_id', '=', user).executeTakeFirst())?.id;
}

function noUser(): AccountError {
  return new AccountError('NOT_FOUND', 'there is no such user');
}
