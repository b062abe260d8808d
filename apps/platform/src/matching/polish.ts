/**
 * Makes a good assignment better by taking a dozen orders out that use the same machines, and putting them back in another order, over
 * and over (large neighbourhood search: P. Shaw, "Using Constraint Programming and Local Search Methods to Solve Vehicle Routing
 * Problems", CP 1998). With a thousand orders HiGHS proves a good bound in seconds and finds good assignments late; this finds them
 * early, and the two together close the gap.
 */
import type { Picks, Problem } from './assignment-problem.ts';
import { Draft, leastGain } from './draft.ts';

/** Orders that are taken out at once. 6 and 25 came to less in the same time. */
const groupSize = 12;
/** For each order. More gains little: a thousand orders take a second. */
const roundsPerOrder = 100;
/** Up to so much of a score the orders are put back in an order of chance. */
const chance = 0.1;

/**
 * The same problem gives the same picks, unless it is stopped.
 *
 * @param picks that are possible
 * @param isOver asked before each round
 * @returns picks that are possible, and worth as much at least
 */
export function polish(problem: Problem, picks: Picks, isOver: () => boolean): Picks {
  const draft = new Draft(problem, picks);
  const random = randomNumbers(problem.options.length);
  const rounds = roundsPerOrder * problem.options.length;
  for (let round = 0; round < rounds && !isOver(); round += 1) {
    const seed = Math.floor(random() * problem.options.length);
    const group = groupAround(draft, seed, random);
    const before = group.map((order) => draft.take(order));
    for (const order of shuffledByRegret(draft, group, random)) draft.putBest(order);
    const gain = group.reduce((sum, order, place) => {
      return sum + draft.valueOf(order, draft.pickOf(order)) - draft.valueOf(order, before[place] as number);
    }, 0);
    // What is as good is taken too: it leads out of a corner.
    if (gain >= -leastGain) continue;
    for (const order of group) draft.take(order);
    for (const [place, order] of group.entries()) draft.put(order, before[place] as number);
  }
  return draft.picks;
}

/** The order, and others that use the machine time of its options. */
function groupAround(draft: Draft, seed: number, random: () => number): readonly number[] {
  const group = new Set([seed]);
  const options = draft.optionsOf(seed);
  const from = Math.floor(random() * options.length);
  for (let place = 0; place < options.length; place += 1) {
    for (const row of options[(from + place) % options.length]?.rows ?? []) {
      for (const order of draft.usersOf(row)) {
        group.add(order);
        if (group.size === groupSize) return [...group];
      }
    }
  }
  return [...group];
}

function shuffledByRegret(draft: Draft, group: readonly number[], random: () => number): readonly number[] {
  const keyed = group.map((order) => {
    const best = draft.firstWithRoom(order);
    const second = best === -1 ? -1 : draft.firstWithRoom(order, best + 1);
    return { order, key: draft.valueOf(order, best) - draft.valueOf(order, second) + chance * random() };
  });
  return keyed.sort((one, other) => other.key - one.key).map(({ order }) => order);
}

/** From 0 to less than 1, always the same ones: a linear congruential generator with the numbers of Numerical Recipes. */
function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
