/**
 * A Redis of a test's own, which it may stop, kill, freeze and configure, or a Sentinel. It listens on loopback for the
 * test and on a socket in its own folder for this class, so whoever answers there is the server that was started here.
 * A guard, a small shell that waits for the end of this process, kills it even when the tests are killed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from 'redis';
import { OwnProcess } from '../own-process.ts';
import { freePort } from '../own-server.ts';
import type { RedisBinary } from './redis-binary.ts';

export interface OwnRedisOptions {
  /** Lines for redis.conf, which come after the usual ones. */
  readonly config?: readonly string[];
  /** With them it speaks TLS only. PEM. */
  readonly tls?: { readonly certificate: string; readonly key: string; readonly ca: string; readonly clientsToo?: boolean };
  readonly sentinel?: boolean;
  /** Default: a free one. */
  readonly port?: number;
}

const admin = { username: 'test-admin', password: 'of-this-test' };

export class OwnRedis {
  readonly folder: string;
  readonly port: number;
  readonly #binary: RedisBinary;
  readonly #options: OwnRedisOptions;
  #process: OwnProcess | undefined;
  readonly #guard: ChildProcess;

  private constructor(folder: string, port: number, binary: RedisBinary, options: OwnRedisOptions) {
    this.folder = folder;
    this.port = port;
    this.#binary = binary;
    this.#options = options;
    // In a group of its own, since Ctrl-C would end it before us.
    this.#guard = spawn('sh', ['-c', 'cat; kill -9 $(cat "$1/server.pid"); rm -rf "$1"', 'sh', folder], {
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    this.#guard.unref();
  }

  /** Resolves when it answers. */
  static async make(options: OwnRedisOptions = {}): Promise<OwnRedis> {
    for (let round = 1; ; round++) {
      const folder = await mkdtemp(join(tmpdir(), 'taktline-redis-'));
      const server = new OwnRedis(folder, options.port ?? (await freePort()), testRedisBinary(), options);
      try {
        await server.#configure();
        await server.start();
        return server;
      } catch (error) {
        await server.remove();
        // Somebody else took the port meanwhile.
        if (round === 5 || options.port !== undefined || !/Address already in use/.test(String(error))) throw error;
      }
    }
  }

  url({ scheme = 'redis', login = '', host = '127.0.0.1', port = this.port, rest = '' } = {}): string {
    return `${scheme}://${login === '' ? '' : `${login}@`}${host}:${port}${rest}`;
  }

  /** Starts it again on what its folder holds. Resolves when it answers. */
  async start(): Promise<void> {
    const config = join(this.folder, 'redis.conf');
    const args = this.#options.sentinel === true ? [config, '--sentinel'] : [config];
    const server = new OwnProcess('the Redis', this.#binary.file, args, { argv0: this.#binary.argv0, cwd: this.folder });
    this.#process = server;
    writeFileSync(join(this.folder, 'server.pid'), String(server.pid));
    server.onceGone(() => rmSync(join(this.folder, 'server.pid'), { force: true }));
    await server.answers(
      () =>
        this.ask('PING')
          .then((reply) => reply === 'PONG')
          .catch(() => false),
      () => this.log(),
    );
  }

  /** Runs one command as a user who may do everything. */
  async ask(...command: readonly string[]): Promise<unknown> {
    const client = this.#admin();
    try {
      await client.connect();
      return await client.sendCommand([...command]);
    } finally {
      client.destroy();
    }
  }

  /** What others than `ask` send it meanwhile, a name of a command each; what scripts do is not among it. */
  async commandsDuring(wait: () => Promise<unknown>): Promise<readonly string[]> {
    const client = this.#admin();
    const lines: string[] = [];
    try {
      await client.connect();
      await client.monitor((line) => void lines.push(line));
      await wait();
    } finally {
      client.destroy();
    }
    // Such as: 1795424916.854 [0 127.0.0.1:50000] "EVALSHA" "..."; instead of the address `lua`, or `unix:` and the socket.
    return lines.flatMap((line) => /^\S+ \[\d+ (?!lua|unix:)\S+\] "([^"]*)"/.exec(line)?.[1]?.toUpperCase() ?? []);
  }

  async log(): Promise<string> {
    return readFile(join(this.folder, 'redis.log'), 'utf8').catch(() => '');
  }

  /** As its service would be stopped. Resolves when it is gone. */
  stop(): Promise<void> {
    return this.#end('SIGTERM');
  }

  crash(): Promise<void> {
    return this.#end('SIGKILL');
  }

  /** It keeps its connections and takes new ones, and answers nothing. */
  freeze(): void {
    this.#process?.kill('SIGSTOP');
  }

  thaw(): void {
    this.#process?.kill('SIGCONT');
  }

  async remove(): Promise<void> {
    await this.#end('SIGKILL');
    this.#guard.kill('SIGKILL');
    await rm(this.folder, { recursive: true, force: true });
  }

  #admin() {
    const client = createClient({
      ...admin,
      socket: { path: join(this.folder, 'redis.sock'), reconnectStrategy: false, connectTimeout: 2_000 },
      disableClientInfo: true,
      maintNotifications: 'disabled',
    });
    client.on('error', () => undefined);
    return client;
  }

  async #configure(): Promise<void> {
    const { tls, config = [] } = this.#options;
    const { folder, port } = this;
    const lines = [
      'bind 127.0.0.1',
      `unixsocket ${folder}/redis.sock`,
      'unixsocketperm 700',
      `dir ${folder}`,
      `logfile ${folder}/redis.log`,
      'daemonize no',
      `user ${admin.username} on >${admin.password} ~* &* +@all`,
      ...(this.#options.sentinel === true ? [] : ['save ""']),
    ];
    if (tls === undefined) lines.push(`port ${port}`);
    else {
      const files = { 'server.crt': tls.certificate, 'server.key': tls.key, 'ca.crt': tls.ca };
      for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content, { mode: 0o600 });
      lines.push('port 0', `tls-port ${port}`, `tls-cert-file ${folder}/server.crt`, `tls-key-file ${folder}/server.key`);
      lines.push(`tls-ca-cert-file ${folder}/ca.crt`, `tls-auth-clients ${tls.clientsToo === true ? 'yes' : 'no'}`);
    }
    await writeFile(join(folder, 'redis.conf'), [...lines, ...config, ''].join('\n'), { mode: 0o600 });
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const ending = this.#process;
    this.#process = undefined;
    await ending?.end(signal);
  }
}

/** @throws Error where there is none; see needs-redis.ts */
function testRedisBinary(): RedisBinary {
  const found = process.env['TAKTLINE_TEST_REDIS_BINARY'];
  if (found === undefined) throw new Error('there is no Redis server: run the tests with vitest from the repository root');
  return JSON.parse(found) as RedisBinary;
}
