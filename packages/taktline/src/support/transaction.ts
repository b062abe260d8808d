/**
 * A caller's database connection or open transaction, of `pg` or of Kysely, known by its shape alone: whoever has one of them
 * brings it, and the engine imports neither for it.
 */
import { TaktlineError } from './taktline-error.ts';

/** What `pg` has in common with everything that queries as it does. */
export interface PgDatabase {
  query(text: string, values: unknown[]): Promise<{ readonly rows: unknown[] }>;
}

/** An instance or a transaction of Kysely. */
export interface KyselyDatabase {
  readonly isTransaction: boolean;
  executeQuery(query: never): Promise<{ readonly rows: unknown[] }>;
}

export type Database = PgDatabase | KyselyDatabase;

/**
 * An open transaction of the caller's: a `Client` or `PoolClient` of `pg` on which `begin` was sent, or what
 * `db.transaction()` or `db.startTransaction()` of Kysely gives.
 */
export type Transaction = Database;

/** Runs one statement and gives its rows. */
export type RunStatement = <Row>(text: string, values: readonly unknown[]) => Promise<readonly Row[]>;

/**
 * How to run statements in a transaction. That it is open is left to the statements to find out: the server alone knows.
 *
 * @throws TaktlineError `OUTBOX_TRANSACTION` for what cannot be one: a pool, a Kysely instance
 */
export function runIn(transaction: Transaction): RunStatement {
  if (isKysely(transaction) && !transaction.isTransaction)
    throw refused('it is a Kysely instance: hand over what db.transaction().execute() gives');
  if (isPg(transaction) && 'totalCount' in transaction)
    throw refused('it is a pool, whose statements go to any connection: hand over a client of it');
  return runOn(transaction);
}

/** How to run statements, each by itself where no transaction is open. @throws TaktlineError `OUTBOX_TRANSACTION` */
export function runOn(database: Database): RunStatement {
  if (isKysely(database)) return (text, values) => runInKysely(database, text, values);
  if (isPg(database))
    return async <Row>(text: string, values: readonly unknown[]) => (await database.query(text, [...values])).rows as Row[];
  throw refused('expected a client of pg or a transaction of Kysely');
}

function isKysely(database: Database): database is KyselyDatabase {
  return has(database, 'executeQuery');
}

function isPg(database: Database): database is PgDatabase {
  return has(database, 'query');
}

function has(database: unknown, method: string): boolean {
  return typeof database === 'object' && database !== null && typeof (database as Record<string, unknown>)[method] === 'function';
}

/** As Kysely's own `sql` makes it: one piece of raw text. */
async function runInKysely<Row>(database: KyselyDatabase, text: string, values: readonly unknown[]): Promise<Row[]> {
  const query = { sql: text, parameters: values, query: { kind: 'RawNode', sqlFragments: [text], parameters: [] }, queryId: {} };
  return (await database.executeQuery(query as never)).rows as Row[];
}

function refused(why: string): TaktlineError {
  return new TaktlineError('OUTBOX_TRANSACTION', `the transaction cannot be used: ${why}`);
}
