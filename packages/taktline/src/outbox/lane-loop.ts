/**
 * Hands batches of the outbox to the broker, one after the other. One statement confirms a batch that was sent and gives the
 * next; one call sends it. Whoever else takes a batch over from here sends it under the same number, so it is made once.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Broker, EnqueueReply, NewJob } from '../broker/broker.ts';
import { groupBy } from '../support/group-by.ts';
import type { Logger } from '../support/logger.ts';
import { messageOf } from '../support/message-of.ts';
import { TaktlineError } from '../support/taktline-error.ts';
import type { OutboxDatabase } from './outbox-database.ts';

export interface LaneLoopOptions {
  readonly database: OutboxDatabase;
  readonly broker: () => Promise<Broker>;
  readonly logger: Logger;
  /** How long it sleeps when nothing waits. */
  readonly idleMs: number;
  /** A batch was full: more may wait than one loop can move. */
  readonly full: () => void;
  /** What came of the jobs of a batch. */
  readonly sent: (jobs: readonly NewJob[], replies: readonly EnqueueReply[]) => void;
}

/** A batch that was taken, as the statement gives it. */
interface Batch {
  readonly number: number;
  readonly sequence: string;
  readonly jobs: readonly NewJob[];
  /** The lowest number of its jobs without a key. */
  readonly floor: string | undefined;
}

/** What is said of the batch before, with the question for the next. `sent` null: it could not be sent. */
interface Confirmation {
  readonly number: number;
  readonly sequence: string;
  readonly sent: Readonly<Record<string, number>> | null;
}

const batchJobs = 1_000;
/** A relay that is silent for so long has its batch sent by another one. */
const leaseMs = 10_000;
/** Jobs are looked for from the first on so often; see take(). */
const floorMs = 1_000;
const firstBackoffMs = 100;
const slowestBackoffMs = 5_000;
/** It would be refused again at once. A conflict: the broker has a job of it, which a database has that was put back. */
const refusals: ReadonlySet<string> = new Set(['UNKNOWN_QUEUE', 'INVALID_INPUT', 'INVALID_OPTION', 'PAYLOAD_TOO_LARGE', 'ID_CONFLICT']);

export class LaneLoop {
  readonly #options: LaneLoopOptions;
  readonly #owner = randomUUID();
  readonly #stopped = new AbortController();
  #origin: string | undefined;
  #wake = new AbortController();
  #running: Promise<void> | undefined;
  #failures = 0;
  #turnedAt = performance.now();
  #floor = '0';
  #floorAt = Number.NEGATIVE_INFINITY;

  constructor(options: LaneLoopOptions) {
    this.#options = options;
  }

  /** For so long it has neither moved a batch nor found that none waits. */
  get stalledMs(): number {
    return performance.now() - this.#turnedAt;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Looks now, if it sleeps since nothing waited. */
  wake(): void {
    this.#wake.abort();
  }

  /** Resolves when the batch that is under way is sent and confirmed. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    this.wake();
    await this.#running;
  }

  async #run(): Promise<void> {
    let before: Confirmation | undefined;
    while (!this.#stopped.signal.aborted) {
      try {
        const batch = await this.#take(before, batchJobs);
        before = undefined;
        if (batch === undefined) {
          this.#turned();
          // Not AbortSignal.any(): each leaves something behind in a signal that lives as long as the relay.
          this.#wake = new AbortController();
          if (!this.#stopped.signal.aborted) await this.#sleep(this.#options.idleMs, this.#wake.signal);
          continue;
        }
        if (batch.jobs.length >= batchJobs) this.#options.full();
        before = await this.#send(batch);
        this.#turned();
      } catch (error) {
        this.#failures += 1;
        this.#options.logger[this.#failures === 1 ? 'warn' : 'debug']('the relay could not move jobs to the broker; trying again', {
          error: messageOf(error),
        });
        const backoffMs = Math.min(slowestBackoffMs, firstBackoffMs * 2 ** (this.#failures - 1));
        await this.#sleep(backoffMs * (0.75 + Math.random() / 2), this.#stopped.signal);
      }
    }
    // Else another relay would send it once more, in vain.
    if (before !== undefined) await this.#take(before, 0).catch(() => undefined);
  }

  #turned(): void {
    if (this.#failures > 0) this.#options.logger.info('the relay moves jobs again', { failures: this.#failures });
    this.#failures = 0;
    this.#turnedAt = performance.now();
  }

  async #sleep(ms: number, signal: AbortSignal): Promise<void> {
    await sleep(ms * (0.9 + Math.random() * 0.2), undefined, { signal }).catch(() => undefined);
  }

  async #take(before: Confirmation | undefined, most: number): Promise<Batch | undefined> {
    const { database } = this.#options;
    const now = performance.now();
    if (now - this.#floorAt >= floorMs) {
      this.#floorAt = now;
      this.#floor = '0';
    }
    const [row] = await database.query<TakenRow>(database.statements.take, [
      this.#owner,
      before?.number ?? null,
      before?.sequence ?? null,
      before === undefined || before.sent === null ? null : JSON.stringify(before.sent),
      most,
      this.#floor,
      leaseMs,
    ]);
    if (row === undefined || row.batch === null) return undefined;
    if (row.floor !== null) this.#floor = row.floor;
    return { number: row.number, sequence: row.sequence, jobs: readJobs(row.batch), floor: row.floor ?? undefined };
  }

  async #send({ number, sequence, jobs }: Batch): Promise<Confirmation> {
    const { broker, database, logger } = this.#options;
    this.#origin ??= (await database.query<{ id: string }>(database.statements.origin))[0]?.id ?? '';
    const opened = await broker();
    try {
      const replies = await opened.enqueue(jobs, { id: `${this.#origin}:${number}`, sequence: Number(sequence) });
      this.#options.sent(jobs, replies);
      const sent: Record<string, number> = {};
      for (const { queue } of jobs) sent[queue] = (sent[queue] ?? 0) + 1;
      return { number, sequence, sent };
    } catch (error) {
      if (!(error instanceof TaktlineError) || !refusals.has(error.code)) throw error;
      // It may be a queue that only a newer release of the app declares: another relay will know it, or this one later.
      logger.error('the broker refuses jobs of the outbox; they are sent again later', {
        code: error.code,
        error: error.message,
        jobs: jobs.length,
      });
      return { number, sequence, sent: null };
    }
  }
}

type TakenRow = Record<string, unknown> & {
  readonly number: number;
  readonly sequence: string;
  readonly batch: string | null;
  readonly floor: string | null;
};

type StoredJob = readonly [
  id: string,
  queue: string,
  priority: number,
  envelope: string,
  due: number | null,
  expires: number | null,
  fingerprint: string | null,
  keepMs: number | null,
];

/** Those of one queue and priority together, where they make packs. Their order, and so that within a key, stays. */
function readJobs(batch: string): readonly NewJob[] {
  const now = Date.now();
  const jobs = (JSON.parse(batch) as readonly StoredJob[]).map(
    ([id, queue, priority, envelope, due, expires, fingerprint, keepMs]): NewJob => ({
      id,
      queue,
      priority,
      envelope,
      ...(due === null || due <= now ? {} : { eta: due }),
      ...(expires === null ? {} : { expiresAt: expires }),
      ...(fingerprint === null ? {} : { unique: { fingerprint, forMs: keepMs ?? 0 } }),
    }),
  );
  return [...groupBy(jobs, ({ queue, priority }) => `${queue} ${priority}`).values()].flat();
}
