/**
 * A worker: joins the broker, keeps its lease, and lets the fetcher feed the pool until it is stopped. This file only
 * composes; who does what is in fetcher.ts, pools/, executor.ts, heartbeat.ts and recovery.ts.
 *
 * Its chores, with their periods:
 *   renew the lease        a third of the lease   heartbeat-thread.ts
 *   pulse                  1 s                    progress out; cancellations, suspects and lost workers in
 *   shed                   100 ms                 hand back held jobs that will not start soon
 *   tidy                   10 s                   a step of the broker's upkeep
 */
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Broker, Claim, QueueDeclaration } from '../broker/broker.ts';
import type { Logger } from '../support/logger.ts';
import { Periodic } from '../support/periodic.ts';
import { TaktlineError } from '../support/taktline-error.ts';
import { taskNameOf } from '../task/codec.ts';
import type { TaskRegistry } from '../task/registry.ts';
import { Executor } from './executor.ts';
import { Fetcher } from './fetcher.ts';
import { Heartbeat } from './heartbeat.ts';
import { InlinePool } from './pools/inline-pool.ts';
import type { Pool, RunningJob } from './pools/pool.ts';
import { settleLost } from './recovery.ts';

export interface WorkerSettings {
  readonly name: string;
  readonly queues: readonly QueueDeclaration[];
  readonly concurrency: number;
  readonly leaseMs: number;
  readonly shutdownGraceMs: number;
  readonly pollMs: number;
  readonly unknownTaskGraceMs: number;
  readonly ageing: boolean;
  readonly payloadLimit: number;
}

export interface WorkerParts {
  /** Opens the broker, or gives the one that is open. */
  readonly broker: () => Promise<Broker>;
  readonly tasks: TaskRegistry;
  readonly logger: Logger;
}

const pulseMs = 1_000;
const shedMs = 100;
const tidyMs = 10_000;
/** How long the last settlements may take when the worker stops. */
const lastWordsMs = 5_000;

export class Worker {
  readonly #settings: WorkerSettings;
  readonly #parts: WorkerParts;
  readonly #pool: Pool;
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
    this.#pool = new InlinePool({
      slots: settings.concurrency,
      executor,
      logger: parts.logger,
      turned: (remainingMs) => this.#running?.heartbeat.turned(remainingMs),
    });
  }

  get name(): string {
    return this.#settings.name;
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
    await this.#join(broker);
  }

  async #join(broker: Broker): Promise<void> {
    const { name, leaseMs, queues, concurrency, pollMs, ageing } = this.#settings;
    const { logger } = this.#parts;
    const names = queues.map((queue) => queue.name);
    const id = await broker.join({
      name,
      leaseMs,
      info: {
        host: hostname(),
        pid: process.pid,
        node: process.version,
        pool: 'inline',
        concurrency,
        queues: names,
        tasks: this.#parts.tasks.names(),
      },
    });
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
    });
    const heartbeat = new Heartbeat({ spec: broker.heartbeat(id, leaseMs), leaseMs, logger, lost: () => this.#lost(running) });
    // The first failure of a row is worth a line; during an outage the others would say the same.
    const failed = (chore: string) => (error: unknown, inARow: number) =>
      logger[inARow === 1 ? 'warn' : 'debug'](`${chore} failed; trying again`, {
        error: error instanceof Error ? error.message : String(error),
      });
    const pulse = new Periodic({ everyMs: pulseMs, run: () => this.#pulse(running), failed: failed('pulse') });
    const deaf = await broker
      .listen(
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
      )
      .catch(async (error: unknown) => {
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
      shed: setInterval(() => fetcher.shed(), shedMs),
      deaf,
      names,
      over: false,
    };
    this.#running = running;
    await this.#pool.start({ settled: (settlement) => running.fetcher.settled(settlement) });
    heartbeat.start();
    pulse.start();
    running.tidy.start();
    fetcher.start(id);
    logger.info('worker started', { worker: name, concurrency, queues: names });
  }

  async #pulse(running: Running): Promise<void> {
    const { broker, fetcher, id } = running;
    const told = this.#pool.takeProgress();
    const pulse = await broker.pulse(id, running.names, told);
    if (!pulse.alive) {
      this.#lost(running);
      return;
    }
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
    if (running === undefined || running.over) return;
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
    await Promise.all([running.pulse.stop(), running.tidy.stop(), running.heartbeat.stop(), running.deaf(), this.#pool.stop()]);
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
  readonly shed: NodeJS.Timeout;
  readonly names: readonly string[];
  deaf(): Promise<void>;
  over: boolean;
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
