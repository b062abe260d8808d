/**
 * An assignment in the making: which order has which option, what is left of each row of machine time, and who uses it. All ways to
 * find an assignment without the solver work on it, and none can use more of a row than there is.
 */
import type { Option, Picks, Problem } from './assignment-problem.ts';

/** Less than this is no gain but rounding. */
export const leastGain = 1e-9;

export class Draft {
  readonly #problem: Problem;
  readonly #picks: number[];
  readonly #left: number[];
  /** Orders that use a row. */
  readonly #users: readonly Set<number>[];
  #trials = 0;

  /** @param picks that are possible; without them it begins empty */
  constructor(problem: Problem, picks: Picks = []) {
    this.#problem = problem;
    this.#picks = problem.options.map(() => -1);
    this.#left = [...problem.capacity];
    this.#users = problem.capacity.map(() => new Set());
    for (const [order, pick] of picks.entries()) this.put(order, pick);
  }

  /** As they are now. */
  get picks(): Picks {
    return [...this.#picks];
  }

  /** Options that were tried by `insert` so far: what the work of it is measured by, so that a bound means the same on any machine. */
  get trials(): number {
    return this.#trials;
  }

  pickOf(order: number): number {
    return this.#picks[order] as number;
  }

  optionsOf(order: number): readonly Option[] {
    return this.#problem.options[order] as readonly Option[];
  }

  /** Orders that use a row. */
  usersOf(row: number): ReadonlySet<number> {
    return this.#users[row] as Set<number>;
  }

  /** What a pick adds to the objective. */
  valueOf(order: number, pick: number): number {
    const option = this.optionsOf(order)[pick];
    return option === undefined ? 0 : this.#problem.bonus + option.score;
  }

  /** Gives an order that has none an option that has room; -1 leaves it without. */
  put(order: number, pick: number): void {
    const option = this.optionsOf(order)[pick];
    if (option === undefined) return;
    for (const [use, row] of option.rows.entries()) {
      this.#left[row] = (this.#left[row] as number) - (option.minutes[use] as number);
      this.#users[row]?.add(order);
    }
    this.#picks[order] = pick;
  }

  /** Takes an order out, where it is in. @returns the pick that it had */
  take(order: number): number {
    const pick = this.pickOf(order);
    const option = this.optionsOf(order)[pick];
    if (option === undefined) return pick;
    for (const [use, row] of option.rows.entries()) {
      this.#left[row] = (this.#left[row] as number) + (option.minutes[use] as number);
      this.#users[row]?.delete(order);
    }
    this.#picks[order] = -1;
    return pick;
  }

  /** Gives an order its best option that has room, where there is one. */
  putBest(order: number): void {
    this.put(order, this.firstWithRoom(order));
  }

  /** @returns the best option from `from` on that has room, or -1 */
  firstWithRoom(order: number, from = 0): number {
    return this.optionsOf(order).findIndex((option, pick) => pick >= from && this.#hasRoom(option));
  }

  /**
   * Places an order that was taken out, by displacing others where it has to, each of which may displace another one in turn, so
   * that all in all something is gained.
   *
   * @param old its pick before
   * @param depth so many others are displaced, at most
   * @param gain of those placed before it
   * @returns false, and all is as before, when there is no such way
   */
  insert(order: number, old: number, depth: number, gain = 0): boolean {
    const lost = gain - this.valueOf(order, old);
    for (const [pick, option] of this.optionsOf(order).entries()) {
      const total = lost + this.valueOf(order, pick);
      if (total <= leastGain) break;
      this.#trials += 1;
      if (this.#hasRoom(option)) {
        this.put(order, pick);
        return true;
      }
      if (depth > 0 && this.#inTheWay(option).some((other) => this.#displace(order, pick, other, depth - 1, total))) return true;
    }
    // Nowhere is a place too, where the others gain more than it loses.
    return lost > leastGain;
  }

  #displace(order: number, pick: number, other: number, depth: number, gain: number): boolean {
    this.#trials += 1;
    const old = this.pickOf(other);
    if (gain + this.valueOf(other, 0) - this.valueOf(other, old) <= leastGain) return false;
    this.take(other);
    if (this.#hasRoom(this.optionsOf(order)[pick] as Option)) {
      this.put(order, pick);
      if (this.insert(other, old, depth, gain)) return true;
      this.take(order);
    }
    this.put(other, old);
    return false;
  }

  /** Orders that use the first row in which the option has no room: one of them has to go. */
  #inTheWay({ rows, minutes }: Option): readonly number[] {
    const full = rows.find((row, use) => (minutes[use] as number) > (this.#left[row] as number));
    return full === undefined ? [] : [...this.usersOf(full)];
  }

  #hasRoom({ rows, minutes }: Option): boolean {
    return rows.every((row, use) => (minutes[use] as number) <= (this.#left[row] as number));
  }
}
