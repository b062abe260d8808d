/**
 * How many jobs a worker claims next. It holds as many as it has slots, and ahead of them what it expects to start within
 * the next milliseconds, in two halves: one travels while the other runs.
 */

/** Exchanges on their way at once. */
export const exchangesAtOnce = 2;
const mostAhead = 1_000;

export interface Holding {
  readonly slots: number;
  /** Jobs that are expected to start within the time that a worker claims ahead. */
  readonly ahead: number;
  /** Claimed, and not begun. */
  readonly held: number;
  readonly running: number;
  /** What claims on their way may bring. */
  readonly requested: number;
}

/** The limit of the next claim; 0 for none now. */
export function claimSize({ slots, ahead: expected, held, running, requested }: Holding): number {
  const ahead = Math.min(mostAhead, expected);
  const target = slots + ahead;
  const want = target - held - running - requested;
  if (want <= 0) return 0;
  // Whatever is free is worth a claim when nothing is left to start; else a good part has to be wanted.
  if (held > 0 && want < ahead / 2) return 0;
  // The smaller half of an odd target counts too: a worker of one slot would never have two claims on their way.
  if (held === 0 && requested > 0 && want < Math.floor(target / exchangesAtOnce)) return 0;
  return Math.min(want, Math.max(slots, Math.ceil(target / exchangesAtOnce)));
}
