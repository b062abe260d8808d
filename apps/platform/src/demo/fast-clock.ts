/** The time of the demo: it begins where an earlier run has come to, or now, and goes so many times as fast as the real one. */
import type { PlatformDatabase } from '../database/database.ts';

/** @returns milliseconds since the Unix epoch */
export function fastClock(from: number, speed: number): () => number {
  const begun = Date.now();
  return () => from + Math.round((Date.now() - begun) * speed);
}

/** When something happened last to an order, if that is later than now. */
export async function lastMoment(database: PlatformDatabase): Promise<number> {
  const { last } = await database
    .selectFrom('order_events')
    .select(({ fn }) => fn.max('at').as('last'))
    .executeTakeFirstOrThrow();
  return Math.max(Date.now(), (last as Date | null)?.getTime() ?? 0);
}
