import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { market, today } from '../../test/matching-market.ts';
import { boundOf, isPossible, type Picks, type Problem, problemOf, worthOf } from './assignment-problem.ts';
import { greedy } from './greedy.ts';
import { freeTimeOf, pendingOrderOf } from './pending-orders.ts';
import { polish } from './polish.ts';
import { rank } from './score.ts';

const rowsCount = 6;
const optionArbitrary = fc
  .tuple(
    fc.double({ min: 0, max: 1, noNaN: true }),
    fc.uniqueArray(fc.integer({ min: 0, max: rowsCount - 1 }), { minLength: 1, maxLength: 3 }),
    fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 3, maxLength: 3 }),
  )
  .map(([score, rows, minutes]) => ({ score, rows, minutes: minutes.slice(0, rows.length) }));
const problemArbitrary: fc.Arbitrary<Problem> = fc
  .tuple(
    fc.array(fc.array(optionArbitrary, { maxLength: 6 }), { maxLength: 25 }),
    fc.array(fc.integer({ min: 0, max: 120 }), { minLength: rowsCount, maxLength: rowsCount }),
  )
  .map(([options, capacity]) => ({
    options: options.map((own) =>
      own
        .filter(({ rows, minutes }) => rows.every((row, use) => (minutes[use] as number) <= (capacity[row] as number)))
        .toSorted((one, other) => other.score - one.score),
    ),
    capacity,
    bonus: options.length,
  }));

const marketProblem = (orders: number, suppliers: number, seed: number): Problem => {
  const { needs, suppliers: sellers } = market(orders, suppliers, seed);
  const pending = needs.map((need) => pendingOrderOf(need, rank(need, sellers, { today }).candidates));
  return problemOf(pending, freeTimeOf(sellers), 12).problem;
};

function leftOf({ options, capacity }: Problem, picks: Picks): readonly number[] {
  const left = [...capacity];
  for (const [order, own] of options.entries()) {
    const option = own[picks[order] as number];
    option?.rows.forEach((row, use) => {
      left[row] = (left[row] as number) - (option.minutes[use] as number);
    });
  }
  return left;
}

describe('greedy', () => {
  it('never uses more time than there is', () => {
    fc.assert(
      fc.property(problemArbitrary, fc.constantFrom(0, 7, 1_000_000), (problem, mostTrials) => {
        const picks = greedy(problem, { mostTrials });
        expect(picks).toHaveLength(problem.options.length);
        expect(Math.min(0, ...leftOf(problem, picks))).toBe(0);
        expect(isPossible(problem, picks)).toBe(true);
      }),
    );
  });

  it('leaves no order out that has room, and none where a better option has room', () => {
    fc.assert(
      fc.property(problemArbitrary, (problem) => {
        const picks = greedy(problem);
        const left = leftOf(problem, picks);
        for (const [order, own] of problem.options.entries()) {
          const pick = picks[order] as number;
          for (const better of pick === -1 ? own : own.slice(0, pick)) {
            if (pick !== -1 && better.score - (own[pick]?.score ?? 0) < 1e-6) continue;
            expect(better.rows.some((row, use) => (better.minutes[use] as number) > (left[row] as number))).toBe(true);
          }
        }
      }),
    );
  });

  it('loses nothing by the improvement, is never worth more than the bound, and the same every time', () => {
    fc.assert(
      fc.property(problemArbitrary, (problem) => {
        const worth = worthOf(problem, greedy(problem)).objective;
        expect(worth).toBeGreaterThanOrEqual(worthOf(problem, greedy(problem, { mostTrials: 0 })).objective - 1e-6);
        expect(worth).toBeLessThanOrEqual(boundOf(problem) + 1e-6);
        expect(greedy(problem)).toEqual(greedy(problem));
      }),
    );
  });

  it('displaces an order so that one more is placed', () => {
    // The first order fits on both rows and likes row 0; the second one fits on row 0 alone. Both have one option more to hide it.
    const on = (row: number, score: number) => ({ score, rows: [row], minutes: [10] });
    const problem: Problem = {
      options: [
        [on(0, 0.9), on(1, 0.1)],
        [on(0, 0.5), on(0, 0.4)],
      ],
      capacity: [10, 10],
      bonus: 2,
    };
    expect(greedy(problem, { mostTrials: 0 })).toEqual([0, -1]);
    expect(greedy(problem)).toEqual([1, 0]);
  });

  it('gains by a chain of three', () => {
    const on = (row: number, score: number) => ({ score, rows: [row], minutes: [10] });
    const problem: Problem = {
      options: [
        [on(0, 0.9), on(1, 0.8)],
        [on(1, 0.9), on(2, 0.8)],
        [on(0, 0.3), on(0, 0.2)],
      ],
      capacity: [10, 10, 10],
      bonus: 3,
    };
    expect(worthOf(problem, greedy(problem, { mostTrials: 0 })).placed).toBe(2);
    expect(worthOf(problem, greedy(problem)).placed).toBe(3);
  });

  it('has nothing to do without orders', () => {
    expect(greedy({ options: [], capacity: [], bonus: 0 })).toEqual([]);
    expect(greedy({ options: [[], []], capacity: [5], bonus: 2 })).toEqual([-1, -1]);
  });

  it('improves a market by more than a hundredth', () => {
    const problem = marketProblem(200, 60, 5);
    const [bare, improved] = [greedy(problem, { mostTrials: 0 }), greedy(problem)].map((picks) => worthOf(problem, picks));
    expect(improved?.objective).toBeGreaterThan(bare?.objective as number);
    expect(improved?.score).toBeGreaterThan((bare?.score as number) * 1.01);
  });
});

describe('polish', () => {
  it('is possible and worth as much at least, from any start and whenever it is stopped', () => {
    fc.assert(
      fc.property(problemArbitrary, fc.boolean(), fc.nat({ max: 300 }), (problem, empty, most) => {
        const start = empty ? problem.options.map(() => -1) : greedy(problem, { mostTrials: 0 });
        let rounds = 0;
        const picks = polish(problem, start, () => (rounds += 1) > most);
        expect(isPossible(problem, picks)).toBe(true);
        expect(worthOf(problem, picks).objective).toBeGreaterThanOrEqual(worthOf(problem, start).objective - 1e-6);
      }),
    );
  });

  it('makes the greedy assignment of a market better, the same way every time', () => {
    const problem = marketProblem(200, 60, 5);
    const start = greedy(problem);
    const picks = polish(problem, start, () => false);
    expect(worthOf(problem, picks).objective).toBeGreaterThan(worthOf(problem, start).objective + 0.1);
    expect(polish(problem, start, () => false)).toEqual(picks);
  });
});
