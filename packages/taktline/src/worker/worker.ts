/**
 * A worker: joins the broker, keeps its lease, and lets the fetcher feed the pool until it is stopped. This file only
 * composes; who does what is in fetcher.ts, pools/, executor.ts, heartbeat.ts, recovery.ts, recorder.ts, event-feed.ts,
 * control.ts and autoscaler.ts.
 *
 * Its chores, with their periods:
 *   renew the lease        a third of the lease   heartbeat-thread.ts
 *   pulse                  1 s                    progress and counts out; cancellations, suspects, lost workers and requests in
 *   shed                   100 ms                 hand back held jobs that will not start soon
 *   tidy                   10 s                   a step of the broker's upkeep
 *   autoscale              1 s, if asked for      look at the load, and set the size of the pool
 *   tell events            250 ms, if watched     event-feed.ts
 *   describe the tasks     1 day                  so that the catalogue keeps them
 */
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Broker, Claim, Pulse, QueueDeclaration } from '../broker/broker.ts';
import type { Logger } from '../support/logger.ts';
import { Periodic } from '../support/periodic.ts';
import { TaktlineError } from '../support/taktline-error.ts';
import { taskNameOf } from '../task/codec.ts';
import { describeTask } from '../task/description.ts';
import type { TaskRegistry } from '../task/registry.ts';
import { Autoscaler, type Bounds } from './autoscaler.ts';
import { Control } from './control.ts';
import { ControlledWorker } from './controlled.ts';
import { EventFeed } from './event-feed.ts';
import { Executor } from './executor.ts';
import { Fetcher } from './fetcher.ts';
import { Heartbeat } from './heartbeat.ts';
import { InlinePool } from './pools/inline-pool.ts';
import type { Pool, PoolStats, RunningJob } from './pools/pool.ts';
import { ProcessPool } from './pools/process-pool.ts';
import { Recorder } from './recorder.ts';
import { settleLost } from './recovery.ts';

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
  /** The app's hooks. */
  readonly setUp: () => Promise<void>;
  readonly tearDown: () => Promise<void>;
  /** Somebody asks from outside that the worker stops: whoever runs it decides what that means. */
  readonly shutDown: (now: boolean) => void;
}

