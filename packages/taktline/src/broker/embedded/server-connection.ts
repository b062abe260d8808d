/**
 * A connection to an embedded server: proves that the server is the one of our files, and holds the locks that count members.
 * It is always to the database `postgres`, because an advisory lock is seen only within one database.
 */
import { readFile, realpath } from 'node:fs/promises';
import { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { TaktlineError } from '../../support/taktline-error.ts';
import { type ServerFiles, serverUser } from './server-files.ts';

/** The lock of the members: 'takt' in ASCII, and a number. Shared by each member, exclusive for the last one out. */
const memberLock = '1952541556, 1';

/** No statement here takes long, but a server can be suspended. */
const queryTimeoutMs = 10_000;

/** The server was not there yet, is going away, or has no room now: worth another try. */
export class ConnectionCut extends Error {}

export class ServerConnection {
  readonly files: ServerFiles;
  /** Fulfilled when the connection has ended, whoever ended it. */
  readonly ended: Promise<void>;
  readonly #client: pg.Client;
  readonly #socket: Socket;
  readonly #login: string;

  private constructor(files: ServerFiles, client: pg.Client, socket: Socket, login: string) {
    this.files = files;
    this.#client = client;
    this.#socket = socket;
    this.#login = login;
    // Without a listener the loss of an idle connection would end the process.
    client.on('error', () => undefined);
    this.ended = new Promise((resolve) => client.once('end', resolve));
  }

  /**
   * Connects, and checks that the server keeps our data.
   *
   * @throws ConnectionCut when another try may succeed
   * @throws TaktlineError `EMBEDDED_POSTGRES` when none will
   */
  static async open(files: ServerFiles, port: number): Promise<ServerConnection> {
    const { Client } = await loadPg();
    const password = (await readFile(files.password, 'utf8')).trim();
    const [host, user, socket] = ['127.0.0.1', serverUser, new Socket()];
    const login = { host, port, user, password, database: 'postgres', application_name: 'taktline member' };
    const limits = { connectionTimeoutMillis: queryTimeoutMs, query_timeout: queryTimeoutMs };
    const client = new Client({ ...login, ...limits, ssl: false, stream: () => socket });
    const connection = new ServerConnection(files, client, socket, `${user}:${password}@${host}:${port}`);
    try {
      await connection.#tried(() => client.connect());
      const [row] = await connection.#query('show data_directory');
      const served = String(row?.['data_directory']);
      if (served === files.data || (await realpath(served).catch(() => '')) === files.data) return connection;
      throw new TaktlineError('EMBEDDED_POSTGRES', `The server on port ${port} keeps the data of ${served}, not of ${files.data}.`);
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  /** The URL of a database on this server. It holds the password. */
  url(database: string): string {
    return `postgres://${this.#login}/${encodeURIComponent(database)}`;
  }

  /** Takes the shared lock. Whoever has the exclusive one is about to stop the server, which cuts this connection. */
  async lockAsMember(until: number): Promise<void> {
    while (!(await this.#granted(`pg_try_advisory_lock_shared(${memberLock})`))) {
      if (performance.now() > until)
        throw new TaktlineError('EMBEDDED_POSTGRES', 'The embedded Postgres is kept locked by a process that was to stop it.');
      await sleep(20);
    }
  }

  /** Gives the shared lock back and tries for the exclusive one: whether this was the last member. */
  async tryLockAsLast(): Promise<boolean> {
    await this.#query('select pg_advisory_unlock_all()');
    return this.#granted(`pg_try_advisory_lock(${memberLock})`);
  }

  async #granted(lock: string): Promise<boolean> {
    const [row] = await this.#query(`select ${lock} as granted`);
    return row?.['granted'] === true;
  }

  /** Creates a database unless it exists; two members may try at once (42P04, or 23505 when both are at it). */
  async createDatabase(name: string): Promise<void> {
    if ((await this.#query('select 1 from pg_database where datname = $1', [name])).length > 0) return;
    await this.#query(`create database ${this.#client.escapeIdentifier(name)}`, [], ['42P04', '23505']);
  }

  /** Says goodbye, and does not wait for an answer: a suspended server gives none, and the socket would keep the process. */
  close(): void {
    void this.#client.end().catch(() => undefined);
    const late = setTimeout(() => this.#socket.destroy(), 1_000);
    void this.ended.then(() => clearTimeout(late));
  }

  async #query(
    text: string,
    values: readonly unknown[] = [],
    tolerated: readonly string[] = [],
  ): Promise<readonly Record<string, unknown>[]> {
    const result = await this.#tried(() => this.#client.query<Record<string, unknown>>(text, [...values]), tolerated);
    return result?.rows ?? [];
  }

  async #tried<T>(run: () => Promise<T>, tolerated: readonly string[] = []): Promise<T | undefined> {
    const { DatabaseError } = await loadPg();
    try {
      return await run();
    } catch (error) {
      const refused = error instanceof DatabaseError ? error : undefined;
      if (refused && tolerated.includes(refused.code ?? '')) return undefined;
      // 57P01 to 57P03: shutting down, crashed, starting up. 53300: too many connections.
      if (!refused || /^(57P|53300)/.test(refused.code ?? '')) throw new ConnectionCut((error as Error).message, { cause: error });
      const hint = refused.code?.startsWith('28') ? `; it does not take the password in ${this.files.password}` : '';
      throw new TaktlineError('EMBEDDED_POSTGRES', `The embedded Postgres refused: ${refused.message}${hint}`, { cause: error });
    }
  }
}

async function loadPg(): Promise<typeof pg> {
  try {
    return (await import('pg')).default;
  } catch (error) {
    throw new TaktlineError('EMBEDDED_POSTGRES', 'The package pg is not installed. Run `npm install pg`.', { cause: error });
  }
}
