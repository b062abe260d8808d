/** Lets a test hold a task at a point and let it go on, without a sleep on either side. */
export class Gate {
  #open: () => void = () => undefined;
  #reached: () => void = () => undefined;
  readonly #opened = new Promise<void>((resolve) => {
    this.#open = resolve;
  });
  /** Resolves when somebody waits at the gate. */
  readonly reached = new Promise<void>((resolve) => {
    this.#reached = resolve;
  });

  /** Waits until the gate is open; rejects with the signal's reason when it aborts first. */
  async pass(signal?: AbortSignal): Promise<void> {
    this.#reached();
    if (signal === undefined) return this.#opened;
    signal.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
      void this.#opened.then(resolve);
    });
  }

  open(): void {
    this.#open();
  }
}
