/** `taktline result`: waits for a job to end and prints what came of it. */
import type { Command } from 'commander';
import { CliError, errorCode, exitCodes } from './exit-codes.ts';
import { type JsonOption, print, printJson } from './output.ts';
import { withApp } from './session.ts';
import { jsonText } from './terminal.ts';
import { parseDuration } from './values.ts';

interface Options extends JsonOption {
  readonly timeout: number;
}

export function addResult(program: Command): void {
  program
    .command('result')
    .description('wait for a job to end and print its result')
    .argument('<id>', 'id of the job')
    .option(
      '-t, --timeout <duration>',
      'how long to wait, such as 30s or 5m; a number alone is seconds (default: 60s)',
      parseDuration,
      60_000,
    )
    .option('-j, --json', 'print a JSON document')
    .action(async (id: string, options: Options, command: Command) => {
      process.exitCode = await withApp(command, 'broker', async ({ app }) => {
        const handle = app.handle(id);
        // A wait outlives an outage, so a broker that is away, or knows nothing of the job, is found out first.
        if ((await handle.status()) === undefined) {
          throw new CliError(exitCodes.notFound, `no job ${id} is known: it ended and its result has expired, or it never was`);
        }
        try {
          const result = await handle.result({ timeout: options.timeout });
          if (options.json === true) printJson({ id, state: 'succeeded', result, error: undefined });
          else print(jsonText(result, 2));
          return exitCodes.ok;
        } catch (error) {
          const state = endStates.get(errorCode(error) ?? '');
          if (state !== undefined && options.json === true) printJson({ id, state, result: undefined, error: describe(error as Error) });
          throw error;
        }
      });
    });
}

const endStates = new Map([
  ['JOB_FAILED', 'failed'],
  ['JOB_CANCELLED', 'cancelled'],
  ['JOB_EXPIRED', 'expired'],
]);

/** The last error of the job where it has one, which its cause describes. */
function describe(error: Error): { readonly type: string; readonly code: string | undefined; readonly message: string } {
  const told = error.cause instanceof Error ? error.cause : error;
  return { type: told.name, code: (told as { readonly code?: string }).code, message: told.message };
}
