/** An application's database of a test's own: on the server of the test run, in a schema of its own or a whole database. */
import { randomBytes } from 'node:crypto';
import { CamelCasePlugin, Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { migrateOutbox, type OutboxOptions } from '../../src/index.ts';

export interface Tables {
  readonly orders: { id: number; jobCount: number };
}

export class AppDatabase {
  readonly url: string;
  readonly schema: string;
  readonly pool: pg.Pool;
  readonly #dropDatabase: (() => Promise<void>) | undefined;

  private constructor(url: string, schema: string, dropDatabase?: () => Promise<void>) {
    this.url = url;
    this.schema = schema;
    this.pool = new pg.Pool({ connectionString: url, max: 10 });
    // The database may be dropped before the server has heard that a connection is closed.
    this.pool.on('error', () => undefined);
    this.#dropDatabase = dropDatabase;
  }

  /** @param where beside the tests' namespaces, or `apart`, in a database of its own */
  static async make(where: 'beside' | 'apart', { migrate = true } = {}): Promise<AppDatabase> {
    const url = process.env['TAKTLINE_TEST_POSTGRES'];
    if (url === undefined) throw new Error('the test server is missing: run the tests with vitest from the repository root');
    const name = `t_${randomBytes(6).toString('hex')}`;
    const database = where === 'beside' ? new AppDatabase(url, name) : await AppDatabase.#apart(url, name);
    if (migrate) await migrateOutbox(database.pool, { schema: database.schema });
    await database.pool.query(`create table if not exists public.${database.orders} (id bigint primary key, job_count integer not null)`);
    return database;
  }

  static async #apart(url: string, name: string): Promise<AppDatabase> {
    const admin = async (text: string): Promise<void> => {
      const client = new pg.Client(url);
      await client.connect();
      await client.query(text).finally(() => client.end());
    };
    await admin(`create database ${name}`);
    const own = new URL(url);
    own.pathname = `/${name}`;
    return new AppDatabase(own.href, name, () => admin(`drop database ${name} with (force)`));
  }

  /** A table of its own. */
  get orders(): string {
    return `${this.schema}_orders`;
  }

  get settings(): OutboxOptions {
    return { databaseUrl: this.url, schema: this.schema };
  }

  /** `$outbox` stands for the schema. */
  async query<Row extends pg.QueryResultRow>(text: string, values: readonly unknown[] = []): Promise<Row[]> {
    return (await this.pool.query<Row>(text.replaceAll('$outbox', `"${this.schema}"`), [...values])).rows;
  }

  /** Runs `work` in a transaction, which it may fail. */
  async transaction<Result>(work: (client: pg.PoolClient) => Promise<Result>): Promise<Result> {
    const client = await this.pool.connect();
    try {
      await client.query('begin');
      const result = await work(client);
      await client.query('commit');
      return result;
    } catch (error) {
      await client.query('rollback');
      throw error;
    } finally {
      client.release();
    }
  }

  kysely(): Kysely<Tables> {
    return new Kysely<Tables>({ dialect: new PostgresDialect({ pool: this.pool }), plugins: [new CamelCasePlugin()] });
  }

  async drop(): Promise<void> {
    if (this.#dropDatabase === undefined) {
      await this.pool.query(`drop schema if exists "${this.schema}" cascade`);
      await this.pool.query(`drop table if exists public.${this.orders}`);
    }
    await this.pool.end();
    await this.#dropDatabase?.();
  }
}
