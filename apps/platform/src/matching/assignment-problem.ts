/**
 * Orders that wait, the ways in which each could be made, and the machine time that there is, as numbers: a place for each order,
 * each option and each row of machine time. The solver and the greedy way work on these. Ids stay behind here, so that whatever
 * users have put in them reaches no solver.
 */
import { MatchingError } from './matching-error.ts';
import type { WeekUse } from './production-slots.ts';

/** One way to make an order: at a supplier, in these weeks. */
export interface Choice {
  readonly supplierId: string;
  /** 0 to 1. */
  readonly score: number;
  readonly uses: readonly WeekUse[];
}

export interface PendingOrder {
  readonly id: string;
  readonly process: string;
  /** In any order; several of one supplier are several weeks to choose from. */
  readonly choices: readonly Choice[];
}

/** Machine time that a supplier has free for a process in an ISO week. What is not listed has none. */
export interface FreeTime {
  readonly supplierId: string;
  readonly process: string;
  readonly week: string;
  /** Whole. */
  readonly minutes: number;
}

/** A choice as numbers: it needs `minutes[i]` of the row `rows[i]`. */
export interface Option {
  readonly score: number;
  readonly rows: readonly number[];
  readonly minutes: readonly number[];
}

export interface Problem {
  /** The options of each order, best first. */
  readonly options: readonly (readonly Option[])[];
  /** Minutes of each row. */
  readonly capacity: readonly number[];
  /** What placing an order is worth beside its score. */
  readonly bonus: number;
}

/** A problem, and whose numbers they are. */
export interface NamedProblem {
  readonly problem: Problem;
  /** Of each option of each order. */
  readonly choices: readonly (readonly Choice[])[];
}

/** For each order the place of its option, or -1. */
export type Picks = readonly number[];

export interface Worth {
  readonly placed: number;
  /** The sum of the scores. */
  readonly score: number;
  /** bonus x placed + score: what is maximised. */
  readonly objective: number;
}

const mostMinutes = 1_000_000_000;
/** Of a solver's bound, in orders. */
const rounding = 1e-9;

/**
 * The bonus is the number of orders. A score is at most 1, so k placed orders are worth at most k x bonus + k, which is less than
 * (k + 1) x bonus as long as k is less than the number of orders: one order more is worth more than any sum of scores.
 *
 * @param mostSuppliers the best so many suppliers of each order are looked at
 * @throws MatchingError `INVALID_PROBLEM`
 */
export function problemOf(orders: readonly PendingOrder[], free: readonly FreeTime[], mostSuppliers: number): NamedProblem {
  const rows = rowsOf(free);
  const ids = new Set<string>();
  const kept = orders.map((order, place) => {
    if (ids.has(order.id)) throw invalid(`orders[${place}].id`, 'an id that no other order has');
    ids.add(order.id);
    const fitting = order.choices.flatMap((choice, number) => {
      const option = optionOf(order.process, choice, `orders[${place}].choices[${number}]`, rows);
      const fits = option?.rows.every((row, use) => (option.minutes[use] as number) <= (free[row] as FreeTime).minutes);
      return option !== undefined && fits === true ? [{ choice, option }] : [];
    });
    return bestOf(fitting, mostSuppliers);
  });
  return {
    problem: {
      options: kept.map((own) => own.map(({ option }) => option)),
      capacity: free.map(({ minutes }) => minutes),
      bonus: orders.length,
    },
    choices: kept.map((own) => own.map(({ choice }) => choice)),
  };
}

export function worthOf({ options, bonus }: Problem, picks: Picks): Worth {
  const scores = options.flatMap((own, order) => own[picks[order] as number]?.score ?? []);
  const score = scores.reduce((sum, one) => sum + one, 0);
  return { placed: scores.length, score, objective: bonus * scores.length + score };
}

/** The one that is worth more, the first when they are worth the same. */
export function best(problem: Problem, one: Picks, other: Picks): Picks {
  return worthOf(problem, other).objective > worthOf(problem, one).objective ? other : one;
}

