/** `taktline control`: changes what workers do, and pauses queues. Names are Celery's, where it has the command. */
import type { Command } from 'commander';
import type { ControlRequest } from '../worker/control.ts';
import { type AskingOptions, answered, asking } from './asking.ts';
import { exitCodes } from './exit-codes.ts';
import { type JsonOption, print, printJson } from './output.ts';
import { withApp } from './session.ts';
import { jsonText, oneLine } from './terminal.ts';
import { parseDuration, parseWhole } from './values.ts';

export function addControl(program: Command): void {
  const control = program.command('control').description('change what workers do, and pause queues');
  addPauses(control);

  const add = (usage: string, description: string, request: (...args: string[]) => ControlRequest): void => {
    asking(control.command(usage).description(description)).action(async (...given: unknown[]) => {
      const command = given.at(-1) as Command;
      const asked = request(...(given.slice(0, -2) as string[]));
      await tell(asked, given.at(-2) as AskingOptions, command);
    });
  };
  add('add_consumer <queue>', 'let workers take jobs of a queue too', (queue = '') => ({ verb: 'add_consumer', queue }));
  add('cancel_consumer <queue>', 'let workers take no more jobs of a queue', (queue = '') => ({
    verb: 'cancel_consumer',
    queue,
  }));
  add('pool_grow [by]', 'more children, or slots; ends autoscaling', (by) => ({ verb: 'pool_grow', by: parseWhole(by ?? '1') }));
  add('pool_shrink [by]', 'fewer; what runs is not stopped', (by) => ({ verb: 'pool_shrink', by: parseWhole(by ?? '1') }));
  add('pool_restart', 'replace each child, when it has finished what it has', () => ({ verb: 'pool_restart' }));

  asking(control.command('autoscale <max> <min>').description('let the size of the pool follow the load'))
    .option('--target-wait <duration>', 'how long a job should wait at most', parseDuration, 5_000)
    .action(async (max: string, min: string, options: AskingOptions & { readonly targetWait: number }, command: Command) => {
      const bounds = { max: parseWhole(max), min: parseWhole(min), targetWaitMs: options.targetWait };
      await tell({ verb: 'autoscale', bounds }, options, command);
    });
  add('autoscale_off', 'leave the size of the pool as it is', () => ({ verb: 'autoscale' }));

  asking(control.command('time_limit <task> <soft> [hard]').description('other time limits for a task, until the worker ends')).action(
    async (task: string, soft: string, hard: string | undefined, options: AskingOptions, command: Command) => {
      const softMs = parseDuration(soft);
      await tell({ verb: 'time_limit', task, softMs, hardMs: hard === undefined ? softMs : parseDuration(hard) }, options, command);
    },
  );

  asking(control.command('shutdown').description('stop workers: they drain first'))
    .option('--now', 'hand back what runs, without waiting for it')
    .action(async (options: AskingOptions & { readonly now?: boolean }, command: Command) => {
      await tell({ verb: 'shutdown', now: options.now === true }, options, command);
    });
}

function addPauses(control: Command): void {
  for (const verb of ['pause', 'resume'] as const) {
    control
      .command(verb)
      .description(
        verb === 'pause' ? 'let no worker take jobs of these queues; what runs goes on' : 'let workers take jobs of these queues again',
      )
      .argument('<queues...>', 'names of the queues')
      .option('-j, --json', 'print a JSON document')
      .action(async (queues: string[], options: JsonOption, command: Command) => {
        process.exitCode = await withApp(command, 'broker', async ({ app }) => {
          for (const queue of queues) await app.control[verb](queue);
          if (options.json === true) printJson({ queues, paused: verb === 'pause' });
          else for (const queue of queues) print(oneLine(`${queue}: ${verb === 'pause' ? 'paused' : 'taken from again'}`));
          return exitCodes.ok;
        });
      });
  }
}

async function tell(request: ControlRequest, options: AskingOptions, command: Command): Promise<void> {
  process.exitCode = await withApp(command, 'broker', ({ app }) =>
    answered(app, request, options, (answers) => {
      if (options.json === true) printJson({ workers: answers });
      else if (answers.length === 0) print('no worker runs');
      else for (const { worker, value, error } of answers) print(oneLine(`${worker}: ${error ?? said(value)}`));
    }),
  );
}

function said(value: unknown): string {
  return typeof value === 'string' ? value : jsonText(value);
}
