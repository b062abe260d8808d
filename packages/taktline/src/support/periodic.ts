/** Runs a chore again and again, never twice at once, with some jitter so that workers do not march in step. */

export interface PeriodicOptions {
  readonly everyMs: number;
  run(): Promise<void>;
  /** Told of each failure, and how many came in a row. */
  failed(error: unknown, inARow: number): void;
}

export class Periodic {
  readonly #options: PeriodicOptions;
  #timer: NodeJS.Timeout | undefined;
  #current: Promise<void> | undefined;
  #stopped = false;
  #again = false;
  #failures = 0;

  constructor(options: PeriodicOptions) {
    this.#options = options;
  }

  start(): void {
    if (this.#timer === undefined && !this.#stopped) this.#schedule();
  }

  /** Runs it now; when it runs already, once more right after. */
  now(): void {
    if (this.#stopped) return;
    if (this.#current !== undefined) {
      this.#again = true;
      return;
    }
    clearTimeout(this.#timer);
    this.#current = this.#options
      .run()
      .then(
        () => {
          this.#failures = 0;
        },
        (error: unknown) => this.#options.failed(error, ++this.#failures),
      )
      .finally(() => {
        this.#current = undefined;
        if (this.#stopped) return;
        if (!this.#again) return this.#schedule();
        this.#again = false;
        this.now();
      });
  }

  /** Resolves when the run that is under way has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#current;
  }

  #schedule(): void {
    this.#timer = setTimeout(() => this.now(), this.#options.everyMs * (0.95 + Math.random() * 0.1));
  }
}
