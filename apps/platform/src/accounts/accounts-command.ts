/**
 * `npm run accounts -- <command>`: users and their keys, by whoever has the database. It is how the first user of the staff comes to be,
 * who has no key yet to ask the API with.
 */
import { Command, InvalidArgumentError, Option } from 'commander';
import { sql } from 'kysely';
import type { z } from 'zod';
import type { PlatformDatabase } from '../database/database.ts';
import type { UserRole } from '../database/marketplace-tables.ts';
import { withPlatformDatabase } from '../database/open-database.ts';
import type { PlatformTransaction } from '../orders/orders.ts';
import { readSettings } from '../settings.ts';
import { AccountError } from './account-error.ts';
import { type ApiKey, createApiKey, revokeApiKey, revokeApiKeys, selectApiKeys } from './api-keys.ts';
import { type Act, noteAct } from './audit.ts';
import { addUser, line, newUserFields, noteVatIdChecked, type User, userById, userRoles } from './users.ts';

interface Output {
  readonly json?: boolean;
}

interface NewUserOptions extends Output {
  readonly role: UserRole;
  readonly name: string;
  readonly email: string;
  readonly country: string;
  readonly address: readonly string[];
  readonly vatId?: string;
}

const print = (text: string): void => void process.stdout.write(`${text}\n`);

export function accountsCommand(env: Readonly<Record<string, string | undefined>>): Command {
  const program = new Command('accounts')
    .description('Users and their API keys, in the database of DATABASE_URL, or in the embedded one.')
    .exitOverride()
    .showHelpAfterError();
  const withDatabase = async <Result>(work: (database: PlatformDatabase) => Promise<Result>) =>
    withPlatformDatabase(readSettings(env), ({ database }) => work(database));

  program
    .command('add-user')
    .description('add a user')
    .addOption(new Option('--role <role>', 'what the user may do').choices(userRoles).makeOptionMandatory())
    .requiredOption('--name <name>', 'as mails and invoices have it', reading(newUserFields.name))
    .requiredOption('--email <address>', 'where mails go; no other user has it', reading(newUserFields.email))
    .requiredOption('--country <country>', 'of the address, such as DE', reading(newUserFields.country))
    .option(
      '--address <line>',
      'a line of the postal address, without name and country; up to 6 times; the staff needs none',
      readingLines,
      [],
    )
    .option('--vat-id <id>', 'such as DE123456789', reading(newUserFields.vat_id))
    .option('-j, --json', 'print a JSON document')
    .action(({ role, name, email, country, address, vatId, json }: NewUserOptions) =>
      withDatabase(async (database) => {
        if (role !== 'staff' && address.length === 0)
          throw new AccountError('ADDRESS_MISSING', 'give an --address: invoices need one of whoever buys or makes');
        const { id } = await database.transaction().execute(async (transaction) => {
          const added = await addUser(transaction, { role, name, email, country, address, vat_id: vatId });
          await note(transaction, { action: 'user.create', subject: `user:${added.id}`, data: { role } });
          return added;
        });
        print(json === true ? JSON.stringify({ id, role }) : `user ${id} (${role})`);
      }),
    );

  program
    .command('check-vat-id')
    .description("say that a VAT id was checked to be the user's: from now on it counts for tax")
    .argument('<user>', 'the id or the email address of the user')
    .argument('<vat-id>', 'that was checked', reading(newUserFields.vat_id))
    .option('-j, --json', 'print a JSON document')
    .action((name: string, vatId: string, { json }: Output) =>
      withDatabase(async (database) => {
        const { id } = await userNamed(database, name);
        await database.transaction().execute(async (transaction) => {
          await noteVatIdChecked(transaction, id, vatId);
          await note(transaction, { action: 'user.check-vat-id', subject: `user:${id}` });
        });
        print(json === true ? JSON.stringify({ id, checked: true }) : `the VAT id of user ${id} is checked`);
      }),
    );

  program
    .command('add-key')
    .description('make a key, and print it; it cannot be printed again')
    .argument('<user>', 'the id or the email address of its user')
    .requiredOption('--label <text>', 'to know it by', reading(line(100)))
    .option('-j, --json', 'print a JSON document')
    .action((name: string, { label, json }: Output & { readonly label: string }) =>
      withDatabase(async (database) => {
        const { user, key } = await database.transaction().execute(async (transaction) => {
          const owner = await userNamed(transaction, name);
          const made = await createApiKey(transaction, owner.id, label);
          await note(transaction, { action: 'key.create', subject: `user:${owner.id}`, data: { made: made.id } });
          return { user: owner.id, key: made };
        });
        // Alone on its line, so that a shell can take it.
        print(json === true ? JSON.stringify({ ...key, user }) : key.secret);
      }),
    );

  program
    .command('keys')
    .description('the keys of a user')
    .argument('<user>', 'the id or the email address of the user')
    .option('-j, --json', 'print a JSON document')
    .action((name: string, { json }: Output) =>
      withDatabase(async (database) => {
        const { id } = await userNamed(database, name);
        const keys = await selectApiKeys(database).where('user_id', '=', id).orderBy('id').execute();
        if (json === true) print(JSON.stringify({ user: id, keys }));
        else if (keys.length === 0) print(`user ${id} has no key`);
        else for (const key of keys) print(lineOf(key));
      }),
    );

  program
    .command('revoke-key')
    .description('refuse a key from now on')
    .argument('<id>', 'of the key', readingId)
    .option('-j, --json', 'print a JSON document')
    .action((id: number, { json }: Output) =>
      withDatabase(async (database) => {
        await database.transaction().execute(async (transaction) => {
          const key = await selectApiKeys(transaction).where('id', '=', id).executeTakeFirst();
          if (key === undefined || !(await revokeApiKey(transaction, id)))
            throw new AccountError('NOT_FOUND', 'there is no such key, or it was revoked before');
          await note(transaction, { action: 'key.revoke', subject: `user:${key.user_id}`, data: { revoked: id } });
        });
        print(json === true ? JSON.stringify({ id, revoked: true }) : `key ${id} is refused from now on`);
      }),
    );

  program
    .command('revoke-keys')
    .description('refuse all keys of a user from now on')
    .argument('<user>', 'the id or the email address of the user')
    .option('-j, --json', 'print a JSON document')
    .action((name: string, { json }: Output) =>
      withDatabase(async (database) => {
        const { user, revoked } = await database.transaction().execute(async (transaction) => {
          const { id } = await userNamed(transaction, name);
          const count = await revokeApiKeys(transaction, id);
          await note(transaction, { action: 'key.revoke_all', subject: `user:${id}`, data: { revoked: count } });
          return { user: id, revoked: count };
        });
        print(json === true ? JSON.stringify({ user, revoked }) : `${revoked} keys of user ${user} are refused from now on`);
      }),
    );

  return program;
}