/** No way to place the orders is worth more: as if each had its best option to itself. */
export function boundOf({ options, bonus }: Problem): number {
  const bests = options.flatMap(([best]) => best?.score ?? []);
  return bests.reduce((sum, best) => sum + best, bonus * bests.length);
}

/** So many orders at most can be placed where nothing is worth more than the bound: each is worth its bonus at least. */
export function mostPlacedOf({ options, bonus }: Problem, bound: number): number {
  const placeable = options.filter((own) => own.length > 0).length;
  return bonus === 0 ? 0 : Math.min(placeable, Math.floor(bound / bonus + rounding));
}

/** Whether each pick is an option of its order, and no row is used more than it has. */
export function isPossible({ options, capacity }: Problem, picks: Picks): boolean {
  if (picks.length !== options.length) return false;
  const left = [...capacity];
  for (const [order, own] of options.entries()) {
    const pick = picks[order] as number;
    const option = own[pick];
    if (option === undefined && pick !== -1) return false;
    option?.rows.forEach((row, use) => {
      left[row] = (left[row] as number) - (option.minutes[use] as number);
    });
  }
  return left.every((minutes) => minutes >= 0);
}

/** Rows by supplier, process and week. */
function rowsOf(free: readonly FreeTime[]): ReadonlyMap<string, number> {
  const rows = new Map<string, number>();
  for (const [place, { supplierId, process, week, minutes }] of free.entries()) {
    if (!isWhole(minutes, 0)) throw invalid(`free[${place}].minutes`, `whole minutes from 0 to ${mostMinutes}`);
    const key = keyOf(supplierId, process, week);
    if (rows.has(key)) throw invalid(`free[${place}]`, 'one entry for a supplier, process and week');
    rows.set(key, place);
  }
  return rows;
}

/** @returns undefined where the supplier has no time at all in one of the weeks */
function optionOf(process: string, choice: Choice, field: string, rows: ReadonlyMap<string, number>): Option | undefined {
  const { supplierId, score, uses } = choice;
  if (!(score >= 0 && score <= 1)) throw invalid(`${field}.score`, 'a number from 0 to 1');
  if (uses.length === 0) throw invalid(`${field}.uses`, 'one week at least');
  const minutesByRow = new Map<number, number>();
  for (const [place, { week, minutes }] of uses.entries()) {
    if (!isWhole(minutes, 1)) throw invalid(`${field}.uses[${place}].minutes`, `whole minutes from 1 to ${mostMinutes}`);
    const row = rows.get(keyOf(supplierId, process, week));
    if (row === undefined) return undefined;
    minutesByRow.set(row, (minutesByRow.get(row) ?? 0) + minutes);
  }
  return { score, rows: [...minutesByRow.keys()], minutes: [...minutesByRow.values()] };
}

interface ChoiceOption {
  readonly choice: Choice;
  readonly option: Option;
}

function bestOf(options: readonly ChoiceOption[], mostSuppliers: number): readonly ChoiceOption[] {
  const suppliers = new Set<string>();
  return options.toSorted(bestFirst).filter(({ choice: { supplierId } }) => {
    if (suppliers.size < mostSuppliers) suppliers.add(supplierId);
    return suppliers.has(supplierId);
  });
}

/** The sort is stable: of one supplier with one score the first stays first. */
function bestFirst({ choice: one }: ChoiceOption, { choice: other }: ChoiceOption): number {
  return other.score - one.score || Number(one.supplierId > other.supplierId) - Number(one.supplierId < other.supplierId);
}

/** As JSON, so that no id can look like two. */
function keyOf(supplierId: string, process: string, week: string): string {
  return JSON.stringify([supplierId, process, week]);
}

function isWhole(minutes: number, least: number): boolean {
  return Number.isInteger(minutes) && minutes >= least && minutes <= mostMinutes;
}

function invalid(field: string, expected: string): MatchingError {
  return new MatchingError('INVALID_PROBLEM', field, expected);
}
