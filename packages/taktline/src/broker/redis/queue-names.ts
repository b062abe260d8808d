/** The queues that the apps of a namespace have declared, with their priorities. */
import { TaktlineError } from '../../support/taktline-error.ts';
import type { QueueDeclaration } from '../broker.ts';
import type { Connection } from './connection.ts';
import type { Keys } from './keys.ts';

/** Another app may have declared one; who looks for jobs everywhere asks again after this. */
const freshMs = 5_000;

export class QueueNames {
  readonly #connection: Connection;
  readonly #keys: Keys;
  /** Those of this process's app. */
  #declared: readonly QueueDeclaration[] = [];
  #priorities = new Map<string, number>();
  #loaded = Number.NEGATIVE_INFINITY;

  constructor(connection: Connection, keys: Keys) {
    this.#connection = connection;
    this.#keys = keys;
  }

  async declare(queues: readonly QueueDeclaration[]): Promise<void> {
    this.#priorities = await this.#stored();
    // Only what is new: a worker has to start, and free memory, where none is left to write to.
    await this.#put(queues.filter(({ name, priority }) => this.#priorities.get(name) !== priority));
    await this.#load();
    this.#declared = queues;
  }

  /** @throws TaktlineError `UNKNOWN_QUEUE` when no app has declared it in this namespace */
  async check(names: readonly string[]): Promise<void> {
    if (names.every((name) => this.#priorities.has(name))) return;
    await this.#load();
    for (const name of names) {
      if (!this.#priorities.has(name))
        throw new TaktlineError('UNKNOWN_QUEUE', `queue ${JSON.stringify(name)} is not declared by any app in this namespace`);
    }
  }

  /** @param maxAgeMs as they were so long ago, at most; 0: as they are now */
  async all(maxAgeMs = freshMs): Promise<readonly string[]> {
    if (performance.now() - this.#loaded >= maxAgeMs) await this.#load();
    return [...this.#priorities.keys()];
  }

  /** Queues with their priorities, as they are now. */
  async priorities(): Promise<ReadonlyMap<string, number>> {
    await this.#load();
    return this.#priorities;
  }

  async #load(): Promise<void> {
    let stored = await this.#stored();
    const gone = this.#declared.filter(({ name }) => !stored.has(name));
    if (gone.length > 0) {
      // Somebody has emptied the server.
      await this.#put(gone);
      stored = await this.#stored();
    }
    // Not before they are all there again: who looks for jobs everywhere would look nowhere.
    this.#priorities = stored;
    this.#loaded = performance.now();
  }

  async #stored(): Promise<Map<string, number>> {
    const stored = (await this.#connection.command(this.#keys.queues, ['HGETALL', this.#keys.queues])) as Readonly<Record<string, string>>;
    return new Map(Object.entries(stored).map(([name, priority]) => [name, Number(priority)]));
  }

  async #put(queues: readonly QueueDeclaration[]): Promise<void> {
    const fields = queues.flatMap(({ name, priority }) => [name, String(priority)]);
    if (fields.length > 0) await this.#connection.command(this.#keys.queues, ['HSET', this.#keys.queues, ...fields]);
  }
}
