/**
 * Wakes sleeping workers for jobs that were enqueued in transactions of callers, as soon as those are over. The transaction
 * itself tells nobody, so it is looked for: at once, and then less and less often. What is missed costs one poll of the workers.
 */

export interface CommitWatchOptions {
  /** Those of these transactions that have ended. */
  over(xids: readonly string[]): Promise<readonly string[]>;
  wake(): Promise<void>;
}

const firstMs = 2;
/** From then on a worker's own poll is as good. */
const slowestMs = 1_000;
/** A transaction that stays open for longer is left to that poll. */
const patienceMs = 30_000;

export class CommitWatch {
  readonly #options: CommitWatchOptions;
  /** Transactions that are open, with the time when they were first heard of. */
  readonly #open = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;
  #looking = false;
  #closed = false;

  constructor(options: CommitWatchOptions) {
    this.#options = options;
  }

  wakeAfter(xid: string): void {
    if (!this.#open.has(xid)) this.#open.set(xid, performance.now());
    // One that comes later may be over before those that are waited for.
    this.#look(firstMs);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #look(inMs: number): void {
    if (this.#closed || this.#looking) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#looking = true;
      void this.#ended()
        .catch(() => false)
        .then((some) => {
          this.#looking = false;
          if (this.#open.size > 0) this.#look(some ? firstMs : Math.min(slowestMs, inMs * 2));
        });
    }, inMs).unref();
  }

  /** Whether any has ended. */
  async #ended(): Promise<boolean> {
    const now = performance.now();
    for (const [xid, since] of this.#open) if (now - since > patienceMs) this.#open.delete(xid);
    const xids = [...this.#open.keys()];
    const ended = await this.#options.over(xids);
    for (const xid of ended) this.#open.delete(xid);
    if (ended.length > 0) await this.#options.wake();
    return ended.length > 0;
  }
}
