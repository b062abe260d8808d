/** `taktline call`: enqueues one job. */
import type { Command } from 'commander';
import type { EnqueueOneOptions } from '../client/client.ts';
import { withoutUndefined } from '../support/without-undefined.ts';
import { CliError, exitCodes } from './exit-codes.ts';
import { type JsonOption, print, printJson } from './output.ts';
import { withApp } from './session.ts';
import { parseDuration, parseTime, parseTimeOrDuration, parseWhole, readHeaders, readJson } from './values.ts';

interface Options extends JsonOption {
  readonly input?: string;
  readonly args?: string;
  readonly countdown?: number;
  readonly eta?: Date;
  readonly expires?: Date | number;
  readonly queue?: string;
  readonly priority?: number;
  readonly id?: string;
  readonly taskId?: string;
  readonly headers?: string;
}

export function addCall(program: Command): void {
  program
    .command('call')
    .description("enqueue a job; prints the job's id")
    .argument('<task>', 'name of the task')
    .option('--input <json>', 'the input: JSON, @file, or - for standard input')
    .option('-a, --args <json>', 'the same as --input')
    .option('--countdown <duration>', 'run it so long from now, such as 30s or 5m; a number alone is seconds', parseDuration)
    .option('--eta <time>', 'run it not before this time, such as 2027-01-31T08:00:00Z', parseTime)
    .option('--expires <when>', 'do not run it after this time, or so long from now', parseTimeOrDuration)
    .option('--queue <name>', "default: the task's")
    .option('--priority <number>', "1 (last) to 10 (first) within its queue; default: the task's", parseWhole)
    .option('--id <id>', 'id of the job: a second call with it makes no second job')
    .option('--task-id <id>', 'the same as --id')
    .option('--headers <json>', 'an object of strings for ctx.headers: JSON, @file, or - for standard input')
    .option('-j, --json', 'print a JSON document')
    .action(async (task: string, options: Options, command: Command) => {
      const given = oneOf(options.input, options.args, '--input and --args are the same: give one');
      if (given === '-' && options.headers === '-')
        throw new CliError(exitCodes.usage, 'standard input can be --input or --headers, not both');
      const input = given === undefined ? undefined : await readJson(given, options.input === undefined ? '--args' : '--input');
      const headers = options.headers === undefined ? undefined : await readHeaders(options.headers);
      const id = oneOf(options.id, options.taskId, '--id and --task-id are the same: give one');
      const { countdown, eta, expires, queue, priority } = options;
      const wanted = { countdown, eta, expires, queue, priority, id, headers };
      process.exitCode = await withApp(command, 'broker', async ({ app }) => {
        const handle = await app.call(task, input, withoutUndefined<EnqueueOneOptions>(wanted));
        if (options.json === true) printJson({ id: handle.id, task });
        else print(handle.id);
        return exitCodes.ok;
      });
    });
}

function oneOf(first: string | undefined, second: string | undefined, message: string): string | undefined {
  if (first !== undefined && second !== undefined) throw new CliError(exitCodes.usage, message);
  return first ?? second;
}
