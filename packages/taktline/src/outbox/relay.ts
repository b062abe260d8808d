/**
 * Moves jobs from the outbox to the broker. Any number of relays may run, in workers or alone: a batch that one of them took and
 * did not confirm within its lease is sent again by another, under its number, and the broker makes its jobs once.
 */
import type { Broker } from '../broker/broker.ts';
import type { Inspector } from '../broker/inspector.ts';
import type { Health } from '../support/health-server.ts';
import type { Logger } from '../support/logger.ts';
import { messageOf } from '../support/message-of.ts';
import { Periodic } from '../support/periodic.ts';
import { TaktlineError } from '../support/taktline-error.ts';
import { LaneLoop } from './lane-loop.ts';
import type { OutboxDatabase } from './outbox-database.ts';
import { Upkeep, upkeepMs } from './upkeep.ts';

export interface RelayOptions {
  readonly database: OutboxDatabase;
  readonly broker: () => Promise<Broker>;
  readonly inspector: () => Promise<Inspector>;
  /** Queues that are declared keepUntilEnd. */
  readonly kept: readonly string[];
  readonly effectsTtlMs: number;
  readonly logger: Logger;
}

const pollMs = 100;
/** The second loop is woken when the first has more to do than it can. */
const helperPollMs = 1_000;
/** It is not live when it has not come round for so long. */
const stalledAfterMs = 30_000;

export class Relay {
  readonly #options: RelayOptions;
  #running: { readonly loops: readonly LaneLoop[]; readonly upkeep: Periodic } | undefined;
  readonly #madeAt = performance.now();
  #starting: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;

  constructor(options: RelayOptions) {
    this.#options = options;
  }

  /** Whether it comes round. It is not live when it has not moved or looked for jobs for 30 s. */
  health(): Health {
    const stalledMs = Math.round(this.#running?.loops[0]?.stalledMs ?? performance.now() - this.#madeAt);
    return { live: stalledMs <= stalledAfterMs, stalledMs };
  }

  /** Begins. Safe to call twice. @throws TaktlineError when broker or database cannot be reached, or the tables are not there */
  start(): Promise<void> {
    if (this.#stopping !== undefined) return Promise.reject(new TaktlineError('BROKER_CLOSED', 'the relay was stopped; make a new one'));
    this.#starting ??= this.#start().catch((error: unknown) => {
      this.#starting = undefined;
      throw error;
    });
    return this.#starting;
  }

  /** Ends, when what is on its way is at the broker. Safe to call twice. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #start(): Promise<void> {
    const { database, logger, kept, effectsTtlMs } = this.#options;
    const [broker, inspector] = [await this.#options.broker(), await this.#options.inspector()];
    await database.query(database.statements.seen);
    const upkeep = new Upkeep({ database, broker, inspector, kept, effectsTtlMs, logger });
    await upkeep.begin();
    const shared = {
      database,
      logger,
      broker: this.#options.broker,
      full: () => helper.wake(),
      sent: (...what: Parameters<Upkeep['sent']>) => upkeep.sent(...what),
    };
    const helper = new LaneLoop({ ...shared, idleMs: helperPollMs });
    const loops = [new LaneLoop({ ...shared, idleMs: pollMs }), helper];
    const failed = (error: unknown, inARow: number): void =>
      logger[inARow === 1 ? 'warn' : 'debug']('upkeep of the outbox failed; trying again', { error: messageOf(error) });
    this.#running = { loops, upkeep: new Periodic({ everyMs: upkeepMs, run: () => upkeep.run(), failed }) };
    for (const loop of loops) loop.start();
    this.#running.upkeep.start();
    logger.info('relay started', { kept });
  }

  async #stop(): Promise<void> {
    await this.#starting?.catch(() => undefined);
    if (this.#running === undefined) return;
    const { loops, upkeep } = this.#running;
    await Promise.all([...loops.map((loop) => loop.stop()), upkeep.stop()]);
    this.#options.logger.info('relay stopped');
  }
}
