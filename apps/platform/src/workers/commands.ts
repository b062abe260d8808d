/**
 * `npm run workers -- <command>`: the platform's worker processes and its beat, in the background or the foreground. This
 * file only composes; what a process is stands in managed-process.ts, what a type is in worker-types.ts.
 */
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError, Option } from 'commander';
import { attachApp, silentLogger } from 'taktline';
import { readSettings } from '../settings.ts';
import { ManagedProcess, type Stopped } from './managed-process.ts';
import { monitor } from './monitor.ts';
import { type ProcessName, processNames, queuesOf, typesOf, type WorkerTypeName, workerTypeNames, workerTypes } from './worker-types.ts';

const cli = fileURLToPath(new URL('../bin/taktline.js', import.meta.resolve('taktline')));
const workerApp = fileURLToPath(new URL('./worker-app.js', import.meta.url));
/** A worker waits 25 s for what runs; then it hands back. */
const defaultGraceSeconds = 35;

const print = (text: string): void => void process.stdout.write(`${text}\n`);

interface TypeOption {
  readonly workerType: readonly WorkerTypeName[];
}

interface StartOptions extends TypeOption {
  readonly foreground?: boolean;
  readonly concurrency?: number;
}

export function workersCommand(env: Readonly<Record<string, string | undefined>>): Command {
  const program = new Command('workers')
    .description("The platform's workers and its beat, as processes of their own.")
    .exitOverride()
    .showHelpAfterError();

  program
    .command('start')
    .description('start workers in the background, and wait until they work')
    .addOption(typeOption())
    .option('--concurrency <number>', 'jobs that each runs at once (default: 4; of normal, 8)', parseWhole)
    .option('--foreground', 'one worker, in this terminal, until Ctrl-C')
    .action(async (options: StartOptions) => {
      const managed = options.workerType.map((type) => processOf(type, env, options.concurrency));
      if (options.foreground !== true) process.exitCode = await startAll(managed);
      else if (managed.length === 1) process.exitCode = await foreground(managed[0] as ManagedProcess);
      else program.error('--foreground goes with one worker type');
    });

  program
    .command('beat')
    .description('start the scheduler in the background')
    .option('--foreground', 'in this terminal, until Ctrl-C')
    .action(async (options: { readonly foreground?: boolean }) => {
      const beat = processOf('beat', env);
      process.exitCode = options.foreground === true ? await foreground(beat) : await startAll([beat]);
    });

  program
    .command('monitor')
    .description('start what does not run, and start again what dies; Ctrl-C ends the monitor, and the workers go on')
    .addOption(typeOption())
    .option('--beat', 'watch the beat too')
    .action(async (options: TypeOption & { readonly beat?: boolean }) => {
      const names: readonly ProcessName[] = options.beat === true ? [...options.workerType, 'beat'] : options.workerType;
      await watch(names.map((name) => processOf(name, env)));
    });

  program
    .command('status')
    .description('what runs, and how many jobs wait for it')
    .option('-j, --json', 'print a JSON document')
    .action(async (options: { readonly json?: boolean }) => {
      process.exitCode = await status(env, options.json === true);
    });

  program
    .command('stop')
    .description('let workers drain, and kill what has not ended by then')
    .option('--worker-type <type>', `${workerTypeNames.join(', ')}, beat or all`, parseProcesses, processNames)
    .option('--grace <seconds>', 'how long to wait for what runs', parseWhole, defaultGraceSeconds)
    .action(async (options: { readonly workerType: readonly ProcessName[]; readonly grace: number }) => {
      process.exitCode = await stopAll(
        options.workerType.map((name) => processOf(name, env)),
        options.grace * 1_000,
      );
    });

  program
    .command('flower')
    .description('the dashboard')
    .action(() => {
      process.stderr.write(
        'The dashboard is not there yet. Until it is: npm run workers -- status, and the commands status, inspect, events and history of taktline\n',
      );
      process.exitCode = 1;
    });
  return program;
}

function typeOption(): Option {
  return new Option('--worker-type <type>', `${workerTypeNames.join(', ')} or all`).argParser(parseTypes).default(workerTypeNames, 'all');
}

function parseTypes(value: string): readonly WorkerTypeName[] {
  const types = typesOf(value);
  if (types === undefined) throw new InvalidArgumentError(`Expected ${workerTypeNames.join(', ')} or all.`);
  return types;
}

function parseProcesses(value: string): readonly ProcessName[] {
  if (value === 'all') return processNames;
  return value === 'beat' ? ['beat'] : parseTypes(value);
}

function parseWhole(value: string): number {
  if (!/^[1-9]\d{0,5}$/.test(value)) throw new InvalidArgumentError('Expected a whole number, 1 or more.');
  return Number(value);
}

