/**
 * The composition root and the public face: an app knows its queues and tasks, and opens its broker when it is first
 * needed. One app a process is usual; several are fine.
 */
import { Beat } from '../beat/beat.ts';
import type { CancelReply, QueueDeclaration } from '../broker/broker.ts';
import { checkBrokerUrl, describeUrl, type OpenedBroker, openBroker } from '../broker/open-broker.ts';
import { Client, type EnqueueInOptions, type EnqueueManyOptions, type EnqueueOneOptions, requireEffectKey } from '../client/client.ts';
import type { JobHandle } from '../client/handle.ts';
import { Effects } from '../outbox/effects.ts';
import { Outbox } from '../outbox/outbox.ts';
import { OutboxDatabase } from '../outbox/outbox-database.ts';
import { Relay } from '../outbox/relay.ts';
import { OutboxWriter } from '../outbox/writer.ts';
import type { Logger } from '../support/logger.ts';
import { TaktlineError } from '../support/taktline-error.ts';
import type { Transaction } from '../support/transaction.ts';
import type { Outcome } from '../task/outcome.ts';
import { TaskRegistry } from '../task/registry.ts';
import { defineTask, type InputOf, type InputSchema, type TaskDefinition, type TaskOptions } from '../task/task.ts';
import type { ChildSettings } from '../worker/pools/child-messages.ts';
import { ChildRunner } from '../worker/pools/child-runner.ts';
import { Worker } from '../worker/worker.ts';
import { Catalogue } from './catalogue.ts';
import { setUp, tearDown } from './hooks.ts';
import { Inspection } from './inspection.ts';
import { RemoteControl } from './remote-control.ts';
import { checkSchedule, newSchedule, type ScheduleOptions } from './schedule-options.ts';
import { Schedules } from './schedules.ts';
import {
  type AppOptions,
  type AppSettings,
  type AttachOptions,
  appSettings,
  attachSettings,
  type BeatOptions,
  type WorkerOptions,
} from './settings.ts';
import { beatLease, workerSettings } from './worker-settings.ts';

/** What a handle's result is: what `run` returns, as JSON gives it back, without the outcomes that are no results. */
export type ResultOf<Returned> = Exclude<Awaited<Returned>, Outcome>;

/** Without a schema there is no input to give. */
type InputArguments<Input, Options> = Input extends undefined ? [input?: undefined, options?: Options] : [input: Input, options?: Options];

/** A task of an app: what callers enqueue. Made by `app.task()`. */
export interface Task<Input, Result> {
  readonly name: string;
  readonly queue: string;
  /** Enqueues a job. Calls in one turn of the event loop travel together. */
  delay(...input: Input extends undefined ? [input?: undefined] : [input: Input]): Promise<JobHandle<Result>>;
  /**
   * Enqueues a job in a transaction of the caller's, of `pg` or Kysely: it is there when that commits, and is not when it is
   * rolled back. Calls of one turn of the event loop for one transaction travel in one statement of it. See docs/outbox.md.
   *
   * @throws TaktlineError `OUTBOX_TRANSACTION` or `OUTBOX_SCHEMA`
   */
  enqueue(input: Input, options: EnqueueInOptions): Promise<JobHandle<Result>>;
  /** The same without other options. */
  delayIn(transaction: Transaction, ...input: Input extends undefined ? [input?: undefined] : [input: Input]): Promise<JobHandle<Result>>;
  /** Enqueues a job with options: countdown, eta, expires, priority, queue, id, headers. */
  applyAsync(...args: InputArguments<Input, EnqueueOneOptions>): Promise<JobHandle<Result>>;
  /** Enqueues many jobs, about a thousand in a round trip. All inputs are checked before the first is sent. */
  enqueueMany(inputs: readonly Input[], options?: EnqueueManyOptions<Input>): Promise<JobHandle<Result>[]>;
}

