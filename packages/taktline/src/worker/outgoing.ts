/**
 * Settlements on their way to the broker. A claim that is settled whole costs the broker much less than one settled in
 * pieces, so the settlements of a claim wait for each other, for a few milliseconds at most.
 */
import type { Settlement } from '../broker/broker.ts';

/** How long a settlement waits for the rest of its claim. */
export const patienceMs = 10;

interface Group {
  /** Jobs of the claim that are not settled yet. */
  open: number;
  readonly settlements: Settlement[];
  /** When the first of the waiting settlements came. */
  since: number;
}

export class Outgoing {
  readonly #now: () => number;
  readonly #groups = new Map<string, Group>();
  #waiting = 0;
  #whole = 0;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Settlements that wait. */
  get size(): number {
    return this.#waiting;
  }

  /** Those of claims that are finished. */
  get whole(): number {
    return this.#whole;
  }

  /** A claim has come with so many jobs. */
  expect(claim: string, jobs: number): void {
    this.#groups.set(claim, { open: jobs, settlements: [], since: 0 });
  }

  /** The claims that this worker knows. */
  claims(): readonly string[] {
    return [...this.#groups.keys()];
  }

  add(settlement: Settlement): void {
    const group = this.#groups.get(settlement.job.claim);
    // The lease was lost meanwhile: the broker would refuse it.
    if (group === undefined) return;
    if (group.settlements.length === 0) group.since = this.#now();
    group.settlements.push(settlement);
    group.open -= 1;
    this.#waiting += 1;
    if (group.open === 0) this.#whole += group.settlements.length;
  }

  /** Milliseconds until take() gives something; undefined when nothing waits. */
  dueInMs(): number | undefined {
    if (this.#waiting === 0) return undefined;
    if (this.#whole > 0) return 0;
    let due = Number.POSITIVE_INFINITY;
    for (const group of this.#groups.values()) if (group.settlements.length > 0) due = Math.min(due, group.since + patienceMs);
    return Math.max(0, due - this.#now());
  }

  /** What should go now: the claims that are finished and, when `all` is set or they have waited long enough, the others. */
  take(all: boolean): Settlement[] {
    if (this.#waiting === 0) return [];
    const taken: Settlement[] = [];
    const now = this.#now();
    for (const [claim, group] of this.#groups) {
      if (group.settlements.length === 0) continue;
      if (group.open > 0 && !all && now - group.since < patienceMs) continue;
      for (const settlement of group.settlements) taken.push(settlement);
      if (group.open === 0) {
        this.#whole -= group.settlements.length;
        this.#groups.delete(claim);
      } else group.settlements.length = 0;
    }
    this.#waiting -= taken.length;
    return taken;
  }

  /** The exchange failed: its settlements wait again, to be sent first. */
  putBack(settlements: readonly Settlement[]): void {
    for (const settlement of settlements) {
      const { claim } = settlement.job;
      const group = this.#groups.get(claim) ?? { open: 0, settlements: [], since: this.#now() };
      this.#groups.set(claim, group);
      if (group.settlements.length === 0) group.since = this.#now();
      group.settlements.push(settlement);
      this.#waiting += 1;
      // The last of a finished claim that comes back makes all of it count as whole; one that is open counts none.
      if (group.open === 0) this.#whole += 1;
    }
  }

  clear(): void {
    this.#groups.clear();
    this.#waiting = 0;
    this.#whole = 0;
  }
}
