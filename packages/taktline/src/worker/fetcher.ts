/**
 * Gets jobs for the pool and takes their settlements back to the broker, both in one round trip, with two of them on
 * their way at once: the worker runs one batch while the next one travels.
 *
 * What it holds beyond the free slots is what should start within a few milliseconds, judged by what was finished
 * lately; when jobs turn out slower than that, it hands the rest back. When a queue is empty it sleeps until it is woken,
 * until the next scheduled job is due, or until its slow poll.
 *
 *   usual --suspects wait--> draining --nothing held--> suspects (10, or 1 alone) --done--> usual, for at least as long
 */
import type { Broker, Claim, ClaimedJob, ClaimRequest, Lane, Settlement } from '../broker/broker.ts';
import type { Logger } from '../support/logger.ts';
import { messageOf } from '../support/message-of.ts';
import { TaktlineError } from '../support/taktline-error.ts';
import { encodePast, noPast } from '../task/job.ts';
import { claimSize, exchangesAtOnce } from './claim-size.ts';
import { Outgoing, patienceMs } from './outgoing.ts';
import type { Pool } from './pools/pool.ts';
import { suspectBatch } from './recovery.ts';
import { Throughput } from './throughput.ts';

export interface FetcherOptions {
  readonly broker: Broker;
  readonly pool: Pool;
  readonly logger: Logger;
  /** Highest priority first; queues of one priority form a group, in which each comes first in turn. */
  readonly queues: readonly (readonly string[])[];
  readonly pollMs: number;
  readonly ageing: boolean;
  /** The broker's time, told by each claim. */
  told(brokerTime: number): void;
  /** A claim of a lost worker that this one has taken over without hearing of it. */
  recovered(claim: Claim): void;
  /** These are handed to the pool now. */
  started(jobs: readonly ClaimedJob[]): void;
}

/** Jobs held beyond the free slots are expected to be finished within this. */
const aheadMs = 20;
/** When that is only a few, within this: a claim of one or two jobs costs about as much as one of some dozens. */
const fewAheadMs = 60;
const few = 50;
/** A held job that is not expected to start within this is handed back. */
const tooLateMs = 100;
/** Every 16th claim starts from the lowest priority, so that it moves too: at least a sixteenth of the claims are its own. */
const ageingEvery = 16;
/** After it has gone to sleep a worker looks again so soon, for an enqueue that committed while it lay down; then it polls. */
const secondLooksMs = [0, 15, 100];
/** Claims found by asking whose ids are remembered. */
const foundAtMost = 1_000;

export class Fetcher {
  readonly #options: FetcherOptions;
  readonly #outgoing = new Outgoing();
  readonly #throughput: Throughput;
  #queues: readonly (readonly string[])[];
  #held: ClaimedJob[] = [];
  #worker = '';
  #inFlight = 0;
  #claiming = false;
  #requested = 0;
  #running = 0;
  #dry = false;
  #looks = 0;
  #pollTimer: NodeJS.Timeout | undefined;
  #settleTimer: NodeJS.Timeout | undefined;
  #pumpSoon: NodeJS.Immediate | undefined;
  #stopped = false;
  /** After the broker has refused the data of a batch: so many settlements go one by one, until the culprit is found. */
  #oneByOne = 0;
  #failures = 0;
  #uncertain = false;
  /** The broker did not answer when it was asked again. */
  #away = false;
  /** The last pulse told of more claims than are known here. */
  #missed = false;
  /** Claims that were found by asking: to be handed them means nothing any more. The newest ones. */
  readonly #found = new Set<string>();
  #claims = 0;
  /** When a claim was answered last, or jobs ended. */
  #movedAt = performance.now();
  #mode: 'usual' | 'draining' | 'suspects' = 'usual';
  #suspectLane: Lane = 'usual';
  #suspectsFrom = 0;
  #suspectsSince = 0;
  #suspectTimer: NodeJS.Timeout | undefined;
  #waiters: (() => void)[] = [];

  constructor(options: FetcherOptions) {
    this.#options = options;
    this.#queues = options.queues;
    this.#throughput = new Throughput(() => options.pool.slots);
  }

  /** Jobs that this worker holds: running, or waiting for a slot here. */
  get held(): number {
    return this.#running + this.#held.length;
  }

  /** Those of them that have not begun. */
  get waiting(): readonly ClaimedJob[] {
    return this.#held;
  }

  /** For so long it has had room for jobs, and no claim was answered. 0 while it does not ask for any. */
  stalledMs(): number {
    const asks = this.#claiming && this.held < this.#options.pool.slots && (this.#mode === 'usual' || this.held === 0);
    return asks ? performance.now() - this.#movedAt : 0;
  }

