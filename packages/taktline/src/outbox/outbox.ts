/** What people ask of the outbox: how much waits in it, and to put back what the broker has lost. */
import type { Broker } from '../broker/broker.ts';
import type { Inspector } from '../broker/inspector.ts';
import type { OutboxDatabase } from './outbox-database.ts';
import { type ReconcileOptions, type Reconciliation, reconcile } from './reconcile.ts';

export interface OutboxLag {
  /** Jobs that have been committed and are not at the broker yet. */
  readonly waiting: number;
  /** How long the oldest of them has waited, in milliseconds; undefined when none waits. */
  readonly oldestMs: number | undefined;
  /** Jobs of queues that are kept until the end, of which it is not known that they have ended. */
  readonly kept: number;
}

export interface OutboxParts {
  /** The database and the schema, without user and password. @throws as `database` does */
  readonly where: () => string;
  /** @throws TaktlineError `INVALID_OPTION` when it is not known where the database is */
  readonly database: () => OutboxDatabase;
  readonly broker: () => Promise<Broker>;
  readonly inspector: () => Promise<Inspector>;
  readonly kept: readonly string[];
}

export class Outbox {
  readonly #parts: OutboxParts;

  /** @internal */
  constructor(parts: OutboxParts) {
    this.#parts = parts;
  }

  /** Where it is, for people: without user and password. @throws TaktlineError `INVALID_OPTION` when it is not known */
  where(): string {
    return this.#parts.where();
  }

  /** @throws TaktlineError `OUTBOX_SCHEMA` when the app has no outbox, `OUTBOX_UNAVAILABLE`, `INVALID_OPTION` */
  async lag(): Promise<OutboxLag> {
    const database = this.#parts.database();
    const [row] = await database.query<{ waiting: string; oldest: string | null; kept: string }>(database.statements.lag);
    const oldest = row?.oldest ?? null;
    return {
      waiting: Number(row?.waiting ?? 0),
      oldestMs: oldest === null ? undefined : Math.max(0, Number(oldest)),
      kept: Number(row?.kept ?? 0),
    };
  }

  /**
   * Compares the jobs of queues that are kept until the end with what the broker holds, and enqueues those again that it has
   * lost. Relays may run meanwhile.
   */
  async reconcile(options: ReconcileOptions = {}): Promise<Reconciliation> {
    const { database, kept } = this.#parts;
    return reconcile({ database: database(), broker: await this.#parts.broker(), inspector: await this.#parts.inspector(), kept }, options);
  }
}
