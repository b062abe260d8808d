/**
 * Enqueues in a transaction of the caller's: on a broker that is in the same database directly, else by the outbox, from where
 * a relay takes the jobs to the broker.
 */
import type { Broker, EnqueueReply, NewJob } from '../broker/broker.ts';
import { dueOf, expiryOf } from '../broker/packs.ts';
import type { KeyedJob } from '../client/client.ts';
import { hash12 } from '../support/ids.ts';
import { TaktlineError } from '../support/taktline-error.ts';
import { type RunStatement, runIn, type Transaction } from '../support/transaction.ts';
import { laneCount, type OutboxStatements, outboxError, outboxStatements } from './tables.ts';

export interface OutboxWriterOptions {
  readonly schema: string;
  readonly broker: () => Promise<Broker>;
  /** The broker is a database. */
  readonly direct: boolean;
  /** Names of the queues that are declared keepUntilEnd. */
  readonly kept: ReadonlySet<string>;
}

/** A broker that does not answer is asked again after so long; until then jobs go by the outbox. */
const againMs = 5_000;

export class OutboxWriter {
  readonly #options: OutboxWriterOptions;
  readonly #statements: OutboxStatements;
  /** The broker, when it is in the app's database; null when it is not; undefined when that is not known yet. */
  #broker: Broker | null | undefined;
  #askedAt = Number.NEGATIVE_INFINITY;

  constructor(options: OutboxWriterOptions) {
    this.#options = options;
    this.#statements = outboxStatements(options.schema);
  }

  /**
   * One statement, in the caller's transaction; for the first transaction of a process one more.
   *
   * @throws TaktlineError `OUTBOX_TRANSACTION` or `OUTBOX_SCHEMA`
   */
  async enqueueIn(transaction: Transaction, jobs: readonly KeyedJob[]): Promise<readonly EnqueueReply[]> {
    const run = runIn(transaction);
    const broker = this.#broker === undefined ? await this.#look(run) : this.#broker;
    if (broker?.enqueueIn !== undefined)
      return broker.enqueueIn(
        run,
        jobs.map(({ job }) => job),
      );
    await run(this.#statements.put.text, this.#columns(jobs)).catch((error: unknown) => {
      throw outboxError(error, this.#options.schema);
    });
    // Who of several gets an id is found out when the relay sends them.
    return jobs.map(() => 'created');
  }

  async #look(run: RunStatement): Promise<Broker | null> {
    if (!this.#options.direct) {
      // Opened all the same, since then the app's queues are declared before a relay sends jobs to them.
      this.#options.broker().catch(() => undefined);
      this.#broker = null;
      return null;
    }
    if (performance.now() - this.#askedAt < againMs) return null;
    try {
      const broker = await this.#options.broker();
      this.#broker = (await broker.isDatabaseOf?.(run)) === true ? broker : null;
      return this.#broker;
    } catch (error) {
      if (!(error instanceof TaktlineError) || error.code !== 'BROKER_UNAVAILABLE') throw outboxError(error, this.#options.schema);
      this.#askedAt = performance.now();
      return null;
    }
  }

  #columns(jobs: readonly KeyedJob[]): readonly unknown[] {
    const { kept } = this.#options;
    const column = (of: (job: NewJob) => unknown) => jobs.map(({ job }) => of(job) ?? null);
    return [
      jobs.map(({ key }) => (key === undefined ? null : hash12(key) % laneCount)),
      column(({ queue }) => kept.has(queue)),
      column(({ queue }) => queue),
      column(({ id }) => id),
      column(({ priority }) => priority),
      column(dueOf),
      column(expiryOf),
      column(({ unique }) => unique?.fingerprint),
      column(({ unique }) => unique?.forMs),
      column(({ envelope }) => envelope),
    ];
  }
}