function processOf(name: ProcessName, env: Readonly<Record<string, string | undefined>>, concurrency?: number): ManagedProcess {
  const { runFolder, logFolder } = readSettings(env);
  const command =
    name === 'beat'
      ? ['beat']
      : [
          'worker',
          '--queues',
          queuesOf(name).join(','),
          '--hostname',
          `${name}_worker@%h`,
          '--concurrency',
          String(concurrency ?? workerTypes[name].concurrency),
          // Whichever types run, what transactions have enqueued is moved.
          '--relay',
        ];
  return new ManagedProcess({
    name,
    args: [cli, '--app', workerApp, ...command],
    pidFile: resolve(join(runFolder, `${name}.pid`)),
    logFile: resolve(join(logFolder, `${name}.log`)),
    // The last line of what a worker and a beat say of themselves.
    works: /^stop {2,}/m,
  });
}

async function startAll(all: readonly ManagedProcess[]): Promise<number> {
  const results = await Promise.all(
    all.map(async (one) => {
      const started = await one.start();
      if (started.result === 'failed') {
        print(`${one.name}: does not start; the end of ${one.logFile} is\n${started.log.trimEnd()}`);
        return false;
      }
      print(
        started.result === 'started'
          ? `${one.name}: started (pid ${started.pid}), logs to ${one.logFile}`
          : `${one.name}: runs already (pid ${started.pid}); nothing was started`,
      );
      return true;
    }),
  );
  return results.every(Boolean) ? 0 : 1;
}

async function foreground(one: ManagedProcess): Promise<number> {
  const code = await one.run();
  if (code !== undefined) return code;
  const found = await one.state();
  print(`${one.name}: runs already${found.state === 'running' ? ` (pid ${found.record.pid})` : ''}; nothing was started`);
  return 1;
}

async function watch(processes: readonly ManagedProcess[]): Promise<void> {
  const end = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => end.abort());
  const stamp = (text: string) => print(`${new Date().toISOString()} ${text}`);
  await monitor({
    processes,
    say: stamp,
    sleep: (ms) => sleep(ms, undefined, { signal: end.signal }).catch(() => undefined),
    ended: () => end.signal.aborted,
  });
  stamp(end.signal.aborted ? 'the monitor ends; the workers go on (npm run workers -- stop ends them)' : 'nothing is left to watch');
}

async function status(env: Readonly<Record<string, string | undefined>>, json: boolean): Promise<number> {
  const waiting = await waitingJobs(env);
  const rows = await Promise.all(
    processNames.map(async (name) => {
      const found = await processOf(name, env).state();
      const running = found.state === 'running' ? found.record : undefined;
      const queues = name === 'beat' ? [] : queuesOf(name);
      return {
        name,
        state: found.state,
        pid: running?.pid,
        startedAt: running?.startedAt,
        queues,
        waiting: name === 'beat' ? undefined : waiting && queues.reduce((sum, queue) => sum + (waiting.get(queue) ?? 0), 0),
      };
    }),
  );
  if (json) print(JSON.stringify({ processes: rows, brokerAnswers: waiting !== undefined }));
  else {
    print('NAME      STATE    PID      SINCE                 WAITING  QUEUES');
    for (const { name, state, pid, startedAt, waiting, queues } of rows)
      print(
        [
          name.padEnd(8),
          state.padEnd(7),
          String(pid ?? '').padEnd(7),
          (startedAt === undefined ? '' : `${startedAt.slice(0, 19).replace('T', ' ')}Z`).padEnd(20),
          String(waiting ?? (name === 'beat' ? '' : '?')).padStart(7),
          queues.join(', '),
        ]
          .join('  ')
          .trimEnd(),
      );
    if (waiting === undefined) process.stderr.write('the broker did not answer: how many jobs wait is not known\n');
  }
  return rows.some(({ state }) => state === 'dead') ? 1 : 0;
}

/** By queue. Undefined when the broker does not answer. */
async function waitingJobs(env: Readonly<Record<string, string | undefined>>): Promise<ReadonlyMap<string, number> | undefined> {
  const { brokerUrl, folder } = readSettings(env);
  const app = attachApp({ brokerUrl: brokerUrl ?? `embedded:${folder}`, logger: silentLogger });
  try {
    return new Map((await app.inspector.queues()).map(({ name, ready }) => [name, ready]));
  } catch {
    return undefined;
  } finally {
    await app.close();
  }
}

const said: Readonly<Record<Stopped, string>> = {
  stopped: 'has drained and ended',
  killed: 'did not end in time, and was killed: what it held runs again when its lease has run out',
  'was-dead': 'had died; its pid file is removed',
  'was-not-running': 'does not run',
};

async function stopAll(all: readonly ManagedProcess[], graceMs: number): Promise<number> {
  const results = await Promise.all(
    all.map(async (one) => {
      const how = await one.stop(graceMs);
      print(`${one.name}: ${said[how]}`);
      return how;
    }),
  );
  return results.includes('killed') ? 1 : 0;
}