/** @throws AccountError `NOT_FOUND` */
async function userNamed(database: Pick<PlatformDatabase, 'selectFrom'>, name: string): Promise<User> {
  if (/^\d{1,15}$/.test(name)) return userById(database, Number(name));
  const user = await database.selectFrom('users').selectAll().where(sql<boolean>`lower(email) = lower(${name})`).executeTakeFirst();
  if (user === undefined) throw new AccountError('NOT_FOUND', 'there is no user with this email address');
  return user;
}

function note(transaction: PlatformTransaction, act: Pick<Act, 'action' | 'subject' | 'data'>): Promise<void> {
  return noteAct(transaction, { actor: 'operator', ...act });
}

function lineOf({ id, label, created_at, revoked_at }: ApiKey): string {
  const made = `made ${created_at.toISOString()}`;
  return `key ${id}: ${label}, ${made}${revoked_at === null ? '' : `, revoked ${revoked_at.toISOString()}`}`;
}

function reading<Value>(schema: z.ZodType<Value>) {
  return (text: unknown): Value => {
    const read = schema.safeParse(text);
    if (read.success) return read.data;
    throw new InvalidArgumentError(`${read.error.issues[0]?.message ?? 'It cannot be used'}.`);
  };
}

function readingLines(text: string, before: readonly string[]): readonly string[] {
  return reading(newUserFields.address)([...before, text]);
}

function readingId(text: string): number {
  if (!/^[1-9]\d{0,14}$/.test(text)) throw new InvalidArgumentError('expected the id of a key.');
  return Number(text);
}
