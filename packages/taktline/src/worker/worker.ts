/**
 * A worker: a pool that runs jobs, and its membership in the broker's list, which feeds the pool until the worker is stopped.
 * This file only composes; who does what is in membership.ts, fetcher.ts, pools/, executor.ts, recorder.ts, event-feed.ts,
 * control.ts and autoscaler.ts.
 */
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Broker, QueueDeclaration } from '../broker/broker.ts';
import type { Health } from '../support/health-server.ts';
import type { Logger } from '../support/logger.ts';
import { messageOf } from '../support/message-of.ts';
import { TaktlineError } from '../support/taktline-error.ts';
import type { MakesOnce } from '../task/once.ts';
import type { TaskRegistry } from '../task/registry.ts';
import { Autoscaler, type Bounds } from './autoscaler.ts';
import { Control } from './control.ts';
import { ControlledWorker } from './controlled.ts';
import { EventFeed } from './event-feed.ts';
import { Executor } from './executor.ts';
import { Membership, namesOf } from './membership.ts';
import { InlinePool } from './pools/inline-pool.ts';
import type { Pool, PoolStats, RunningJob } from './pools/pool.ts';
import { ProcessPool } from './pools/process-pool.ts';
import { Recorder } from './recorder.ts';

export interface WorkerSettings {
  readonly name: string;
  readonly queues: readonly QueueDeclaration[];
  readonly pool: PoolSettings;
  readonly leaseMs: number;
  readonly shutdownGraceMs: number;
  readonly pollMs: number;
  readonly unknownTaskGraceMs: number;
  readonly ageing: boolean;
  readonly payloadLimit: number;
  /** Queues of the app: those that the worker may be told to take jobs from. */
  readonly known: readonly QueueDeclaration[];
  readonly autoscale: Bounds | undefined;
}

/** `size`: jobs at once of an inline pool, children of the other. */
export type PoolSettings = Bounded &
  (
    | { readonly kind: 'inline'; readonly size: number; readonly usedUp: (() => void) | undefined }
    | {
        readonly kind: 'processes';
        readonly size: number;
        readonly slotsEach: number;
        /** File URL of the module that exports the app. */
        readonly module: string;
        /** What a child process runs. */
        readonly entry: URL;
        readonly startTimeoutMs: number;
      }
  );

interface Bounded {
  readonly maxTasksPerChild: number | undefined;
  readonly maxMemoryPerChild: number | undefined;
}

export interface WorkerParts {
  /** Opens the broker, or gives the one that is open. */
  readonly broker: () => Promise<Broker>;
  readonly tasks: TaskRegistry;
  readonly logger: Logger;
  readonly effects: MakesOnce;
  /** The app's hooks. */
  readonly setUp: () => Promise<void>;
  readonly tearDown: () => Promise<void>;
  /** Somebody asks from outside that the worker stops: whoever runs it decides what that means. */
  readonly shutDown: (now: boolean) => void;
}

export class Worker {
  readonly #settings: WorkerSettings;
  readonly #parts: WorkerParts;
  readonly #pool: Pool;
  readonly #recorder = new Recorder();
  readonly #feed: EventFeed;
  readonly #control: Control;
  readonly #startedAt = Date.now();
  #queues: readonly QueueDeclaration[];
  #autoscaler: Autoscaler | undefined;
  #offsetMs = 0;
  #member: Membership | undefined;
  #madeAt = performance.now();
  #starting: Promise<void> | undefined;
  #rejoining: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;
  readonly #leaving = new AbortController();
  #hurry = new AbortController();

