/** `taktline status`: queues, workers and the outbox at a glance. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import type { App } from '../app/app.ts';
import type { OutboxLag } from '../outbox/outbox.ts';
import { errorCode, exitCodes } from './exit-codes.ts';
import { duration, type JsonOption, print, printJson, printTable } from './output.ts';
import { withApp } from './session.ts';
import { type WorkerView, workerView } from './worker-view.ts';

const outboxPatienceMs = 2_000;

export function addStatus(program: Command): void {
  program
    .command('status')
    .description('queues with their counts, the workers, and what waits in the outbox')
    .option('-j, --json', 'print a JSON document')
    .action(async (options: JsonOption, command: Command) => {
      process.exitCode = await withApp(command, 'broker', async ({ app, leaveSoon }) => {
        const [queues, records, broker, outbox] = await Promise.all([
          app.inspector.queues(),
          app.inspector.workers(),
          app.where(),
          lagOf(app),
        ]);
        if (outbox === 'away') leaveSoon();
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
            outbox: outbox === 'away' ? undefined : outbox,
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
        if (outbox !== undefined) print(`\n${outboxLine(outbox)}`);
        return exitCodes.ok;
      });
    });
}

/** Undefined for an app without an outbox, or where it is not known. An outbox that does not answer does not hold up the rest. */
async function lagOf(app: App): Promise<OutboxLag | 'away' | undefined> {
  const late = new AbortController();
  try {
    const timeout = sleep(outboxPatienceMs, 'away' as const, { signal: late.signal });
    timeout.catch(() => undefined);
    return await Promise.race([app.outbox.lag(), timeout]);
  } catch (error) {
    return errorCode(error) === 'OUTBOX_UNAVAILABLE' ? 'away' : undefined;
  } finally {
    late.abort();
  }
}

function outboxLine(lag: OutboxLag | 'away'): string {
  if (lag === 'away') return 'outbox: its database does not answer';
  const { waiting, oldestMs, kept } = lag;
  const oldest = oldestMs === undefined ? '' : `, the oldest for ${duration(oldestMs)}`;
  return `outbox: ${waiting} ${waiting === 1 ? 'job waits' : 'jobs wait'} for a relay${oldest}; ${kept} kept until they have ended`;
}

function stateOf({ alive }: WorkerView): string {
  return alive ? 'alive' : 'lost';
}
