/**
 * The names of all keys. Those of a queue share a hash tag, and so a slot of a Cluster; scripts are given the first one,
 * the base, and add the endings below. docs/redis-layout.md tells what each holds and how long it lives.
 *
 *   :jobs      hash    key of a record -> the record: one job, or a pack of jobs that came together
 *   :packs     zset    keys of packs, by name: finds the pack of an id
 *   :ready     zset    key -> rank; may run now
 *   :due       zset    id -> when it may run
 *   :expiry    zset    key -> when it expires if it still waits
 *   :claims    hash    claim -> who holds it, which bits are open, which records it has
 *   :taken     hash    key -> the claim that holds it
 *   :held:<w>  set     claims of worker w
 *   :holders   zset    worker -> when it last got a claim
 *   :cancels   hash    claim -> bits of jobs that are asked to stop
 *   :progress  hash    claim -> progress of its jobs
 *   :ended     hash    key -> state, results, pasts
 *   :ends      zset    key -> when it is forgotten
 *   :dead      hash    id -> dead letter
 *   :died      zset    id -> when it died
 *   :named     zset    id of a caller's -> until when it makes no second job
 *   :resent    zset    id of the engine's that was enqueued again -> the same
 *   :producers hash    producer -> the number of its last batch
 *   :finished  stream  ids of jobs that have ended, where that is told
 *   :marks     zset    worker -> its epoch, or when it was taken for dead
 *   :idle      set     workers that sleep
 *   :meta      hash    counts, whether the queue is paused, whether ends of its jobs are told
 *   :wake      channel
 */
export class Keys {
  readonly #namespace: string;

  constructor(namespace: string) {
    this.#namespace = namespace;
  }

  /** The base of a queue's keys. */
  queue(name: string): string {
    return `taktline:{${this.#namespace}:${name}}`;
  }

  /** The queue whose base this is. */
  queueNamed(base: string): string {
    return base.slice(this.queue('').length - 1, -1);
  }

  channel(name: string): string {
    return `${this.queue(name)}:wake`;
  }

  /** Workers that may be handed jobs: worker -> when it said that it has nothing to do, its epoch, how many it can run at once. */
  get hands(): string {
    return `taktline:{${this.#namespace}}:hands`;
  }

  /** A worker's own channel: what it is handed, and that something is asked of it. */
  hand(worker: string): string {
    return `${this.hands}:${worker}`;
  }

  /** The version of all this. */
  get layout(): string {
    return `taktline:{${this.#namespace}}:layout`;
  }

  /** A name of what is kept here, which goes with it. */
  get origin(): string {
    return `taktline:{${this.#namespace}}:origin`;
  }

  /** Declared queues: name -> priority. */
  get queues(): string {
    return `taktline:{${this.#namespace}}:queues`;
  }

  /** Leases and descriptions of workers. */
  get workers(): readonly [leases: string, descriptions: string] {
    return [`taktline:{${this.#namespace}}:leases`, `taktline:{${this.#namespace}}:workers`];
  }

  /** Requests to workers: how many there were; with the number of one behind it, that one. */
  get requests(): string {
    return `taktline:{${this.#namespace}}:requests`;
  }

  /** There while somebody listens to events. */
  get watched(): string {
    return `taktline:{${this.#namespace}}:watched`;
  }

  /** The channel of events. */
  get events(): string {
    return `taktline:{${this.#namespace}}:events`;
  }

  /** With a minute behind it: what was counted in it. */
  get counts(): string {
    return `taktline:{${this.#namespace}}:counts`;
  }

  /** Tasks as workers have described them. */
  get catalogue(): string {
    return `taktline:{${this.#namespace}}:catalogue`;
  }

  /** Schedules: name -> the schedule, with how far it has come. */
  get schedules(): string {
    return `taktline:{${this.#namespace}}:schedules`;
  }

  /** Which beat leads, and until when. */
  get beat(): string {
    return `taktline:{${this.#namespace}}:beat`;
  }

  /** Where an id of a caller's is reserved: one of a few hashes, which spread over a Cluster. */
  bucket(number: number): string {
    return `taktline:{${this.#namespace}:ids:${number}}`;
  }
}

export const buckets = 64;
