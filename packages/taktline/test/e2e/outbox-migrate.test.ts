/** The tables of the outbox: made once by whoever asks and however many ask, from what an app has, with rights for those who need them. */
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { migrateOutbox } from '../../src/index.ts';
import { AppDatabase } from '../support/app-database.ts';
import { harness } from '../support/harness.ts';
import { polled } from '../support/polled.ts';

const h = harness();
let database: AppDatabase;
beforeEach(async () => {
  database = await AppDatabase.make('apart', { migrate: false });
});
afterEach(async () => {
  await h.end();
  await database.drop();
});

const migrate = (on: Parameters<typeof migrateOutbox>[0] = database.pool) => migrateOutbox(on, { schema: database.schema });
/** How many rows some of its tables hold, or undefined when they are not there. */
async function made() {
  const [there] = await database.query<{ there: boolean }>(`select to_regclass('$outbox.version') is not null as there`);
  if (there?.there !== true) return undefined;
  const [row] = await database.query<Record<string, number>>(
    `select (select count(*)::int from $outbox.version) as versions, (select count(*)::int from $outbox.origin) as origins,
       (select count(*)::int from $outbox.lanes) as lanes, (select count(*)::int from $outbox.seen) as seen`,
  );
  return row;
}
const once = { versions: 1, origins: 1, lanes: 16, seen: 1 };

describe('migrateOutbox()', () => {
  it('called again it changes nothing, and keeps what is there', async () => {
    await migrate();
    const origin = await database.query('select id from $outbox.origin');
    await database.query(`insert into $outbox.effects (task, key, job, fence, at) values ('pay', 'k', 'j', 1, 1)`);
    await migrate();
    await migrate();
    expect(await database.query('select id from $outbox.origin')).toEqual(origin);
    expect(await database.query('select key from $outbox.effects')).toEqual([{ key: 'k' }]);
    expect(await made()).toEqual(once);
  });

  it('ten at once in an empty database', async () => {
    const clients = Array.from({ length: 10 }, () => new pg.Client(database.url));
    try {
      await Promise.all(clients.map((client) => client.connect()));
      await Promise.all(clients.map((client) => migrate(client)));
    } finally {
      await Promise.all(clients.map((client) => client.end()));
    }
    expect(await made()).toEqual(once);
  });

  it('in a transaction that is rolled back nothing is left, also not of pg and Kysely that come after', async () => {
    const undone = database.transaction(async (client) => {
      await migrate(client);
      await client.query(`select 1 from "${database.schema}".lanes`);
      throw new Error('another migration failed');
    });
    await expect(undone).rejects.toThrow('another migration failed');
    expect(await made()).toBeUndefined();
    expect(await database.query('select 1 from pg_namespace where nspname = $1', [database.schema])).toEqual([]);
    await database.transaction((client) => migrate(client));
    expect(await made()).toEqual(once);
  });

  it('with an instance of Kysely, and with a transaction of it', async () => {
    const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool: database.pool }) });
    await db
      .transaction()
      .execute(async (transaction) => {
        await migrate(transaction);
        throw new Error('rolled back');
      })
      .catch(() => undefined);
    expect(await made()).toBeUndefined();
    await migrate(db);
    await db.transaction().execute((transaction) => migrate(transaction));
    expect(await made()).toEqual(once);
  });

  it.each(['a"; drop schema public cascade; --', "a'; drop schema public", 'Upper', '1a', '', 'pg_own', 'a'.repeat(32)])(
    'schema %j is refused',
    async (schema) => {
      await expect(migrateOutbox(database.pool, { schema })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
      expect(() => h.app({ outbox: { schema } })).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
      expect(await database.query(`select 1 from pg_namespace where nspname = 'public'`)).toHaveLength(1);
    },
  );

  it('the search path of the caller is what it was, in the transaction and after it', async () => {
    await database.query('create schema other');
    const path = async (client: pg.ClientBase) => (await client.query<{ search_path: string }>('show search_path')).rows[0]?.search_path;
    const client = await database.pool.connect();
    try {
      await client.query('set search_path = other, "$user", public');
      await client.query('begin');
      await migrate(client);
      expect(await path(client)).toBe('other, "$user", public');
      await client.query('create table mine (id integer)');
      await client.query('commit');
      expect(await path(client)).toBe('other, "$user", public');
      await migrate(client);
      expect(await path(client)).toBe('other, "$user", public');
    } finally {
      client.release(true);
    }
    expect(await database.query(`select to_regclass('other.mine')::text as name`)).toEqual([{ name: 'other.mine' }]);
  });

  it('names of the caller do not get in its way', async () => {
    // Tables and functions of the same names, found first by the caller's path.
    await database.query('create table waiting (id integer); create table effects (id integer)');
    await database.query(`create function now_ms() returns bigint language sql as 'select -1::bigint'`);
    await migrate();
    const { note } = await everything({ worker: database.url, relay: database.url });
    const handle = await database.transaction((transaction) => note.enqueue({ order: 1 }, { transaction }));
    expect(await handle.result()).toBe('effect of order 1');
    expect(await database.query('select count(*)::int as n from public.waiting')).toEqual([{ n: 0 }]);
  });
});

