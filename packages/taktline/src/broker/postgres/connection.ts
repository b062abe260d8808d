/**
 * The connections of a Postgres broker: a small pool of the `pg` client, with a time limit on every statement, and the
 * one place where the client's errors become ours. Statements are prepared by name, except behind a pooler such as
 * PgBouncer in transaction mode, where a name may meet another server connection.
 */
import type pg from 'pg';
import { TaktlineError } from '../../support/taktline-error.ts';

export interface ConnectionOptions {
  /** Asked before each new pool and after each failed connect: an embedded server may come back on another port. */
  readonly url: () => Promise<string>;
  /** Shown in pg_stat_activity. */
  readonly name: string;
  /** Connections at most. */
  readonly max: number;
  /** How long a statement may take before its connection is given up. Default 10 s. */
  readonly timeoutMs?: number;
}

/** A statement with a name of its own, under which a connection prepares it once. */
export interface Statement {
  readonly name: string;
  readonly text: string;
}

type Row = Record<string, unknown>;

/** So many are made as soon as they are wanted, and stay open. */
const keptOpen = 2;
/** How long a statement waits for one of them before another is made. */
const patienceMs = 20;

export async function loadPg(): Promise<typeof pg> {
  try {
    return (await import('pg')).default;
  } catch (cause) {
    throw new TaktlineError('BROKER_URL', 'a Postgres broker needs the package pg: npm install pg', { cause });
  }
}

/** Settings of every connection, whoever makes it. */
export function clientConfig(url: string, name: string, timeoutMs: number): pg.ClientConfig {
  return {
    connectionString: url,
    application_name: name.slice(0, 63),
    connectionTimeoutMillis: Math.min(timeoutMs, 5_000),
    query_timeout: timeoutMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
  };
}

export class Connection {
  readonly #options: ConnectionOptions;
  readonly #timeoutMs: number;
  #pool: pg.Pool | undefined;
  #opening: Promise<pg.Pool> | undefined;
  #closed = false;
  #pooled: boolean | undefined;
  /** Who waits for a connection to be free, in order. */
  readonly #waiting = new Set<() => void>();

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#timeoutMs = options.timeoutMs ?? 10_000;
  }

  /** True behind a pooler that hands server connections around: no LISTEN, no prepared names. Known after the first statement. */
  get pooled(): boolean {
    return this.#pooled === true;
  }

  /**
   * Runs one statement. A deadlock or a serialization failure rolled everything back, so it is tried again.
   *
   * @throws TaktlineError `BROKER_UNAVAILABLE` when there was no answer: the statement may have run or not
   */
  async query<Result extends Row>(statement: Statement, values: readonly unknown[] = []): Promise<Result[]> {
    for (let round = 1; ; round++) {
      const pool = await this.#open();
      let client: pg.PoolClient | undefined;
      try {
        client = await this.#acquire(pool);
        const config = this.#pooled === true ? { text: statement.text, values: [...values] } : { ...statement, values: [...values] };
        const { rows } = await client.query<Result>(config);
        this.#release(client);
        return rows;
      } catch (error) {
        // The pool itself would give up the connection after any error: to make it, and its plans, anew takes 50 ms.
        if (client !== undefined) this.#release(client, !isRefusal(error));
        const code = (error as { code?: unknown }).code;
        if ((code === '40P01' || code === '40001') && round < 4) continue;
        if (isConnectFailure(error)) this.#forget(pool);
        throw translate(error);
      }
    }
  }

  /** Runs `work` in one transaction on one connection. */
  async transaction<Result>(work: (client: pg.ClientBase) => Promise<Result>): Promise<Result> {
    const pool = await this.#open();
    const client = await this.#acquire(pool).catch((error: unknown) => {
      this.#forget(pool);
      throw translate(error);
    });
    let failure: unknown;
    try {
      await client.query('begin');
      const result = await work(client);
      await client.query('commit');
      return result;
    } catch (error) {
      failure = error;
      await client.query('rollback').catch(() => undefined);
      throw translate(error);
    } finally {
      this.#release(client, failure instanceof Error && isConnectFailure(failure));
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    const pool = await this.#opening?.catch(() => undefined);
    this.#forget(undefined);
    await pool?.end().catch(() => undefined);
  }

  #open(): Promise<pg.Pool> {
    if (this.#closed) throw new TaktlineError('BROKER_CLOSED', 'the app was closed');
    this.#opening ??= this.#connect().catch((error: unknown) => {
      this.#opening = undefined;
      throw translate(error);
    });
    return this.#opening;
  }

  async #connect(): Promise<pg.Pool> {
    const { Pool } = await loadPg();
    const url = await this.#options.url();
    const pool = new Pool({
      ...clientConfig(url, this.#options.name, this.#timeoutMs),
      max: this.#options.max,
      min: keptOpen,
      idleTimeoutMillis: 30_000,
    });
    // A connection that breaks while idle is replaced by the pool; without a listener the error would end the process.
    pool.on('error', () => undefined);
    pool.on('connect', (client) => {
      client.on('error', () => undefined);
    });
    this.#pool = pool;
    if (this.#pooled === undefined) this.#pooled = await detectPooler(pool);
    return pool;
  }

  /**
   * A connection that is free soon is better than a new one, whose first statements take 50 ms and more while their plans
   * are made.
   */
  async #acquire(pool: pg.Pool): Promise<pg.PoolClient> {
    if (pool.idleCount === 0 && pool.totalCount >= keptOpen && pool.totalCount < this.#options.max) {
      await new Promise<void>((resolve) => {
        const go = (): void => {
          clearTimeout(timer);
          this.#waiting.delete(go);
          resolve();
        };
        const timer = setTimeout(go, patienceMs);
        this.#waiting.add(go);
      });
    }
    return pool.connect();
  }

  #release(client: pg.PoolClient, broken = false): void {
    client.release(broken);
    const [next] = this.#waiting;
    next?.();
  }

  #forget(pool: pg.Pool | undefined): void {
    if (pool !== undefined && pool !== this.#pool) return;
    this.#pool = undefined;
    this.#opening = undefined;
    void pool?.end().catch(() => undefined);
  }
}

