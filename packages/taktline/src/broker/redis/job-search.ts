/**
 * Finds jobs by their ids alone: in the queue whose mark an id of the engine bears, or for which the id of a caller is
 * reserved. Whatever is not there (two queues can share a mark; the time of a reservation ends) is looked for everywhere.
 */
import { groupBy } from '../../support/group-by.ts';
import { madeHere, markOf, queueMark } from '../../support/ids.ts';
import type { Script } from './connection.ts';
import type { QueueNames } from './queue-names.ts';
import { scripts } from './scripts.ts';
import type { Reply } from './wire.ts';

/** A script is asked about so many ids at once. */
const idsAtOnce = 500;

/** See scripts/find.lua for the fields. */
export interface FoundJob {
  readonly id: string;
  readonly queue: string;
  readonly fields: readonly string[];
}

export interface JobSearchOptions {
  /** Runs a script on a queue. */
  readonly run: (queue: string, script: Script, args: readonly string[]) => Promise<Reply>;
  readonly names: QueueNames;
  /** Where ids of callers are reserved. */
  readonly reserved: (ids: readonly string[]) => Promise<ReadonlyMap<string, string>>;
}

export class JobSearch {
  readonly #options: JobSearchOptions;

  constructor(options: JobSearchOptions) {
    this.#options = options;
  }

  /** @param what b: everything; e: of ended jobs alone; s: the state alone */
  async find(what: 'b' | 'e' | 's', ids: readonly string[]): Promise<readonly FoundJob[]> {
    const found: FoundJob[] = [];
    await this.each(ids, async (queue, indices) => {
      const asked = indices.map((index) => ids[index] as string);
      const answers = (await this.#options.run(queue, scripts.find, [what, ...asked])) as readonly (readonly [number, ...string[]])[];
      return answers.map(([at, ...fields]) => {
        const index = indices[at - 1] as number;
        found.push({ id: ids[index] as string, queue, fields });
        return index;
      });
    });
    return found;
  }

  /** Those of the ids that have a job, whatever its state. */
  async there(ids: readonly string[]): Promise<ReadonlySet<string>> {
    return new Set((await this.find('s', ids)).map(({ id }) => id));
  }

  /** @param search gets a queue and the places of ids, and gives the places of those that it found */
  async each(ids: readonly string[], search: (queue: string, indices: readonly number[]) => Promise<readonly number[]>): Promise<void> {
    if (ids.length === 0) return;
    const names = await this.#options.names.all();
    const likely = await this.#likelyQueues(ids, names);
    const left = new Set(ids.keys());
    const round = async (queuesOf: (index: number) => readonly string[]): Promise<void> => {
      const pairs = [...left].flatMap((index) => queuesOf(index).map((queue) => ({ queue, index })));
      const parts = [...groupBy(pairs, ({ queue }) => queue)].flatMap(([queue, own]) =>
        chunks(
          own.map(({ index }) => index),
          idsAtOnce,
        ).map((part) => ({ queue, part })),
      );
      const found = await Promise.all(parts.map(({ queue, part }) => search(queue, part)));
      for (const index of found.flat()) left.delete(index);
    };
    await round((index) => likely[index] as readonly string[]);
    if (left.size > 0) await round((index) => names.filter((name) => !(likely[index] as readonly string[]).includes(name)));
  }

  async #likelyQueues(ids: readonly string[], names: readonly string[]): Promise<readonly (readonly string[])[]> {
    const reserved = await this.#options.reserved(ids.filter((id) => !madeHere(id)));
    return ids.map((id) => {
      const mark = markOf(id);
      if (mark !== undefined) return names.filter((name) => queueMark(name) === mark);
      const queue = reserved.get(id);
      return queue === undefined ? [] : [queue];
    });
  }
}

function chunks<Item>(items: readonly Item[], size: number): Item[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, index) => items.slice(index * size, (index + 1) * size));
}
