/**
 * Wakes sleeping workers for jobs that were enqueued in transactions of callers, as soon as those are over. The transaction
 * itself tells nobody, and asks for no sleepers, since the caller pays for that: they are looked for from here, for all
 * transactions at once; at once, and then less and less often. What is missed costs one poll of the workers.
 */

export interface CommitWatchOptions {
  /** Those of these transactions that have ended, and whether a worker sleeps. */
  look(xids: readonly string[]): Promise<{ readonly over: readonly string[]; readonly idle: boolean }>;
  wake(): Promise<void>;
}

const firstMs = 2;
/** While nobody sleeps. */
const calmMs = 50;
/** From then on a worker's own poll is as good. */
const slowestMs = 1_000;
/** A transaction that stays open for longer is left to that poll. */
const patienceMs = 30_000;

export class CommitWatch {
  readonly #options: CommitWatchOptions;
  /** Transactions that are open, with the time when they were first heard of. */
  readonly #open = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;
  /** When it looks next, if it is to. */
  #at = Number.POSITIVE_INFINITY;
  #looking = false;
  #soonestMs = firstMs;
  #closed = false;

  constructor(options: CommitWatchOptions) {
    this.#options = options;
  }

  wakeAfter(xid: string): void {
    if (!this.#open.has(xid)) this.#open.set(xid, performance.now());
    // One that comes later may be over before those that are waited for.
    this.#lookIn(this.#soonestMs);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #lookIn(ms: number): void {
    const at = performance.now() + ms;
    if (this.#closed || this.#looking || this.#at <= at) return;
    clearTimeout(this.#timer);
    this.#at = at;
    this.#timer = setTimeout(() => {
      this.#looking = true;
      void this.#look()
        .catch(() => false)
        .then((some) => {
          this.#looking = false;
          this.#at = Number.POSITIVE_INFINITY;
          if (this.#open.size > 0) this.#lookIn(some ? this.#soonestMs : Math.min(slowestMs, Math.max(this.#soonestMs, ms * 2)));
        });
    }, ms).unref();
  }

  /** Whether any has ended. */
  async #look(): Promise<boolean> {
    const now = performance.now();
    for (const [xid, since] of this.#open) if (now - since > patienceMs) this.#open.delete(xid);
    const { over, idle } = await this.#options.look([...this.#open.keys()]);
    for (const xid of over) this.#open.delete(xid);
    this.#soonestMs = idle ? firstMs : calmMs;
    if (over.length > 0 && idle) await this.#options.wake();
    return over.length > 0;
  }
}
