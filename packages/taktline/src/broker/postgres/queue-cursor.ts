/**
 * Where a claim looks in the index of ready jobs. Claims eat the index from its left end, and while some transaction
 * elsewhere is held open, vacuum may not remove what they have eaten; each claim would walk it again (43,000 jobs a
 * second fell to 15,600 in a trial). So a worker remembers, for each queue and priority, how far it has claimed, and
 * looks only behind that. A job whose rank was drawn early and committed late, or that was handed back, lies in front:
 * now and then, and whenever a queue seems empty, the cursor is reset and the whole index is looked through.
 */
import type { Lane } from '../broker.ts';

export interface Range {
  readonly queue: number;
  /** Both ends are exclusive. */
  readonly from: bigint;
  readonly to: bigint;
}

const bandBits = 56n;
const bands = 10n;
const laneOf: Record<Lane, bigint> = { usual: 0n, suspects: 1n, alone: 2n };

export const laneNumber = (lane: Lane): number => Number(laneOf[lane]);
export const laneNamed = (lane: number): Lane => (lane === 2 ? 'alone' : lane === 1 ? 'suspects' : 'usual');

/** A second between resets, more when a reset is slow: it may take a tenth of the time at most. */
const resetEveryMs = 1_000;
const resetShare = 10;

export class QueueCursor {
  readonly #now: () => number;
  /** By queue, then by band: the highest rank claimed there. */
  readonly #floors = new Map<number, Map<bigint, bigint>>();
  /** The due time up to which scheduled jobs have been moved. */
  dueFloor = 0;
  #resetAt = 0;
  #resetSoonest = 0;
  #resetting = false;
  #resetStarted = 0;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Ranges in the order in which they are to be looked through. */
  ranges(queues: readonly number[], lane: Lane, lowestFirst: boolean): Range[] {
    if (lane !== 'usual') {
      const start = laneOf[lane] << 60n;
      return queues.map((queue) => ({ queue, from: start - 1n, to: start + (1n << 60n) }));
    }
    this.#resetWhenDue();
    const ranges: Range[] = [];
    for (const queue of lowestFirst ? queues.toReversed() : queues) {
      const floors = this.#floors.get(queue);
      if (lowestFirst) {
        for (let band = bands - 1n; band >= 0n; band--) {
          ranges.push({ queue, from: floors?.get(band) ?? (band << bandBits) - 1n, to: (band + 1n) << bandBits });
        }
        continue;
      }
      let from = -1n;
      if (floors !== undefined) {
        for (const band of [...floors.keys()].sort((a, b) => (a < b ? -1 : 1))) {
          const start = band << bandBits;
          if (from < start - 1n) ranges.push({ queue, from, to: start });
          from = floors.get(band) as bigint;
        }
      }
      ranges.push({ queue, from, to: bands << bandBits });
    }
    return ranges;
  }

  /** After a claim: the highest rank that it took from each range. */
  advance(ranges: readonly Range[], tops: readonly (string | null)[] | null): void {
    if (this.#resetting) {
      this.#resetting = false;
      const now = this.#now();
      this.#resetSoonest = now + (now - this.#resetStarted) * resetShare;
      this.#resetAt = Math.max(now + resetEveryMs, this.#resetSoonest);
    }
    if (tops === null) return;
    for (const [index, top] of tops.entries()) {
      const range = ranges[index];
      if (top === null || top === undefined || range === undefined) continue;
      const rank = BigInt(top);
      const band = rank >> bandBits;
      if (band >= bands) continue;
      const floors = this.#floors.get(range.queue) ?? new Map<bigint, bigint>();
      this.#floors.set(range.queue, floors);
      const known = floors.get(band);
      if (known === undefined || known < rank) floors.set(band, rank);
    }
  }

  /** Nothing was found, or something was handed back: look through everything as soon as that is affordable again. */
  doubt(): void {
    this.#resetAt = this.#resetSoonest;
  }

  #resetWhenDue(): void {
    const now = this.#now();
    if (this.#resetting || now < this.#resetAt) return;
    this.#floors.clear();
    this.dueFloor = 0;
    this.#resetting = true;
    this.#resetStarted = now;
  }
}
