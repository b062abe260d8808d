/** Where claims look: in order, past what was eaten, and never past a job for long. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Look, QueueCursor } from './queue-cursor.ts';

/** As the database makes it: 10 - priority in bits 56 to 59, the arrival below. */
const rankOf = (priority: number, arrival: number, lane = 0) => (BigInt(lane) << 60n) | (BigInt(10 - priority) << 56n) | BigInt(arrival);

/** A table of ready jobs that claims as the database does. */
class Ready {
  readonly jobs = new Set<bigint>();

  claim(look: Look, limit: number): { readonly taken: bigint[]; readonly tops: (string | null)[] } {
    const walk = (from: 'from' | 'start') => {
      const taken: bigint[] = [];
      const tops = look.ranges.map((range) => {
        const found = [...this.jobs]
          .filter((rank) => rank > range[from] && rank < range.to && !taken.includes(rank))
          .sort((a, b) => (a < b ? -1 : 1))
          .slice(0, limit - taken.length);
        taken.push(...found);
        return found.at(-1)?.toString() ?? null;
      });
      return { taken, tops };
    };
    const first = walk('from');
    const found = first.taken.length === 0 && look.again ? walk('start') : first;
    for (const rank of found.taken) this.jobs.delete(rank);
    return found;
  }
}

function make() {
  const clock = { now: 1 };
  const cursor = new QueueCursor(() => clock.now);
  const ready = new Ready();
  /** A claim from queue 1. Each takes a millisecond. */
  const claim = (limit: number, lowestFirst = false, lookedMs: number | null = null) => {
    const look = cursor.look([1], 'usual', lowestFirst);
    const { taken, tops } = ready.claim(look, limit);
    clock.now += 1;
    cursor.learn(look, { tops, dueFloor: look.dueFloor, lookedMs });
    return taken;
  };
  return { clock, cursor, ready, claim };
}

describe('what a claim walks', () => {
  it('begins behind what was claimed, in each band by itself', () => {
    const { cursor, ready, claim } = make();
    for (const [priority, arrival] of [
      [9, 1],
      [9, 2],
      [5, 3],
      [5, 4],
    ] as const)
      ready.jobs.add(rankOf(priority, arrival));
    claim(2);
    claim(1);
    const { ranges } = cursor.look([1], 'usual', false);
    const walked = (rank: bigint) => ranges.some(({ from, to }) => rank > from && rank < to);
    expect([rankOf(9, 1), rankOf(9, 2), rankOf(5, 3)].map(walked)).toEqual([false, false, false]);
    expect([rankOf(10, 9), rankOf(9, 3), rankOf(7, 1), rankOf(5, 4), rankOf(1, 1)].map(walked)).toEqual([true, true, true, true, true]);
  });

  it('never includes a suspect, and the lane of suspects nothing else', () => {
    const { cursor } = make();
    const usual = cursor.look([1], 'usual', false).ranges;
    const suspects = cursor.look([1, 2], 'suspects', false).ranges;
    const alone = cursor.look([1], 'alone', true).ranges;
    const holds = (ranges: Look['ranges'], rank: bigint) => ranges.some(({ from, to }) => rank > from && rank < to);
    for (const priority of [1, 10]) {
      for (const arrival of [0, 1, 2 ** 50]) {
        expect([usual, suspects, alone].map((ranges) => holds(ranges, rankOf(priority, arrival)))).toEqual([true, false, false]);
        expect([usual, suspects, alone].map((ranges) => holds(ranges, rankOf(priority, arrival, 1)))).toEqual([false, true, false]);
        expect([usual, suspects, alone].map((ranges) => holds(ranges, rankOf(priority, arrival, 2)))).toEqual([false, false, true]);
      }
    }
    expect(suspects.map(({ queue }) => queue)).toEqual([1, 2]);
  });

  it('goes from the highest priority down, or from the lowest up', () => {
    const { ready, claim, clock } = make();
    const fill = () => {
      for (const [priority, arrival] of [
        [5, 2],
        [1, 1],
        [10, 4],
        [5, 3],
      ] as const)
        ready.jobs.add(rankOf(priority, arrival));
    };
    fill();
    expect([claim(1), claim(1), claim(2)].flat()).toEqual([rankOf(10, 4), rankOf(5, 2), rankOf(5, 3), rankOf(1, 1)]);
    clock.now += 10_000;
    fill();
    expect([claim(1, true), claim(3, true)].flat()).toEqual([rankOf(1, 1), rankOf(5, 2), rankOf(5, 3), rankOf(10, 4)]);
  });

  it('takes the queues in the order given, and from the last one when it goes the other way', () => {
    const { cursor } = make();
    const order = (lowestFirst: boolean) => [...new Set(cursor.look([3, 1, 2], 'usual', lowestFirst).ranges.map(({ queue }) => queue))];
    expect(order(false)).toEqual([3, 1, 2]);
    expect(order(true)).toEqual([2, 1, 3]);
  });
});

