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
  readonly #now: () => number;
  #perMs = 0;
  #jobs = 0;
  #since: number | undefined;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Something runs from now on. */
  busy(): void {
    this.#since ??= this.#now();
  }

  /** Nothing runs any more; idle time does not count. */
  idle(): void {
    this.#close();
    this.#since = undefined;
  }

  finished(): void {
    this.#jobs += 1;
    if (this.#jobs >= windowJobs && this.#since !== undefined && this.#now() - this.#since >= windowMs) {
      this.#close();
      this.#since = this.#now();
    }
  }

  /** Jobs that will be finished in so long, as far as is known. 0 at first. */
  expected(ms: number): number {
    return this.#rate() * ms;
  }

  #rate(): number {
    if (this.#since === undefined) return this.#perMs;
    const elapsed = this.#now() - this.#since;
    // A window in which less has come than was expected speaks at once; one that is young says little.
    return elapsed < windowMs ? this.#perMs : Math.min(this.#perMs, (this.#jobs + 1) / elapsed);
  }

  #close(): void {
    if (this.#since === undefined || this.#jobs === 0) return;
    const elapsed = Math.max(this.#now() - this.#since, 0.05);
    const rate = this.#jobs / elapsed;
    this.#perMs = this.#perMs === 0 || rate < this.#perMs ? rate : this.#perMs + (rate - this.#perMs) * weight;
    this.#jobs = 0;
  }
}
