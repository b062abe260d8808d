/**
 * What is done beside moving jobs, by one relay at a time: rows are removed whose jobs have ended, old effects are forgotten, and
 * a broker that has lost its data is noticed.
 */
import type { Broker, EnqueueReply, NewJob } from '../broker/broker.ts';
import type { Inspector } from '../broker/inspector.ts';
import type { Logger } from '../support/logger.ts';
import type { OutboxDatabase } from './outbox-database.ts';
import { lookAtStanding } from './standing.ts';

export interface UpkeepParts {
  readonly database: OutboxDatabase;
  readonly broker: Broker;
  readonly inspector: Inspector;
  /** Queues that are declared keepUntilEnd. */
  readonly kept: readonly string[];
  readonly effectsTtlMs: number;
  readonly logger: Logger;
}

export const upkeepMs = 500;
/** The broker's counts are looked at so often, or less often where that takes long: it may take a fiftieth of the time. */
const lookMs = 1_000;
const lookShare = 50;
const effectsMs = 60_000;
/** As the statement for it. */
const effectsAtOnce = 2_000;
const doubtfulAtOnce = 1_000;

/** Removes the rows of jobs that have ended, as many as are told. @returns how many were told */
export async function dropEnded({ database, broker, kept }: Pick<UpkeepParts, 'database' | 'broker' | 'kept'>): Promise<number> {
  if (kept.length === 0) return 0;
  for (let told = 0; ; ) {
    const { ids, forget } = await broker.finished(kept);
    if (ids.length === 0) return told;
    await database.query(database.statements.ended, [ids]);
    await forget();
    told += ids.length;
  }
}

export class Upkeep {
  readonly #parts: UpkeepParts;
  /** Jobs of kept queues that were there before, by id: their end may have been told, or is not if they are of another queue. */
  readonly #doubtful = new Map<string, string>();
  /** Jobs of kept queues that were not enqueued, each with its fingerprint. */
  readonly #refused = new Map<string, string>();
  #origin = '';
  #lookAt = Number.NEGATIVE_INFINITY;
  #effectsAt = Number.NEGATIVE_INFINITY;

  constructor(parts: UpkeepParts) {
    this.#parts = parts;
  }

  /** Ends of jobs are told from now on. */
  async begin(): Promise<void> {
    const { broker, kept } = this.#parts;
    if (kept.length > 0) await broker.finished(kept);
    this.#origin = await broker.origin();
  }

  /** Told of each batch. */
  sent(jobs: readonly NewJob[], replies: readonly EnqueueReply[]): void {
    const { kept, logger } = this.#parts;
    let conflicts = 0;
    for (const [index, { id, queue, unique }] of jobs.entries()) {
      if (replies[index] === 'created' || unique === undefined) continue;
      const refused = replies[index] === 'conflict';
      if (refused) conflicts += 1;
      if (!kept.includes(queue)) continue;
      if (refused) this.#refused.set(id, unique.fingerprint);
      else this.#doubtful.set(id, this.#origin);
    }
    if (conflicts > 0)
      logger.warn('ids of jobs in the outbox name jobs with another task or input: those were not enqueued', { jobs: conflicts });
  }

  async run(): Promise<void> {
    const { database } = this.#parts;
    await this.#dropRefused();
    await this.#sortOut();
    const [mine] = await database.query(database.statements.turn, [upkeepMs * 0.8]);
    if (mine === undefined) return;
    await dropEnded(this.#parts);
    const now = performance.now();
    if (now >= this.#lookAt) {
      await this.#look();
      this.#lookAt = performance.now() + Math.max(lookMs, lookShare * (performance.now() - now));
    }
    if (now - this.#effectsAt >= effectsMs) {
      await this.#forgetEffects();
      this.#effectsAt = now;
    }
  }

  async #look(): Promise<void> {
    const lost = await lookAtStanding(this.#parts);
    if (lost === undefined) return;
    this.#parts.logger.error('the broker has lost its data: run "taktline outbox reconcile"', {
      queues: Object.fromEntries(lost.map(({ queue, atMost }) => [queue, atMost])),
    });
  }

  /** The rows of those that were refused go. Where an earlier job has a row under that id, it has another fingerprint. */
  async #dropRefused(): Promise<void> {
    if (this.#refused.size === 0) return;
    const { database } = this.#parts;
    const refused = [...this.#refused];
    await database.query(database.statements.refused, [refused.map(([id]) => id), refused.map(([, fingerprint]) => fingerprint)]);
    for (const [id, fingerprint] of refused) if (this.#refused.get(id) === fingerprint) this.#refused.delete(id);
  }

  /** Rows of ids that name earlier jobs: those that have ended go. Of those that have not it is asked again. */
  async #sortOut(): Promise<void> {
    if (this.#doubtful.size === 0) return;
    const { broker, database } = this.#parts;
    const doubtful = [...this.#doubtful].slice(0, doubtfulAtOnce);
    const states = await broker.states(doubtful.map(([id]) => id));
    this.#origin = await broker.origin();
    const ended = doubtful.flatMap(([id, origin], index) => {
      const state = states[index];
      // Nothing known of it: it has ended and is forgotten. Unless the broker was emptied meanwhile.
      return state === undefined ? (origin === this.#origin ? [id] : []) : endStates.has(state) ? [id] : [];
    });
    await database.query(database.statements.ended, [ended]);
    for (const [index, [id, origin]] of doubtful.entries()) {
      this.#doubtful.delete(id);
      const state = states[index];
      // Behind the others.
      if (state !== undefined && !endStates.has(state)) this.#doubtful.set(id, origin);
    }
  }

  async #forgetEffects(): Promise<void> {
    const { database, effectsTtlMs } = this.#parts;
    for (;;) {
      const [row] = await database.query<{ gone: string }>(database.statements.oldEffects, [effectsTtlMs, effectsAtOnce]);
      if (Number(row?.gone ?? 0) < effectsAtOnce) return;
    }
  }
}

/** Of a job that will not run again by itself. */
export const endStates: ReadonlySet<string> = new Set(['succeeded', 'failed', 'cancelled', 'expired']);
