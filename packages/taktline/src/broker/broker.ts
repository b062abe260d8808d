/**
 * The broker contract: what a client and a worker ask of the place where jobs are kept. It speaks of jobs, queues and
 * time, never of keys or tables. Every verb that runs often takes and returns batches. Each implementation passes the
 * conformance suite in test/conformance. What only people need (counts, lists, redrive, purge) is in inspector.ts.
 *
 * All times are milliseconds since the Unix epoch by the broker's clock.
 */
import type { Histogram } from '../support/histogram.ts';
import type { RunStatement } from '../support/transaction.ts';
import type { WaitingState } from '../task/job.ts';

/** A queue that the app declares. */
export interface QueueDeclaration {
  readonly name: string;
  /** 1 (last) to 10 (first). */
  readonly priority: number;
  /**
   * Its jobs that are enqueued in a transaction stay in the outbox until they have ended, so that they can be enqueued again
   * after the broker has lost its data. Their tasks have to declare an effect key. Default false.
   */
  readonly keepUntilEnd?: boolean;
}

export interface NewJob {
  readonly id: string;
  readonly queue: string;
  /** 1 (last) to 10 (first) within the queue. */
  readonly priority: number;
  /** What codec.ts made of the task's name, input and headers; the broker does not look into it. */
  readonly envelope: string;
  /** Not before this time. */
  readonly eta?: number;
  /** Not before this long from now. Not beside `eta`. */
  readonly countdownMs?: number;
  /** A job that still waits at this time expires. */
  readonly expiresAt?: number;
  /** A job that still waits this long from now expires. Not beside `expiresAt`. */
  readonly expiresInMs?: number;
  /**
   * Set when the caller gave the id: a second job of the same id is not made for so long, nor while anything of the first
   * is there. Also for an id of newId(), to send its enqueue again after BROKER_UNAVAILABLE.
   */
  readonly unique?: { readonly fingerprint: string; readonly forMs: number };
}

/** `duplicate`: the id's job is there already. `conflict`: it is there, with another task or input. */
export type EnqueueReply = 'created' | 'duplicate' | 'conflict';

/**
 * Who sends batches that it numbers, so that one that it sends again makes no second jobs: the broker keeps the highest
 * number, in the same step as the jobs (the idea of Kafka's idempotent producer). A batch whose number is no higher than that
 * is answered with duplicates, unread.
 */
export interface Producer {
  readonly id: string;
  /** Each batch has a higher one than the batch before, which was acknowledged. */
  readonly sequence: number;
}

/** Jobs that have ended. */
export interface FinishedJobs {
  readonly ids: readonly string[];
  /** They were dealt with: they are not told again. */
  forget(): Promise<void>;
}

export interface WorkerDescription {
  /** For people, such as `normal_worker@host`. */
  readonly name: string;
  readonly leaseMs: number;
  /** Host, process id, queues, concurrency, tasks: shown by `inspect`. */
  readonly info: Readonly<Record<string, unknown>>;
}

/** How a claimed batch is to be run: with others, or as suspects of having killed a worker (promise 3). */
export type Lane = 'usual' | 'suspects' | 'alone';

/** A batch that a worker holds. Its id is the fence: only the newest claim of a job may settle it. */
export interface Claim {
  readonly id: string;
  readonly lane: Lane;
  readonly claimedAt: number;
  readonly jobs: readonly ClaimedJob[];
  /** Set on a claim taken over from a lost worker: who lost it, and how many jobs it held then. */
  readonly lost?: { readonly worker: string; readonly claimedAt: number; readonly lostAt: number; readonly open: number };
}

export interface ClaimedJob {
  readonly claim: string;
  readonly lane: Lane;
  /** When it was claimed. */
  readonly claimedAt: number;
  /** Place in the claim. */
  readonly position: number;
  readonly id: string;
  readonly queue: string;
  readonly envelope: string;
  /** The job's past (see task/job.ts), encoded; undefined before its first failure. */
  readonly past: string | undefined;
  readonly enqueuedAt: number;
  /** Since when it could have run: its enqueue, or its due time when it waited for one (eta, countdown, retry). */
  readonly readyAt: number;
  /** The broker's own mark of the job's place in its queue; handed back unread. */
  readonly rank: string;
  readonly expiresAt: number | undefined;
}