describe('a job in front of the cursor', () => {
  it('is found within a second while there are others', () => {
    const { ready, claim, clock } = make();
    let arrival = 100;
    const early = rankOf(5, 1);
    for (let n = 0; n < 10; n++) ready.jobs.add(rankOf(5, arrival++));
    claim(5);
    ready.jobs.add(early);
    const since = clock.now;
    const taken: bigint[] = [];
    while (!taken.includes(early)) {
      ready.jobs.add(rankOf(5, arrival++));
      taken.push(...claim(1));
      clock.now += 20;
      expect(clock.now - since).toBeLessThan(1_100);
    }
    expect(clock.now - since).toBeGreaterThan(500);
  });

  it('is found at once when there is nothing else', () => {
    const { ready, claim } = make();
    ready.jobs.add(rankOf(5, 100));
    claim(5);
    ready.jobs.add(rankOf(5, 1));
    expect(claim(5)).toEqual([rankOf(5, 1)]);
  });

  it('is found at once when this worker handed it back', () => {
    const { cursor, ready, claim } = make();
    for (const arrival of [1, 2, 3, 4]) ready.jobs.add(rankOf(5, arrival));
    const [first] = claim(2) as [bigint];
    cursor.handedBack(1, first.toString());
    ready.jobs.add(first);
    expect(claim(2)).toEqual([first, rankOf(5, 3)]);
  });

  it('is found though another claim was under way when it was handed back', () => {
    const { cursor, ready, claim } = make();
    for (const arrival of [1, 2, 3, 4]) ready.jobs.add(rankOf(5, arrival));
    const [first] = claim(1) as [bigint];
    const underWay = cursor.look([1], 'usual', false);
    const found = ready.claim(underWay, 1);
    cursor.handedBack(1, first.toString());
    ready.jobs.add(first);
    cursor.learn(underWay, { tops: found.tops, dueFloor: 0, lookedMs: null });
    expect(claim(1)).toEqual([first]);
  });

  it('that was a suspect is found when it waits among the others again', () => {
    const { cursor, ready, claim } = make();
    for (const arrival of [1, 2, 3]) ready.jobs.add(rankOf(5, arrival));
    claim(2);
    cursor.handedBack(1, rankOf(5, 1, 2).toString());
    ready.jobs.add(rankOf(5, 1));
    expect(claim(1)).toEqual([rankOf(5, 1)]);
  });
});

describe('looking through everything', () => {
  it('rests for ten times as long as it took', () => {
    const { cursor, clock } = make();
    const look = cursor.look([1], 'usual', false);
    expect(look.resetAt).toBe(clock.now);
    clock.now += 500;
    cursor.learn(look, { tops: [rankOf(5, 9).toString()], dueFloor: 0, lookedMs: null });
    clock.now += 4_999;
    expect(cursor.look([1], 'usual', false).resetAt).toBeUndefined();
    clock.now += 1;
    expect(cursor.look([1], 'usual', false).resetAt).toBe(clock.now);
  });

  it('in front of the floors rests too, when it was dear', () => {
    const { cursor, clock, ready, claim } = make();
    ready.jobs.add(rankOf(5, 1));
    claim(1);
    expect(cursor.look([1], 'usual', false).again).toBe(true);
    claim(1, false, 1);
    expect(cursor.look([1], 'usual', false).again).toBe(true);
    claim(1, false, 50);
    expect(cursor.look([1], 'usual', false).again).toBe(false);
    clock.now += 499;
    expect(cursor.look([1], 'usual', false).again).toBe(false);
    clock.now += 1;
    expect(cursor.look([1], 'usual', false).again).toBe(true);
  });
});

