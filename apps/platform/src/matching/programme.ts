/**
 * A problem as the mixed-integer programme that HiGHS solves: a column for each option, taken or not; a row for each order, of which
 * one option at most is taken; and a row for each machine time. Numbers alone, in arrays: there is no text to be parsed and no name in
 * it.
 */
import type { Highs, ModelData } from 'highs';
import type { Picks, Problem } from './assignment-problem.ts';

export function programmeOf(problem: Problem, { constants, infinity }: Highs): ModelData {
  const { options, capacity, bonus } = problem;
  const columns = options.flat();
  const scarce = scarceRows(problem);
  const place = new Map(scarce.map((row, number) => [row, options.length + number]));
  const starts = [0];
  const indices: number[] = [];
  const values: number[] = [];
  for (const [order, own] of options.entries()) {
    for (const { rows, minutes } of own) {
      indices.push(order);
      values.push(1);
      for (const [use, row] of rows.entries()) {
        const index = place.get(row);
        if (index === undefined) continue;
        indices.push(index);
        values.push(minutes[use] as number);
      }
      starts.push(indices.length);
    }
  }
  const [numCols, numRows] = [columns.length, options.length + scarce.length];
  return {
    numCols,
    numRows,
    sense: constants.objectiveSense.maximize,
    colCost: columns.map(({ score }) => bonus + score),
    colLower: new Float64Array(numCols),
    colUpper: new Float64Array(numCols).fill(1),
    rowLower: new Float64Array(numRows).fill(-infinity),
    rowUpper: [...options.map(() => 1), ...scarce.map((row) => capacity[row] as number)],
    matrix: { format: 'csc', numRows, numCols, starts, indices, values },
    integrality: new Int32Array(numCols).fill(constants.variableType.integer),
  };
}

/** Rows that do not suffice for all orders at once, each with its option that needs most. The others bind nobody: most of them, mostly. */
function scarceRows({ options, capacity }: Problem): readonly number[] {
  const wanted = capacity.map(() => 0);
  for (const own of options) {
    const most = new Map<number, number>();
    for (const { rows, minutes } of own) {
      for (const [use, row] of rows.entries()) most.set(row, Math.max(most.get(row) ?? 0, minutes[use] as number));
    }
    for (const [row, minutes] of most) wanted[row] = (wanted[row] as number) + minutes;
  }
  return [...capacity.keys()].filter((row) => (wanted[row] as number) > (capacity[row] as number));
}

/** A value for each column. */
export function columnsOf({ options }: Problem, picks: Picks): readonly number[] {
  return options.flatMap((own, order) => own.map((_, place) => Number(picks[order] === place)));
}

/** @param columns values that are 0 or 1, but for rounding */
export function picksOf({ options }: Problem, columns: ArrayLike<number>): Picks {
  let column = 0;
  return options.map((own) => {
    const first = column;
    column += own.length;
    return own.findIndex((_, place) => (columns[first + place] ?? 0) > 0.5);
  });
}