/** What each has to be granted, when the tables are another role's. Functions may be called by everybody who may use the schema. */
const grants = {
  enqueues: ['insert on waiting'],
  effects: ['select, insert, update, delete on effects'],
  relays: [
    'select, update, delete on waiting',
    'select, update on lanes',
    'select, insert, delete on kept',
    'select on origin',
    'select, update on seen',
    'select, insert, update on standing',
    'select, delete on effects',
  ],
  reconciles: ['insert on waiting'],
};

describe('roles that do not own the tables', () => {
  const made: string[] = [];
  afterEach(async () => {
    await h.end();
    for (const role of made.splice(0)) await database.query(`drop owned by ${role}; drop role ${role}`);
  });

  /** A role that may do some of it. @returns the URL with which it logs in */
  async function role(...does: readonly (keyof typeof grants)[]): Promise<string> {
    const { schema } = database;
    const name = `${schema}_r${made.length}`;
    await database.query(`create role ${name} login password 'of-this-test'`);
    made.push(name);
    if (does.length > 0) await database.query(`grant usage on schema "${schema}" to ${name}`);
    for (const grant of does.flatMap((what) => grants[what]))
      await database.query(`grant ${grant.replace(' on ', ` on "${schema}".`)} to ${name}`);
    const url = new URL(database.url);
    Object.assign(url, { username: name, password: 'of-this-test' });
    return url.href;
  }

  it('those with the rights they need do all of it', async () => {
    await migrate();
    await database.query(`insert into $outbox.effects (task, key, job, fence, at) values ('note', 'old', 'j', 1, 1)`);
    const urls = { client: await role('enqueues'), worker: await role('effects'), relay: await role('relays', 'reconciles') };
    const { app, note } = await everything(urls);
    const handle = await inTransaction(urls.client, (transaction) => note.enqueue({ order: 1 }, { transaction }));
    expect(await handle.result()).toBe('effect of order 1');
    await polled(async () => (await app.outbox.lag()).kept).toBe(0);
    // Jobs that the broker does not know are put back.
    await database.query(
      `insert into $outbox.kept (id, queue, priority, created, envelope) values ('lost', 'kept', 5, 1, '{"v":1,"task":"note","input":{"order":2}}')`,
    );
    expect((await app.outbox.reconcile()).queues).toEqual([{ queue: 'kept', compared: 1, there: 0, ended: 0, lost: 1 }]);
    await polled(async () => database.query('select key from $outbox.effects order by 1')).toEqual([
      { key: 'effect of order 1' },
      { key: 'effect of order 2' },
    ]);
    expect(h.log.lines.filter(({ level }) => level === 'warn' || level === 'error')).toEqual([]);
  });

  it('one without any hears what to do', async () => {
    await migrate();
    const url = await role();
    const app = h.app({ outbox: { databaseUrl: url, schema: database.schema } });
    const note = app.task({ name: 'note', queue: 'work', run: () => 1 });
    const refused = { code: 'OUTBOX_SCHEMA', message: expect.stringMatching(/permission denied.*migrateOutbox/) as string };
    await expect(inTransaction(url, (transaction) => note.delayIn(transaction))).rejects.toMatchObject(refused);
    await expect(app.relay().start()).rejects.toMatchObject(refused);
    await expect(app.outbox.lag()).rejects.toMatchObject(refused);
    expect(await database.query('select 1 from $outbox.waiting')).toEqual([]);
  });
});

async function inTransaction<Result>(url: string, work: (client: pg.Client) => Promise<Result>): Promise<Result> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    await client.query('begin');
    const result = await work(client);
    await client.query('commit');
    return result;
  } finally {
    await client.end();
  }
}

/** An app whose jobs make an effect by one role, and whose relay is another. Both run. */
async function everything({ worker, relay }: { readonly worker: string; readonly relay: string }) {
  const app = h.app({
    queues: [
      { name: 'work', priority: 5 },
      { name: 'kept', priority: 5, keepUntilEnd: true },
    ],
    outbox: { databaseUrl: relay, schema: database.schema },
  });
  const note = app.task({
    name: 'note',
    queue: 'kept',
    input: z.object({ order: z.number() }),
    effectKey: ({ order }) => `effect of order ${order}`,
    run: (_, ctx) =>
      inTransaction(worker, async (client) => {
        const fails = () => Promise.reject(new Error('not made'));
        await ctx.once(client, ctx.effectKey, fails).catch(() => undefined);
        return ctx.once(client, ctx.effectKey, () => ctx.effectKey);
      }),
  });
  await app.relay().start();
  await h.work(app);
  return { app, note };
}
