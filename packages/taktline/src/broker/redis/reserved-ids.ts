/**
 * Ids that callers gave. The first enqueue of an id reserves it for its queue, in one of a few hashes that spread over a
 * Cluster; the enqueue there is idempotent, so that a crash between the two heals when it is sent again.
 */
import { groupBy } from '../../support/group-by.ts';
import { hash12 } from '../../support/ids.ts';
import type { NewJob } from '../broker.ts';
import type { Connection } from './connection.ts';
import { buckets, type Keys } from './keys.ts';
import { scripts } from './scripts.ts';

/** Ids that are freed at once. */
const freedAtOnce = 200;
/** An id is freed so long after its time, and looked at again after so long when its job is still there. */
const slackMs = 60_000;
const againMs = 600_000;

export interface Reservation {
  /** The queue that has the id. */
  readonly queue: string;
  /** `own`: for this work. `other`: for other work. `gone`: its time is over, but a job of it is there. */
  readonly holder: 'own' | 'other' | 'gone';
}

/** Which of the ids have a job, whatever its state. */
export type There = (ids: readonly string[]) => Promise<ReadonlySet<string>>;

/** What is to be known of a job whose id is reserved. */
export type Named = Pick<NewJob, 'id' | 'queue'> & { readonly unique: NonNullable<NewJob['unique']> };
/** See reserve.lua. */
type Status = 'n' | 's' | 'd' | 'S' | 'D';
interface Answer {
  readonly status: Status;
  readonly queue: string;
  readonly till: string;
}

export class ReservedIds {
  readonly #connection: Connection;
  readonly #keys: Keys;
  readonly #there: There;
  #tidied = 0;

  constructor(connection: Connection, keys: Keys, there: There) {
    this.#connection = connection;
    this.#keys = keys;
    this.#there = there;
  }

  async reserve(jobs: readonly Named[]): Promise<readonly Reservation[]> {
    const answers = await this.#ask(
      jobs,
      jobs.map(() => ''),
    );
    // An id whose time is over is free unless its job is still there.
    const over = [...answers.keys()].filter((index) => isOver(answers[index] as Answer));
    const there = over.length === 0 ? new Set() : await this.#there(over.map((index) => (jobs[index] as Named).id));
    const free = over.filter((index) => !there.has((jobs[index] as Named).id));
    const again = await this.#ask(
      free.map((index) => jobs[index] as Named),
      free.map((index) => (answers[index] as Answer).till),
    );
    for (const [at, index] of free.entries()) answers[index] = again[at] as Answer;
    return answers.map(({ status, queue }) => ({
      queue,
      holder: status === 'S' ? 'gone' : status === 'd' || status === 'D' ? 'other' : 'own',
    }));
  }

  /** The queues that have ids of callers, as far as they are reserved. */
  async queuesOf(ids: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const queues = new Map<string, string>();
    const byBucket = groupBy(new Set(ids), (id) => this.#bucketOf(id));
    await Promise.all(
      [...byBucket].map(async ([bucket, list]) => {
        const held = (await this.#connection.command(bucket, ['HMGET', bucket, ...list])) as readonly (string | null)[];
        for (const [at, id] of list.entries()) {
          const queue = held[at]?.split(',')[1];
          if (queue !== undefined) queues.set(id, queue);
        }
      }),
    );
    return queues;
  }

  /** Frees ids of jobs that have been removed. */
  async free(ids: readonly string[]): Promise<void> {
    await Promise.all(
      [...groupBy(ids, (id) => this.#bucketOf(id))].map(([bucket, own]) =>
        this.#connection.run(scripts.free, bucket, [bucket], ['', ...own]),
      ),
    );
  }

  /** Frees some ids whose time is over and whose job is gone. True when there is more. */
  async tidy(): Promise<boolean> {
    // One of the hashes at a time, by turns: few ids run out between two calls.
    const bucket = this.#keys.bucket(this.#tidied++ % buckets);
    const found = (await this.#connection.run(scripts.over, bucket, [bucket], [String(slackMs), String(freedAtOnce)])) as readonly string[];
    const [now, ...over] = found;
    if (over.length === 0) return false;
    const there = await this.#there(over);
    const gone = over.filter((id) => !there.has(id));
    const later = [...there].flatMap((id) => [String(Number(now) + againMs), id]);
    if (later.length > 0) await this.#connection.command(bucket, ['ZADD', `${bucket}:till`, ...later]);
    if (gone.length > 0) await this.#connection.run(scripts.free, bucket, [bucket], [String(Number(now) - slackMs), ...gone]);
    return over.length === freedAtOnce;
  }

  /** @param tills for each job the time up to which its id may be taken from its holder, or '' */
  async #ask(jobs: readonly Named[], tills: readonly string[]): Promise<Answer[]> {
    const answers: Answer[] = [];
    const byBucket = groupBy(jobs.keys(), (index) => this.#bucketOf((jobs[index] as Named).id));
    await Promise.all(
      this.#connection.together([...byBucket.keys()]).map(async (keys) => {
        const indices = keys.flatMap((key) => byBucket.get(key) ?? []);
        const args = keys.flatMap((key, number) =>
          (byBucket.get(key) ?? []).flatMap((index) => {
            const { id, queue, unique } = jobs[index] as Named;
            return [String(number + 1), id, queue, unique.fingerprint, String(unique.forMs), tills[index] as string];
          }),
        );
        const replies = (await this.#connection.run(scripts.reserve, keys[0] as string, keys, args)) as readonly string[];
        for (const [at, index] of indices.entries()) {
          const [status, queue, till = ''] = (replies[at] as string).split(',') as [Status, string, string?];
          answers[index] = { status, queue, till };
        }
      }),
    );
    return answers;
  }

  #bucketOf(id: string): string {
    return this.#keys.bucket(hash12(id) % buckets);
  }
}

function isOver({ status }: Answer): boolean {
  return status === 'S' || status === 'D';
}
