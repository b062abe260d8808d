/**
 * Spreads the mails of this process evenly: each caller gets the next free instant. One limit stands for one mail
 * server, whatever number of connections and batches send through it.
 */

export interface RateLimit {
  /**
   * Waits for the caller's turn.
   *
   * @throws the signal's reason when it aborts first; the turn then goes unused
   */
  turn(signal?: AbortSignal): Promise<void>;
}

/** @param perSecond turns a second; after a pause up to a fifth of a second's worth may go at once */
export function createRateLimit(perSecond: number, now: () => number = () => performance.now()): RateLimit {
  const gapMs = 1000 / perSecond;
  const burstMs = 200;
  let next = -Infinity;
  return {
    async turn(signal) {
      signal?.throwIfAborted();
      const time = now();
      const mine = Math.max(next, time - burstMs);
      next = mine + gapMs;
      if (mine > time) await wait(mine - time, signal);
    },
  };
}

function wait(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    }, ms);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