  constructor(settings: WorkerSettings, parts: WorkerParts) {
    this.#settings = settings;
    this.#parts = parts;
    const now = () => Date.now() + this.#offsetMs;
    const executor = new Executor({
      tasks: parts.tasks,
      worker: settings.name,
      logger: parts.logger,
      now,
      unknownTaskGraceMs: settings.unknownTaskGraceMs,
      payloadLimit: settings.payloadLimit,
      leaseMs: settings.leaseMs,
      effects: parts.effects,
    });
    const turned = (remainingMs: number) => this.#member?.turned(remainingMs);
    const { pool } = settings;
    const shared = { ...pool, executor, logger: parts.logger, turned };
    this.#pool =
      pool.kind === 'inline'
        ? new InlinePool({ ...shared, slots: pool.size, usedUp: pool.usedUp })
        : new ProcessPool({
            ...shared,
            ...pool,
            settings: {
              module: pool.module,
              worker: settings.name,
              unknownTaskGraceMs: settings.unknownTaskGraceMs,
              leaseMs: settings.leaseMs,
            },
            offsetMs: () => this.#offsetMs,
          });
    this.#queues = settings.queues;
    this.#feed = new EventFeed({ worker: settings.name, now, publish: async (texts) => this.#member?.publish(texts) });
    this.#control = new Control({
      worker: new ControlledWorker({
        pool: this.#pool,
        tasks: parts.tasks,
        known: settings.known,
        startedAt: this.#startedAt,
        queues: () => this.#queues,
        reserved: () => this.#member?.waiting ?? [],
        cancelled: () => this.#member?.cancelled ?? [],
        finished: () => this.#recorder.finished(),
        bounds: () => this.#autoscaler?.bounds,
        consume: (queues) => this.#consume(queues),
        autoscale: (bounds) => this.#autoscale(bounds),
        changed: () => this.#member?.announce(),
        shutDown: (now) => this.#parts.shutDown(now),
      }),
      tasks: parts.tasks,
      logger: parts.logger,
      answer: async (request, body) => this.#member?.answer(request, body),
    });
  }

  get name(): string {
    return this.#settings.name;
  }

  /** What runs jobs, and how much of it there is. */
  pool(): PoolStats {
    return this.#pool.stats();
  }

  /**
   * Whether it does its work: it has not wanted jobs, and heard nothing of the broker, for as long as its lease and one poll
   * interval. By then other workers take it for dead.
   */
  health(): Health {
    const stalledMs = Math.round(this.#member?.stalledMs() ?? performance.now() - this.#madeAt);
    return { live: stalledMs <= this.#settings.leaseMs + this.#settings.pollMs, stalledMs };
  }

  /** The jobs that run now. */
  running(): readonly RunningJob[] {
    return this.#pool.running();
  }

  /**
   * Joins and begins to claim. Safe to call twice.
   *
   * @throws TaktlineError when the broker cannot be reached
   */
  start(): Promise<void> {
    if (this.#stopping !== undefined)
      return Promise.reject(new TaktlineError('BROKER_CLOSED', `worker ${this.name} was stopped; make a new one`));
    this.#starting ??= this.#start().catch((error: unknown) => {
      // The next call tries again.
      this.#starting = undefined;
      throw error;
    });
    return this.#starting;
  }

  /**
   * Claims no more, waits for what runs, hands back what does not end within the grace, and leaves. Safe to call twice.
   *
   * @param options.now hand back at once instead of waiting; also speeds up a stop that is under way
   */
  stop(options: { readonly now?: boolean } = {}): Promise<void> {
    if (options.now === true) this.#hurry.abort();
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #start(): Promise<void> {
    const broker = await this.#parts.broker();
    await this.#parts.setUp();
    try {
      await this.#join(broker);
    } catch (error) {
      await this.#pool.stop();
      await this.#parts.tearDown();
      throw error;
    }
  }

  async #join(broker: Broker): Promise<void> {
    const { name, leaseMs, pollMs, ageing } = this.#settings;
    const { logger, tasks } = this.#parts;
    // First, since children take their time: a worker that cannot run anything does not join.
    await this.#pool.start({
      settled: (settlement, ran) => {
        this.#feed.settled(this.#recorder.settled(settlement, ran), settlement, ran);
        this.#member?.settled(settlement);
      },
      roomier: () => this.#member?.roomier(),
    });
    const member = await Membership.join({
      broker,
      pool: this.#pool,
      tasks,
      logger,
      recorder: this.#recorder,
      feed: this.#feed,
      control: this.#control,
      name,
      queues: this.#queues,
      leaseMs,
      pollMs,
      ageing,
      info: () => this.#info(),
      told: (brokerTime) => {
        this.#offsetMs = brokerTime - Date.now();
      },
      lost: () => {
        if (this.#stopping === undefined) this.#rejoining = this.#rejoin(broker);
      },
    });
    this.#member = member;
    this.#autoscale(this.#autoscaler?.bounds ?? this.#settings.autoscale);
    const { kind, size } = this.#pool.stats();
    logger.info('worker started', { worker: name, pool: kind, size, concurrency: this.#pool.slots, queues: namesOf(this.#queues) });
  }

  /** What `inspect` and dashboards show of it. */
  #info(): Readonly<Record<string, unknown>> {
    const { kind, size } = this.#pool.stats();
    return {
      host: hostname(),
      pid: process.pid,
      node: process.version,
      pool: kind,
      size,
      concurrency: this.#pool.slots,
      autoscale: this.#autoscaler?.bounds,
      queues: namesOf(this.#queues),
      tasks: this.#parts.tasks.names(),
    };
  }

  /** Takes jobs of these queues from now on, also after it had to join again. */
  async #consume(queues: readonly QueueDeclaration[]): Promise<void> {
    const member = this.#member;
    if (member === undefined || member.over)
      throw new TaktlineError('BROKER_UNAVAILABLE', 'the worker is about to join again: ask once more');
    await member.consume(queues);
    this.#queues = queues;
    member.announce();
  }

  #autoscale(bounds: Bounds | undefined): void {
    if (bounds !== undefined && this.#autoscaler !== undefined) {
      this.#autoscaler.bounds = bounds;
      return;
    }
    void this.#autoscaler?.stop();
    this.#autoscaler = undefined;
    if (bounds === undefined) return;
    const { logger } = this.#parts;
    this.#autoscaler = new Autoscaler({
      bounds,
      logger,
      backlog: async () => (await this.#parts.broker()).backlog(namesOf(this.#queues)),
      state: () => {
        const { size, slots } = this.#pool;
        return { size, slots, running: this.#pool.running().length, finished: this.#recorder.total };
      },
      resize: (size) => {
        this.#pool.resize(size);
        this.#member?.announce();
      },
      failed: (error, inARow) =>
        logger[inARow === 1 ? 'warn' : 'debug']('autoscaling could not look at the load', {
          error: messageOf(error),
        }),
    });
    this.#autoscaler.start();
  }

  /** Another worker has taken over what this one held: it stops that, and joins anew. */
  async #rejoin(broker: Broker): Promise<void> {
    const { logger } = this.#parts;
    logger.error('this worker was taken for dead: its lease ran out; it joins again', { worker: this.name });
    await this.#member?.abandon();
    await this.#pool.stop();
    while (this.#stopping === undefined) {
      try {
        await this.#join(broker);
        return;
      } catch (error) {
        logger.warn('joining again failed; trying again', { error: messageOf(error) });
        await sleep(1_000, undefined, { signal: this.#leaving.signal }).catch(() => undefined);
      }
    }
  }

  async #stop(): Promise<void> {
    this.#leaving.abort();
    await this.#starting?.catch(() => undefined);
    // It may be about to be in the list again.
    await this.#rejoining;
    const member = this.#member;
    if (member === undefined) return;
    if (!member.over) await member.leave(this.#settings.shutdownGraceMs, this.#hurry.signal);
    await Promise.all([this.#pool.stop(), this.#feed.stop(), this.#autoscaler?.stop()]);
    this.#parts.logger.info('worker stopped', { worker: this.name });
    await this.#parts.tearDown();
  }
}
