/**
 * Which ticks are run, and which are given up, when a beat looks at a schedule. Pure. A beat looks about once a second, so
 * most often there is one tick, or none. After a downtime there may be many: those that are late are dealt with by the
 * schedule's catch-up policy.
 */
import type { Ticks } from './ticks.ts';

export type CatchUp =
  /** Late ticks are not run. */
  | { readonly policy: 'skip' }
  /** The newest of the late ticks is. */
  | { readonly policy: 'latest' }
  /** All of them are, the newest `most`. */
  | { readonly policy: 'all'; readonly most: number };

export interface Due {
  /** Ticks to run, oldest first. */
  readonly run: readonly number[];
  /** Ticks that are given up: how many, counted up to 10,000, and the newest of them, the newest first. */
  readonly missed: number;
  readonly newestMissed: readonly number[];
}

/** A tick is late when nobody has run it for so long: longer than it takes another beat to take over. */
export const lateMs = 30_000;
const shownMissed = 10;

/** @param after all ticks up to this were dealt with */
export function dueTicks(ticks: Ticks, catchUp: CatchUp, after: number, now: number): Due {
  const next = ticks.next(after);
  if (next === undefined || next > now) return { run: [], missed: 0, newestMissed: [] };
  const late = now - lateMs;
  const punctual = ticks.newest(Math.max(after, late), now, Math.ceil(lateMs / 1_000) + 1).toReversed();
  if (next > late) return { run: punctual, missed: 0, newestMissed: [] };
  const kept = catchUp.policy === 'all' ? catchUp.most : catchUp.policy === 'latest' ? 1 : 0;
  const newest = ticks.newest(after, late, kept + shownMissed);
  return {
    run: [...newest.slice(0, kept).toReversed(), ...punctual],
    missed: ticks.count(after, late) - Math.min(kept, newest.length),
    newestMissed: newest.slice(kept),
  };
}
