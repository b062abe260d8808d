/**
 * Assigns all orders that wait at once, each to one of its best suppliers, so that as many as possible are placed and the sum of
 * their scores is the largest. One after the other, an early order takes the week that a later one has no other choice than.
 *
 * A quick greedy way comes first, in milliseconds. Where it is not the best for sure, a thread takes the time to make it better, and the
 * solver in there begins with that and proves how much better it could be. When the solver fails, the greedy way's result stands, and
 * the result says so.
 */
import {
  best,
  boundOf,
  type FreeTime,
  isPossible,
  mostPlacedOf,
  type NamedProblem,
  type PendingOrder,
  type Picks,
  type Problem,
  problemOf,
  worthOf,
} from './assignment-problem.ts';
import { greedy } from './greedy.ts';
import { MatchingError } from './matching-error.ts';
import type { WeekUse } from './production-slots.ts';
import { type SolverFailure, type SolverReply, solve } from './solver.ts';

export interface AssignOptions {
  /** The best so many suppliers of each order are looked at. Default 12. */
  readonly mostSuppliers?: number;
  /** So long the solver may work. Default 7 s. */
  readonly timeLimitMs?: number;
  /** After this the solver's thread is terminated; its start counts. Default: the time limit and 1.5 s. */
  readonly hardLimitMs?: number;
  /** The solver may stop when it is proven that no more than this share of the scores is lost. Default 0.0025; 0: none of it. */
  readonly targetGap?: number;
  /** Terminates the solver; the promise is rejected with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Another module to run in the solver's thread, which tests set. */
  readonly thread?: URL;
}

export interface AssignedOrder {
  readonly orderId: string;
  readonly supplierId: string;
  readonly score: number;
  readonly uses: readonly WeekUse[];
}

export interface UnassignedOrder {
  readonly orderId: string;
  /** `NO_CHOICE`: no choice of it fits even when no other order is there. `NO_ROOM`: others are placed instead. */
  readonly code: 'NO_CHOICE' | 'NO_ROOM';
}

export interface Assignment {
  /** In the order of the orders. */
  readonly assigned: readonly AssignedOrder[];
  readonly unassigned: readonly UnassignedOrder[];
  /** The sum of the scores. */
  readonly score: number;
  /** The score, and for each order placed as much as there are orders; see problemOf(). */
  readonly objective: number;
  /** No assignment among the suppliers looked at has a larger objective, as far as was proven. */
  readonly bound: number;
  /** No more orders than this can be placed, as far as was proven. */
  readonly mostPlaced: number;
  /**
   * What may be lost, 0 to 1: while it is not proven that no more orders can be placed, the share of orders; after that, the share of
   * the scores. The objective's own relative gap would count the bonus of every order, and be next to nothing always.
   */
  readonly gap: number;
  /** `optimal`: proven, but for `targetGap`. `time_limit`: the best that the solver found in time. `greedy`: without the solver. */
  readonly method: 'optimal' | 'time_limit' | 'greedy';
  /** Why it is without the solver. */
  readonly failure: SolverFailure | undefined;
  readonly tookMs: number;
}

interface Solution {
  readonly picks: Picks;
  readonly bound: number;
  readonly method: Assignment['method'];
  readonly failure: SolverFailure | undefined;
}

const defaults = {
  mostSuppliers: 12,
  timeLimitMs: 7_000,
  graceMs: 1_500,
  targetGap: 0.0025,
  thread: new URL('./assign-thread.js', import.meta.url),
} as const;

/** Trials of the greedy way in this thread, whose other jobs wait for it: some 20 ms. The solver's thread makes all that are useful. */
const quickTrials = 100_000;
/** Of sums of scores; less is rounding. */
const tolerance = 1e-6;
/** HiGHS works with tolerances itself, of objectives that are a million and more. */
const boundTolerance = 1e-3;
/** setTimeout takes no more; three weeks. */
const mostMs = 2 ** 31 - 1;

/**
 * @param free machine time of the suppliers, without what is booked; see freeTimeOf()
 * @throws MatchingError `INVALID_PROBLEM` or `INVALID_OPTION`
 */
