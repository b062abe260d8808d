/**
 * What an app is made of, checked, with every default in one place. docs/defaults.md shows the same table; a test
 * compares the two.
 */

import type { QueueDeclaration } from '../broker/broker.ts';
import { checkBrokerUrl, samePlace } from '../broker/open-broker.ts';
import { defaultSchema } from '../outbox/tables.ts';
import { type Duration, toMs } from '../support/durations.ts';
import { jsonLogger, type Logger, type LogLevel, logLevels } from '../support/logger.ts';
import { checkSchemaName } from '../support/schema-name.ts';
import type { Size } from '../support/sizes.ts';
import { TaktlineError } from '../support/taktline-error.ts';
import { queueNamePattern } from '../task/names.ts';

export interface AppOptions {
  /**
   * Where jobs are kept: `postgres://user:password@host:5432/database` or `embedded:<folder>`. Default: the first of the
   * environment variables BROKER_URL, CELERY_BROKER_URL, REDIS_URL and DATABASE_URL that is set, else
   * `embedded:.taktline`; with NODE_ENV=production there is no embedded default.
   */
  readonly brokerUrl?: string | undefined;
  /** Keeps apps on one server apart; names the schema. Default `taktline`. */
  readonly namespace?: string;
  /** Every queue of the app, with its priority from 1 (last) to 10 (first). */
  readonly queues: readonly QueueDeclaration[];
  /** Largest input or result, in bytes. Default 1 MiB, at most 64 MiB. */
  readonly payloadLimit?: number;
  /** How long dead letters are kept. Default 30 days. */
  readonly deadLetterTtl?: Duration;
  /** Dead letters that a queue keeps at most, on Redis; the oldest go first. Default 100,000. */
  readonly deadLetterLimit?: number;
  /** Ended jobs, results and all, that a queue keeps at most, on Redis; those whose time ends first go first. Default 1,000,000. */
  readonly endedLimit?: number;
  /** Where jobs are kept that transactions of the app's database enqueue. */
  readonly outbox?: OutboxOptions;
  /** Called where workers and the tasks' processes begin and end. */
  readonly hooks?: Hooks;
  /** Default: JSON lines on standard error, from the level in TAKTLINE_LOG_LEVEL or CELERY_LOG_LEVEL (default `info`). */
  readonly logger?: Logger;
}

export interface OutboxOptions {
  /**
   * The app's database, for relays and for people who look: `postgres://user:password@host:5432/database`. Default: that of the
   * environment variable DATABASE_URL, else the broker's, if it is Postgres. A function is asked for each new connection: an
   * embedded server that was started again may have another port.
   */
  readonly databaseUrl?: string | (() => string);
  /** The schema in which `migrateOutbox()` has made the tables. Default `taktline_outbox`. */
  readonly schema?: string;
  /** How long it is known which effects `ctx.once()` has made. Default 90 days. */
  readonly effectsTtl?: Duration;
}

/**
 * Set-up and tear-down. What fails to set up does not start; a tear-down has 5 s, and one that fails is logged. With the
 * inline pool a worker's process is also the one that runs tasks, and all four are called there.
 */
export interface Hooks {
  /** In a worker's process, before it joins. */
  readonly workerStart?: () => void | Promise<void>;
  /** When the worker has left. */
  readonly workerStop?: () => void | Promise<void>;
  /** In each process that runs tasks, before the first of them. */
  readonly childStart?: () => void | Promise<void>;
  /** When it has nothing to run any more. Not in one that was killed. */
  readonly childStop?: () => void | Promise<void>;
}

/** Where to attach to: an app without queues and tasks of its own. */
export type AttachOptions = Pick<AppOptions, 'brokerUrl' | 'namespace' | 'outbox' | 'logger'>;

export interface AppSettings {
  readonly brokerUrl: string;
  readonly namespace: string;
  readonly queues: readonly QueueDeclaration[];
  readonly payloadLimit: number;
  readonly deadLetterTtlMs: number;
  readonly deadLetterLimit: number;
  readonly endedLimit: number;
  readonly outbox: OutboxSettings;
  readonly hooks: Hooks;
  readonly logger: Logger;
  /** Whether the broker's schema is made and upgraded, or only used. */
  readonly create: boolean;
}

export interface OutboxSettings {
  /** Undefined where none is named. */
  readonly databaseUrl: (() => string) | undefined;
  readonly schema: string;
  readonly effectsTtlMs: number;
}

