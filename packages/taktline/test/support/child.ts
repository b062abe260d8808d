/** A child process of a test: its messages can be awaited, and it never outlives the test. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

export class Child {
  readonly process: ChildProcess;
  readonly messages: unknown[] = [];
  errors = '';
  readonly exited: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;

  constructor(fixture: string, argument: unknown) {
    this.process = fork(fileURLToPath(new URL(`../fixtures/${fixture}`, import.meta.url)), [JSON.stringify(argument)], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    this.process.stderr?.on('data', (chunk: Buffer) => {
      this.errors += chunk.toString();
    });
    this.process.on('message', (message) => this.messages.push(message));
    this.exited = once(this.process, 'exit').then(
      ([code, signal]) => ({ code, signal }) as { code: number | null; signal: NodeJS.Signals | null },
    );
  }

  /** The next message of that kind, or one that has come already. Rejects when the process ends first. */
  async said(kind: string): Promise<Record<string, unknown>> {
    const find = () =>
      this.messages.find((message) => (message as { kind?: unknown }).kind === kind) as Record<string, unknown> | undefined;
    for (;;) {
      const found = find();
      if (found !== undefined) return found;
      const [event] = await Promise.race([once(this.process, 'message').then(() => ['message']), this.exited.then(() => ['exit'])]);
      if (event === 'exit' && find() === undefined) throw new Error(`the child ended before it said ${kind}:\n${this.errors}`);
    }
  }

  kill(signal: NodeJS.Signals): void {
    this.process.kill(signal);
  }

  /** Kills it if it still lives, and waits for its end. */
  async end(): Promise<void> {
    if (this.process.exitCode === null && this.process.signalCode === null) this.process.kill('SIGKILL');
    await this.exited;
  }
}
