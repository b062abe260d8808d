/**
 * Lets calls that come in one turn of the event loop travel together: the first one opens a batch, the end of the turn
 * sends it. While batches are under way, what comes gathers in the next one, so that a busy client sends few large
 * batches and an idle one sends at once.
 */

export interface CoalescerOptions<Item, Reply> {
  /** Gives for each item, in order, its reply, or the error that its call fails with. */
  send(items: readonly Item[]): Promise<readonly (Reply | Error)[]>;
  readonly mostItems: number;
  readonly mostBytes: number;
  /** Batches that may be under way at once. Default 2. */
  readonly atOnce?: number;
  /** What lets the calls of a turn come together: runs what it is given later. Default: after the promises of this turn. */
  readonly gather?: (flush: () => void) => void;
}

/**
 * A class, as is the client's Call: V8 comes to allocate object literals that often survive the first collections among the old
 * objects for good, and all that they point to with them. Of calls by the hundred thousand that took a third of the rate.
 */
class Waiting<Item, Reply> {
  readonly item: Item;
  readonly bytes: number;
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: unknown) => void;

  constructor(item: Item, bytes: number, resolve: (reply: Reply) => void, reject: (error: unknown) => void) {
    this.item = item;
    this.bytes = bytes;
    this.resolve = resolve;
    this.reject = reject;
  }
}

const defaultAtOnce = 2;
/**
 * Where nothing is under way, so many or more leave as two batches. Callers that each wait for their own call come back together,
 * and would else never have more than one batch under way: the client would wait while the broker works, and the broker while the
 * client does.
 */
const halvedFrom = 32;

export class Coalescer<Item, Reply> {
  readonly #options: CoalescerOptions<Item, Reply>;
  readonly #atOnce: number;
  readonly #gather: (flush: () => void) => void;
  #waiting: Waiting<Item, Reply>[] = [];
  #scheduled = false;
  #underWay = 0;
  #idle: (() => void)[] = [];

  constructor(options: CoalescerOptions<Item, Reply>) {
    this.#options = options;
    this.#atOnce = options.atOnce ?? defaultAtOnce;
    this.#gather = options.gather ?? setImmediate;
  }

  /** @param bytes about how large the item is on the wire */
  add(item: Item, bytes: number): Promise<Reply> {
    return new Promise((resolve, reject) => {
      this.#waiting.push(new Waiting(item, bytes, resolve, reject));
      // After the promises of this turn, before timers: one awaited call pays microseconds for it.
      this.#flushBy(this.#gather);
    });
  }

  /** Resolves when all calls are answered. */
  async idle(): Promise<void> {
    if (this.#waiting.length === 0 && this.#underWay === 0) return;
    await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  #flushBy(schedule: (flush: () => void) => void): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    schedule(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    const { mostItems, mostBytes } = this.#options;
    const waiting = this.#waiting.length;
    if (waiting === 0) {
      if (this.#underWay === 0) for (const resolve of this.#idle.splice(0)) resolve();
      return;
    }
    if (this.#underWay === this.#atOnce) return;
    const halved = this.#atOnce > 1 && this.#underWay === 0 && waiting >= halvedFrom;
    const most = Math.min(mostItems, halved ? Math.ceil(waiting / 2) : waiting);
    let count = 0;
    let bytes = 0;
    while (count < most) {
      bytes += (this.#waiting[count] as Waiting<Item, Reply>).bytes;
      if (count > 0 && bytes > mostBytes) break;
      count += 1;
    }
    void this.#send(this.#waiting.splice(0, count));
    // The next one when this one has been written: what is written together is answered together.
    if (count < waiting) this.#flushBy((flush) => setImmediate(() => setImmediate(flush)));
  }

  async #send(batch: readonly Waiting<Item, Reply>[]): Promise<void> {
    this.#underWay += 1;
    try {
      const replies = await this.#options.send(batch.map(({ item }) => item));
      for (const [index, { resolve, reject }] of batch.entries()) {
        const reply = replies[index] as Reply | Error;
        if (reply instanceof Error) reject(reply);
        else resolve(reply);
      }
    } catch (error) {
      for (const { reject } of batch) reject(error);
    } finally {
      this.#underWay -= 1;
      // When those who were answered have gone on, and made their next calls.
      this.#flushBy((flush) => process.nextTick(flush));
    }
  }
}
