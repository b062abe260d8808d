/** `taktline why`: why a job is not running. */
import type { Command } from 'commander';
import { CliError, exitCodes } from './exit-codes.ts';
import { type JsonOption, print, printJson } from './output.ts';
import { withApp } from './session.ts';
import { oneLine } from './terminal.ts';

export function addWhy(program: Command): void {
  program
    .command('why')
    .description('why a job is not running: the first thing that stands in its way')
    .argument('<id>', 'id of the job')
    .option('-j, --json', 'print a JSON document')
    .action(async (id: string, options: JsonOption, command: Command) => {
      process.exitCode = await withApp(command, 'broker', async ({ app }) => {
        const why = await app.inspector.why(id);
        if (why === undefined) throw new CliError(exitCodes.notFound, `no job has the id ${id}, or it ended and its result has expired`);
        if (options.json === true) printJson({ id, ...why });
        else {
          print(oneLine(why.text));
          if (why.advice !== undefined) print(oneLine(why.advice));
        }
        return exitCodes.ok;
      });
    });
}
