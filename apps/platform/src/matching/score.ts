/**
 * Which candidate is the best: six parts, each from 0 to 1 and better when higher, weighed into one score. Five parts are on fixed
 * scales, so that a supplier has the same part whoever it is compared with, and a stored score can be explained on its own. Only the
 * price is set against the cheapest candidate: there is no scale that fits a bracket and an injection mould.
 *
 * | part | from |
 * | --- | --- |
 * | price | the cheapest candidate's price / its own; 1 for the cheapest |
 * | distance | 500 km / (500 km + distance): one half at 500 km |
 * | lead | 14 days / (14 days + days until the goods are there): one half at two weeks |
 * | load | 1 - load |
 * | rating | (mean of the ratings - 1) / 4, after the prior |
 * | onTime | the share of deliveries in time, after the prior |
 *
 * A half-way scale has no end, other than a straight one: of two suppliers far away the nearer one is still better.
 */
import type { Money } from '../money/money.ts';
import { type Candidate, type CandidatesOptions, candidatesOf, type LeftOut, type OrderNeed, type Supplier } from './candidates.ts';
import { MatchingError } from './matching-error.ts';
import { memo } from './memo.ts';
import { daysUntil, type Slot } from './production-slots.ts';

/** The parts of a score, each 0 to 1; or what each of them weighs. */
export interface ScoreParts {
  readonly price: number;
  readonly distance: number;
  readonly lead: number;
  readonly load: number;
  readonly rating: number;
  readonly onTime: number;
}

/** Any numbers from 0 on, such as 2 and 1; only their ratios count. One at least is above 0. */
export type Weights = ScoreParts;

export const defaultWeights: Weights = { price: 0.35, distance: 0.05, lead: 0.2, load: 0.1, rating: 0.15, onTime: 0.15 };

/**
 * What a supplier is taken for before it has a record: an average one, neither praised nor punished for being new. The record counts
 * more with each rating (a Bayesian average: the prior stands for so many ratings), so that one rating of 5 does not outdo a hundred
 * of 4.8.
 */
export const priors = { rating: 4, ratings: 5, onTime: 0.9, deliveries: 10 } as const;

/** A way to make the order, with the score that it gives the candidate: a later one has a lower part for `lead`. */
export interface ScoredSlot extends Slot {
  /** Calendar days from today until the goods are there. */
  readonly totalDays: number;
  readonly score: number;
}

/** A candidate as it is stored and shown; all of it is JSON. */
export interface RankedCandidate {
  readonly supplierId: string;
  /** 0 to 1, by its best slot. */
  readonly score: number;
  readonly parts: ScoreParts;
  readonly price: Money;
  readonly distanceKm: number;
  readonly transitDays: number;
  readonly shipBy: string;
  /** Earliest first, which is also best first. */
  readonly slots: readonly ScoredSlot[];
}

export interface RankOptions extends CandidatesOptions {
  /** Default: `defaultWeights`. */
  readonly weights?: Weights;
}

export interface Ranking {
  /** Best first; the same score: by id, in the order of UTF-16 code units. */
  readonly candidates: readonly RankedCandidate[];
  readonly leftOut: readonly LeftOut[];
}

const halfKm = 500;
const halfDays = 14;

const partNames = Object.keys(defaultWeights) as readonly (keyof ScoreParts)[];

/**
 * Ranks the suppliers that can make the order.
 *
 * @param suppliers with different ids
 * @throws MatchingError `INVALID_NEED`, `INVALID_OPTION` or `INVALID_WEIGHTS`
 */
export function rank(need: OrderNeed, suppliers: readonly Supplier[], options: RankOptions): Ranking {
  const { weights = defaultWeights, today } = options;
  checkWeights(weights);
  const { candidates, leftOut } = candidatesOf(need, suppliers, options);
  const cheapest = candidates.reduce((least, { price }) => Math.min(least, price.minor), Number.POSITIVE_INFINITY);
  const daysTo = memo((day: string) => daysUntil(today, day));
  const ranked = candidates.map((candidate) => rankedOf(candidate, cheapest, weights, daysTo));
  return { candidates: ranked.toSorted(bestFirst), leftOut };
}

/**
 * @param parts each 0 to 1
 * @returns 0 to 1
 * @throws MatchingError `INVALID_WEIGHTS` unless each weight is finite and at least 0, and one is above 0
 */
export function scoreOf(parts: ScoreParts, weights: Weights): number {
  checkWeights(weights);
  return weigh(parts, weights);
}

/** The mean of the ratings, 1 to 5, after the prior. */
export function smoothedRating({ rating, ratings }: Pick<Supplier, 'rating' | 'ratings'>): number {
  return smoothed(rating, ratings, priors.rating, priors.ratings);
}

/** The share of deliveries in time, 0 to 1, after the prior. */
export function smoothedOnTime({ onTime, deliveries }: Pick<Supplier, 'onTime' | 'deliveries'>): number {
  return smoothed(onTime, deliveries, priors.onTime, priors.deliveries);
}

function rankedOf(candidate: Candidate, cheapest: number, weights: Weights, daysTo: (day: string) => number): RankedCandidate {
  const { supplier, price, distanceKm, transitDays, shipBy } = candidate;
  const fixed = partsOf(candidate, cheapest);
  const scored = candidate.slots.map(({ uses, readyOn }) => {
    const totalDays = daysTo(readyOn) + transitDays;
    const parts = { ...fixed, lead: halfDays / (halfDays + totalDays) };
    return { parts, slot: { uses, readyOn, totalDays, score: weigh(parts, weights) } };
  });
  const slots = scored.map(({ slot }) => slot);
  const [best] = scored as [(typeof scored)[number]];
  return { supplierId: supplier.id, score: best.slot.score, parts: best.parts, price, distanceKm, transitDays, shipBy, slots };
}

function partsOf({ supplier, price, distanceKm }: Candidate, cheapest: number): Omit<ScoreParts, 'lead'> {
  return {
    price: cheapest / price.minor,
    distance: halfKm / (halfKm + distanceKm),
    load: 1 - supplier.load,
    rating: (smoothedRating(supplier) - 1) / 4,
    onTime: smoothedOnTime(supplier),
  };
}

function weigh(parts: ScoreParts, weights: Weights): number {
  // By the largest first: the sum of weights near the largest number would be Infinity.
  const largest = Math.max(...partNames.map((name) => weights[name]));
  let sum = 0;
  let total = 0;
  for (const name of partNames) {
    const weight = weights[name] / largest;
    sum += weight * parts[name];
    total += weight;
  }
  return Math.min(1, sum / total);
}

function checkWeights(weights: Weights): void {
  for (const name of partNames) {
    const isWeight = Number.isFinite(weights[name]) && weights[name] >= 0;
    if (!isWeight) throw new MatchingError('INVALID_WEIGHTS', name, 'a finite number, 0 or above');
  }
  if (partNames.every((name) => weights[name] === 0)) throw new MatchingError('INVALID_WEIGHTS', 'weights', 'one above 0 at least');
}

function smoothed(mean: number | undefined, count: number, prior: number, priorCount: number): number {
  return mean === undefined ? prior : (prior * priorCount + mean * count) / (priorCount + count);
}

function bestFirst(one: RankedCandidate, other: RankedCandidate): number {
  return other.score - one.score || (one.supplierId < other.supplierId ? -1 : 1);
}
