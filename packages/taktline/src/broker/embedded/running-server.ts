/**
 * A server that runs, or seems to: recognize it, stop it, and clear the lock file of one that only seems to.
 * There is no lock file of ours: Postgres keeps postmaster.pid, and lets only one postmaster into a data folder.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { link, readFile, readlink, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { there } from './build-aside.ts';
import { runBinary } from './server-binaries.ts';
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

/**
 * Clears a postmaster.pid that Postgres would not clear by itself, where it would refuse to start for ever: one whose pid
 * is now an unrelated process of the same user, and one that a power loss left empty or filled with zeros. A file whose
 * process is gone is left to Postgres, which also looks whether children still hold the shared memory.
 */
export async function removeStaleLock(files: ServerFiles): Promise<void> {
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