export async function assign(orders: readonly PendingOrder[], free: readonly FreeTime[], options: AssignOptions = {}): Promise<Assignment> {
  const begun = performance.now();
  checkOptions(options);
  options.signal?.throwIfAborted();
  const { problem, choices } = problemOf(orders, free, options.mostSuppliers ?? defaults.mostSuppliers);
  const { picks, bound, method, failure } = await solutionOf(problem, options);
  const { placed, score, objective } = worthOf(problem, picks);
  const missing = bound - objective > tolerance ? bound - objective : 0;
  const mostPlaced = mostPlacedOf(problem, objective + missing);
  const lost = mostPlaced > placed ? { share: mostPlaced - placed, of: mostPlaced } : { share: missing, of: score + missing };
  return {
    ...partedBy(orders, choices, picks),
    score,
    objective,
    bound: objective + missing,
    mostPlaced,
    gap: lost.share > 0 ? lost.share / lost.of : 0,
    method,
    failure,
    tookMs: performance.now() - begun,
  };
}

async function solutionOf(problem: Problem, options: AssignOptions): Promise<Solution> {
  const { timeLimitMs = defaults.timeLimitMs, targetGap = defaults.targetGap, thread = defaults.thread, signal } = options;
  const first = greedy(problem, { mostTrials: quickTrials });
  const { score, objective } = worthOf(problem, first);
  const bound = boundOf(problem);
  const absoluteGap = Math.max(targetGap * score, tolerance);
  // Most rounds are small: each order has its best, and no solver finds more.
  if (bound - objective <= absoluteGap) return { picks: first, bound, method: 'optimal', failure: undefined };
  const hardLimitMs = options.hardLimitMs ?? Math.min(timeLimitMs + defaults.graceMs, mostMs);
  const reply = await solve({ problem, first, timeLimitMs, absoluteGap }, { hardLimitMs, signal, thread });
  signal?.throwIfAborted();
  const solution = judged(problem, first, bound, reply);
  // Nothing of use came out of the thread, so that the trials are made here after all.
  return solution.picks === first ? { ...solution, picks: best(problem, first, greedy(problem)) } : solution;
}

/** Believes the solver what can be checked, and no bound that its own picks, or the first ones, disprove. */
function judged(problem: Problem, first: Picks, unsolved: number, { status, picks = first, bound }: SolverReply): Solution {
  const failed: Solution = { picks: first, bound: unsolved, method: 'greedy', failure: 'SOLVER_FAILED' };
  if (!isPossible(problem, picks)) return failed;
  const better = best(problem, picks, first);
  if (bound < worthOf(problem, better).objective - boundTolerance) return failed;
  const known = { picks: better, bound: Math.min(bound, unsolved) };
  if (status === 'optimal' || status === 'time_limit') return { ...known, method: status, failure: undefined };
  return { ...known, method: 'greedy', failure: status };
}

function partedBy(
  orders: readonly PendingOrder[],
  choices: NamedProblem['choices'],
  picks: Picks,
): Pick<Assignment, 'assigned' | 'unassigned'> {
  const assigned: AssignedOrder[] = [];
  const unassigned: UnassignedOrder[] = [];
  for (const [place, { id: orderId }] of orders.entries()) {
    const own = choices[place] ?? [];
    const choice = own[picks[place] ?? -1];
    if (choice === undefined) unassigned.push({ orderId, code: own.length === 0 ? 'NO_CHOICE' : 'NO_ROOM' });
    else assigned.push({ orderId, supplierId: choice.supplierId, score: choice.score, uses: choice.uses });
  }
  return { assigned, unassigned };
}

function checkOptions({ mostSuppliers = 1, timeLimitMs = 1, hardLimitMs = 1, targetGap = 0 }: AssignOptions): void {
  if (!(Number.isInteger(mostSuppliers) && mostSuppliers >= 1)) {
    throw new MatchingError('INVALID_OPTION', 'mostSuppliers', 'a whole number, 1 or above');
  }
  if (!(timeLimitMs > 0 && timeLimitMs <= mostMs)) throw new MatchingError('INVALID_OPTION', 'timeLimitMs', `milliseconds up to ${mostMs}`);
  if (!(hardLimitMs > 0 && hardLimitMs <= mostMs)) throw new MatchingError('INVALID_OPTION', 'hardLimitMs', `milliseconds up to ${mostMs}`);
  if (!(targetGap >= 0 && targetGap < 1)) throw new MatchingError('INVALID_OPTION', 'targetGap', 'a share, from 0 to less than 1');
}
