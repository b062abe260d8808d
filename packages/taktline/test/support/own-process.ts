/** A server process of a test's own, which is waited for until it answers, and until it is gone. */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { eventually } from './eventually.ts';

export class OwnProcess {
  readonly #name: string;
  readonly #child: ChildProcess;
  /** The last of what it has written to stderr. */
  #said = '';

  /** @param name for errors, such as `pgbouncer` */
  constructor(name: string, file: string, args: readonly string[], options: Omit<SpawnOptions, 'stdio'>) {
    this.#name = name;
    this.#child = spawn(file, args, { ...options, stdio: ['ignore', 'ignore', 'pipe'] });
    this.#child.stderr?.on('data', (chunk: Buffer) => {
      this.#said = (this.#said + chunk.toString()).slice(-5_000);
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /**
   * Resolves when it answers.
   *
   * @param asked whether it does
   * @param log what it has said elsewhere than on stderr
   */
  async answers(asked: () => Promise<boolean>, log: () => Promise<string> = async () => ''): Promise<void> {
    await eventually(async () => {
      if (this.#child.exitCode !== null) throw new Error(`${this.#name} ended:\n${this.#said}${(await log()).slice(-5_000)}`);
      return asked();
    }, `${this.#name} answers`);
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Calls back when it is gone. */
  onceGone(then: () => void): void {
    this.#child.once('exit', then);
  }

  /** Resolves when it is gone. One that is frozen is thawed, so that it hears. */
  async end(signal: NodeJS.Signals): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill(signal);
    this.#child.kill('SIGCONT');
    await exited;
  }
}
