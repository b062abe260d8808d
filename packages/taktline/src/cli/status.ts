/** `taktline status`: queues and workers at a glance. */
import type { Command } from 'commander';
import { exitCodes } from './exit-codes.ts';
import { duration, type JsonOption, print, printJson, printTable } from './output.ts';
import { withApp } from './session.ts';
import { type WorkerView, workerView } from './worker-view.ts';

export function addStatus(program: Command): void {
  program
    .command('status')
    .description('queues with their counts, and the workers')
    .option('-j, --json', 'print a JSON document')
    .action(async (options: JsonOption, command: Command) => {
      process.exitCode = await withApp(command, 'broker', async ({ app }) => {
        const [queues, records, broker] = await Promise.all([app.inspector.queues(), app.inspector.workers(), app.where()]);
        const workers = records.map(workerView);
        if (options.json === true) {
          printJson({
            broker,
            queues: queues.map(({ name, priority, ready, scheduled, running, dead, oldestWaitMs, paused }) => ({
              name,
              priority,
              ready,
              scheduled,
              running,
              dead,
              oldestWaitMs,
              paused,
            })),
            workers,
          });
          return exitCodes.ok;
        }
        printTable(
          [
            { title: 'QUEUE' },
            { title: 'PRIORITY', right: true },
            { title: 'READY', right: true },
            { title: 'SCHEDULED', right: true },
            { title: 'RUNNING', right: true },
            { title: 'DEAD', right: true },
            { title: 'OLDEST WAITS', right: true },
          ],
          queues.map((queue) => [
            queue.name,
            ...[queue.priority, queue.ready, queue.scheduled, queue.running, queue.dead].map(String),
            queue.paused ? 'paused' : queue.oldestWaitMs === undefined ? '' : duration(queue.oldestWaitMs),
          ]),
          'no queue is declared',
        );
        print('');
        printTable(
          [
            { title: 'WORKER' },
            { title: 'STATE' },
            { title: 'RUNNING', right: true },
            { title: 'SLOTS', right: true },
            { title: 'QUEUES' },
          ],
          workers.map((worker) => [
            worker.name,
            stateOf(worker),
            String(worker.running),
            String(worker.concurrency ?? ''),
            worker.queues.join(', '),
          ]),
          'no worker runs',
        );
        return exitCodes.ok;
      });
    });
}

function stateOf({ alive }: WorkerView): string {
  return alive ? 'alive' : 'lost';
}
