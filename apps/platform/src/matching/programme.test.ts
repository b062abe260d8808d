import { createRequire } from 'node:module';
import fc from 'fast-check';
import type HighsPackage from 'highs';
import { describe, expect, it } from 'vitest';
import { isPossible, type Option, type Picks, type Problem, worthOf } from './assignment-problem.ts';
import { columnsOf, picksOf, programmeOf } from './programme.ts';

const loadHighs: typeof HighsPackage.default = createRequire(import.meta.url)('highs');
const highs = await loadHighs();

/** By HiGHS alone, without anything to begin with. */
function solved(problem: Problem): { readonly picks: Picks; readonly objective: number } {
  return highs.withModel(programmeOf(problem, highs), (model) => {
    model.options.set({ output_flag: false, mip_rel_gap: 0 });
    model.run();
    return { picks: picksOf(problem, model.getSolution().colValue), objective: model.getObjectiveValue() };
  });
}

/** By trying all. */
function bestObjective(problem: Problem, picks: Picks = []): number {
  const own = problem.options[picks.length];
  if (own === undefined) return isPossible(problem, picks) ? worthOf(problem, picks).objective : 0;
  return Math.max(...[-1, ...own.keys()].map((pick) => bestObjective(problem, [...picks, pick])));
}

const optionArbitrary: fc.Arbitrary<Option> = fc
  .tuple(
    fc.integer({ min: 0, max: 100 }),
    fc.uniqueArray(fc.integer({ min: 0, max: 2 }), { minLength: 1, maxLength: 2 }),
    fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 })),
  )
  .map(([score, rows, minutes]) => ({ score: score / 100, rows, minutes: minutes.slice(0, rows.length) }));
const problemArbitrary: fc.Arbitrary<Problem> = fc
  .tuple(
    fc.array(fc.array(optionArbitrary, { maxLength: 3 }), { minLength: 1, maxLength: 5 }),
    fc.array(fc.integer({ min: 0, max: 14 }), { minLength: 3, maxLength: 3 }),
  )
  .map(([options, capacity]) => ({ options, capacity, bonus: options.length }))
  .filter(({ options }) => options.some((own) => own.length > 0));

describe('programmeOf', () => {
  it('has the solver find what is the best of the problem', () => {
    fc.assert(
      fc.property(problemArbitrary, (problem) => {
        const { picks, objective } = solved(problem);
        expect(isPossible(problem, picks)).toBe(true);
        expect(worthOf(problem, picks).objective).toBeCloseTo(objective, 6);
        expect(objective).toBeCloseTo(bestObjective(problem), 6);
      }),
    );
  });

  it('leaves out machine time that is enough for all', () => {
    const on = (...rows: readonly number[]): Option => ({ score: 0.5, rows, minutes: rows.map(() => 10) });
    const options = [[on(0), on(1)], [on(1), on(2)], [on(1, 2)]];
    const { numRows, rowUpper } = programmeOf({ options, capacity: [10, 29, 20, 0], bonus: 3 }, highs);
    expect([numRows, [...rowUpper]]).toEqual([4, [1, 1, 1, 29]]);
  });
});

describe('columnsOf and picksOf', () => {
  it('undo each other', () => {
    fc.assert(
      fc.property(problemArbitrary, fc.infiniteStream(fc.nat({ max: 3 })), (problem, numbers) => {
        const picks = problem.options.map((own) => ((numbers.next().value as number) % (own.length + 1)) - 1);
        expect(picksOf(problem, columnsOf(problem, picks))).toEqual(picks);
        expect(
          picksOf(
            problem,
            columnsOf(problem, picks).map((value) => value + (value === 0 ? 1e-6 : -1e-6)),
          ),
        ).toEqual(picks);
      }),
    );
  });
});
