/**
 * API keys: a key names its user, whose role says what it may do. It is shown once; only its SHA-256 is kept, which is enough for
 * 256 random bits: there is nothing to guess that a slower hash would protect.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { Selectable } from 'kysely';
import type { PlatformDatabase } from '../database/database.ts';
import type { ApiKeysTable, UserRole } from '../database/marketplace-tables.ts';
import type { PlatformTransaction } from '../orders/orders.ts';

export interface Caller {
  readonly user: number;
  readonly role: UserRole;
  /** The key's id. */
  readonly key: number;
}

export interface NewKey {
  readonly id: number;
  /** To be kept by whoever asked for it: nobody can read it again. */
  readonly secret: string;
}

/** A key as it can be shown. */
export type ApiKey = Omit<Selectable<ApiKeysTable>, 'digest'>;

const prefix = 'tlk_';
const pattern = /^tlk_[A-Za-z0-9_-]{43}$/;

/** @throws the database's error when there is no such user */
export async function createApiKey(database: PlatformDatabase, user: number, label: string): Promise<NewKey> {
  const secret = `${prefix}${randomBytes(32).toString('base64url')}`;
  const { id } = await database
    .insertInto('api_keys')
    .values({ user_id: user, label, digest: digestOf(secret) })
    .returning('id')
    .executeTakeFirstOrThrow();
  return { id, secret };
}

/** It is refused from now on. @returns false when there was none, or it was revoked before */
export async function revokeApiKey(database: PlatformDatabase, id: number): Promise<boolean> {
  const revoked = await database
    .updateTable('api_keys')
    .set({ revoked_at: new Date() })
    .where('id', '=', id)
    .where('revoked_at', 'is', null)
    .returning('id')
    .executeTakeFirst();
  return revoked !== undefined;
}

/**
 * All keys of a user are refused from now on, also those that one of them is making now: `isGoodYet` waits for this, or this for it.
 *
 * @returns how many there were
 */
export async function revokeApiKeys(transaction: PlatformTransaction, user: number): Promise<number> {
  await transaction.selectFrom('users').select('id').where('id', '=', user).forUpdate().execute();
  const revoked = await transaction
    .updateTable('api_keys')
    .set({ revoked_at: new Date() })
    .where('user_id', '=', user)
    .where('revoked_at', 'is', null)
    .returning('id')
    .execute();
  return revoked.length;
}

/** Whether the caller's key is good yet, and stays so until the transaction is over, unless it alone is revoked. */
export async function isGoodYet(transaction: PlatformTransaction, { user, key }: Caller): Promise<boolean> {
  await transaction.selectFrom('users').select('id').where('id', '=', user).forKeyShare().execute();
  const good = await transaction
    .selectFrom('api_keys')
    .select('id')
    .where('id', '=', key)
    .where('revoked_at', 'is', null)
    .executeTakeFirst();
  return good !== undefined;
}

/** Keys, those that are revoked too. */
export function selectApiKeys(database: Pick<PlatformDatabase, 'selectFrom'>) {
  return database.selectFrom('api_keys').select(['id', 'user_id', 'label', 'created_at', 'revoked_at']);
}

/**
 * Who calls. The database looks the digest up, so that no comparison here tells by its time how much of a key is right.
 *
 * @param header of the request: `Authorization: Bearer <key>`
 * @returns undefined for everything that is not a key which is good now
 */
export async function authenticate(database: PlatformDatabase, header: string | undefined): Promise<Caller | undefined> {
  const secret = /^Bearer (\S+)$/i.exec(header ?? '')?.[1];
  if (secret === undefined || !pattern.test(secret)) return undefined;
  const found = await database
    .selectFrom('api_keys')
    .innerJoin('users', 'users.id', 'api_keys.user_id')
    .select(['api_keys.id as key', 'users.id as user', 'users.role'])
    .where('api_keys.digest', '=', digestOf(secret))
    .where('api_keys.revoked_at', 'is', null)
    .executeTakeFirst();
  return found;
}

function digestOf(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}
