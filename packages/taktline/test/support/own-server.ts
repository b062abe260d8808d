/**
 * A Postgres of a test's own, which it may stop, start and configure. Made by the embedded launcher, whose data, account
 * and binaries it uses, and run as a child of the test, so that it is stopped at the moment that the test says.
 */
import { once } from 'node:events';
import { appendFile, chmod, chown, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { prepareBinaries, serverEnvironment } from '../../src/broker/embedded/server-binaries.ts';
import { copiesFolder, createData, findServerFiles, type ServerFiles, serverUser } from '../../src/broker/embedded/server-files.ts';
import { silentLogger } from '../../src/support/logger.ts';
import { OwnProcess } from './own-process.ts';

export interface OwnServerOptions {
  /** As for joinEmbedded. Default: the installed ones. */
  readonly binaries?: string | undefined;
  /** Written into its data folder: contents by name; what is given for `postgresql.conf` is added to it. */
  readonly files?: Readonly<Record<string, string>>;
}

export class OwnServer {
  readonly port: number;
  readonly files: ServerFiles;
  readonly #folder: string;
  readonly #bin: string;
  readonly #password: string;
  #process: OwnProcess | undefined;

  private constructor(folder: string, files: ServerFiles, bin: string, password: string, port: number) {
    this.#folder = folder;
    this.files = files;
    this.#bin = bin;
    this.#password = password;
    this.port = port;
  }

  /** Makes its data and starts it. */
  static async make(options: OwnServerOptions = {}): Promise<OwnServer> {
    const folder = await mkdtemp(join(tmpdir(), 'taktline-own-'));
    try {
      return await OwnServer.#makeIn(folder, options);
    } catch (error) {
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  static async #makeIn(folder: string, options: OwnServerOptions): Promise<OwnServer> {
    // Postgres runs as another user when the tests run as root; it has to get through.
    await chmod(folder, 0o711);
    const files = await findServerFiles(join(folder, 'data'), silentLogger);
    const bin = await prepareBinaries(options.binaries, files.account, () => copiesFolder(files));
    await createData(files, bin, 60_000);
    for (const [name, content] of Object.entries(options.files ?? {})) await put(files, name, content);
    const password = (await readFile(files.password, 'utf8')).trim();
    const server = new OwnServer(folder, files, bin, password, await freePort());
    await server.start().catch(async (error: unknown) => {
      await server.remove();
      throw error;
    });
    return server;
  }

  /** @param options.port another one leads to a proxy or a pooler before the server */
  url(options: { readonly host?: string; readonly port?: number; readonly query?: string } = {}): string {
    const { host = '127.0.0.1', port = this.port, query = '' } = options;
    return `postgres://${serverUser}:${this.#password}@${host}:${port}/postgres${query}`;
  }

  /** Resolves when it answers. */
  async start(): Promise<void> {
    const args = ['-D', this.files.data, '-p', String(this.port), '-c', 'listen_addresses=127.0.0.1', '-c', 'unix_socket_directories='];
    this.#process = new OwnProcess('the server', join(this.#bin, 'postgres'), args, {
      ...this.files.account,
      cwd: this.files.data,
      env: serverEnvironment(),
    });
    await this.#process.answers(async () => {
      const client = new pg.Client({ connectionString: this.url(), connectionTimeoutMillis: 5_000 });
      client.on('error', () => undefined);
      try {
        await client.connect();
        return true;
      } catch (error) {
        // Who is refused has been answered too; 57P03 is "starting up".
        const { code } = error as { code?: string };
        return code !== undefined && /^[0-9A-Z]{5}$/.test(code) && code !== '57P03';
      } finally {
        await client.end().catch(() => undefined);
      }
    });
  }

  /** Cuts all connections. Resolves when it is gone. */
  async stop(): Promise<void> {
    await this.#end('SIGINT');
  }

  /** As a crash would end it: no connection is told, and what was not written is lost. */
  async crash(): Promise<void> {
    await this.#end('SIGQUIT');
  }

  async remove(): Promise<void> {
    await this.#end('SIGQUIT');
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const ending = this.#process;
    this.#process = undefined;
    await ending?.end(signal);
  }
}

async function put(files: ServerFiles, name: string, content: string): Promise<void> {
  const path = join(files.data, name);
  if (name === 'postgresql.conf') return appendFile(path, content);
  await writeFile(path, content, { mode: 0o600 });
  if (files.account !== undefined) await chown(path, files.account.uid, files.account.gid);
}

export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
