/** SIGTERM and SIGINT: the first one stops gently, the second one at once. */

export interface StopHandlers {
  /** Drain. */
  gently(): Promise<void>;
  /** Hand back what runs, without waiting. */
  atOnce(): Promise<void>;
  /** Called when either has come to its end. */
  done(exitCode: number): void;
}

/** For a process that another one ends: Ctrl-C reaches the whole group of processes, and means only the first of them. */
export function ignoreStopSignals(): void {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => undefined);
}

/** Installs the handlers; returns a function that removes them. */
export function onStopSignals(handlers: StopHandlers): () => void {
  let signals = 0;
  const finish = (stopping: Promise<void>): void => {
    stopping.then(
      () => handlers.done(0),
      () => handlers.done(1),
    );
  };
  const stop = (): void => {
    signals += 1;
    if (signals === 1) finish(handlers.gently());
    else if (signals === 2) finish(handlers.atOnce());
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  return () => {
    process.off('SIGTERM', stop);
    process.off('SIGINT', stop);
  };
}
