/**
 * The process of an embedded server: is it running, start it, stop it.
 * There is no lock file of ours: Postgres keeps postmaster.pid, and lets only one postmaster into a data folder.
 */
import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, constants, fchownSync, fstatSync, openSync, readSync } from 'node:fs';
import { link, readFile, readlink, rename, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { TaktlineError } from '../../support/taktline-error.ts';
import { there } from './build-aside.ts';
import { cannotRun, lastLines, runBinary, serverEnvironment } from './server-binaries.ts';
import type { ServerFiles } from './server-files.ts';

const execute = promisify(execFile);

/** A living postmaster, from its postmaster.pid: pid, data folder, start time, port, socket folder, address, shared memory, status. */
export interface RunningServer {
  readonly pid: number;
  /** `NaN` while the file is being written. */
  readonly port: number;
  readonly stopping: boolean;
}

/** The server that runs on these files now, in whatever state; `undefined` when none does. */
export async function runningServer(files: ServerFiles): Promise<RunningServer | undefined> {
  const lines = (await lockFile(files))?.split('\n') ?? [];
  const pid = Number(lines[0]);
  if (!(pid > 0) || !(await isPostmaster(pid, files.data))) return undefined;
  return { pid, port: Number.parseInt(lines[3] ?? '', 10), stopping: lines[7]?.startsWith('stopping') ?? false };
}

async function lockFile(files: ServerFiles): Promise<string | undefined> {
  return readFile(join(files.data, 'postmaster.pid'), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
    throw error;
  });
}

/**
 * Whether a pid is a postmaster of this data folder. That it lives says nothing: after a power loss or in a restarted
 * container the pid belongs to somebody else, and a zombie that nobody reaps lives on. Its arguments tell; /proc hides
 * the working folder of another account's process from root in a container, but not these. Where they cannot be read, a
 * living process gets the benefit of the doubt: to take the lock file from a postmaster that runs would end it.
 */
async function isPostmaster(pid: number, data: string): Promise<boolean> {
  try {
    if (process.platform === 'linux') {
      const [program = '', ...args] = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0');
      if (!/(^|\/)(postgres|postmaster)$/.test(program)) return false;
      return args[args.indexOf('-D') + 1] === data || (await readlink(`/proc/${pid}/cwd`).catch(() => '')) === data;
    }
    if (process.platform === 'win32') {
      const { stdout } = await execute('tasklist', ['/fi', `PID eq ${pid}`, '/fo', 'csv', '/nh'], { windowsHide: true });
      return stdout.includes('postgres.exe');
    }
    const { stdout } = await execute('ps', ['-ww', '-o', 'command=', '-p', String(pid)]);
    return stdout.includes(`postgres -D ${data} `);
  } catch {
    return lives(pid);
  }
}

function lives(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

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
  child.once('exit', (code) => {
    ended(() => (windows && code === 0 ? undefined : explain(files.log, log, from, code)));
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

/**
 * Clears a postmaster.pid that Postgres would not clear by itself, where it would refuse to start for ever: one whose pid
 * is now an unrelated process of the same user, and one that a power loss left empty or filled with zeros. A file whose
 * process is gone is left to Postgres, which also looks whether children still hold the shared memory.
 */
async function removeStaleLock(files: ServerFiles): Promise<void> {
  const file = join(files.data, 'postmaster.pid');
  const text = await lockFile(files);
  if (text === undefined || (await runningServer(files))) return;
  const pid = Number(text.split('\n')[0]);
  if (pid > 0 ? !lives(pid) : Math.abs(Date.now() - ((await there(file))?.mtimeMs ?? 0)) < 1_000) return;
  // Taken aside first and looked at again: a process faster than this one may have replaced it with a good one.
  const aside = `${file}.stale-${randomBytes(6).toString('hex')}`;
  try {
    await rename(file, aside);
    if ((await readFile(aside, 'utf8')) !== text) await link(aside, file);
  } catch (error) {
    if (!['ENOENT', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  } finally {
    await rm(aside, { force: true });
  }
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
const passing = /lock file "postmaster\.pid"|bogus data in lock file|pre-existing shared memory block|could not create any TCP\/IP sockets/;

/** Reads through the descriptor: another process may have renamed the log since. */
function explain(name: string, log: number, from: number, code: number | null): Launch['end'] {
  const bytes = Buffer.alloc(Math.min(Math.max(fstatSync(log).size - from, 0), 65_536));
  readSync(log, bytes, 0, bytes.length, from);
  const said = bytes.toString();
  const portTaken = said.includes('could not create any TCP/IP sockets');
  // No code is a signal, and 0 a stop as it should be: somebody ended a server that was in order.
  if (code === null || code === 0 || passing.test(said) || said.includes('immediate shutdown request')) return { portTaken };
  const message = `The embedded Postgres did not start (exit code ${code}). The end of ${name}:\n${lastLines(said)}`;
  return { portTaken, fatal: new TaktlineError('EMBEDDED_POSTGRES', message) };
}

/**
 * Stops a server: open connections are cut, transactions roll back. After `patienceMs` it is ended at once, which costs
 * the next start a recovery and loses nothing.
 *
 * @returns whether it is gone
 */
export async function stopServer(
  files: ServerFiles,
  server: RunningServer,
  bin: () => Promise<string>,
  patienceMs = 10_000,
): Promise<boolean> {
  if (process.platform === 'win32') {
    const args = ['stop', '-D', files.data, '-m', 'fast', '-w', '-t', String(Math.ceil(patienceMs / 1_000))];
    await runBinary(await bin(), 'pg_ctl.exe', args, { account: undefined, cwd: files.data, timeoutMs: patienceMs + 5_000 });
    return true;
  }
  return (await end(files, server, 'SIGINT', patienceMs)) || end(files, server, 'SIGQUIT', 6_000);
}

async function end(files: ServerFiles, server: RunningServer, signal: NodeJS.Signals, patienceMs: number): Promise<boolean> {
  const until = performance.now() + patienceMs;
  for (let signalled = false; await isPostmaster(server.pid, files.data); signalled = true) {
    if (!signalled && !tell(server.pid, signal)) return true;
    if (performance.now() > until) return false;
    await sleep(20);
  }
  return true;
}

/** False when the process is gone. */
function tell(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}
