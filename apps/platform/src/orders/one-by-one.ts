/** What is done to many orders in one run: each by itself, so that one which fails does not stand in the way of the others. */

/**
 * @param failures what goes wrong is put here, for the end of the run
 * @param signal ends it after the one at hand: the next run has the rest
 * @param work says whether it has done something
 * @returns to how many something was done
 */
export async function oneByOne<Item>(
  items: Iterable<Item>,
  failures: unknown[],
  signal: AbortSignal | undefined,
  work: (item: Item) => Promise<boolean>,
): Promise<number> {
  let done = 0;
  for (const item of items) {
    if (signal?.aborted === true) break;
    try {
      if (await work(item)) done += 1;
    } catch (error) {
      failures.push(error);
    }
  }
  return done;
}
