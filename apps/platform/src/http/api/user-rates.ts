/**
 * How many requests each user may make: a token bucket for all his keys, since a key can make further keys, in this process. What it
 * keeps is bounded, however many users there are.
 */

export interface UserRatesOptions {
  readonly perSecond: number;
  /** Users that are kept at once; beyond that whoever has not called for the longest time is forgotten. Default 10,000. */
  readonly users?: number;
  /** Milliseconds; never goes back. */
  readonly now?: () => number;
}

export interface Taken {
  /** Requests that can follow at once. */
  readonly left: number;
  /** Until all can. */
  readonly fullMs: number;
  /** Until this one can: 0 when it may go on. */
  readonly waitMs: number;
}

/** Seconds' worth of requests that may come at once. */
export const burstSeconds = 2;

export class UserRates {
  /** Requests that may come at once. */
  readonly burst: number;
  readonly #gapMs: number;
  readonly #users: number;
  readonly #now: () => number;
  /** When the bucket of each is full again. */
  readonly #fullAt = new Map<number, number>();

  constructor({ perSecond, users = 10_000, now = () => performance.now() }: UserRatesOptions) {
    this.burst = perSecond * burstSeconds;
    this.#gapMs = 1_000 / perSecond;
    this.#users = users;
    this.#now = now;
  }

  /** Users that are kept. */
  get size(): number {
    return this.#fullAt.size;
  }

  /** Asks for one request. */
  take(user: number): Taken {
    const now = this.#now();
    const fullAt = Math.max(now, this.#fullAt.get(user) ?? 0);
    const takenMs = fullAt - now + this.#gapMs;
    const waitMs = Math.max(0, takenMs - this.burst * this.#gapMs);
    const fullMs = waitMs > 0 ? takenMs - this.#gapMs : takenMs;
    // To the end of the map, whose first is forgotten first.
    this.#fullAt.delete(user);
    this.#fullAt.set(user, now + fullMs);
    const [oldest] = this.#fullAt.keys();
    if (this.#fullAt.size > this.#users && oldest !== undefined) this.#fullAt.delete(oldest);
    return { left: Math.floor(this.burst - fullMs / this.#gapMs), fullMs, waitMs };
  }
}