/** What became of a claimed job. */
export type Settlement =
  /** Ended. Nothing is kept of it when `keepMs` is 0. */
  | {
      readonly kind: 'end';
      readonly job: ClaimedJob;
      readonly state: 'succeeded' | 'cancelled';
      readonly result?: string;
      readonly past?: string;
      readonly keepMs: number;
    }
  /** Runs again after `delayMs`, behind those that wait. A job whose cancellation was asked for ends as cancelled instead. */
  | { readonly kind: 'reschedule'; readonly job: ClaimedJob; readonly delayMs: number; readonly past: string }
  /** Goes back to its place in the queue. The same holds for a cancellation. */
  | { readonly kind: 'release'; readonly job: ClaimedJob; readonly lane: Lane; readonly past?: string }
  /** Becomes a dead letter. */
  | {
      readonly kind: 'bury';
      readonly job: ClaimedJob;
      readonly task: string;
      readonly code: string;
      readonly message: string;
      readonly past: string;
    };

export interface ClaimRequest {
  /** In the order in which they are to be looked through. */
  readonly queues: readonly string[];
  /** Jobs wanted at most. Of 128 or more, half may come though more wait, to spare the broker work. */
  readonly limit: number;
  readonly lane: Lane;
  /** Look from the last queue and the lowest priority upwards, so that they move too (ageing). */
  readonly lowestFirst: boolean;
  /** Wake this worker when jobs come, if there are none now. */
  readonly idle: boolean;
  /**
   * Up to so many jobs may be claimed for this worker as they come, if there are none now: its listener is handed them, and it
   * need not ask. 0 from a worker that has anything to do. A broker may always wake it instead.
   */
  readonly hand: number;
}

export interface ExchangeReply {
  /** Whether each settlement was accepted, in the order given. */
  readonly accepted: readonly boolean[];
  /** What was claimed, in the order in which it is to run: one claim, or one for each queue, as the broker keeps them. */
  readonly claims: readonly Claim[];
  /** Milliseconds until the next scheduled job of the queues asked for is due, or of any, as the broker has it; undefined for none. */
  readonly nextDueInMs: number | undefined;
  /** True when rows were taken, though all of them had expired: ask again. */
  readonly more: boolean;
}

export interface Pulse {
  /** False when this worker was taken for dead: nothing that it holds can be settled any more. */
  readonly alive: boolean;
  /** Jobs it holds whose cancellation is asked for. */
  readonly cancelled: readonly { readonly claim: string; readonly position: number }[];
  /** Jobs wait that must be claimed by tens, or alone. */
  readonly suspects: readonly Lane[];
  /** Some worker's lease has run out. */
  readonly lostWorkers: boolean;
  /** How many claims of these queues it holds: more than it knows of, when it was handed one and did not hear it. */
  readonly held: number;
  /** What is asked of this worker, until it has answered. */
  readonly requests: readonly WorkerRequest[];
  /** Somebody listens to events now. */
  readonly watched: boolean;
}

/** Something that is asked of a worker. It is told with each pulse until the worker has answered, or its time is over. */
export interface WorkerRequest {
  readonly id: string;
  /** JSON, of the asker's making. */
  readonly body: string;
}

/** What a worker tells with a pulse. */
export interface Told {
  readonly progress?: readonly { readonly job: ClaimedJob; readonly value: string }[];
  /** What it has counted since; `number` rises by one with each new count, so that one that is told again (its reply was lost) counts once. */
  readonly counted?: { readonly number: number; readonly counts: readonly JobCount[] };
}

/** Jobs of one task in one queue that came to the same. */
export interface JobCount {
  readonly task: string;
  readonly queue: string;
  readonly outcome: string;
  readonly count: number;
  readonly waited: Histogram;
  readonly ran: Histogram;
}

/** What waits in some queues, as far as a worker needs to know. */
export interface Backlog {
  /** Jobs that could run now; counted up to some thousands. */
  readonly waiting: number;
  /** How long the one that waits longest has; undefined when none does. */
  readonly oldestWaitMs: number | undefined;
}

/** The end of a job, as far as it is kept. */
export interface EndedJob {
  readonly id: string;
  readonly state: 'succeeded' | 'failed' | 'cancelled' | 'expired';
  readonly result: string | undefined;
  readonly past: string | undefined;
}

/** `done`: it waited and is cancelled. `asked`: it runs; its worker is told. `ended`: too late. */
export type CancelReply = 'done' | 'asked' | 'ended' | 'unknown';

/** What a wake-up says. */
export interface WakeListener {
  /** Jobs have come, or wait again. */
  jobs(): void;
  /** Jobs that were claimed for the worker that listens as they came. */
  handed?(claim: Claim): void;
  /** Something is asked of the worker with this id; it should pulse. */
  attention(worker: string): void;
  /**
   * Another server may be in the place of the one that was asked before, and may not have heard all that was settled there:
   * the worker should ask for what is missing.
   */
  doubt?(): void;
}

