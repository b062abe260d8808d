/**
 * One stay of a worker in the broker's list: from joining, with a lease of its own, until it leaves or is taken for dead. A
 * worker that was taken for dead joins anew, as another member.
 *
 * Its chores, with their periods:
 *   renew the lease        a third of the lease   heartbeat-thread.ts
 *   pulse                  1 s                    progress and counts out; cancellations, suspects, lost workers and requests in
 *   shed                   100 ms                 hand back held jobs that will not start soon
 *   tidy                   10 s                   a step of the broker's upkeep
 *   describe the tasks     1 day                  so that the catalogue keeps them
 */
import type { Broker, Claim, ClaimedJob, Pulse, QueueDeclaration, Settlement } from '../broker/broker.ts';
import type { Logger } from '../support/logger.ts';
import { messageOf } from '../support/message-of.ts';
import { Periodic } from '../support/periodic.ts';
import { taskNameOf } from '../task/codec.ts';
import { describeTask } from '../task/description.ts';
import type { TaskRegistry } from '../task/registry.ts';
import type { Control } from './control.ts';
import type { EventFeed } from './event-feed.ts';
import { Fetcher } from './fetcher.ts';
import { Heartbeat } from './heartbeat.ts';
import type { Pool } from './pools/pool.ts';
import type { Recorder } from './recorder.ts';
import { settleLost } from './recovery.ts';

export interface MembershipOptions {
  readonly broker: Broker;
  readonly pool: Pool;
  readonly tasks: TaskRegistry;
  readonly logger: Logger;
  readonly recorder: Recorder;
  readonly feed: EventFeed;
  readonly control: Control;
  readonly name: string;
  readonly queues: readonly QueueDeclaration[];
  readonly leaseMs: number;
  readonly pollMs: number;
  readonly ageing: boolean;
  /** What `inspect` and dashboards show of the worker. */
  info(): Readonly<Record<string, unknown>>;
  /** Told the time of the broker's clock. */
  told(brokerTime: number): void;
  /** Another worker has taken over what this one held; told once. */
  lost(): void;
}

const pulseMs = 1_000;
const shedMs = 100;
const tidyMs = 10_000;
const describeMs = 86_400_000;
/** How long the last settlements may take when it leaves. */
const lastWordsMs = 5_000;

export class Membership {
  readonly #options: MembershipOptions;
  readonly #id: string;
  readonly #fetcher: Fetcher;
  readonly #heartbeat: Heartbeat;
  readonly #pulse: Periodic;
  readonly #tidy: Periodic;
  readonly #describe: Periodic;
  #shed: NodeJS.Timeout | undefined;
  #deaf: () => Promise<void> = () => Promise.resolve();
  #queues: readonly QueueDeclaration[];
  #cancelled: Pulse['cancelled'] = [];
  #over = false;
  #lostAt: number | undefined;

  /** @throws TaktlineError when the broker cannot be reached */
  static async join(options: MembershipOptions): Promise<Membership> {
    const { broker, name, leaseMs } = options;
    // Before anything of these tasks can be seen: who sees it should know what to mask.
    await describe(broker, options.tasks);
    const id = await broker.join({ name, leaseMs, info: options.info() });
    const membership = new Membership(id, options);
    try {
      membership.#deaf = await membership.#listen(namesOf(options.queues));
    } catch (error) {
      await broker.leave(id).catch(() => undefined);
      throw error;
    }
    membership.#begin();
    return membership;
  }

