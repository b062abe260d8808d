/** What `doctor` finds of the application's own database: where DATABASE_URL names one, jobs mostly have to do with it. */
import type { Finding } from '../broker/inspector.ts';
import { clientConfig, loadPg } from '../broker/postgres/connection.ts';

const timeoutMs = 5_000;

/** @returns undefined when no DATABASE_URL is set; it is not necessarily the broker's */
export async function examineDatabase(env: Readonly<Record<string, string | undefined>>): Promise<Finding | undefined> {
  const url = env['DATABASE_URL'];
  if (url === undefined || url === '') return undefined;
  const check = 'database';
  if (!/^postgres(ql)?:/i.test(url) || !URL.canParse(url)) {
    return { check, ok: false, detail: 'DATABASE_URL cannot be read', advice: 'expected postgres://user:password@host:5432/database' };
  }
  const { host, pathname } = new URL(url);
  const where = `DATABASE_URL, ${host}${pathname}`;
  try {
    const { Client } = await loadPg();
    const client = new Client(clientConfig(url, 'taktline doctor', timeoutMs));
    // A connection that breaks after its answer is no finding.
    client.on('error', () => undefined);
    await client.connect();
    try {
      const started = performance.now();
      const { rows } = await client.query<{ version: string; replica: boolean }>(
        `select current_setting('server_version') as version, pg_is_in_recovery() as replica`,
      );
      const [row] = rows;
      const version = `Postgres ${row?.version.split(' ')[0] ?? ''} answered in ${Math.ceil(performance.now() - started)} ms`;
      if (row?.replica !== true) return { check, ok: true, detail: `${where}: ${version}` };
      return { check, ok: false, detail: `${where}: ${version}; it is a read-only replica`, advice: 'name the primary in DATABASE_URL' };
    } finally {
      await client.end();
    }
  } catch (error) {
    const said = error instanceof AggregateError ? error.errors.map(String).join(', ') : (error as Error).message;
    return { check, ok: false, detail: `${where}: ${said}`, advice: 'start the database, or correct DATABASE_URL' };
  }
}
