/** What a worker and a beat are made of, checked, with the defaults of settings.ts. */
import { availableParallelism, hostname } from 'node:os';
import type { QueueDeclaration } from '../broker/broker.ts';
import { toMs } from '../support/durations.ts';
import { toBytes } from '../support/sizes.ts';
import { TaktlineError } from '../support/taktline-error.ts';
import type { TaskRegistry } from '../task/registry.ts';
import { type Bounds, checkBounds } from '../worker/autoscaler.ts';
import type { PoolSettings, WorkerSettings } from '../worker/worker.ts';
import { type AppSettings, type BeatOptions, defaults, type WorkerOptions } from './settings.ts';

/** @throws TaktlineError `INVALID_OPTION` or `UNKNOWN_QUEUE` */
export function workerSettings(options: WorkerOptions, app: AppSettings, tasks: TaskRegistry): WorkerSettings {
  const leaseMs = toMs(options.lease ?? defaults.leaseMs, 'lease');
  if (leaseMs < 1_000) throw new TaktlineError('INVALID_OPTION', `lease is ${leaseMs} ms: expected at least 1 s`);
  const pollMs = toMs(options.pollInterval ?? defaults.pollMs, 'pollInterval');
  if (pollMs < 10) throw new TaktlineError('INVALID_OPTION', `pollInterval is ${pollMs} ms: expected at least 10 ms`);
  const autoscale = boundsOf(options);
  return {
    name: (options.name ?? defaults.workerName).replaceAll('%h', hostname()).slice(0, 200),
    queues: queuesOf(options, app.queues),
    pool: poolOf(options, options.concurrency ?? autoscale?.min, tasks),
    leaseMs,
    pollMs,
    shutdownGraceMs: toMs(options.shutdownGrace ?? defaults.shutdownGraceMs, 'shutdownGrace'),
    unknownTaskGraceMs: toMs(options.unknownTaskGrace ?? defaults.unknownTaskGraceMs, 'unknownTaskGrace'),
    ageing: options.ageing ?? true,
    payloadLimit: app.payloadLimit,
    known: app.queues,
    autoscale,
  };
}

/** @throws TaktlineError `INVALID_OPTION` */
export function beatLease({ lease }: BeatOptions): number {
  const leaseMs = toMs(lease ?? defaults.beatLeaseMs, 'lease');
  if (leaseMs >= 2_000 && leaseMs <= 20_000) return leaseMs;
  throw new TaktlineError('INVALID_OPTION', `lease is ${leaseMs} ms: expected 2 s to 20 s for a beat`);
}

function queuesOf(options: WorkerOptions, declared: readonly QueueDeclaration[]): readonly QueueDeclaration[] {
  const known = new Map(declared.map((queue) => [queue.name, queue]));
  const queues = (options.queues ?? [...known.keys()]).map((name) => {
    const queue = known.get(name);
    if (queue === undefined)
      throw new TaktlineError(
        'UNKNOWN_QUEUE',
        `queue ${JSON.stringify(name)} is not declared; declared are ${[...known.keys()].join(', ')}`,
      );
    return queue;
  });
  if (queues.length === 0) throw new TaktlineError('INVALID_OPTION', 'a worker needs at least one queue');
  return queues;
}

function boundsOf({ autoscale }: WorkerOptions): Bounds | undefined {
  if (autoscale === undefined) return undefined;
  const { min, max, targetWait } = autoscale;
  return checkBounds({ min, max, targetWaitMs: toMs(targetWait ?? defaults.targetWaitMs, 'targetWait') });
}

/** @param size as it was asked for */
function poolOf(options: WorkerOptions, size: number | undefined, tasks: TaskRegistry): PoolSettings {
  const { slots = defaults.slots, module, usedUp, maxTasksPerChild: most, maxMemoryPerChild: memory } = options;
  const kind = options.pool ?? (tasks.all().some((task) => task.pool === 'processes') ? 'processes' : 'inline');
  const bounds = {
    maxTasksPerChild: most === undefined ? undefined : whole(most, 'maxTasksPerChild', 1e9),
    maxMemoryPerChild: memory === undefined ? undefined : toBytes(memory, 'maxMemoryPerChild'),
  };
  if (kind === 'inline') {
    if ((most ?? memory) !== undefined && usedUp === undefined)
      throw new TaktlineError(
        'INVALID_OPTION',
        'maxTasksPerChild and maxMemoryPerChild need usedUp with the inline pool: whoever runs the worker has to replace this process, as the command taktline worker does',
      );
    return { kind, size: whole(size ?? defaults.concurrency, 'concurrency', 10_000), usedUp, ...bounds };
  }
  if (kind !== 'processes') throw new TaktlineError('INVALID_OPTION', `pool is ${JSON.stringify(kind)}: expected inline or processes`);
  if (module === undefined)
    throw new TaktlineError(
      'INVALID_OPTION',
      "a process pool has to know the module that exports the app: give worker({ module: import.meta.url }) in that module, run taktline --app, or choose pool: 'inline'",
    );
  return {
    kind,
    size: whole(size ?? availableParallelism(), 'concurrency', 1_000),
    slotsEach: whole(slots, 'slots', 10_000),
    module: String(module),
    entry: new URL('./pool-child.js', import.meta.url),
    startTimeoutMs: defaults.startTimeoutMs,
    ...bounds,
  };
}

function whole(number: number, name: string, most: number): number {
  if (Number.isInteger(number) && number >= 1 && number <= most) return number;
  throw new TaktlineError('INVALID_OPTION', `${name} is ${number}: expected a whole number from 1 to ${most}`);
}
