/** Waits for what only the server's clock or another process can bring about. */
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Asks again and again until the answer is neither `undefined` nor `false`, and returns it.
 *
 * @param what stands in the error of one that never comes
 */
export async function waitFor<Value>(
  ask: () => Promise<Value | undefined | false>,
  what: string,
  { withinMs = 20_000, everyMs = 5 } = {},
): Promise<Value> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer;
    if (performance.now() > deadline) throw new Error(`it did not happen within ${withinMs} ms: ${what}`);
    await sleep(everyMs);
  }
}
