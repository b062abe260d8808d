/** `taktline worker`: runs jobs until SIGTERM or Ctrl-C. */
import type { Command } from 'commander';
import type { App } from '../app/app.ts';
import { defaults, logLevel } from '../app/settings.ts';
import { logLevels } from '../support/logger.ts';
import { onStopSignals } from '../support/process-signals.ts';
import type { Worker } from '../worker/worker.ts';
import { CliError, exitCodes } from './exit-codes.ts';
import { duration, note, pairs } from './output.ts';
import { withApp } from './session.ts';
import { parseDuration, parseNames, parseWhole } from './values.ts';

interface Options {
  readonly queues?: readonly string[];
  readonly concurrency: number;
  readonly hostname: string;
  readonly loglevel?: string;
  readonly grace: number;
}

export function addWorker(program: Command): void {
  program
    .command('worker')
    .description('run jobs until SIGTERM or Ctrl-C; the first one drains, the second one stops at once')
    .option('-Q, --queues <names>', 'queues to take jobs from, separated by commas (default: all of the app)', parseNames)
    .option('-c, --concurrency <number>', 'jobs that run at once', parseWhole, defaults.concurrency)
    .option('-n, --hostname <name>', 'name of the worker; %h is the name of this machine', defaults.workerName)
    .option('-l, --loglevel <level>', `${logLevels.join(', ')} (default: TAKTLINE_LOG_LEVEL, or info)`)
    .option('--grace <duration>', 'how long a stopping worker waits for what runs (default: 25s)', parseDuration, defaults.shutdownGraceMs)
    .action(async (options: Options, command: Command) => {
      if (options.loglevel !== undefined) setLogLevel(options.loglevel);
      const code = await withApp(command, 'tasks', async ({ app, ownSignals }) => {
        const worker = app.worker({
          concurrency: options.concurrency,
          name: options.hostname,
          shutdownGrace: options.grace,
          ...(options.queues === undefined ? {} : { queues: options.queues }),
        });
        await worker.start();
        const stopped = untilStopped(worker);
        ownSignals();
        process.stderr.write(`${await banner(app, worker, options)}\n`);
        return stopped;
      });
      // At once: the code of jobs that were handed back may run on here, while another worker runs them already.
      process.exit(code);
    });
}

/** The app reads it when it is made. */
function setLogLevel(level: string): void {
  try {
    process.env['TAKTLINE_LOG_LEVEL'] = logLevel({ TAKTLINE_LOG_LEVEL: level });
  } catch {
    throw new CliError(exitCodes.usage, `--loglevel is ${JSON.stringify(level)}: expected one of ${logLevels.join(', ')}`);
  }
}

function untilStopped(worker: Worker): Promise<number> {
  return new Promise((resolve) => {
    onStopSignals({
      gently: () => {
        const jobs = worker.running().length;
        note(`stopping: ${jobs} ${jobs === 1 ? 'job runs' : 'jobs run'}; a second signal stops at once`);
        return worker.stop();
      },
      atOnce: () => {
        note('stopping at once: what runs is handed back');
        return worker.stop({ now: true });
      },
      done: resolve,
    });
  });
}

async function banner(app: App, worker: Worker, options: Options): Promise<string> {
  const queues = app.queues.filter(({ name }) => options.queues?.includes(name) ?? true);
  return pairs([
    ['worker', worker.name],
    ['broker', await app.where()],
    ['queues', queues.map(({ name, priority }) => `${name} (${priority})`).join(', ')],
    ['concurrency', String(options.concurrency)],
    ['tasks', app.taskNames.join(', ') || 'none: every job is handed back'],
    ['stop', `SIGTERM or Ctrl-C waits up to ${duration(options.grace)} for what runs; a second one stops at once`],
  ]);
}
