/** `taktline events`: what happens in the workers, as it happens, until Ctrl-C. */
import { once } from 'node:events';
import type { Command } from 'commander';
import type { WorkerEvent } from '../worker/event-feed.ts';
import { exitCodes } from './exit-codes.ts';
import { duration, type JsonOption, note, print, printJson } from './output.ts';
import { withApp } from './session.ts';
import { oneLine } from './terminal.ts';
import { parseNames } from './values.ts';

interface Options extends JsonOption {
  readonly type?: readonly string[];
  readonly task?: readonly string[];
  readonly heartbeats?: boolean;
}

export function addEvents(program: Command): void {
  program
    .command('events')
    .description('what happens in the workers, as it happens, until Ctrl-C')
    .option('--type <names>', 'only of these types, such as task-failed,task-retried', parseNames)
    .option('--task <names>', 'only of jobs of these tasks', parseNames)
    .option('--heartbeats', 'also those of workers that only say that they live')
    .option('-j, --json', 'print a JSON document a line')
    .action(async (options: Options, command: Command) => {
      process.exitCode = await withApp(command, 'broker', async ({ app }) => {
        const wanted = (event: WorkerEvent): boolean =>
          (options.type?.includes(event.type) ?? (event.type !== 'worker-heartbeat' || options.heartbeats === true)) &&
          (options.task === undefined || ('task' in event && options.task.includes(event.task)));
        await app.inspector.watch((event) => {
          if (!wanted(event)) return;
          if (options.json === true) printJson(event);
          else print(described(event));
        });
        if (options.json !== true) note('listening; workers begin to tell within a second, Ctrl-C ends it');
        // Ctrl-C closes the app, and with it what listens; so does a reader that has gone (`| head`).
        await once(process.stdout, 'error');
        return exitCodes.ok;
      });
    });
}

function described(event: WorkerEvent): string {
  const time = new Date(event.at).toISOString().slice(11, 23);
  return oneLine(`${time}  ${event.type.padEnd(16)}  ${about(event)}`);
}

function about(event: WorkerEvent): string {
  switch (event.type) {
    case 'worker-online':
    case 'worker-offline':
      return event.worker;
    case 'worker-heartbeat':
      return `${event.worker}  ${event.running} of ${event.slots} slots busy, ${event.held} held`;
    case 'events-left-out':
      return `${event.worker}  ${event.count} more events of jobs`;
    case 'task-started':
      return `${event.task}  ${event.job}  ${event.queue}  ${event.worker}`;
    default: {
      const code = event.code === undefined ? '' : `  ${event.code}`;
      return `${event.task}  ${event.job}  ${event.queue}  ${event.worker}  waited ${duration(event.waitedMs)}, ran ${duration(event.ranMs)}${code}`;
    }
  }
}
