import { sql } from 'kysely';
import { describe, expect, it } from 'vitest';
import { withDatabase } from '../../test/database.ts';
import { newUser } from '../../test/marketplace.ts';
import { patience } from '../../test/patience.ts';
import type { PlatformDatabase } from '../database/database.ts';
import { authenticate, createApiKey, isGoodYet, revokeApiKey, revokeApiKeys } from './api-keys.ts';

let database: PlatformDatabase;
withDatabase((opened) => {
  database = opened;
});

describe('API keys', () => {
  it('name their user and his role', async () => {
    const [buyer, staff] = [await newUser(database), await newUser(database, 'staff')];
    const [one, other] = [await createApiKey(database, buyer, 'shop'), await createApiKey(database, staff, 'desk')];
    expect(one.secret).toMatch(/^tlk_[\w-]{43}$/);
    expect(await authenticate(database, `Bearer ${one.secret}`)).toEqual({ user: buyer, role: 'buyer', key: one.id });
    expect(await authenticate(database, `bearer ${other.secret}`)).toEqual({ user: staff, role: 'staff', key: other.id });
  });

  it('are not in the database', async () => {
    const { secret } = await createApiKey(database, await newUser(database), 'shop');
    const rows = await database.selectFrom('api_keys').selectAll().execute();
    expect(JSON.stringify(rows.map((row) => [...Object.values(row), row.digest.toString('latin1')]))).not.toContain(secret.slice(4, 24));
  });

  it('revoked, is refused, and can be revoked once', async () => {
    const { id, secret } = await createApiKey(database, await newUser(database), 'shop');
    expect([await revokeApiKey(database, id), await revokeApiKey(database, id), await revokeApiKey(database, 2 ** 40)]).toEqual([
      true,
      false,
      false,
    ]);
    expect(await authenticate(database, `Bearer ${secret}`)).toBeUndefined();
  });

  it('of a user are all revoked, also one that is being made with another', async () => {
    const user = await newUser(database);
    const { id: key } = await createApiKey(database, user, 'shop');
    const caller = { user, key, role: 'buyer' } as const;
    let revoking: Promise<number> | undefined;
    const further = await database.transaction().execute(async (transaction) => {
      expect(await isGoodYet(transaction, caller)).toBe(true);
      revoking = database.transaction().execute((other) => revokeApiKeys(other, user));
      await expect.poll(() => waitingForLocks(database), patience).toBe(1);
      return createApiKey(transaction, user, 'further');
    });
    expect(await revoking).toBe(2);
    expect(await authenticate(database, `Bearer ${further.secret}`)).toBeUndefined();
    expect(await database.transaction().execute((transaction) => isGoodYet(transaction, caller))).toBe(false);
  });

  it.each([
    undefined,
    '',
    'Bearer',
    'Bearer ',
    'Basic dXNlcjpwYXNz',
    `Bearer tlk_${'a'.repeat(43)}`,
    `Bearer tlk_${'a'.repeat(44)}`,
    "Bearer tlk_' or true --",
    `Bearer ${'x'.repeat(100_000)}`,
  ])('nobody calls with %s', async (header) => {
    expect(await authenticate(database, header)).toBeUndefined();
  });

  it('a key of nobody is not made', async () => {
    await expect(createApiKey(database, 2 ** 40, 'shop')).rejects.toThrow();
  });
});

async function waitingForLocks(database: PlatformDatabase): Promise<number> {
  const { rows } = await sql<{ count: number }>`select count(*)::int as count from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock'`.execute(database);
  return rows[0]?.count ?? 0;
}
