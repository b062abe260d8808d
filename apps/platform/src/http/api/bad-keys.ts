/** Counts keys that were not good, by who has sent them. What it keeps is bounded, however many addresses there are. */

export interface BadKeysOptions {
  /** In a window, before one is told to wait. Default 20. */
  readonly most?: number;
  /** Default a minute. */
  readonly windowMs?: number;
  /** Addresses that are kept at once; beyond that the oldest is forgotten. Default 1,000. */
  readonly addresses?: number;
  readonly now?: () => number;
}

export class BadKeys {
  readonly #most: number;
  readonly #windowMs: number;
  readonly #addresses: number;
  readonly #now: () => number;
  readonly #windows = new Map<string, { readonly ends: number; count: number }>();

  constructor({ most = 20, windowMs = 60_000, addresses = 1_000, now = Date.now }: BadKeysOptions = {}) {
    this.#most = most;
    this.#windowMs = windowMs;
    this.#addresses = addresses;
    this.#now = now;
  }

  /** Addresses that are kept. */
  get size(): number {
    return this.#windows.size;
  }

  /** Notes one more. @returns the seconds to wait; undefined as long as there were not too many */
  note(address: string): number | undefined {
    const now = this.#now();
    const known = this.#windows.get(address);
    const window = known === undefined || known.ends <= now ? { ends: now + this.#windowMs, count: 0 } : known;
    window.count += 1;
    // To the end of the map, whose first is forgotten first.
    if (window !== known) this.#windows.delete(address);
    this.#windows.set(address, window);
    const [oldest] = this.#windows.keys();
    if (this.#windows.size > this.#addresses && oldest !== undefined) this.#windows.delete(oldest);
    return window.count > this.#most ? Math.max(1, Math.ceil((window.ends - now) / 1_000)) : undefined;
  }
}
