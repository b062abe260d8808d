/** Asks before something is removed for good, and shows how far long work is. Both on standard error, and only to people. */
import { createInterface } from 'node:readline/promises';
import { CliError, exitCodes } from './exit-codes.ts';

export interface Asking {
  readonly input: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly output: NodeJS.WritableStream & { readonly isTTY?: boolean };
}

const terminal: Asking = { input: process.stdin, output: process.stderr };

/** Called before anything is opened. @throws CliError when there is nobody to ask and nobody said `--force`, or `--yes` */
export function mayAsk(force: boolean | undefined, asking: Asking = terminal, flag = '--force (-f)'): void {
  if (force === true || (asking.input.isTTY === true && asking.output.isTTY === true)) return;
  throw new CliError(exitCodes.usage, `this needs ${flag} where there is no terminal to ask on`);
}

/** @throws CliError unless the answer is yes */
export async function confirm(question: string, force: boolean | undefined, asking: Asking = terminal): Promise<void> {
  if (force === true) return;
  const lines = createInterface(asking);
  // Ctrl-C at the question is for the whole command; readline would keep it to itself.
  lines.once('SIGINT', () => process.kill(process.pid, 'SIGINT'));
  const ended = new Promise<string>((resolve) => lines.once('close', () => resolve('')));
  const answer = await Promise.race([lines.question(`${question} [y/N] `), ended]);
  lines.close();
  if (!/^\s*y(es)?\s*$/i.test(answer)) throw new CliError(exitCodes.failed, 'nothing was done');
}

/** Tells a person, on one line that is written over, how many are done. Ends with `clear()`. */
export class Progress {
  readonly #output: Asking['output'];
  readonly #what: string;
  #shown = false;

  constructor(what: string, output: Asking['output'] = process.stderr) {
    this.#what = what;
    this.#output = output;
  }

  readonly onProgress = (done: number): void => {
    if (this.#output.isTTY !== true) return;
    this.#shown = true;
    this.#output.write(`\r${done} ${this.#what}`);
  };

  clear(): void {
    if (this.#shown) this.#output.write('\r\u001b[K');
    this.#shown = false;
  }
}
