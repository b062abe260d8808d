/** The file that says which process runs under a name. It is there from before the start until the process was stopped. */
import { randomBytes } from 'node:crypto';
import { link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { identityOf } from './process-identity.ts';

export interface PidRecord {
  readonly pid: number;
  readonly identity: string;
  /** ISO 8601. */
  readonly startedAt: string;
  /** It leads a group of processes of its own. */
  readonly group: boolean;
}

/** `dead`: it is gone, and nobody stopped it. */
export type ProcessState =
  | { readonly state: 'running'; readonly record: PidRecord }
  | { readonly state: 'dead'; readonly record: PidRecord }
  | { readonly state: 'stopped' };

export class PidFile {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  async state(): Promise<ProcessState> {
    const record = await this.#read();
    if (record === undefined) return { state: 'stopped' };
    return { state: (await identityOf(record.pid)) === record.identity ? 'running' : 'dead', record };
  }

  /** Takes the name for this process, until `write` gives it to another. @returns who has it already */
  async take(): Promise<PidRecord | undefined> {
    await mkdir(dirname(this.path), { recursive: true, mode: 0o700 });
    for (;;) {
      const found = await this.state();
      if (found.state === 'running') return found.record;
      if (found.state === 'dead') await rm(this.path, { force: true });
      if (await this.#make(await recordOf(process.pid, false))) return undefined;
    }
  }

  async write(pid: number, group: boolean): Promise<void> {
    const draft = this.#draft();
    await writeFile(draft, JSON.stringify(await recordOf(pid, group)), { mode: 0o600 });
    await rename(draft, this.path);
  }

  async remove(): Promise<void> {
    await rm(this.path, { force: true });
  }

  /** Complete or not there. @returns false when somebody else was first */
  async #make(record: PidRecord): Promise<boolean> {
    const draft = this.#draft();
    await writeFile(draft, JSON.stringify(record), { mode: 0o600, flag: 'wx' });
    try {
      await link(draft, this.path);
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
      throw error;
    } finally {
      await rm(draft, { force: true });
    }
  }

  #draft(): string {
    return `${this.path}.${process.pid}.${randomBytes(4).toString('hex')}`;
  }

  async #read(): Promise<PidRecord | undefined> {
    let text: string;
    try {
      text = await readFile(this.path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
    const record = parsed(text);
    if (record === undefined) throw new Error(`${this.path} does not say which process runs: remove it when none does`);
    return record;
  }
}

/** @throws when the process has gone already */
async function recordOf(pid: number, group: boolean): Promise<PidRecord> {
  const identity = await identityOf(pid);
  if (identity === undefined) throw new Error('it ended at once');
  return { pid, identity, startedAt: new Date().toISOString(), group };
}

function parsed(text: string): PidRecord | undefined {
  try {
    const { pid, identity, startedAt, group } = JSON.parse(text) as Partial<PidRecord>;
    if (!Number.isInteger(pid) || (pid as number) < 2 || typeof identity !== 'string' || typeof startedAt !== 'string') return undefined;
    return { pid: pid as number, identity, startedAt, group: group === true };
  } catch {
    return undefined;
  }
}