export interface WorkerOptions {
  /** Names of the queues to take jobs from. Default: all of the app's. */
  readonly queues?: readonly string[];
  /**
   * `inline`: jobs run on this process's event loop. `processes`: in child processes, which can be killed at a hard time limit
   * and replaced. Default: `processes` when a task of the app declares it, else `inline`.
   */
  readonly pool?: 'inline' | 'processes';
  /** Jobs that run at once, default 10; of a process pool its children, default the number of cores. */
  readonly concurrency?: number;
  /** Of a process pool: jobs that each child runs at once. Default 1. */
  readonly slots?: number;
  /** Of a process pool: the module that exports the app, for the children to load: `import.meta.url` where it is made. */
  readonly module?: string | URL;
  /** A child is replaced after about so many jobs. Default: never. */
  readonly maxTasksPerChild?: number;
  /** A child is replaced when it uses so much memory, such as `'300mb'`. Default: never. */
  readonly maxMemoryPerChild?: Size;
  /**
   * Of an inline pool, whose only process is this one: told once when one of the two bounds above is reached. Whoever runs the
   * worker starts another one and stops this; `taktline worker` does so.
   */
  readonly usedUp?: () => void;
  /** Somebody asks from outside that the worker stops (`control shutdown`). Default: `worker.stop({ now })`. */
  readonly shutDown?: (now: boolean) => void;
  /** For people; `%h` becomes the host's name. Default `worker@%h`. */
  readonly name?: string;
  /** How long a worker that is silent keeps its jobs. Default 30 s, at least 1 s. */
  readonly lease?: Duration;
  /** How long a stopping worker waits for what runs. Default 25 s. */
  readonly shutdownGrace?: Duration;
  /** How often an idle worker looks by itself, beside being woken. Default 2 s. */
  readonly pollInterval?: Duration;
  /** A job whose task no worker has known for so long becomes a dead letter. Default 1 hour. */
  readonly unknownTaskGrace?: Duration;
  /** Every 16th claim starts from the lowest priority, so that it moves too. Default true. */
  readonly ageing?: boolean;
  /**
   * Lets the size of the pool follow the load, between `min` and `max`: children of a process pool, jobs at once of an inline
   * one. It starts with `concurrency`, or with `min`. `targetWait` is how long a job should wait at most; default 5 s.
   */
  readonly autoscale?: { readonly min: number; readonly max: number; readonly targetWait?: Duration };
}

export interface BeatOptions {
  /** How long a beat that is silent keeps the lead. Default 10 s, at least 2 s. */
  readonly lease?: Duration;
}

export const defaults = {
  namespace: 'taktline',
  payloadLimit: 1024 * 1024,
  deadLetterTtlMs: 30 * 86_400_000,
  deadLetterLimit: 100_000,
  endedLimit: 1_000_000,
  concurrency: 10,
  workerName: 'worker@%h',
  leaseMs: 30_000,
  shutdownGraceMs: 25_000,
  pollMs: 2_000,
  targetWaitMs: 5_000,
  slots: 1,
  startTimeoutMs: 30_000,
  beatLeaseMs: 10_000,
  unknownTaskGraceMs: 3_600_000,
  outboxSchema: defaultSchema,
  effectsTtlMs: 90 * 86_400_000,
} as const;

const largestPayload = 64 * 1024 * 1024;
/** The variables that can name the broker, first come first served. */
export const brokerVariables = ['BROKER_URL', 'CELERY_BROKER_URL', 'REDIS_URL', 'DATABASE_URL'] as const;

type Environment = Readonly<Record<string, string | undefined>>;

/** @throws TaktlineError `INVALID_OPTION` or `BROKER_URL`, naming the option or the variable */
export function appSettings(options: AppOptions, env: Environment = process.env): AppSettings {
  return { ...shared(options, env), queues: checkQueues(options.queues), create: true };
}

/** @throws TaktlineError `INVALID_OPTION` or `BROKER_URL`, naming the option or the variable */
export function attachSettings(options: AttachOptions, env: Environment = process.env): AppSettings {
  return { ...shared(options, env), queues: [], create: false };
}

function shared(options: Omit<AppOptions, 'queues'>, env: Environment): Omit<AppSettings, 'queues' | 'create'> {
  const payloadLimit = options.payloadLimit ?? defaults.payloadLimit;
  if (!Number.isInteger(payloadLimit) || payloadLimit < 1024 || payloadLimit > largestPayload) {
    throw new TaktlineError('INVALID_OPTION', `payloadLimit is ${payloadLimit}: expected 1024 to ${largestPayload} bytes`);
  }
  const url = brokerUrl(options.brokerUrl, env);
  checkResultBackend(url, env);
  return {
    brokerUrl: url,
    namespace: checkSchemaName(options.namespace ?? defaults.namespace, 'namespace'),
    payloadLimit,
    deadLetterTtlMs: toMs(options.deadLetterTtl ?? defaults.deadLetterTtlMs, 'deadLetterTtl'),
    deadLetterLimit: checkLimit(options.deadLetterLimit ?? defaults.deadLetterLimit, 'deadLetterLimit'),
    endedLimit: checkLimit(options.endedLimit ?? defaults.endedLimit, 'endedLimit'),
    outbox: outboxSettings(options.outbox ?? {}, url, env),
    hooks: options.hooks ?? {},
    logger: options.logger ?? jsonLogger(logLevel(env)),
  };
}

