/**
 * `taktline worker`: runs jobs until SIGTERM or Ctrl-C. The process that was started supervises the one that works, which is
 * the same command in a child; with `--no-supervise` there is only one.
 */
import { fork } from 'node:child_process';
import { resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { type Command, Option } from 'commander';
import type { App } from '../app/app.ts';
import { defaults, logLevel, type WorkerOptions } from '../app/settings.ts';
import type { Health } from '../support/health-server.ts';
import { jsonLogger, logLevels } from '../support/logger.ts';
import { onStopSignals } from '../support/process-signals.ts';
import { type Size, toBytes } from '../support/sizes.ts';
import { type FromWorker, Supervisor, type ToWorker } from '../worker/supervisor.ts';
import type { Worker } from '../worker/worker.ts';
import { CliError, exitCodes } from './exit-codes.ts';
import { answerProbes, type HealthOptions, withHealth } from './health.ts';
import { duration, note, pairs } from './output.ts';
import { withApp } from './session.ts';
import { parseBounds, parseDuration, parseNames, parseSize, parseWhole, setLogLevel } from './values.ts';

interface Options extends HealthOptions {
  readonly queues?: readonly string[];
  readonly pool?: 'inline' | 'processes';
  readonly concurrency?: number;
  readonly slots?: number;
  readonly autoscale?: { readonly max: number; readonly min: number };
  readonly targetWait: number;
  readonly maxTasksPerChild?: number;
  readonly maxMemoryPerChild?: Size;
  readonly hostname: string;
  readonly loglevel?: string;
  readonly grace: number;
  readonly supervise: boolean;
  readonly beat?: boolean;
  readonly relay?: boolean;
}

/** Set in the process that a supervisor has started. */
const supervisedBy = 'TAKTLINE_SUPERVISED';

export function addWorker(program: Command): void {
  const worker = program
    .command('worker')
    .description('run jobs until SIGTERM or Ctrl-C; the first one drains, the second one stops at once')
    .option('-Q, --queues <names>', 'queues to take jobs from, separated by commas (default: all of the app)', parseNames)
    .addOption(
      new Option('-P, --pool <kind>', 'where jobs run: on the event loop, or in child processes (default: what the tasks declare)').choices(
        ['inline', 'processes'],
      ),
    )
    .option('-c, --concurrency <number>', 'jobs that run at once (default: 10); of a process pool, children (default: cores)', parseWhole)
    .option('--slots <number>', 'of a process pool: jobs that each child runs at once (default: 1)', parseWhole)
    .option('--autoscale <max,min>', 'let the size of the pool follow the load', parseBounds)
    .option('--target-wait <duration>', 'for --autoscale: how long a job should wait at most', parseDuration, defaults.targetWaitMs)
    .option('--max-tasks-per-child <number>', 'replace a child after about so many jobs', parseWhole)
    .option('--max-memory-per-child <size>', 'replace a child that uses so much memory, such as 300mb', parseSize)
    .option('-n, --hostname <name>', 'name of the worker; %h is the name of this machine', defaults.workerName)
    .option('-l, --loglevel <level>', `${logLevels.join(', ')} (default: TAKTLINE_LOG_LEVEL, or info)`)
    .option('--grace <duration>', 'how long a stopping worker waits for what runs (default: 25s)', parseDuration, defaults.shutdownGraceMs)
    .option('-B, --beat', 'enqueue what is due by the schedules too, as taktline beat does')
    .option('--relay', 'move jobs of the outbox to the broker too, as taktline outbox relay does')
    .option('--no-supervise', 'do not replace the worker when it dies: something else does');
  withHealth(worker).action(async (options: Options, command: Command) => {
    if (options.loglevel !== undefined) setLogLevel(options.loglevel);
    if (options.supervise && !supervised()) {
      process.exitCode = await supervise(options);
      return;
    }
    const code = await withApp(command, 'tasks', ({ app, module, ownSignals }) => work(app, module as string, options, ownSignals));
    // At once: the code of jobs that were handed back may run on here, while another worker runs them already.
    process.exit(code);
  });
}

/** Works until it is stopped. @returns the exit code */
async function work(app: App, module: string, options: Options, ownSignals: () => void): Promise<number> {
  const asked = new Stop();
  const worker = app.worker(workerOptions(options, module, asked));
  const beat = options.beat === true ? app.beat() : undefined;
  const relay = options.relay === true ? app.relay() : undefined;
  await worker.start();
  await Promise.all([beat?.start(), relay?.start()]);
  ownSignals();
  process.stderr.write(`${await banner(app, worker, options)}\n`);
  const look = (): Readonly<Record<string, Health>> => ({
    worker: worker.health(),
    ...(beat === undefined ? {} : { beat: beat.health() }),
    ...(relay === undefined ? {} : { relay: relay.health() }),
  });
  if (supervised()) {
    process.on('message', (message: ToWorker) => {
      if (message.kind === 'health') tellSupervisor({ kind: 'health', asked: message.asked, parts: look() });
    });
    tellSupervisor({ kind: 'started' });
    return asked.stopped(worker);
  }
  const server = await answerProbes(options, () => Promise.resolve(look()));
  const code = await asked.stopped(worker);
  await server?.close();
  return code;
}

function workerOptions(options: Options, module: string, asked: Stop): WorkerOptions {
  const { queues, pool, concurrency, slots, autoscale, targetWait, maxTasksPerChild, maxMemoryPerChild } = options;
  if (!supervised() && pool === 'inline' && (maxTasksPerChild ?? maxMemoryPerChild) !== undefined)
    throw new CliError(exitCodes.usage, '--max-tasks-per-child and --max-memory-per-child need the supervisor with the inline pool');
  return {
    name: options.hostname,
    shutdownGrace: options.grace,
    module: pathToFileURL(resolve(module)),
    shutDown: (now) => asked.stop(now),
    ...(supervised() ? { usedUp: () => tellSupervisor({ kind: 'used-up' }) } : {}),
    ...(queues === undefined ? {} : { queues }),
    ...(pool === undefined ? {} : { pool }),
    ...(concurrency === undefined ? {} : { concurrency }),
    ...(slots === undefined ? {} : { slots }),
    ...(autoscale === undefined ? {} : { autoscale: { ...autoscale, targetWait } }),
    ...(maxTasksPerChild === undefined ? {} : { maxTasksPerChild }),
    ...(maxMemoryPerChild === undefined ? {} : { maxMemoryPerChild: toBytes(maxMemoryPerChild, '--max-memory-per-child') }),
  };
}

/** Runs this very command in a child, again and again. @returns the exit code */
async function supervise(options: Options): Promise<number> {
  let ended: (exitCode: number) => void = () => undefined;
  const over = new Promise<number>((resolve) => {
    ended = resolve;
  });
  const supervisor = new Supervisor({
    start: () =>
      fork(fileURLToPath(new URL('./main.js', import.meta.url)), process.argv.slice(2), {
        env: { ...process.env, [supervisedBy]: String(process.pid) },
      }),
    logger: jsonLogger(logLevel(process.env)),
    over: ended,
  });
  let signals = 0;
  const stop = (): void => {
    signals += 1;
    supervisor.stop(signals > 1);
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  const server = await answerProbes(options, async () => (await supervisor.health()) ?? { worker: undefined });
  supervisor.start();
  const code = await over;
  await server?.close();
  return code;
}

function supervised(): boolean {
  return process.env[supervisedBy] !== undefined;
}

function tellSupervisor(message: FromWorker): void {
  if (process.connected) process.send?.(message);
}

/** Who may ask a worker to stop: a signal, its supervisor, somebody by `control shutdown`. */
class Stop {
  #worker: Worker | undefined;
  #asked: 'gently' | 'now' | undefined;
  #over: (code: number) => void = () => undefined;

  /** Resolves to the exit code when it has stopped. */
  stopped(worker: Worker): Promise<number> {
    this.#worker = worker;
    const over = new Promise<number>((resolve) => {
      this.#over = resolve;
    });
    if (!supervised()) {
      onStopSignals({ gently: () => this.#stop('gently'), atOnce: () => this.#stop('now'), done: this.#over });
    } else {
      // Ctrl-C reaches the whole group of processes: the supervisor says what it means. Without one, this ends too.
      process.on('SIGINT', () => undefined);
      process.on('SIGTERM', () => this.stop(false));
      process.on('message', (message: ToWorker) => {
        if (message.kind === 'stop') this.stop(message.now);
      });
      process.on('disconnect', () => this.stop(false));
    }
    if (this.#asked !== undefined) this.stop(this.#asked === 'now');
    return over;
  }

  stop(now: boolean): void {
    this.#asked = now ? 'now' : (this.#asked ?? 'gently');
    this.#stop(this.#asked).then(
      () => this.#over(exitCodes.ok),
      () => this.#over(exitCodes.failed),
    );
  }

  async #stop(how: 'gently' | 'now'): Promise<void> {
    const worker = this.#worker;
    if (worker === undefined) return;
    const jobs = worker.running().length;
    if (how === 'now') note('stopping at once: what runs is handed back');
    else note(`stopping: ${jobs} ${jobs === 1 ? 'job runs' : 'jobs run'}; a second signal stops at once`);
    await worker.stop({ now: how === 'now' });
  }
}

async function banner(app: App, worker: Worker, options: Options): Promise<string> {
  const queues = app.queues.filter(({ name }) => options.queues?.includes(name) ?? true);
  const { kind, size, slots } = worker.pool();
  return pairs([
    ['worker', worker.name],
    ['broker', await app.where()],
    ['queues', queues.map(({ name, priority }) => `${name} (${priority})`).join(', ')],
    ['pool', kind === 'inline' ? 'inline, on the event loop of this process' : `${size} child ${size === 1 ? 'process' : 'processes'}`],
    ['concurrency', String(slots)],
    ['tasks', app.taskNames.join(', ') || 'none: every job is handed back'],
    ['stop', `SIGTERM or Ctrl-C waits up to ${duration(options.grace)} for what runs; a second one stops at once`],
  ]);
}
