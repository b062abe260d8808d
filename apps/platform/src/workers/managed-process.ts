/** One process under a name: started in the background or in the foreground, looked at, stopped. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, readFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { PidFile, type PidRecord, type ProcessState } from './pid-file.ts';
import { identityOf } from './process-identity.ts';
import type { ProcessName } from './worker-types.ts';

export interface ManagedProcessOptions {
  readonly name: ProcessName;
  /** Of Node.js. */
  readonly args: readonly string[];
  readonly pidFile: string;
  readonly logFile: string;
  /** A line of its log that says that it works. */
  readonly works: RegExp;
}

/** How it came to run, or why it does not. */
export type Started =
  | { readonly result: 'started'; readonly pid: number }
  | { readonly result: 'running-already'; readonly pid: number }
  | { readonly result: 'failed'; readonly log: string };

export type Stopped = 'stopped' | 'killed' | 'was-dead' | 'was-not-running';

const startTimeoutMs = 60_000;
const lookMs = 50;
const shownOfLog = 2_000;

export class ManagedProcess {
  readonly #options: ManagedProcessOptions;
  readonly #file: PidFile;

  constructor(options: ManagedProcessOptions) {
    this.#options = options;
    this.#file = new PidFile(options.pidFile);
  }

  get name(): ProcessName {
    return this.#options.name;
  }

  get logFile(): string {
    return this.#options.logFile;
  }

  state(): Promise<ProcessState> {
    return this.#file.state();
  }

  /** In the background; waits until it works, or has ended. */
  async start(): Promise<Started> {
    const other = await this.#file.take();
    if (other !== undefined) return { result: 'running-already', pid: other.pid };
    try {
      return await this.#startDetached();
    } catch (error) {
      await this.#file.remove();
      throw error;
    }
  }

  async #startDetached(): Promise<Started> {
    const { args, logFile, works } = this.#options;
    await mkdir(dirname(logFile), { recursive: true, mode: 0o700 });
    const log = await open(logFile, 'a', 0o600);
    let child: ChildProcess;
    let from: number;
    try {
      from = (await log.stat()).size;
      child = spawn(process.execPath, args, { detached: true, stdio: ['ignore', log.fd, log.fd] });
      await once(child, 'spawn');
    } finally {
      await log.close();
    }
    const pid = child.pid as number;
    const written = () => readFile(logFile).then((bytes) => bytes.subarray(Math.min(from, bytes.length)).toString());
    const gone = () => child.exitCode !== null || child.signalCode !== null;
    await this.#file.write(pid, true).catch((error: unknown) => {
      if (!gone()) process.kill(-pid, 'SIGKILL');
      throw error;
    });
    child.unref();
    const until = performance.now() + startTimeoutMs;
    while (!works.test(await written())) {
      if (gone() || performance.now() > until) {
        if (!gone()) process.kill(-pid, 'SIGKILL');
        await this.#file.remove();
        return { result: 'failed', log: (await written()).slice(-shownOfLog) };
      }
      await sleep(lookMs);
    }
    return { result: 'started', pid };
  }

  /** In the foreground, until it ends. Signals reach it. @returns its exit code; undefined when it runs already */
  async run(): Promise<number | undefined> {
    if ((await this.#file.take()) !== undefined) return undefined;
    try {
      const child = spawn(process.execPath, this.#options.args, { stdio: 'inherit' });
      const forward = (signal: NodeJS.Signals) => void child.kill(signal);
      // Ctrl-C reaches the whole group by itself.
      const ignore = () => undefined;
      process.on('SIGTERM', forward);
      process.on('SIGINT', ignore);
      const ended = once(child, 'exit') as Promise<[code: number | null, signal: NodeJS.Signals | null]>;
      await once(child, 'spawn');
      await this.#file.write(child.pid as number, false).catch(() => undefined);
      const [code, signal] = await ended;
      process.off('SIGTERM', forward);
      process.off('SIGINT', ignore);
      return code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
    } finally {
      await this.#file.remove();
    }
  }

  /** Lets it drain; kills it when it has not ended by then. From the first moment on it is not missed by a monitor. */
  async stop(graceMs: number): Promise<Stopped> {
    const found = await this.#file.state();
    if (found.state === 'stopped') return 'was-not-running';
    await this.#file.remove();
    if (found.state === 'dead') return 'was-dead';
    const { record } = found;
    signal(record, 'SIGTERM');
    if (await gone(record, graceMs)) return 'stopped';
    signal(record, 'SIGKILL');
    await gone(record, graceMs);
    return 'killed';
  }
}

/** To the process; one that is not to be asked any more takes those with it that it has started. */
function signal({ pid, group }: PidRecord, name: NodeJS.Signals): void {
  try {
    process.kill(group && name === 'SIGKILL' ? -pid : pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

async function gone(record: PidRecord, withinMs: number): Promise<boolean> {
  const until = performance.now() + withinMs;
  while (await lives(record)) {
    if (performance.now() > until) return false;
    await sleep(lookMs);
  }
  return true;
}

async function lives({ pid, identity }: PidRecord): Promise<boolean> {
  return (await identityOf(pid)) === identity;
}