it('whatever is enqueued, claimed and handed back, no job is overlooked for more than a second or an empty claim', () => {
  type Step = readonly ['enqueue' | 'early' | 'claim' | 'lowest' | 'handBack' | 'wait', number, number];
  const step = fc.tuple(
    fc.constantFrom('enqueue', 'enqueue', 'early', 'claim', 'claim', 'lowest', 'handBack', 'wait'),
    fc.integer({ min: 1, max: 10 }),
    fc.nat({ max: 1_000 }),
  );
  fc.assert(
    fc.property(fc.array(step as fc.Arbitrary<Step>, { maxLength: 60 }), (steps) => {
      const { clock, cursor, ready, claim } = make();
      const held: bigint[] = [];
      let arrival = 2_000;
      for (const [kind, priority, n] of steps) {
        if (kind === 'enqueue') ready.jobs.add(rankOf(priority, arrival++));
        else if (kind === 'early') ready.jobs.add(rankOf(priority, n));
        else if (kind === 'claim') held.push(...claim(priority));
        else if (kind === 'lowest') held.push(...claim(priority, true));
        else if (kind === 'wait') clock.now += n;
        else if (held.length > 0) {
          const [rank] = held.splice(n % held.length, 1) as [bigint];
          cursor.handedBack(1, rank.toString());
          ready.jobs.add(rank);
        }
        // The ranges of a look never overlap, and with what lies in front of them they are all that there is.
        const { ranges } = cursor.look([1], 'usual', false);
        let covered = -1n;
        for (const range of ranges) {
          expect(range.start).toBeLessThanOrEqual(range.from);
          expect(range.start).toBeLessThanOrEqual(covered);
          expect(range.from).toBeGreaterThanOrEqual(range.start);
          expect(range.to).toBeGreaterThan(range.from);
          covered = range.to - 1n;
        }
        expect(covered).toBe((10n << 56n) - 1n);
      }
      // With nothing new coming, claims empty the queue: no more of them than there are jobs.
      for (let left = ready.jobs.size; left > 0; left--) claim(1);
      expect([...ready.jobs]).toEqual([]);
    }),
    { numRuns: 300 },
  );
});

describe('what stays of a pack', () => {
  const reply = (cursor: QueueCursor, look: Look, top: number, rest?: number) => {
    cursor.learn(look, { tops: [rankOf(5, top).toString()], dueFloor: 0, lookedMs: null });
    if (rest !== undefined) cursor.leftOver(1, rankOf(5, rest).toString());
  };
  const floor = (cursor: QueueCursor) => cursor.look([1], 'usual', false).ranges.at(-1)?.from;

  it('is not passed, neither by the look that left it nor by one that was under way', () => {
    for (const lateFirst of [true, false]) {
      const { cursor } = make();
      cursor.look([1], 'usual', false);
      const [one, other] = [cursor.look([1], 'usual', false), cursor.look([1], 'usual', false)];
      if (lateFirst) reply(cursor, other, 300);
      reply(cursor, one, 100, 120);
      if (!lateFirst) reply(cursor, other, 300);
      expect(floor(cursor)).toBe(rankOf(5, 119));
    }
  });

  it('does not keep claims that overlap from getting on', () => {
    const { cursor } = make();
    cursor.look([1], 'usual', false);
    let under = cursor.look([1], 'usual', false);
    for (let step = 1; step <= 50; step++) {
      const next = cursor.look([1], 'usual', false);
      reply(cursor, under, step * 100, step * 100 + 28);
      under = next;
    }
    expect(floor(cursor)).toBeGreaterThan(rankOf(5, 4_800));
  });

  it('of another queue or priority is nothing to a look', () => {
    const { cursor } = make();
    cursor.look([1], 'usual', false);
    const look = cursor.look([1], 'usual', false);
    cursor.leftOver(2, rankOf(5, 10).toString());
    cursor.leftOver(1, rankOf(9, 10).toString());
    reply(cursor, look, 100);
    expect(floor(cursor)).toBe(rankOf(5, 100));
  });
});