  private constructor(id: string, options: MembershipOptions) {
    const { broker, pool, logger, queues, leaseMs, pollMs, ageing, feed } = options;
    this.#id = id;
    this.#options = options;
    this.#queues = queues;
    this.#fetcher = new Fetcher({
      broker,
      pool,
      logger,
      queues: groups(queues),
      pollMs,
      ageing,
      told: (brokerTime) => options.told(brokerTime),
      recovered: (claim) => this.#settleLost(claim),
      started: (jobs) => feed.started(jobs),
    });
    this.#heartbeat = new Heartbeat({ spec: broker.heartbeat(id, leaseMs), leaseMs, logger, lost: () => this.#lost() });
    // The first failure of a row is worth a line; during an outage the others would say the same.
    const failed = (chore: string) => (error: unknown, inARow: number) =>
      logger[inARow === 1 ? 'warn' : 'debug'](`${chore} failed; trying again`, {
        error: messageOf(error),
      });
    this.#pulse = new Periodic({ everyMs: pulseMs, run: () => this.#pulsed(), failed: failed('pulse') });
    this.#tidy = new Periodic({ everyMs: tidyMs, run: () => tidy(broker), failed: failed('tidy') });
    this.#describe = new Periodic({
      everyMs: describeMs,
      run: () => describe(broker, options.tasks),
      failed: failed('describing the tasks'),
    });
  }

  #begin(): void {
    this.#shed = setInterval(() => this.#fetcher.shed(), shedMs);
    for (const part of [this.#heartbeat, this.#pulse, this.#tidy, this.#describe]) part.start();
    this.#fetcher.start(this.#id);
  }

  get queues(): readonly QueueDeclaration[] {
    return this.#queues;
  }

  /** Jobs that it holds and that have not begun. */
  get waiting(): readonly ClaimedJob[] {
    return this.#fetcher.waiting;
  }

  /** Of what it holds: whose cancellation is asked for. */
  get cancelled(): Pulse['cancelled'] {
    return this.#cancelled;
  }

  /** It was taken for dead. */
  get over(): boolean {
    return this.#over;
  }

  /** For so long it has wanted jobs, and heard nothing of the broker. 0 while all goes well. */
  stalledMs(): number {
    return this.#lostAt === undefined ? this.#fetcher.stalledMs() : performance.now() - this.#lostAt;
  }

  turned(remainingMs: number): void {
    this.#heartbeat.turned(remainingMs);
  }

  settled(settlement: Settlement): void {
    this.#fetcher.settled(settlement);
  }

  roomier(): void {
    this.#fetcher.roomier();
  }

  publish(texts: readonly string[]): Promise<void> {
    return this.#options.broker.publish(texts);
  }

  answer(request: string, body: string): Promise<void> {
    return this.#options.broker.answer(this.#id, request, body);
  }

  /** What is announced of the worker has changed. Told as well as it can be: the next change tells it again. */
  announce(): void {
    if (this.#over) return;
    const { broker, logger, info } = this.#options;
    broker.announce(this.#id, info()).catch((error: unknown) =>
      logger.warn('the worker could not announce its change', {
        error: messageOf(error),
      }),
    );
  }

  /** Takes jobs of these queues from now on. */
  async consume(queues: readonly QueueDeclaration[]): Promise<void> {
    const before = this.#deaf;
    this.#deaf = await this.#listen(namesOf(queues));
    this.#queues = queues;
    this.#fetcher.consume(groups(queues));
    await before();
  }

  /**
   * Claims no more, waits for what runs, hands back what does not end in time, and leaves the list.
   *
   * @param hurry aborted: do not wait for what runs any longer
   */
  async leave(graceMs: number, hurry: AbortSignal): Promise<void> {
    const { pool, broker, logger, name } = this.#options;
    const fetcher = this.#fetcher;
    // Tasks that watch their signal get the last part of the grace to come to an end.
    const warnMs = graceMs - Math.min(2_000, graceMs / 4);
    fetcher.drain();
    if (!(await this.#quiet(warnMs, hurry))) {
      pool.abort('shutdown');
      if (!(await this.#quiet(hurry.aborted ? 0 : graceMs - warnMs, hurry))) pool.handBack();
    }
    const told = await fetcher.quiet(lastWordsMs);
    fetcher.stop();
    // What it has counted since the last pulse.
    if (told) await this.#pulsed().catch(() => undefined);
    this.#over = true;
    await this.#end();
    if (told) await broker.leave(this.#id).catch(() => undefined);
    else logger.error('the last settlements did not reach the broker: those jobs run again when the lease has run out', { worker: name });
  }

  /** Ends without a word to the broker, which has given away what this member held: stops it, and forgets it. */
  async abandon(): Promise<void> {
    this.#fetcher.stop();
    this.#fetcher.forget();
    this.#options.pool.abort('lease-lost');
    this.#options.pool.handBack();
    await this.#end();
    // A broker that has lost its data does not know this worker, and may have given it jobs since: others get them now.
    await this.#options.broker.leave(this.#id).catch(() => undefined);
  }

  /** Waits for the end of what runs; hurry cuts it short. */
  async #quiet(ms: number, hurry: AbortSignal): Promise<boolean> {
    if (hurry.aborted) return this.#fetcher.held === 0;
    const hurried = new Promise<false>((resolve) => hurry.addEventListener('abort', () => resolve(false), { once: true }));
    return Promise.race([this.#fetcher.quiet(ms), hurried]);
  }

  async #end(): Promise<void> {
    clearInterval(this.#shed);
    await Promise.all([this.#pulse.stop(), this.#tidy.stop(), this.#describe.stop(), this.#heartbeat.stop(), this.#deaf()]);
  }

  #listen(queues: readonly string[]): Promise<() => Promise<void>> {
    const fetcher = this.#fetcher;
    return this.#options.broker.listen(
      queues,
      {
        jobs: () => fetcher.wake(),
        handed: (claim) => fetcher.handed(claim),
        doubt: () => fetcher.doubt(),
        attention: (worker) => {
          if (worker === this.#id) this.#pulse.now();
        },
      },
      this.#id,
    );
  }

  async #pulsed(): Promise<void> {
    const { broker, pool, recorder, control, feed } = this.#options;
    const progress = pool.takeProgress();
    const counted = recorder.take();
    const told = counted === undefined ? { progress } : { progress, counted };
    const pulse = await broker.pulse(this.#id, namesOf(this.#queues), told);
    recorder.arrived(counted);
    if (!pulse.alive) {
      this.#lost();
      return;
    }
    this.#cancelled = pulse.cancelled;
    control.take(pulse.requests);
    feed.watched(pulse.watched, { running: pool.running().length, held: this.waiting.length, slots: pool.slots });
    for (const job of pulse.cancelled) pool.abort('cancelled', job);
    this.#fetcher.suspectsWait(pulse.suspects);
    this.#fetcher.holds(pulse.held);
    if (!pulse.lostWorkers) return;
    const claims = await broker.recover(this.#id).catch((error: unknown) => {
      this.#fetcher.doubt();
      throw error;
    });
    for (const claim of claims) this.#settleLost(claim);
    // Recovery goes in bounded steps: look again at once while there is something.
    if (claims.length > 0) this.#pulse.now();
  }

  #settleLost(claim: Claim): void {
    const { logger, tasks, recorder } = this.#options;
    logger.warn('took over the jobs of a lost worker', { lost: claim.lost?.worker, jobs: claim.jobs.length });
    for (const { envelope, queue } of claim.jobs) {
      const task = taskNameOf(envelope);
      // Of a task that nobody here knows the name is anybody's text.
      recorder.lost(tasks.find(task) === undefined ? '' : task, queue);
    }
    this.#fetcher.settle(
      claim,
      settleLost(claim, ({ envelope }) => taskNameOf(envelope)),
    );
  }

  #lost(): void {
    if (this.#over) return;
    this.#over = true;
    this.#lostAt = performance.now();
    this.#options.lost();
  }
}

function describe(broker: Broker, tasks: TaskRegistry): Promise<void> {
  return broker.describe(tasks.all().map((task) => ({ name: task.name, description: JSON.stringify(describeTask(task)) })));
}

export function namesOf(queues: readonly QueueDeclaration[]): readonly string[] {
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