const pulseMs = 1_000;
const shedMs = 100;
const tidyMs = 10_000;
const describeMs = 86_400_000;
/** How long the last settlements may take when the worker stops. */
const lastWordsMs = 5_000;

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
  #running: Running | undefined;
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
    });
    const turned = (remainingMs: number) => this.#running?.heartbeat.turned(remainingMs);
    const { pool } = settings;
    const shared = { ...pool, executor, logger: parts.logger, turned };
    this.#pool =
      pool.kind === 'inline'
        ? new InlinePool({ ...shared, slots: pool.size, usedUp: pool.usedUp })
        : new ProcessPool({
            ...shared,
            ...pool,
            settings: { module: pool.module, worker: settings.name, unknownTaskGraceMs: settings.unknownTaskGraceMs },
            offsetMs: () => this.#offsetMs,
          });
    this.#queues = settings.queues;
    this.#feed = new EventFeed({ worker: settings.name, now, publish: async (texts) => this.#running?.broker.publish(texts) });
    this.#control = new Control({
      worker: new ControlledWorker({
        pool: this.#pool,
        tasks: parts.tasks,
        known: settings.known,
        startedAt: this.#startedAt,
        queues: () => this.#queues,
        reserved: () => this.#running?.fetcher.waiting ?? [],
        cancelled: () => this.#running?.cancelled ?? [],
        finished: () => this.#recorder.finished,
        bounds: () => this.#autoscaler?.bounds,
        consume: (queues) => this.#consume(queues),
        autoscale: (bounds) => this.#autoscale(bounds),
        changed: () => this.#announce(),
        shutDown: (now) => this.#parts.shutDown(now),
      }),
      tasks: parts.tasks,
      logger: parts.logger,
      answer: async (request, body) => {
        const running = this.#running;
        await running?.broker.answer(running.id, request, body);
      },
    });
  }

  get name(): string {
    return this.#settings.name;
  }

  /** What runs jobs, and how much of it there is. */
  pool(): PoolStats {
    return this.#pool.stats();
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
    const { logger } = this.#parts;
    const queues = this.#queues;
    // First, since children take their time: a worker that cannot run anything does not join.
    await this.#pool.start({
      settled: (settlement, ran) => {
        this.#feed.settled(this.#recorder.settled(settlement, ran), settlement, ran);
        this.#running?.fetcher.settled(settlement);
      },
      roomier: () => this.#running?.fetcher.roomier(),
    });
    // Before anything of these tasks can be seen: who sees it should know what to mask.
    await this.#describe(broker);
    const id = await broker.join({ name, leaseMs, info: this.#info() });
    const fetcher = new Fetcher({
      broker,
      pool: this.#pool,
      logger,
      queues: groups(queues),
      pollMs,
      ageing,
      told: (brokerTime) => {
        this.#offsetMs = brokerTime - Date.now();
      },
      recovered: (claim) => this.#settleLost(fetcher, claim),
      started: (jobs) => this.#feed.started(jobs),
    });
    const heartbeat = new Heartbeat({ spec: broker.heartbeat(id, leaseMs), leaseMs, logger, lost: () => this.#lost(running) });
    // The first failure of a row is worth a line; during an outage the others would say the same.
    const failed = (chore: string) => (error: unknown, inARow: number) =>
      logger[inARow === 1 ? 'warn' : 'debug'](`${chore} failed; trying again`, {
        error: error instanceof Error ? error.message : String(error),
      });
    const pulse = new Periodic({ everyMs: pulseMs, run: () => this.#pulse(running), failed: failed('pulse') });
    const listen = (names: readonly string[]) =>
      broker.listen(
        names,
        {
          jobs: () => fetcher.wake(),
          handed: (claim) => fetcher.handed(claim),
          doubt: () => fetcher.doubt(),
          attention: (worker) => {
            if (worker === id) pulse.now();
          },
        },
        id,
      );
    const deaf = await listen(namesOf(queues)).catch(async (error: unknown) => {
      await broker.leave(id).catch(() => undefined);
      throw error;
    });
    const running: Running = {
      id,
      broker,
      fetcher,
      heartbeat,
      pulse,
      tidy: new Periodic({ everyMs: tidyMs, run: () => tidy(broker), failed: failed('tidy') }),
      describe: new Periodic({ everyMs: describeMs, run: () => this.#describe(broker), failed: failed('describing the tasks') }),
      shed: setInterval(() => fetcher.shed(), shedMs),
      listen,
      deaf,
      cancelled: [],
      over: false,
    };
    this.#running = running;
    heartbeat.start();
    pulse.start();
    running.tidy.start();
    running.describe.start();
    fetcher.start(id);
    this.#autoscale(this.#autoscaler?.bounds ?? this.#settings.autoscale);
    const { kind, size } = this.#pool.stats();
    logger.info('worker started', { worker: name, pool: kind, size, concurrency: this.#pool.slots, queues: namesOf(queues) });
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

  /** What it has announced has changed. Told as well as it can be: the next change tells it again. */
  #announce(): void {
    const running = this.#running;
    if (running === undefined || running.over) return;
    running.broker.announce(running.id, this.#info()).catch((error: unknown) =>
      this.#parts.logger.warn('the worker could not announce its change', {
        error: error instanceof Error ? error.message : String(error),
      }),
    );
  }

  async #describe(broker: Broker): Promise<void> {
    await broker.describe(this.#parts.tasks.all().map((task) => ({ name: task.name, description: JSON.stringify(describeTask(task)) })));
  }

  /** Takes jobs of these queues from now on, also after it had to join again. */
  async #consume(queues: readonly QueueDeclaration[]): Promise<void> {
    const running = this.#running;
    if (running === undefined || running.over)
      throw new TaktlineError('BROKER_UNAVAILABLE', 'the worker is about to join again: ask once more');
    const before = running.deaf;
    running.deaf = await running.listen(namesOf(queues));
    this.#queues = queues;
    running.fetcher.consume(groups(queues));
    this.#announce();
    await before();
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
        this.#announce();
      },
      failed: (error, inARow) =>
        logger[inARow === 1 ? 'warn' : 'debug']('autoscaling could not look at the load', {
          error: error instanceof Error ? error.message : String(error),
        }),
    });
    this.#autoscaler.start();
  }

  async #pulse(running: Running): Promise<void> {
    const { broker, fetcher, id } = running;
    const progress = this.#pool.takeProgress();
    const counted = this.#recorder.take();
    const pulse = await broker.pulse(id, namesOf(this.#queues), counted === undefined ? { progress } : { progress, counted });
    this.#recorder.arrived(counted);
    if (!pulse.alive) {
      this.#lost(running);
      return;
    }
    running.cancelled = pulse.cancelled;
    this.#control.take(pulse.requests);
    this.#feed.watched(pulse.watched, { running: this.#pool.running().length, held: fetcher.waiting.length, slots: this.#pool.slots });
    for (const job of pulse.cancelled) this.#pool.abort('cancelled', job);
    fetcher.suspectsWait(pulse.suspects);
    fetcher.holds(pulse.held);
    if (!pulse.lostWorkers) return;
    const claims = await broker.recover(id).catch((error: unknown) => {
      fetcher.doubt();
      throw error;
    });
    for (const claim of claims) this.#settleLost(fetcher, claim);
    // Recovery goes in bounded steps: look again at once while there is something.
    if (claims.length > 0) running.pulse.now();
  }

  #settleLost(fetcher: Fetcher, claim: Claim): void {
    this.#parts.logger.warn('took over the jobs of a lost worker', { lost: claim.lost?.worker, jobs: claim.jobs.length });
    for (const { envelope, queue } of claim.jobs) {
      const task = taskNameOf(envelope);
      // Of a task that nobody here knows the name is anybody's text.
      this.#recorder.lost(this.#parts.tasks.find(task) === undefined ? '' : task, queue);
    }
    fetcher.settle(
      claim,
      settleLost(claim, ({ envelope }) => taskNameOf(envelope)),
    );
  }

  /** Another worker has taken over what this one held: stop it, forget it, and join anew. */
  #lost(running: Running): void {
    if (running.over || this.#stopping !== undefined) return;
    running.over = true;
    this.#rejoining = this.#rejoin(running);
  }

  async #rejoin(running: Running): Promise<void> {
    this.#parts.logger.error('this worker was taken for dead: its lease ran out; it joins again', { worker: this.name });
    running.fetcher.stop();
    running.fetcher.forget();
    this.#pool.abort('lease-lost');
    this.#pool.handBack();
    await this.#leaveParts(running);
    while (this.#stopping === undefined) {
      try {
        await this.#join(running.broker);
        return;
      } catch (error) {
        this.#parts.logger.warn('joining again failed; trying again', { error: error instanceof Error ? error.message : String(error) });
        await sleep(1_000, undefined, { signal: this.#leaving.signal }).catch(() => undefined);
      }
    }
  }

  async #stop(): Promise<void> {
    this.#leaving.abort();
    await this.#starting?.catch(() => undefined);
    // It may be about to be in the list again.
    await this.#rejoining;
    const running = this.#running;
    if (running === undefined) return;
    if (!running.over) await this.#leave(running);
    await this.#parts.tearDown();
  }

  async #leave(running: Running): Promise<void> {
    const { fetcher, broker, id } = running;
    const graceMs = this.#settings.shutdownGraceMs;
    // Tasks that watch their signal get the last part of the grace to come to an end.
    const warnMs = graceMs - Math.min(2_000, graceMs / 4);
    fetcher.drain();
    const ended = await this.#quiet(fetcher, warnMs);
    if (!ended) {
      this.#pool.abort('shutdown');
      if (!(await this.#quiet(fetcher, this.#hurry.signal.aborted ? 0 : graceMs - warnMs))) this.#pool.handBack();
    }
    const told = await fetcher.quiet(lastWordsMs);
    fetcher.stop();
    // What it has counted since the last pulse.
    if (told) await this.#pulse(running).catch(() => undefined);
    await Promise.all([this.#feed.stop(), this.#autoscaler?.stop()]);
    running.over = true;
    await this.#leaveParts(running);
    if (!told)
      this.#parts.logger.error('the last settlements did not reach the broker: those jobs run again when the lease has run out', {
        worker: this.name,
      });
    else await broker.leave(id).catch(() => undefined);
    this.#parts.logger.info('worker stopped', { worker: this.name });
  }

  /** Waits for the end of what runs; a second stop cuts it short. */
  async #quiet(fetcher: Fetcher, ms: number): Promise<boolean> {
    const { signal } = this.#hurry;
    if (signal.aborted) return fetcher.held === 0;
    const hurried = new Promise<false>((resolve) => signal.addEventListener('abort', () => resolve(false), { once: true }));
    return Promise.race([fetcher.quiet(ms), hurried]);
  }

  async #leaveParts(running: Running): Promise<void> {
    clearInterval(running.shed);
    await Promise.all([
      running.pulse.stop(),
      running.tidy.stop(),
      running.describe.stop(),
      running.heartbeat.stop(),
      running.deaf(),
      this.#pool.stop(),
    ]);
  }
}

/** What exists while the worker is in the broker's list. */
interface Running {
  readonly id: string;
  readonly broker: Broker;
  readonly fetcher: Fetcher;
  readonly heartbeat: Heartbeat;
  readonly pulse: Periodic;
  readonly tidy: Periodic;
  readonly describe: Periodic;
  readonly shed: NodeJS.Timeout;
  readonly listen: (queues: readonly string[]) => Promise<() => Promise<void>>;
  deaf: () => Promise<void>;
  /** Of what it holds: whose cancellation is asked for. */
  cancelled: Pulse['cancelled'];
  over: boolean;
}

function namesOf(queues: readonly QueueDeclaration[]): readonly string[] {
  return queues.map(({ name }) => name);
}

/** Queues of one priority form a group; the groups in order, highest first. */
function groups(queues: readonly QueueDeclaration[]): readonly (readonly string[])[] {
  const byPriority = new Map<number, string[]>();
  for (const { name, priority } of queues) byPriority.set(priority, [...(byPriority.get(priority) ?? []), name]);
  return [...byPriority.entries()].sort(([a], [b]) => b - a).map(([, names]) => names);
}

/** Some steps, so that a backlog shrinks without keeping the broker busy. */
async function tidy(broker: Broker): Promise<void> {
  for (let step = 0; step < 50; step++) if (!(await broker.tidy())) return;
}