  /** Takes jobs of these queues from now on. What it holds of others it runs. */
  consume(queues: readonly (readonly string[])[]): void {
    this.#queues = queues;
    this.wake();
  }

  start(worker: string): void {
    this.#worker = worker;
    this.#claiming = true;
    this.wake();
  }

  /** There may be jobs. */
  wake(): void {
    this.#dry = false;
    this.#looks = 0;
    this.#pump();
  }

  /**
   * What this worker holds may not be what the broker says that it holds: it may have forgotten settlements, or have given
   * claims of which nobody here has heard. It is asked, as after an exchange that failed.
   */
  doubt(): void {
    if (this.#uncertain || this.#stopped || this.#worker === '') return;
    this.#failures += 1;
    this.#uncertain = true;
    if (this.#inFlight === 0) void this.#reconcile(0);
  }

  /** A claim that was made for this worker as its jobs came. */
  handed(claim: Claim): void {
    // One that was missed is found, and told by whoever was asked; so is what comes while somebody is asked.
    if (this.#uncertain || this.#stopped || this.#found.delete(claim.id)) return;
    // It may have found something else to do meanwhile, and another one nothing.
    // Or it takes no jobs of that queue any more.
    const taken = this.#mode === 'usual' && this.#queues.some((group) => group.includes(claim.jobs[0]?.queue ?? ''));
    this.#received(claim, taken ? Math.max(0, this.#options.pool.slots - this.held) : 0);
    // There may be more. Asked in the next turn, with what has ended by then: most often all, and it is idle again.
    this.#dry = false;
    this.#pumpLater();
  }

  /** So many claims are held by this worker, as the broker has it; told with each pulse. */
  holds(claims: number): void {
    const missed = claims > this.#outgoing.claims().length && this.#inFlight === 0;
    // A second time: what it was handed may have been on its way.
    if (missed && this.#missed) this.doubt();
    this.#missed = missed;
  }

  /** Suspects of having killed a worker wait in these lanes. */
  suspectsWait(lanes: readonly Lane[]): void {
    const [lane] = lanes;
    if (lane !== undefined && performance.now() >= this.#suspectsFrom) this.#drainFor(lane);
  }

  #drainFor(lane: Lane): void {
    if (this.#mode !== 'usual' || !this.#claiming) return;
    this.#mode = 'draining';
    this.#suspectLane = lane;
    this.#suspectsSince = performance.now();
    this.#pump();
  }

  /** Claims that came by another way than an exchange: recovered ones are settled by `settle`, the others run. */
  settle(claim: Claim, settlements: readonly Settlement[]): void {
    this.#outgoing.expect(claim.id, claim.jobs.length);
    for (const settlement of settlements) this.#outgoing.add(settlement);
    this.#pump();
  }

  /** A job of the pool has ended. */
  settled(settlement: Settlement): void {
    this.#running -= 1;
    this.#throughput.finished();
    this.#outgoing.add(settlement);
    this.#fill();
    if (this.#running === 0) this.#throughput.idle();
    // With nothing left it says so, as it settles: then it may be handed what comes.
    if (this.held === 0) this.#dry = false;
    this.#pumpLater();
  }

  /** The pool has more slots than before. */
  roomier(): void {
    this.#fill();
    this.#pump();
  }

  /** Jobs that end in one turn of the loop are settled together. */
  #pumpLater(): void {
    this.#pumpSoon ??= setImmediate(() => {
      this.#pumpSoon = undefined;
      this.#movedAt = performance.now();
      this.#pump();
    });
  }

  /** Forgets all that it holds: the lease is lost. */
  forget(): void {
    this.#held = [];
    this.#outgoing.clear();
  }

  /** Claims no more, and hands back what has not begun. */
  drain(): void {
    this.#claiming = false;
    clearTimeout(this.#pollTimer);
    this.#release(this.#held.splice(0));
    // It may be handed something in this moment. Once it is asked it is handed nothing more, and what was found goes back.
    if (this.#running === 0) this.doubt();
    this.#pump();
  }

  /** Sends nothing more. */
  stop(): void {
    this.#stopped = true;
    this.#claiming = false;
    clearTimeout(this.#pollTimer);
    clearTimeout(this.#settleTimer);
    clearTimeout(this.#suspectTimer);
    clearImmediate(this.#pumpSoon);
  }

  /** Resolves when nothing is held, on its way, or waiting to be settled; or when `ms` have passed (false). */
  async quiet(ms: number): Promise<boolean> {
    const deadline = performance.now() + ms;
    while (!this.#nothingToDo()) {
      const left = deadline - performance.now();
      if (left <= 0) return false;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#waiters.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
    return true;
  }

  /** A broker that is away need not be waited for when there is nothing to tell it. */
  #nothingToDo(): boolean {
    return this.held === 0 && this.#outgoing.size === 0 && (this.#inFlight === 0 || this.#away);
  }

  /** Hands back what will not start soon: the jobs before it have turned out slow. Called now and then. */
  shed(): void {
    if (this.#mode !== 'usual') return;
    const soon = Math.ceil(this.#throughput.expected(tooLateMs));
    if (this.#held.length > soon) this.#release(this.#held.splice(soon));
    this.#pump();
  }

  /** Starts as many exchanges as there is reason for. */
  #pump(): void {
    while (this.#inFlight < exchangesAtOnce && this.#failures === 0 && !this.#stopped) {
      const request = this.#request();
      const starved = request !== undefined && this.#held.length === 0;
      // Slow tasks settle with each claim; fast ones finish their claim before the wait for it is over.
      const slow = this.#throughput.expected(patienceMs) < this.#options.pool.slots;
      const settlements = this.#take((starved && slow) || !this.#claiming || this.#mode !== 'usual');
      if (settlements.length === 0 && request === undefined) break;
      // Two claims of the same hunger would halve the batches; two settlements keep the pipe full.
      if (settlements.length === 0 && this.#inFlight > 0 && !starved) break;
      void this.#exchange(settlements, request);
    }
    this.#arm();
    if (this.#nothingToDo()) this.#notify();
  }

  #take(all: boolean): readonly Settlement[] {
    const settlements = this.#outgoing.take(all);
    if (this.#oneByOne === 0 || settlements.length < 2) return settlements;
    this.#outgoing.putBack(settlements.slice(1));
    return settlements.slice(0, 1);
  }

  #notify(): void {
    for (const resolve of this.#waiters.splice(0)) resolve();
  }

  /** What to claim now; undefined for nothing. */
  #request(): ClaimRequest | undefined {
    if (!this.#claiming || this.#uncertain) return undefined;
    if (this.#mode !== 'usual') return this.#suspectRequest();
    if (this.#dry) return undefined;
    const limit = claimSize({
      slots: this.#options.pool.slots,
      ahead: this.#ahead(),
      held: this.#held.length,
      running: this.#running,
      requested: this.#requested,
    });
    if (limit === 0) return undefined;
    this.#claims += 1;
    return {
      queues: this.#order(),
      limit,
      lane: 'usual',
      lowestFirst: this.#options.ageing && this.#claims % ageingEvery === 0,
      idle: true,
      hand: this.held === 0 ? this.#options.pool.slots : 0,
    };
  }

  #ahead(): number {
    const expected = (ms: number) => Math.floor(this.#throughput.expected(ms));
    return Math.max(expected(aheadMs), Math.min(few, expected(fewAheadMs)));
  }

  #suspectRequest(): ClaimRequest | undefined {
    if (this.held > 0 || this.#inFlight > 0 || this.#outgoing.size > 0) return undefined;
    if (this.#mode === 'suspects') {
      this.#leaveSuspects(true);
      return this.#request();
    }
    this.#mode = 'suspects';
    return {
      queues: this.#order(),
      limit: this.#suspectLane === 'alone' ? 1 : suspectBatch,
      lane: this.#suspectLane,
      lowestFirst: false,
      idle: false,
      hand: 0,
    };
  }

  /** The others have waited for the suspects: now they get at least as long. Then it is the turn of the next suspects. */
  #leaveSuspects(found: boolean): void {
    this.#mode = 'usual';
    this.#dry = false;
    this.#looks = 0;
    const share = Math.min(60_000, performance.now() - this.#suspectsSince);
    this.#suspectsFrom = performance.now() + share;
    if (!found) return;
    clearTimeout(this.#suspectTimer);
    this.#suspectTimer = setTimeout(() => this.#drainFor(this.#suspectLane), share);
  }

  #order(): readonly string[] {
    return this.#queues.flatMap((group) => {
      const first = this.#claims % group.length;
      return first === 0 ? group : [...group.slice(first), ...group.slice(0, first)];
    });
  }

  async #exchange(settlements: readonly Settlement[], request: ClaimRequest | undefined): Promise<void> {
    this.#inFlight += 1;
    this.#requested += request?.limit ?? 0;
    try {
      const reply = await this.#options.broker.exchange(this.#worker, settlements, request);
      if (request !== undefined) this.#movedAt = performance.now();
      this.#failures = 0;
      this.#oneByOne = Math.max(0, this.#oneByOne - settlements.length);
      const refused = reply.accepted.filter((accepted) => !accepted).length;
      if (refused > 0) this.#options.logger.warn('settlements were refused: their claim is no longer held by this worker', { refused });
      for (const claim of reply.claims) this.#received(claim);
      if (reply.claims.length === 0 && request !== undefined && !reply.more) this.#foundNothing(request, reply.nextDueInMs);
    } catch (error) {
      this.#failed(settlements, error);
    } finally {
      this.#inFlight -= 1;
      this.#requested -= request?.limit ?? 0;
      if (this.#uncertain && this.#inFlight === 0) void this.#reconcile();
      else this.#pump();
    }
  }

  /** @param room jobs beyond so many go back */
  #received(claim: Claim, room = claim.jobs.length): void {
    this.#options.told(claim.claimedAt);
    this.#looks = 0;
    this.#outgoing.expect(claim.id, claim.jobs.length);
    const kept = this.#claiming ? room : 0;
    for (const job of claim.jobs.slice(0, kept)) this.#held.push(job);
    this.#release(claim.jobs.slice(kept));
    this.#fill();
  }

  #fill(): void {
    const free = this.#options.pool.slots - this.#running;
    if (free <= 0 || this.#held.length === 0) return;
    const next = this.#held.splice(0, free);
    this.#running += next.length;
    this.#throughput.busy();
    this.#options.started(next);
    this.#options.pool.run(next);
  }

  #foundNothing(request: ClaimRequest, nextDueInMs: number | undefined): void {
    if (request.lane !== 'usual') {
      this.#leaveSuspects(false);
      return;
    }
    this.#dry = true;
    const pollMs = secondLooksMs[this.#looks] ?? this.#options.pollMs;
    this.#looks += 1;
    clearTimeout(this.#pollTimer);
    const waitMs = Math.max(0, Math.min(pollMs, nextDueInMs ?? pollMs));
    this.#pollTimer = setTimeout(() => {
      this.#dry = false;
      this.#pump();
    }, waitMs);
  }

  /** A timer for settlements that wait for the rest of their claim. */
  #arm(): void {
    if (this.#settleTimer !== undefined || this.#failures > 0 || this.#stopped) return;
    const dueInMs = this.#outgoing.dueInMs();
    if (dueInMs === undefined || this.#inFlight >= exchangesAtOnce) return;
    this.#settleTimer = setTimeout(() => {
      this.#settleTimer = undefined;
      this.#pump();
    }, dueInMs);
  }

  #failed(settlements: readonly Settlement[], error: unknown): void {
    const refused = error instanceof TaktlineError && error.code === 'INVALID_INPUT';
    const [only] = settlements;
    if (refused && settlements.length === 1 && only !== undefined) this.#buryUnstorable(only, error);
    else this.#outgoing.putBack(settlements);
    this.#oneByOne = refused && settlements.length > 1 ? settlements.length : 0;
    this.#failures += 1;
    this.#uncertain = true;
    const message = messageOf(error);
    if (this.#failures === 1)
      this.#options.logger.warn('the exchange with the broker failed; trying again', {
        error: message,
        code: (error as Partial<TaktlineError>).code,
      });
  }

  /** The broker cannot store what this job came to. It must not hold up the others. */
  #buryUnstorable(settlement: Settlement, error: Error): void {
    const { job } = settlement;
    this.#options.logger.error('the outcome of a job cannot be stored', { job: job.id, outcome: settlement.kind, error: error.message });
    if (settlement.kind === 'bury') return;
    this.#outgoing.putBack([
      { kind: 'bury', job, task: '', code: 'INVALID_INPUT', message: 'what the job came to could not be stored', past: encodePast(noPast) },
    ]);
  }

  /**
   * After a failed exchange: its reply may have been lost with a claim in it, so the broker is asked what this worker
   * holds; also when another server has taken its place. Repeated, slower and slower up to a second, until the broker answers.
   */
  async #reconcile(waitMs = Math.min(1_000, 50 * 2 ** Math.min(this.#failures, 5))): Promise<void> {
    if (this.#inFlight > 0 || this.#stopped) return;
    this.#inFlight += 1;
    try {
      if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
      const claims = await this.#options.broker.missing(this.#worker, this.#outgoing.claims());
      this.#uncertain = false;
      this.#away = false;
      this.#failures = 0;
      this.#dry = false;
      this.#looks = 0;
      for (const claim of claims) {
        if (claim.jobs.length === 0) continue;
        this.#found.add(claim.id);
        if (this.#found.size > foundAtMost) this.#found.delete(this.#found.values().next().value as string);
        this.#options.logger.info('found a claim of which it had not heard', { jobs: claim.jobs.length });
        if (claim.lost === undefined) this.#received(claim);
        else this.#options.recovered(claim);
      }
    } catch {
      this.#failures += 1;
      this.#away = true;
      if (this.#nothingToDo()) this.#notify();
    } finally {
      this.#inFlight -= 1;
      if (this.#uncertain) void this.#reconcile();
      else this.#pump();
    }
  }

  #release(jobs: readonly ClaimedJob[]): void {
    for (const job of jobs) this.#outgoing.add({ kind: 'release', job, lane: job.lane });
  }
}
