/** A relay by hand, statement by statement, so that a test can let it die, or stand still, between any two of them. */
import { randomUUID } from 'node:crypto';
import type { EnqueueReply, NewJob } from '../../src/broker/broker.ts';
import { outboxStatements } from '../../src/outbox/tables.ts';
import type { AppDatabase } from './app-database.ts';
import { openStore, type Store } from './store.ts';

type StoredJob = readonly [string, string, number, string, number | null, number | null, string | null, number | null];

export interface Batch {
  readonly number: number;
  readonly sequence: string;
  readonly jobs: readonly NewJob[];
}

export class DeadRelay {
  readonly #database: AppDatabase;
  readonly #owner = randomUUID();

  constructor(database: AppDatabase) {
    this.#database = database;
  }

  /**
   * Takes its next batch, for ten seconds, or that of another relay whose time is over.
   *
   * @param sent the batch before, which it has sent
   */
  async take(sent?: Batch): Promise<Batch | undefined> {
    const counts: Record<string, number> = {};
    for (const { queue } of sent?.jobs ?? []) counts[queue] = (counts[queue] ?? 0) + 1;
    const values = [this.#owner, sent?.number, sent?.sequence, sent === undefined ? null : JSON.stringify(counts), 1_000, 0, 10_000];
    const [row] = await this.#database.query<{ number: number; sequence: string; batch: string | null }>(
      outboxStatements(this.#database.schema).take.text,
      values,
    );
    if (row === undefined || row.batch === null) return undefined;
    const jobs = (JSON.parse(row.batch) as readonly StoredJob[]).map(([id, queue, priority, envelope, eta, , fingerprint, forMs]) => ({
      id,
      queue,
      priority,
      envelope,
      ...(eta === null ? {} : { eta }),
      ...(fingerprint === null ? {} : { unique: { fingerprint, forMs: forMs ?? 0 } }),
    }));
    return { ...row, jobs };
  }

  /** Sends a batch under its number. */
  async send(batch: Batch, store: Pick<Store, 'url' | 'name'>): Promise<readonly EnqueueReply[]> {
    const [origin] = await this.#database.query<{ id: string }>('select id from $outbox.origin');
    const { broker, close } = await openStore(store);
    try {
      return await broker.enqueue(batch.jobs, { id: `${origin?.id}:${batch.number}`, sequence: Number(batch.sequence) });
    } finally {
      await close();
    }
  }

  /** The ten seconds are over. */
  async timePasses(): Promise<void> {
    await this.#database.query('update $outbox.lanes set till = 1 where owner = $1', [this.#owner]);
  }
}
