/** What `inspect` and `control` share: whom to ask, how long to wait, and what to do about those that do not answer. */
import type { Command } from 'commander';
import type { App } from '../app/app.ts';
import type { ControlRequest } from '../worker/control.ts';
import { exitCodes } from './exit-codes.ts';
import type { JsonOption } from './output.ts';
import { parseDuration, parseNames } from './values.ts';

export interface AskingOptions extends JsonOption {
  readonly destination?: readonly string[];
  readonly timeout: number;
}

/** What one worker said, or why it said nothing. */
export interface Answered {
  readonly worker: string;
  readonly value: unknown;
  readonly error: string | undefined;
}

export function asking(command: Command): Command {
  return command
    .option('-d, --destination <names>', 'only these workers (default: every living one)', parseNames)
    .option('-t, --timeout <duration>', 'how long to wait for answers', parseDuration, 1_000)
    .option('-j, --json', 'print a JSON document');
}

/** Asks, and shows. @returns the exit code: 5 when a worker did not answer in time, 1 when one could not do it */
export async function answered(
  app: App,
  request: ControlRequest,
  options: AskingOptions,
  show: (answers: readonly Answered[]) => void,
): Promise<number> {
  const { timeout, destination } = options;
  const answers = (await app.control.ask(request, { timeout, ...(destination === undefined ? {} : { destination }) })).map(
    ({ worker, answer }): Answered & { readonly late: boolean } => ({
      worker,
      late: answer === undefined,
      value: answer?.ok === true ? answer.value : undefined,
      error: answer === undefined ? 'no answer in time' : answer.ok ? undefined : answer.message,
    }),
  );
  show(answers.map(({ worker, value, error }) => ({ worker, value, error })));
  if (answers.some(({ late }) => late)) return exitCodes.timedOut;
  return answers.some(({ error }) => error !== undefined) ? exitCodes.failed : exitCodes.ok;
}
