/**
 * Where a claim looks in the index of ready jobs. Claims eat the index from its left end, and while some transaction
 * elsewhere is held open, vacuum may not remove what they have eaten; each claim would walk it again (43,000 jobs a
 * second fell to 15,600 in a trial). So a worker remembers, for each queue and priority, how far it has claimed, and
 * looks only behind that. A job whose rank was drawn early and committed late, or that another worker handed back, lies
 * in front: so the whole index is looked through once a second, and whenever nothing was found behind.
 */
import type { Lane } from '../broker.ts';
import { laneNumber } from '../codes.ts';

export interface Range {
  readonly queue: number;
  /** Both ends are exclusive. */
  readonly from: bigint;
  readonly to: bigint;
  /** Where the range begins when what lies in front is looked at too; equal to `from` or before it. */
  readonly start: bigint;
}

/** What one claim looks at, in this order. */
export interface Look {
  readonly ranges: readonly Range[];
  readonly dueFloor: number;
  /** Whether the claim may look from the starts of the ranges when it finds nothing in them. */
  readonly again: boolean;
  /** Floors that were taken back since make what this look finds worthless for them. */
  readonly generation: number;
  /** How many rests of packs were known when it began. */
  readonly rests: number;
  /** When it began, if it looks through everything. */
  readonly resetAt: number | undefined;
}

/** What a claim has found. */
export interface Found {
  /** The highest rank that it took, for each range; null where it took none. */
  readonly tops: readonly (string | null)[] | null;
  readonly dueFloor: number;
  /** Milliseconds that looking from the starts took, if it came to that. */
  readonly lookedMs: number | null;
}

const bandBits = 56n;
const bands = 10n;

/** A second between resets, more when a reset is slow: looking at what was eaten takes a tenth of the time at most. */
const resetEveryMs = 1_000;
const restShare = 10;
/** A look that takes less is worth no rest. */
const cheapMs = 2;

export class QueueCursor {
  readonly #now: () => number;
  /** By queue, then by band: the highest rank claimed there. */
  readonly #floors = new Map<number, Map<bigint, bigint>>();
  /** The due time up to which scheduled jobs have been moved. */
  #dueFloor = 0;
  #generation = 0;
  /** Where rests of packs were put back since the last reset, the newest last; looks from before it learn nothing. */
  #rests: { readonly queue: number; readonly place: bigint }[] = [];
  #resetDue = 0;
  #againFrom = 0;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  look(queues: readonly number[], lane: Lane, lowestFirst: boolean): Look {
    if (lane !== 'usual') {
      const start = (BigInt(laneNumber(lane)) << 60n) - 1n;
      const ranges = queues.map((queue) => ({ queue, from: start, to: start + (1n << 60n) + 1n, start }));
      return { ranges, dueFloor: this.#dueFloor, again: false, generation: -1, rests: 0, resetAt: undefined };
    }
    const now = this.#now();
    const reset = now >= this.#resetDue;
    if (reset) {
      this.#resetDue = now + resetEveryMs;
      this.#floors.clear();
      this.#rests = [];
      this.#dueFloor = 0;
      this.#generation += 1;
    }
    return {
      ranges: (lowestFirst ? queues.toReversed() : queues).flatMap((queue) => this.#ranges(queue, lowestFirst)),
      dueFloor: this.#dueFloor,
      again: !reset && now >= this.#againFrom,
      generation: this.#generation,
      rests: this.#rests.length,
      resetAt: reset ? now : undefined,
    };
  }

  /** After a claim. */
  learn(look: Look, found: Found): void {
    const now = this.#now();
    if (look.resetAt !== undefined) this.#resetDue = Math.max(this.#resetDue, now + (now - look.resetAt) * restShare);
    if (found.lookedMs !== null && found.lookedMs > cheapMs) this.#againFrom = now + found.lookedMs * restShare;
    if (look.generation !== this.#generation) return;
    this.#dueFloor = found.dueFloor;
    for (const [index, top] of (found.tops ?? []).entries()) {
      const range = look.ranges[index];
      if (top === null || range === undefined) continue;
      const band = BigInt(top) >> bandBits;
      const rank = this.#shortOfRests(look, range.queue, BigInt(top));
      const floors = this.#floors.get(range.queue) ?? new Map<bigint, bigint>();
      this.#floors.set(range.queue, floors);
      const known = floors.get(band);
      if (known === undefined || known < rank) floors.set(band, rank);
    }
  }

  /** A job goes back to its place. Said before the exchange that does it, for its own claim, and after, for those under way. */
  handedBack(queue: number, rank: string): void {
    this.#generation += 1;
    this.#lower(queue, BigInt(rank) & ((1n << 60n) - 1n));
  }

  /** What stays of a pack of which a claim took a part begins here. Other looks that were under way then may have passed it. */
  leftOver(queue: number, rank: string): void {
    const place = BigInt(rank) & ((1n << 60n) - 1n);
    this.#rests.push({ queue, place });
    this.#lower(queue, place);
  }

  #lower(queue: number, place: bigint): void {
    const floors = this.#floors.get(queue);
    const band = place >> bandBits;
    const known = floors?.get(band);
    if (known !== undefined && known >= place) floors?.set(band, place - 1n);
  }

  /** The floor that a look has found, but in front of every rest that was put back since it began. */
  #shortOfRests(look: Look, queue: number, top: bigint): bigint {
    let floor = top;
    for (const rest of this.#rests.slice(look.rests)) {
      if (rest.queue === queue && rest.place >> bandBits === top >> bandBits && rest.place <= floor) floor = rest.place - 1n;
    }
    return floor;
  }

  #ranges(queue: number, lowestFirst: boolean): Range[] {
    const floors = this.#floors.get(queue);
    const ranges: Range[] = [];
    if (lowestFirst) {
      for (let band = bands - 1n; band >= 0n; band--) {
        const start = (band << bandBits) - 1n;
        ranges.push({ queue, from: floors?.get(band) ?? start, to: (band + 1n) << bandBits, start });
      }
      return ranges;
    }
    let from = -1n;
    let start = -1n;
    for (const [band, floor] of [...(floors ?? [])].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const to = band << bandBits;
      if (from < to - 1n) {
        ranges.push({ queue, from, to, start });
        start = to - 1n;
      }
      from = floor;
    }
    ranges.push({ queue, from, to: bands << bandBits, start });
    return ranges;
  }
}