function outboxSettings(options: OutboxOptions, broker: string, env: Environment): OutboxSettings {
  const isPostgres = (url: string | undefined) => url !== undefined && /^postgres(ql)?:/i.test(url);
  const given = options.databaseUrl || undefined;
  if (typeof given === 'string' && !(isPostgres(given) && URL.canParse(given)))
    throw new TaktlineError('INVALID_OPTION', 'outbox.databaseUrl: expected postgres://user:password@host:5432/database');
  const url = given ?? [env['DATABASE_URL'], broker].find((named) => isPostgres(named));
  return {
    databaseUrl: typeof url === 'string' ? () => url : url,
    schema: checkSchemaName(options.schema ?? defaults.outboxSchema, 'outbox.schema'),
    effectsTtlMs: toMs(options.effectsTtl ?? defaults.effectsTtlMs, 'outbox.effectsTtl'),
  };
}

function checkLimit(limit: number, name: string): number {
  if (Number.isSafeInteger(limit) && limit >= 0) return limit;
  throw new TaktlineError('INVALID_OPTION', `${name} is ${String(limit)}: expected a whole number, 0 or more`);
}

function brokerUrl(given: string | undefined, env: Environment): string {
  if (given !== undefined && given !== '') return checkedUrl(given, 'brokerUrl');
  for (const name of brokerVariables) {
    const value = env[name];
    if (value !== undefined && value !== '') return checkedUrl(value, name);
  }
  if (env['NODE_ENV'] === 'production') {
    throw new TaktlineError('BROKER_URL', `no broker is set: with NODE_ENV=production one of ${brokerVariables.join(', ')} has to name it`);
  }
  return 'embedded:.taktline';
}

/** Celery's setting for another place for results. Here they live with the jobs, and nobody should look for them elsewhere. */
function checkResultBackend(brokerUrl: string, env: Environment): void {
  const backend = env['CELERY_RESULT_BACKEND'];
  if (backend === undefined || backend === '' || backend === brokerUrl || samePlace(backend, brokerUrl)) return;
  throw new TaktlineError(
    'BROKER_URL',
    'CELERY_RESULT_BACKEND names another place than the broker: results are kept with the jobs. Leave it out, or set it to the URL of the broker',
  );
}

/** @throws TaktlineError `BROKER_URL`, naming where the URL was given */
export function checkedUrl(url: string, name: string): string {
  try {
    checkBrokerUrl(url);
  } catch (error) {
    throw error instanceof TaktlineError ? new TaktlineError(error.code, `${name}: ${error.message}`, { cause: error.cause }) : error;
  }
  return url;
}

function checkQueues(queues: readonly QueueDeclaration[]): readonly QueueDeclaration[] {
  if (!Array.isArray(queues) || queues.length === 0 || queues.length > 1_000) {
    throw new TaktlineError('INVALID_OPTION', 'queues: declare at least one, such as { name: "email.normal", priority: 5 } (at most 1000)');
  }
  const names = new Set<string>();
  for (const { name, priority, keepUntilEnd } of queues) {
    if (!queueNamePattern.test(name))
      throw new TaktlineError(
        'INVALID_OPTION',
        `queue ${JSON.stringify(String(name).slice(0, 120))}: a name is letters, digits and ._:- (at most 100)`,
      );
    if (names.has(name)) throw new TaktlineError('INVALID_OPTION', `queue ${JSON.stringify(name)} is declared twice`);
    if (!Number.isInteger(priority) || priority < 1 || priority > 10) {
      throw new TaktlineError(
        'INVALID_OPTION',
        `queue ${JSON.stringify(name)}: priority is ${priority}: expected a whole number from 1 (last) to 10 (first)`,
      );
    }
    if (keepUntilEnd !== undefined && typeof keepUntilEnd !== 'boolean')
      throw new TaktlineError('INVALID_OPTION', `queue ${JSON.stringify(name)}: keepUntilEnd is true or false`);
    names.add(name);
  }
  return queues.map(({ name, priority, keepUntilEnd }) => (keepUntilEnd === true ? { name, priority, keepUntilEnd } : { name, priority }));
}

/** TAKTLINE_LOG_LEVEL, or CELERY_LOG_LEVEL in Celery's words. */
export function logLevel(env: Environment): LogLevel {
  const name = env['TAKTLINE_LOG_LEVEL'] === undefined ? 'CELERY_LOG_LEVEL' : 'TAKTLINE_LOG_LEVEL';
  const given = env[name];
  if (given === undefined || given === '') return 'info';
  const level = given.toLowerCase();
  const known = level === 'warning' ? 'warn' : level === 'critical' || level === 'fatal' ? 'error' : level;
  if ((logLevels as readonly string[]).includes(known)) return known as LogLevel;
  throw new TaktlineError('INVALID_OPTION', `${name} is ${JSON.stringify(given)}: expected one of ${logLevels.join(', ')}`);
}
