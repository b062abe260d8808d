/** Numbers that look random and are the same for the same seed: mulberry32, an algorithm of Tommy Ettinger in the public domain. */

export interface SampleRandom {
  /** From 0 to 1, which it never is. */
  next(): number;
  /** A whole number; both ends are possible. */
  whole(lowest: number, highest: number): number;
  of<Item>(items: readonly [Item, ...Item[]]): Item;
  chance(share: number): boolean;
}

export function sampleRandom(seed: number): SampleRandom {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    next,
    whole: (lowest, highest) => lowest + Math.floor(next() * (highest - lowest + 1)),
    of: (items) => items[Math.floor(next() * items.length)] ?? items[0],
    chance: (share) => next() < share,
  };
}
