/** `npm run accounts` as a process, on a real Postgres. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPostgres, type TestPostgres } from '../../test/database.ts';
import { newUser } from '../../test/marketplace.ts';
import type { PlatformDatabase } from '../database/database.ts';
import { authenticate, createApiKey } from './api-keys.ts';

const main = fileURLToPath(new URL('../../dist/accounts-main.js', import.meta.url));

let postgres: TestPostgres;
let database: PlatformDatabase;
let url: string;
beforeAll(async () => {
  postgres = await startPostgres();
  ({ database, url } = await postgres.newDatabase());
  await newUser(database, 'staff', 'taken@example.com');
});
afterAll(async () => {
  await database.destroy();
  await postgres.stop();
});

async function run(...args: readonly string[]) {
  const { PATH = '', HOME = '' } = process.env;
  const child = spawn(process.execPath, [main, ...args], { env: { PATH, HOME, DATABASE_URL: url }, stdio: 'pipe' });
  const said = { out: '', err: '' };
  child.stdout.on('data', (chunk: Buffer) => {
    said.out += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    said.err += chunk.toString();
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, ...said };
}

const stella = ['--role', 'staff', '--name', 'Stella Staff', '--email', 'stella@example.com', '--country', 'DE'];

describe('npm run accounts', () => {
  it('makes the first user of the staff and a key, and takes the key away again', async () => {
    const added = await run(
      'add-user',
      ...stella,
      '--address',
      '1 High Street',
      '--address',
      '10115 Berlin',
      '--vat-id',
      'DE123456789',
      '--json',
    );
    expect(added).toMatchObject({ code: 0, err: '' });
    const { id } = JSON.parse(added.out) as { id: number };
    expect(await database.selectFrom('users').selectAll().where('id', '=', id).executeTakeFirst()).toMatchObject({
      role: 'staff',
      email: 'stella@example.com',
      address: ['1 High Street', '10115 Berlin'],
      vat_id: 'DE123456789',
    });

    expect(await run('check-vat-id', 'stella@example.com', 'DE987654321')).toMatchObject({ code: 1, out: '' });
    expect(await run('check-vat-id', 'stella@example.com', 'DE123456789')).toMatchObject({ code: 0, err: '' });
    expect(await database.selectFrom('users').selectAll().where('id', '=', id).executeTakeFirst()).toMatchObject({
      vat_id_checked_at: expect.any(Date) as Date,
    });

    const made = await run('add-key', 'STELLA@example.com', '--label', 'desk');
    expect(made).toMatchObject({ code: 0, err: '', out: expect.stringMatching(/^tlk_[\w-]{43}\n$/) as string });
    const caller = await authenticate(database, `Bearer ${made.out.trim()}`);
    expect(caller).toMatchObject({ user: id, role: 'staff' });

    const listed = await run('keys', String(id));
    expect(listed.out).toMatch(new RegExp(`^key ${caller?.key}: desk, made \\S+Z\n$`));
    expect(listed.out).not.toContain(made.out.slice(4, 20));

    expect(await run('revoke-key', String(caller?.key))).toMatchObject({ code: 0, out: `key ${caller?.key} is refused from now on\n` });
    expect(await authenticate(database, `Bearer ${made.out.trim()}`)).toBeUndefined();
    expect(await run('revoke-key', String(caller?.key))).toMatchObject({
      code: 1,
      err: 'there is no such key, or it was revoked before\n',
    });
    expect(JSON.parse((await run('keys', String(id), '--json')).out)).toMatchObject({
      user: id,
      keys: [{ id: caller?.key, label: 'desk', revoked_at: expect.any(String) as string }],
    });

    const acts = await database.selectFrom('audit').selectAll().where('subject', '=', `user:${id}`).orderBy('id').execute();
    expect(acts.map(({ actor, actor_id, action, subject }) => [actor, actor_id, action, subject])).toEqual(
      ['user.create', 'user.check-vat-id', 'key.create', 'key.revoke'].map((action) => ['operator', null, action, `user:${id}`]),
    );
    expect(JSON.stringify(acts)).not.toMatch(/Stella|@|desk|tlk_/);
  });

  it('takes all keys of a user away', async () => {
    const user = await newUser(database, 'buyer', 'lost@example.com');
    const { secret } = await createApiKey(database, user, 'shop');
    await createApiKey(database, user, 'further');
    expect(await run('revoke-keys', 'LOST@example.com')).toMatchObject({
      code: 0,
      out: `2 keys of user ${user} are refused from now on\n`,
    });
    expect(await authenticate(database, `Bearer ${secret}`)).toBeUndefined();
    expect(JSON.parse((await run('revoke-keys', String(user), '--json')).out)).toEqual({ user, revoked: 0 });
    const [act] = await database.selectFrom('audit').selectAll().where('subject', '=', `user:${user}`).orderBy('id').execute();
    expect(act).toMatchObject({ actor: 'operator', action: 'key.revoke_all', data: { revoked: 2 } });
  });

  it.each([
    [['add-user', ...stella.slice(0, 4), '--email', 'Taken@example.com', '--country', 'DE'], 1, 'another user has this email address'],
    [['add-user', '--role', 'buyer', ...stella.slice(2)], 1, 'give an --address'],
    [['add-user', ...stella, '--vat-id', 'FR123456789'], 1, 'a VAT id begins with the letters of its country'],
    [['add-key', 'nobody@example.com', '--label', 'x'], 1, 'there is no user with this email address'],
    [['add-key', '999999', '--label', 'x'], 1, 'there is no such user'],
    [['keys', '999999'], 1, 'there is no such user'],
    [['revoke-keys', '999999'], 1, 'there is no such user'],
    [['revoke-key', '999999'], 1, 'there is no such key, or it was revoked before'],
    [['revoke-key', 'x'], 2, 'expected the id of a key'],
    [['add-user', '--role', 'admin', ...stella.slice(2)], 2, 'Allowed choices are buyer, manufacturer, staff'],
    [['add-user', '--role', 'buyer'], 2, "required option '--name <name>' not specified"],
    [['add-user', ...stella.slice(0, 4), '--email', 'x', '--country', 'DE'], 2, 'expected one email address'],
    [['add-user', ...stella.slice(0, 6), '--country', 'Germany'], 2, 'expected a country as ISO 3166-1 has it, such as DE'],
    [['add-user', ...stella, '--address', 'a\nb'], 2, 'expected one line of text'],
    [['add-user', ...stella, '--vat-id', '12'], 2, 'expected a VAT id such as DE123456789'],
    [['add-key', '1'], 2, "required option '--label <text>' not specified"],
    [[], 2, 'Usage: accounts'],
  ] as const)('says what is wrong with %j', async (args, code, text) => {
    const before = await database.selectFrom('audit').select('id').execute();
    const ended = await run(...args);
    expect(ended).toMatchObject({ code, out: '', err: expect.stringContaining(text) as string });
    expect(ended.err).not.toMatch(/^ +at /m);
    expect(await database.selectFrom('audit').select('id').execute()).toEqual(before);
  });

  it('has help for each command', async () => {
    for (const args of [
      ['--help'],
      ['add-user', '--help'],
      ['add-key', '--help'],
      ['keys', '--help'],
      ['revoke-key', '--help'],
      ['revoke-keys', '--help'],
    ]) {
      expect(await run(...args)).toMatchObject({ code: 0, err: '', out: expect.stringContaining('Usage: accounts') as string });
    }
  });
});
