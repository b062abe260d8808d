/**
 * While somebody listens to events, the broker has a mark that says so, so that workers tell them only then. The mark ends by
 * itself soon after whoever set it was killed.
 */

/** How long the mark holds. */
export const watchMs = 10_000;
const everyMs = 3_000;

/**
 * Sets the mark, and goes on doing so.
 *
 * @param renew sets it
 * @param deaf ends listening
 * @returns what ends both
 */
export async function keepWatching(renew: () => Promise<void>, deaf: () => Promise<void>): Promise<() => Promise<void>> {
  let stopped = false;
  // One that fails is followed by others long before the mark has ended.
  const timer = setInterval(() => void renew().catch(() => undefined), everyMs).unref();
  const stop = async (): Promise<void> => {
    if (stopped) return;
    stopped = true;
    clearInterval(timer);
    await deaf();
  };
  try {
    await renew();
  } catch (error) {
    await stop();
    throw error;
  }
  return stop;
}
