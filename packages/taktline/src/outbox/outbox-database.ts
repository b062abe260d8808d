/** The app's database, as the relay and people who look after the outbox use it: statements of tables.ts, errors that name it. */
import { Connection, type Statement } from '../broker/postgres/connection.ts';
import { type ErrorCode, TaktlineError } from '../support/taktline-error.ts';
import { type OutboxStatements, outboxError, outboxStatements } from './tables.ts';

export interface OutboxDatabaseOptions {
  /** Asked for each new connection. */
  readonly url: () => string;
  /** Checked. */
  readonly schema: string;
}

/** Two loops of a relay and its upkeep, or somebody who asks. */
const connections = 4;
/** The connection speaks of a broker. */
const ours: Partial<Record<ErrorCode, ErrorCode>> = { BROKER_UNAVAILABLE: 'OUTBOX_UNAVAILABLE', BROKER_URL: 'OUTBOX_UNAVAILABLE' };

export class OutboxDatabase {
  readonly statements: OutboxStatements;
  readonly #schema: string;
  readonly #connection: Connection;

  constructor({ url, schema }: OutboxDatabaseOptions) {
    this.#schema = schema;
    this.statements = outboxStatements(schema);
    this.#connection = new Connection({ url: () => Promise.resolve(url()), name: `taktline outbox ${schema}`, max: connections });
  }

  /**
   * @throws TaktlineError `OUTBOX_UNAVAILABLE` when there was no answer: the statement may have run or not; `OUTBOX_SCHEMA` when
   * the tables are not there
   */
  async query<Row extends Record<string, unknown>>(statement: Statement, values: readonly unknown[] = []): Promise<Row[]> {
    try {
      return await this.#connection.query<Row>(statement, values);
    } catch (error) {
      if (!(error instanceof TaktlineError) || error.cause === undefined) throw error;
      const translated = outboxError(error.cause, this.#schema);
      if (translated instanceof TaktlineError) throw translated;
      throw new TaktlineError(ours[error.code] ?? error.code, `the database of the outbox: ${error.message}`, { cause: error.cause });
    }
  }

  close(): Promise<void> {
    return this.#connection.close();
  }
}