export interface Broker {
  /** Connects, checks the server's version, brings the schema up to date. Safe from several processes at once. */
  open(): Promise<void>;
  /** One round trip. */
  ping(): Promise<void>;

  enqueue(jobs: readonly NewJob[], producer?: Producer): Promise<readonly EnqueueReply[]>;
  /**
   * Enqueues as a part of a caller's transaction in the broker's own database: the jobs are there when that commits. A broker
   * that is no database has no such way.
   *
   * @throws TaktlineError `OUTBOX_TRANSACTION` when no transaction is open, or in another database
   */
  enqueueIn?(transaction: RunStatement, jobs: readonly NewJob[]): Promise<readonly EnqueueReply[]>;
  /** Whether a transaction is in the broker's own database. One statement in it, which fails nothing. */
  isDatabaseOf?(transaction: RunStatement): Promise<boolean>;
  /** Names what the broker holds: when the name is another one than before, all that it held is gone. */
  origin(): Promise<string>;
  /**
   * Some jobs of these queues, which are declared `keepUntilEnd`, that have succeeded, failed, expired, or were cancelled or
   * purged. They are told from the first call on, until somebody says forget(), and for seven days at most.
   */
  finished(queues: readonly string[]): Promise<FinishedJobs>;

  /** Enters the list of living workers; returns the worker's id. */
  join(worker: WorkerDescription): Promise<string>;
  /** Leaves it. What the worker still holds is claimed again by others as if it had been lost. */
  leave(worker: string): Promise<void>;
  /**
   * Settles and claims, in one round trip. With no `claim` it only settles. A worker that was taken for dead, or that has
   * left, settles and claims nothing.
   */
  exchange(worker: string, settlements: readonly Settlement[], claim: ClaimRequest | undefined): Promise<ExchangeReply>;
  /** Stores progress and counts, and asks what the worker should know; about once a second. */
  pulse(worker: string, queues: readonly string[], told: Told): Promise<Pulse>;
  /** Replaces what the worker said of itself when it joined. */
  announce(worker: string, info: WorkerDescription['info']): Promise<void>;
  /** What waits in these queues, those that are paused left out. Costs the same however much waits. */
  backlog(queues: readonly string[]): Promise<Backlog>;
  /** Answers a request. The answer can be read as long as the request is there. */
  answer(worker: string, request: string, body: string): Promise<void>;
  /** Tells events to those who listen now; nobody keeps them. Texts of at most 7,000 bytes, several in one call. */
  publish(events: readonly string[]): Promise<void>;
  /** Enters tasks in the catalogue; the newest description of a name stays, for 30 days. */
  describe(tasks: readonly { readonly name: string; readonly description: string }[]): Promise<void>;
  /**
   * Claims that this worker holds beside the known ones: those whose reply was lost on the way. An exchange that was called
   * before and has not been answered yet changes nothing more, however late it arrives.
   */
  missing(worker: string, known: readonly string[]): Promise<readonly Claim[]>;
  /** Takes over some claims of workers whose lease has run out, and forgets workers that hold none. */
  recover(worker: string): Promise<readonly Claim[]>;
  /** A bounded step of upkeep: expires what waited too long, removes results, ids and dead letters past their time. True when there is more. */
  tidy(): Promise<boolean>;
  /** What a heartbeat thread needs to renew this worker's lease by itself; see heartbeat.ts. */
  heartbeat(worker: string, leaseMs: number): HeartbeatSpec;
  /**
   * Calls the listener from now on, for jobs of these queues, as well as it can: wake-ups may get lost, and some may be for
   * other queues. Resolves to a function that ends it.
   *
   * @param worker who listens, where it takes what it is handed
   */
  listen(queues: readonly string[], listener: WakeListener, worker?: string): Promise<() => Promise<void>>;

  cancel(ids: readonly string[]): Promise<readonly CancelReply[]>;
  /** Those of the given jobs that have ended. */
  ended(ids: readonly string[]): Promise<readonly EndedJob[]>;
  /** Where each job stands now; undefined when it is not known. */
  states(ids: readonly string[]): Promise<readonly (WaitingState | 'running' | EndedJob['state'] | undefined)[]>;

  close(): Promise<void>;
}

/** Plain data, for another thread: the module that renews, and what to hand to its `openHeartbeat`. */
export interface HeartbeatSpec {
  readonly module: string;
  readonly options: Readonly<Record<string, string | number | boolean>>;
}

/** What the module named by a HeartbeatSpec gives. */
export interface HeartbeatLink {
  /** Renews the lease. False when the worker is no longer in the list. */
  renew(): Promise<boolean>;
  close(): Promise<void>;
}
