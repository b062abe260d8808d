/** Starts the process of an embedded server, and says why when it does not stay. */
import { spawn } from 'node:child_process';
import { closeSync, constants, fchownSync, fstatSync, openSync, readSync } from 'node:fs';
import { readFile, rename, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { TaktlineError } from '../../support/taktline-error.ts';
import { removeStaleLock } from './running-server.ts';
import { cannotRun, lastLines, runBinary, serverEnvironment } from './server-binaries.ts';
import type { ServerFiles } from './server-files.ts';

/** A start that is under way, or over. */
export interface Launch {
  /** Set when the process that was started has ended. A running server's never is. */
  end: { readonly portTaken: boolean; readonly fatal?: TaktlineError } | undefined;
}

/**
 * Starts a server on existing data and returns at once. When several processes do so together, Postgres lets one in.
 *
 * @param keepPort whether to take the port of the last start, when it is free: it survives restarts, so old URLs stay good
 * @throws TaktlineError `EMBEDDED_POSTGRES` when the data are of another major version, or the binary cannot run
 */
export async function startServer(files: ServerFiles, bin: string, keepPort: boolean): Promise<Launch> {
  await checkVersion(files, bin);
  await removeStaleLock(files);
  const port = await choosePort(files, keepPort);
  await rotateLog(files.log);
  const log = openLog(files);
  const from = fstatSync(log).size;
  const launch: Launch = { end: undefined };
  const ended = (end: () => Launch['end']) => {
    launch.end = end();
    closeSync(log);
  };
  const args = ['-D', files.data, '-p', String(port), '-c', 'listen_addresses=127.0.0.1', '-c', 'unix_socket_directories='];
  const windows = process.platform === 'win32';
  // pg_ctl, because on Windows postgres itself refuses an administrator, and pg_ctl gives up those rights.
  const file = join(bin, windows ? 'pg_ctl.exe' : 'postgres');
  const all = windows ? ['start', '-W', '-D', files.data, '-o', args.slice(2).join(' ')] : args;
  // Detached, so that Ctrl-C in the terminal of the process that happened to start it does not reach it.
  const how = { ...files.account, cwd: files.data, env: serverEnvironment(), detached: true, windowsHide: true };
  const child = spawn(file, all, { ...how, stdio: ['ignore', log, log] });
  child.once('error', (error) => {
    ended(() => ({ portTaken: false, fatal: new TaktlineError('EMBEDDED_POSTGRES', cannotRun(file, error), { cause: error }) }));
  });
  child.once('exit', (code, signal) => {
    ended(() => (windows && code === 0 ? undefined : explain(files.log, log, from, code ?? signal)));
  });
  child.unref();
  return launch;
}

async function checkVersion(files: ServerFiles, bin: string): Promise<void> {
  const data = (await readFile(join(files.data, 'PG_VERSION'), 'utf8')).trim();
  const printed = await runBinary(bin, 'postgres', ['-V'], { account: files.account, cwd: files.data, timeoutMs: 10_000 });
  const binary = /\d+/.exec(printed)?.[0];
  if (data === binary) return;
  throw new TaktlineError(
    'EMBEDDED_POSTGRES',
    `The data in ${files.data} are of Postgres ${data}, and the installed binaries are Postgres ${binary}. Go on with a release ${data}.x of embedded-postgres, or move them with pg_dump and pg_restore. They were not touched.`,
  );
}

/** Postgres itself keeps the arguments of its last start, in postmaster.opts. */
async function choosePort(files: ServerFiles, keepPort: boolean): Promise<number> {
  const last = keepPort ? await readFile(join(files.data, 'postmaster.opts'), 'utf8').catch(() => '') : '';
  const port = Number(/"-p" "(\d+)"/.exec(last)?.[1] ?? 0);
  return (await listenOnce(port)) ?? (await listenOnce(0)) ?? 0;
}

async function listenOnce(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.on('error', () => resolve(undefined));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' ? address?.port : undefined));
    });
  });
}

async function rotateLog(log: string): Promise<void> {
  const size = (await stat(log).catch(() => undefined))?.size ?? 0;
  if (size > 10 * 1024 * 1024) await rename(log, `${log}.1`).catch(() => undefined);
}

/** Opened here, and as root given to the account when new; never through a link that somebody put there for root to follow. */
function openLog(files: ServerFiles): number {
  const flags = constants.O_RDWR | constants.O_APPEND | (constants.O_NOFOLLOW ?? 0);
  try {
    const log = openSync(files.log, flags | constants.O_CREAT | constants.O_EXCL, 0o600);
    if (files.account) fchownSync(log, files.account.uid, files.account.gid);
    return log;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return openSync(files.log, flags);
  }
}

/** What passes: another postmaster was first, children of a killed one still hold its memory, the port was just taken. */
const passing =
  /lock file "postmaster\.pid"|pre-existing shared memory block|could not create any TCP\/IP sockets|immediate shutdown request/;

/** A stop as it should be, or by somebody who ends a server that is in order. */
const stopped = new Set<unknown>([0, 'SIGINT', 'SIGTERM', 'SIGQUIT', 'SIGKILL']);

/** Reads through the descriptor: another process may have renamed the log since. */
function explain(name: string, log: number, from: number, exit: number | NodeJS.Signals | null): Launch['end'] {
  const bytes = Buffer.alloc(Math.min(Math.max(fstatSync(log).size - from, 0), 65_536));
  readSync(log, bytes, 0, bytes.length, from);
  const said = bytes.toString();
  const portTaken = said.includes('could not create any TCP/IP sockets');
  if (stopped.has(exit) || passing.test(said)) return { portTaken };
  const message = `The embedded Postgres did not start (it ended with ${exit}). The end of ${name}:\n${lastLines(said)}`;
  return { portTaken, fatal: new TaktlineError('EMBEDDED_POSTGRES', message) };
}