export class App {
  readonly #settings: AppSettings;
  readonly #tasks = new TaskRegistry();
  readonly #client: Client;
  readonly #workers = new Set<Worker>();
  readonly #beats = new Set<Beat>();
  readonly #declared = new Map<string, ScheduleOptions>();
  /** Queues, workers, jobs and dead letters, for people. */
  readonly inspector: Inspection;
  /** Asks and changes workers, wherever they run; pauses queues. */
  readonly control: RemoteControl;
  /** Puts, pauses, runs and lists schedules, those of the code and those that were put at run time. */
  readonly schedules: Schedules;
  /** What transactions have enqueued and the broker has not got yet. */
  readonly outbox: Outbox;
  readonly #catalogue: Catalogue;
  readonly #effects: Effects;
  readonly #relays = new Set<Relay>();
  #database: OutboxDatabase | undefined;
  #opening: Promise<OpenedBroker> | undefined;
  #closing: Promise<void> | undefined;

  /** Apps are made by `createApp()`. */
  constructor(settings: AppSettings) {
    this.#settings = settings;
    const broker = async () => (await this.#open()).broker;
    const writer = new OutboxWriter({
      schema: settings.outbox.schema,
      broker,
      direct: checkBrokerUrl(settings.brokerUrl) !== 'redis',
      kept: new Set(this.#kept),
    });
    this.#client = new Client({
      broker,
      queues: settings.create ? new Map(settings.queues.map((queue) => [queue.name, queue])) : undefined,
      payloadLimit: this.#settings.payloadLimit,
      enqueueIn: (transaction, jobs) => writer.enqueueIn(transaction, jobs),
    });
    this.#effects = new Effects(settings.outbox.schema);
    const inspector = async () => (await this.#open()).inspector;
    this.#catalogue = new Catalogue(inspector, this.#tasks);
    this.inspector = new Inspection(inspector, this.#catalogue);
    this.outbox = new Outbox({
      where: () => `${describeUrl(this.#outboxUrl()())}, schema ${settings.outbox.schema}`,
      database: () => this.#outboxDatabase(),
      broker,
      inspector,
      kept: this.#kept,
    });
    this.control = new RemoteControl(inspector);
    this.schedules = new Schedules({
      timetable: async () => (await this.#open()).timetable,
      catalogue: this.#catalogue,
      client: this.#client,
      task: (name) => this.#find(name),
    });
  }

  get logger(): Logger {
    return this.#settings.logger;
  }

  get queues(): readonly QueueDeclaration[] {
    return this.#settings.queues;
  }

  /** Names of the defined tasks, sorted. */
  get taskNames(): readonly string[] {
    return this.#tasks.names();
  }

  /**
   * Defines a task. Input and result types are inferred from the schema and from `run`.
   *
   * @throws TaktlineError `INVALID_OPTION`, `DUPLICATE_TASK` or `UNKNOWN_QUEUE`
   */
  task<Schema extends InputSchema | undefined = undefined, Returned = unknown>(
    options: TaskOptions<Schema, Returned>,
  ): Task<InputOf<Schema>, ResultOf<Returned>> {
    const definition = defineTask(options);
    const declared = this.#settings.queues.find((queue) => queue.name === definition.queue);
    if (declared === undefined) {
      throw new TaktlineError(
        'UNKNOWN_QUEUE',
        `task ${JSON.stringify(definition.name)}: queue ${JSON.stringify(definition.queue)} is not declared in createApp({ queues })`,
      );
    }
    requireEffectKey(definition, declared);
    this.#tasks.add(definition);
    return this.#bind(definition);
  }

  /**
   * Enqueues by the task's name, for callers that have it as data. A task that this app does not define is taken from the
   * catalogue, as workers have described it.
   *
   * @throws TaktlineError `UNKNOWN_TASK`
   */
  async call(name: string, input: unknown, options: EnqueueOneOptions = {}): Promise<JobHandle<unknown>> {
    return this.#client.enqueue(await this.#find(name), input, options);
  }

  /**
   * Declares a schedule: a beat of this app enqueues its task when it is due. Its input is checked when a beat starts.
   *
   * @throws TaktlineError `INVALID_OPTION` or `UNKNOWN_TASK`
   */
  schedule<Input>(
    options: ScheduleOptions & { readonly task: string | Pick<Task<Input, unknown>, 'name' | 'delay'>; readonly input?: Input },
  ): void {
    checkSchedule(options);
    const name = nameOf(options);
    if (this.#tasks.find(name) === undefined)
      throw new TaktlineError('UNKNOWN_TASK', `schedule ${JSON.stringify(options.name)}: ${notDefined(name, this.taskNames)}`);
    if (this.#declared.has(options.name))
      throw new TaktlineError('INVALID_OPTION', `schedule ${JSON.stringify(options.name)} is declared twice`);
    this.#declared.set(options.name, options);
  }

  /**
   * A scheduler of this process, not started yet. Any number of them may run, anywhere: one leads. When it starts it puts the
   * schedules that this app declares, and removes those that an earlier version of the app declared and this one does not; an
   * app that declares none removes none.
   *
   * @throws TaktlineError `INVALID_OPTION`
   */
  beat(options: BeatOptions = {}): Beat {
    const schedules = [...this.#declared.values()];
    const beat = new Beat({
      broker: async () => (await this.#open()).broker,
      timetable: async () => (await this.#open()).timetable,
      declared: () => Promise.all(schedules.map(async (one) => newSchedule(one, await this.#find(nameOf(one)), 'code', this.#client))),
      removeVanished: schedules.length > 0,
      leaseMs: beatLease(options),
      logger: this.#settings.logger,
    });
    this.#beats.add(beat);
    return beat;
  }

  /**
   * Moves jobs of the outbox to the broker, in this process; not started yet. Any number of them may run, anywhere.
   *
   * @throws TaktlineError `INVALID_OPTION` when it is not known where the app's database is
   */
  relay(): Relay {
    const relay = new Relay({
      database: this.#outboxDatabase(),
      broker: async () => (await this.#open()).broker,
      inspector: async () => (await this.#open()).inspector,
      kept: this.#kept,
      effectsTtlMs: this.#settings.outbox.effectsTtlMs,
      logger: this.#settings.logger,
    });
    this.#relays.add(relay);
    return relay;
  }

  /** A handle of a job that was enqueued elsewhere. */
  handle(id: string): JobHandle<unknown> {
    return this.#client.handle(id);
  }

  /** Cancels jobs by their ids; see `handle.cancel()`. */
  cancel(ids: readonly string[]): Promise<readonly CancelReply[]> {
    return this.#client.cancel(ids);
  }

  /** A worker of this process, not started yet. @throws TaktlineError `INVALID_OPTION` or `UNKNOWN_QUEUE` */
  worker(options: WorkerOptions = {}): Worker {
    const { hooks, logger } = this.#settings;
    const settings = workerSettings(options, this.#settings, this.#tasks);
    // With the inline pool tasks run here too.
    const inline = settings.pool.kind === 'inline';
    const worker = new Worker(settings, {
      broker: async () => (await this.#open()).broker,
      tasks: this.#tasks,
      logger,
      effects: this.#effects,
      setUp: () => setUp(hooks, inline ? ['workerStart', 'childStart'] : ['workerStart']),
      tearDown: () => tearDown(hooks, inline ? ['childStop', 'workerStop'] : ['workerStop'], logger),
      shutDown: options.shutDown ?? ((now) => void worker.stop({ now })),
    });
    this.#workers.add(worker);
    return worker;
  }

  /** What runs in a child process of a worker's pool. Called there, by app/pool-child.ts. @throws TaktlineError `HOOK_FAILED` */
  async poolChild(settings: ChildSettings): Promise<ChildRunner> {
    const { hooks, logger, payloadLimit } = this.#settings;
    await setUp(hooks, ['childStart']);
    const stopped = async (): Promise<void> => {
      await tearDown(hooks, ['childStop'], logger);
      await this.close();
    };
    return new ChildRunner({ settings, tasks: this.#tasks, logger, payloadLimit, effects: this.#effects, stopped });
  }

  /** Opens the broker if need be, and waits for one answer of it. */
  async ping(): Promise<void> {
    await (await this.#open()).broker.ping();
  }

  /** Where the jobs are kept, without user and password. */
  async where(): Promise<string> {
    return (await this.#open()).where;
  }

  /** Stops the workers, sends what is on its way, closes the broker. Safe to call twice. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    await Promise.all([...this.#workers, ...this.#beats, ...this.#relays].map((running) => running.stop()));
    await this.#client.close();
    const opened = await this.#opening?.catch(() => undefined);
    await opened?.close();
    await this.#database?.close();
  }

  /** Names of the queues whose jobs are kept until they have ended. */
  get #kept(): readonly string[] {
    return this.#settings.queues.filter((queue) => queue.keepUntilEnd === true).map((queue) => queue.name);
  }

  #outboxUrl(): () => string {
    const { databaseUrl } = this.#settings.outbox;
    if (databaseUrl !== undefined) return databaseUrl;
    throw new TaktlineError('INVALID_OPTION', 'the outbox has no database: set DATABASE_URL, or createApp({ outbox: { databaseUrl } })');
  }

  #outboxDatabase(): OutboxDatabase {
    this.#database ??= new OutboxDatabase({ url: this.#outboxUrl(), schema: this.#settings.outbox.schema });
    return this.#database;
  }

  #open(): Promise<OpenedBroker> {
    if (this.#closing !== undefined && this.#opening === undefined) {
      return Promise.reject(new TaktlineError('BROKER_CLOSED', 'the app was closed'));
    }
    const { brokerUrl: url, ...settings } = this.#settings;
    this.#opening ??= openBroker({ ...settings, url }).catch((error: unknown) => {
      // The next call tries again.
      this.#opening = undefined;
      throw error;
    });
    return this.#opening;
  }

  /** Of this app, or as workers have described it. */
  async #find(name: string): Promise<TaskDefinition> {
    const definition = (await this.#catalogue.finder([name]))(name);
    if (definition !== undefined) return definition;
    const described = (await this.#catalogue.list()).map((entry) => entry.name);
    throw new TaktlineError('UNKNOWN_TASK', notDefined(name, [...new Set([...this.taskNames, ...described])]));
  }

  #bind<Input, Result>(definition: TaskDefinition): Task<Input, Result> {
    const client = this.#client;
    return {
      name: definition.name,
      queue: definition.queue,
      delay: (input?: unknown) => client.enqueue<Result>(definition, input),
      enqueue: (input: unknown, options: EnqueueInOptions) => client.enqueueIn<Result>(definition, input, options),
      delayIn: (transaction: Transaction, input?: unknown) => client.enqueueIn<Result>(definition, input, { transaction }),
      applyAsync: (input?: unknown, options?: EnqueueOneOptions) => client.enqueue<Result>(definition, input, options),
      enqueueMany: (inputs, options) => client.enqueueMany<Input, Result>(definition, inputs, options),
    };
  }
}

function nameOf({ task }: ScheduleOptions): string {
  return typeof task === 'string' ? task : task.name;
}

function notDefined(name: string, known: readonly string[]): string {
  return `no task is named ${JSON.stringify(name.slice(0, 200))}; there are ${known.join(', ') || 'none'}`;
}

/**
 * Makes an app.
 *
 * @example
 * export const app = createApp({ queues: [{ name: 'email.normal', priority: 5 }] });
 *
 * @throws TaktlineError `INVALID_OPTION` or `BROKER_URL`; connecting comes later, with the first use
 */
export function createApp(options: AppOptions): App {
  return new App(appSettings(options));
}

/**
 * An app without queues and tasks, for looking after what others keep in a broker: its queues, workers, jobs and dead
 * letters. It creates and upgrades nothing there. Of a task it knows what workers have described: what to mask in an input,
 * and what an input that is enqueued has to look like.
 *
 * @throws TaktlineError `INVALID_OPTION` or `BROKER_URL`; connecting comes later, with the first use
 */
export function attachApp(options: AttachOptions = {}): App {
  return new App(attachSettings(options));
}