/** A pooler gives its clients process ids of its own making, which no server process has. */
async function detectPooler(pool: pg.Pool): Promise<boolean> {
  const client = await pool.connect();
  try {
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
    return rows[0]?.pid !== (client as unknown as { processID: number }).processID;
  } finally {
    client.release();
  }
}

const connectFailures = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ENOENT',
]);

function isConnectFailure(error: unknown): boolean {
  const { code, message } = error as { code?: unknown; message?: unknown };
  if (typeof code === 'string') return connectFailures.has(code) || code.startsWith('08') || /^57P0[123]$/.test(code);
  return typeof message === 'string' && /terminat|timeout|closed|not queryable|ended/i.test(message);
}

/** The server has refused one statement; the connection is as good as before. */
function isRefusal(error: unknown): boolean {
  return (error as { severity?: unknown }).severity === 'ERROR';
}

/** What OpenSSL, Node.js and the client call a certificate that cannot be trusted or is another server's, and a server without any. */
const tlsFailure = /^(ERR_TLS_|CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|HOSTNAME_MISMATCH)|server does not support SSL/;

/** Our error for one of the client's. The client's message never holds a password or a parameter. */
export function translate(error: unknown): unknown {
  if (error instanceof TaktlineError) return error;
  const { code, message } = error as { code?: unknown; message?: string };
  const said =
    (message === undefined || message === '') && error instanceof AggregateError ? 'connection refused' : (message ?? String(error));
  const options = { cause: error };
  if (code === '28P01' || code === '28000') return new TaktlineError('BROKER_URL', `Postgres refused the login: ${said}`, options);
  if (code === '3D000') return new TaktlineError('BROKER_URL', `${said}: create it, or name another one in the URL`, options);
  if (code === '42501' || code === '3F000' || code === '42P01' || code === '42883') {
    return new TaktlineError('BROKER_SCHEMA', `${said}: run "taktline doctor" to see what is missing`, options);
  }
  if (tlsFailure.test(`${String(code)} ${said}`)) return new TaktlineError('BROKER_URL', `TLS with Postgres failed: ${said}`, options);
  if (code === 'ENOENT' && (error as { syscall?: unknown }).syscall === 'open')
    return new TaktlineError('BROKER_URL', `a file that the URL names cannot be read: ${said}`, options);
  // Class 22 is bad data, class 23 a broken constraint, class 54 too much of it: the same data would fail again.
  if (typeof code === 'string' && /^(2[23]|54)/.test(code))
    return new TaktlineError('INVALID_INPUT', `Postgres refused the data: ${said}`, options);
  return new TaktlineError('BROKER_UNAVAILABLE', `Postgres did not do it: ${said}`, options);
}
