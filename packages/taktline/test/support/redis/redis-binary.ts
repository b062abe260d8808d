/**
 * Where the tests have a Redis server from: the PATH, or, on Debian and Ubuntu as root, the package redis-tools. That one
 * brings the server's program without its service, so nothing is started by the system then or at its next boot: the
 * server is the program redis-check-rdb under another name, as the package redis-server links it.
 */
import { execFile, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

export interface RedisBinary {
  readonly file: string;
  /** It does what it is called. */
  readonly argv0: 'redis-server' | 'valkey-server';
}

const run = promisify(execFile);

/** To be typed by somebody whose machine has none. */
export const installCommand =
  process.platform === 'darwin'
    ? 'brew install redis'
    : 'sudo apt-get install redis-tools   (elsewhere: dnf install valkey, apk add redis)';

/** The oldest that will do. */
const oldestMajor = 7;

export function findRedis(path = process.env['PATH'] ?? ''): RedisBinary | undefined {
  const names = [
    ['redis-server', 'redis-server'],
    ['valkey-server', 'valkey-server'],
    ['redis-check-rdb', 'redis-server'],
  ] as const;
  for (const [name, argv0] of names) {
    for (const folder of path.split(delimiter)) {
      const binary = { file: join(folder, name), argv0 };
      if (existsSync(binary.file) && works(binary)) return binary;
    }
  }
  return undefined;
}

/** Undefined where that cannot be done, or fails. */
export async function installRedis(): Promise<RedisBinary | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const apt = (...args: string[]) =>
    run('apt-get', ['-q', '-y', '-o', 'DPkg::Lock::Timeout=120', ...args], {
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' },
    });
  const install = () => apt('install', '--no-install-recommends', 'redis-tools');
  try {
    await install().catch(async () => {
      await apt('update');
      await install();
    });
  } catch {
    return undefined;
  }
  return findRedis();
}

function works({ file, argv0 }: RedisBinary): boolean {
  const { stdout } = spawnSync(file, ['--version'], { argv0, encoding: 'utf8' });
  return Number(/ v=(\d+)\./.exec(stdout ?? '')?.[1]) >= oldestMajor;
}
