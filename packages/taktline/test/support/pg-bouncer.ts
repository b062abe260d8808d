/** PgBouncer in transaction mode before a server of the test's own. */
import { execFileSync } from 'node:child_process';
import { chmod, chown, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { OwnProcess } from './own-process.ts';
import { freePort, type OwnServer } from './own-server.ts';

/** Its version, or undefined where it is not installed. */
export function pgBouncerVersion(): string | undefined {
  try {
    return execFileSync('pgbouncer', ['--version'], { encoding: 'utf8' }).split('\n')[0];
  } catch {
    return undefined;
  }
}

export class PgBouncer {
  readonly url: string;
  readonly #folder: string;
  readonly #server: OwnServer;
  #process: OwnProcess | undefined;

  private constructor(folder: string, server: OwnServer, url: string) {
    this.#folder = folder;
    this.#server = server;
    this.url = url;
  }

  /** @param serverConnections fewer than the clients have, so that they share them */
  static async before(server: OwnServer, serverConnections: number): Promise<PgBouncer> {
    const folder = await mkdtemp(join(tmpdir(), 'taktline-bouncer-'));
    const port = await freePort();
    const { username, password } = new URL(server.url());
    const files = {
      'users.txt': `"${username}" "${password}"\n`,
      'pgbouncer.ini': [
        '[databases]',
        `* = host=127.0.0.1 port=${server.port}`,
        '[pgbouncer]',
        'listen_addr = 127.0.0.1',
        `listen_port = ${port}`,
        'unix_socket_dir =',
        'auth_type = scram-sha-256',
        `auth_file = ${join(folder, 'users.txt')}`,
        'pool_mode = transaction',
        `default_pool_size = ${serverConnections}`,
        'max_client_conn = 200',
        'server_login_retry = 1',
      ].join('\n'),
    };
    const { account } = server.files;
    await chmod(folder, 0o711);
    for (const [name, content] of Object.entries(files)) {
      await writeFile(join(folder, name), content, { mode: 0o600 });
      if (account !== undefined) await chown(join(folder, name), account.uid, account.gid);
    }
    const bouncer = new PgBouncer(folder, server, server.url({ port }));
    await bouncer.start().catch(async (error: unknown) => {
      await bouncer.remove();
      throw error;
    });
    return bouncer;
  }

  /** Resolves when it answers. */
  async start(): Promise<void> {
    // It refuses to run as root, as Postgres does.
    this.#process = new OwnProcess('pgbouncer', 'pgbouncer', ['-q', join(this.#folder, 'pgbouncer.ini')], {
      ...this.#server.files.account,
    });
    await this.#process.answers(async () => {
      const client = new pg.Client({ connectionString: this.url, connectionTimeoutMillis: 5_000 });
      client.on('error', () => undefined);
      return client
        .connect()
        .then(() => true)
        .catch(() => false)
        .finally(() => client.end().catch(() => undefined));
    });
  }

  /** Cuts all connections. */
  async stop(): Promise<void> {
    const ending = this.#process;
    this.#process = undefined;
    await ending?.end('SIGTERM');
  }

  async remove(): Promise<void> {
    await this.stop();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
