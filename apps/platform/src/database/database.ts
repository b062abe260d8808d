/**
 * The platform's own database: Kysely over a pool of pg connections, in a schema of its own, so that the broker and
 * other programs can share the server. TLS is asked for in the URL (`?sslmode=require`, `sslrootcert=...`).
 */
import { Kysely, PostgresDialect, sql } from 'kysely';
import pg from 'pg';
import type { PlatformTables } from './tables.ts';

/** Every table of the platform stands in this schema. */
export const platformSchema = 'platform';

export type PlatformDatabase = Kysely<PlatformTables>;

export interface DatabaseOptions {
  /**
   * Such as `postgres://user:password@host:5432/database?sslmode=require`. Asked for each new connection: an embedded
   * server that was started again may have another port.
   */
  readonly url: () => string;
  /** Connections at most. Default 10. */
  readonly connections?: number;
  /** Told when a connection that nobody uses breaks; the pool replaces it by itself. */
  readonly onIdleError?: (error: Error) => void;
}

/** Amounts and numbers are safe integers here, and a day is a day wherever this process runs. */
const types = new pg.TypeOverrides();
types.setTypeParser(pg.types.builtins.INT8, safeInteger);
types.setTypeParser(pg.types.builtins.DATE, (text) => text);

function safeInteger(text: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number)) throw new RangeError('the database holds a number beyond 2^53');
  return number;
}

/** Opens the pool; the first query connects. `destroy()` closes it. */
export function openDatabase({ url, connections = 10, onIdleError = () => {} }: DatabaseOptions): PlatformDatabase {
  const pool = new pg.Pool({
    Client: class extends pg.Client {
      constructor(config?: pg.ClientConfig) {
        super({ ...config, connectionString: url(), types });
      }
    },
    max: connections,
    application_name: 'taktline-platform',
    connectionTimeoutMillis: 10_000,
    query_timeout: 30_000,
    keepAlive: true,
  });
  // Without listeners, a server that restarts would end this process. What was under way fails by itself.
  pool.on('error', onIdleError);
  pool.on('connect', (client) => client.on('error', () => undefined));
  return new Kysely<PlatformTables>({ dialect: new PostgresDialect({ pool }) }).withSchema(platformSchema);
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

/** Whether an error says that the database could not be reached, or was lost meanwhile; not that it has refused something. */
export function isUnreachable(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code } = error as { code?: unknown };
  // 08: connection exceptions. 57P01 to 57P03: it shuts down, has crashed, starts up. 53300: it takes no more connections.
  if (typeof code === 'string') return connectFailures.has(code) || code.startsWith('08') || /^(57P0[123]|53300)$/.test(code);
  // What the client says by itself has no code.
  return /^(Connection terminated|Client has encountered a connection error|timeout (expired|exceeded when trying to connect))/.test(
    error.message,
  );
}

/** One round trip. */
export async function pingDatabase(database: PlatformDatabase): Promise<void> {
  await sql`select 1`.execute(database);
}
