/**
 * Lets calls that come in one turn of the event loop travel together: the first one opens a batch, the end of the turn
 * sends it. While batches are under way, what comes gathers in the next one, so that a busy client sends few large
 * batches and an idle one sends at once.
 */

export interface CoalescerOptions<Item, Reply> {
  /** Gives one reply for each item, in order. */
  send(items: readonly Item[]): Promise<readonly Reply[]>;
  readonly mostItems: number;
  readonly mostBytes: number;
}

interface Waiting<Item, Reply> {
  readonly item: Item;
  resolve(reply: Reply): void;
  reject(error: unknown): void;
}

const batchesAtOnce = 2;

export class Coalescer<Item, Reply> {
  readonly #options: CoalescerOptions<Item, Reply>;
  #waiting: Waiting<Item, Reply>[] = [];
  readonly #sizes: number[] = [];
  #scheduled = false;
  #underWay = 0;

  constructor(options: CoalescerOptions<Item, Reply>) {
    this.#options = options;
  }

  /** @param bytes about how large the item is on the wire */
  add(item: Item, bytes: number): Promise<Reply> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      this.#sizes.push(bytes);
      if (this.#scheduled) return;
      this.#scheduled = true;
      // After the promises of this turn, before timers: one awaited call pays microseconds for it.
      setImmediate(() => {
        this.#scheduled = false;
        this.#flush();
      });
    });
  }

  #flush(): void {
    while (this.#waiting.length > 0 && this.#underWay < batchesAtOnce) {
      const { mostItems, mostBytes } = this.#options;
      let count = 0;
      let bytes = 0;
      while (count < this.#waiting.length && count < mostItems && (count === 0 || bytes + (this.#sizes[count] as number) <= mostBytes)) {
        bytes += this.#sizes[count] as number;
        count += 1;
      }
      this.#sizes.splice(0, count);
      void this.#send(this.#waiting.splice(0, count));
    }
  }

  async #send(batch: readonly Waiting<Item, Reply>[]): Promise<void> {
    this.#underWay += 1;
    try {
      const replies = await this.#options.send(batch.map(({ item }) => item));
      for (const [index, { resolve }] of batch.entries()) resolve(replies[index] as Reply);
    } catch (error) {
      for (const { reject } of batch) reject(error);
    } finally {
      this.#underWay -= 1;
      this.#flush();
    }
  }
}
