/**
 * How many jobs a second this worker has finished lately, as far as it was busy: what decides how many jobs it may hold
 * beyond its free slots. A slow job lowers the figure at once, while it still runs; a fast one raises it slowly.
 */

/** A window closes after so many jobs or so long, whichever is later. */
const windowJobs = 16;
const windowMs = 5;
/** Weight of the newest window. */
const weight = 0.3;

export class Throughput {
  readonly #slots: () => number;
  readonly #now: () => number;
  #perMs = 0;
  #jobs = 0;
  #since: number | undefined;
  /** When the last job was finished, or the first one begun. */
  #heard = 0;

  /** @param slots jobs that run at once, at most */
  constructor(slots: () => number, now: () => number = () => performance.now()) {
    this.#slots = slots;
    this.#now = now;
  }

  /** Something runs from now on. */
  busy(): void {
    if (this.#since !== undefined) return;
    this.#since = this.#now();
    this.#heard = this.#since;
  }

  /** Nothing runs any more; idle time does not count. */
  idle(): void {
    this.#close();
    this.#since = undefined;
  }

  finished(): void {
    const now = this.#now();
    this.#jobs += 1;
    this.#heard = now;
    if (this.#jobs >= windowJobs && this.#since !== undefined && now - this.#since >= windowMs) {
      this.#close();
      this.#since = now;
    }
  }

  /** Jobs that will be finished in so long, as far as is known. 0 at first. */
  expected(ms: number): number {
    return this.#rate() * ms;
  }

  #rate(): number {
    if (this.#since === undefined) return this.#perMs;
    const now = this.#now();
    const elapsed = now - this.#since;
    // A window in which less has come than was expected speaks at once; one that is young says little. A window that began
    // with many says little too: what runs now has been silent since, and if all of it ended this moment it came to this.
    const silence = Math.max(windowMs, now - this.#heard);
    return elapsed < windowMs ? this.#perMs : Math.min(this.#perMs, (this.#jobs + 1) / elapsed, (this.#slots() + 1) / silence);
  }

  #close(): void {
    if (this.#since === undefined || this.#jobs === 0) return;
    const elapsed = Math.max(this.#now() - this.#since, 0.05);
    const rate = this.#jobs / elapsed;
    this.#perMs = this.#perMs === 0 || rate < this.#perMs ? rate : this.#perMs + (rate - this.#perMs) * weight;
    this.#jobs = 0;
  }
}
