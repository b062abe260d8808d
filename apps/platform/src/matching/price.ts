/**
 * What an order costs at a supplier, from the prices that the supplier has set for a process. Whole numbers all the way and rounded
 * once at the end, so that the same order has the same price wherever and whenever it is calculated.
 */
import { type CurrencyCode, chargeStep, largestMinor, type Money, money } from '../money/money.ts';

/** Amounts are whole minor units of the one currency. */
export interface PriceModel {
  readonly currency: CurrencyCode;
  /** Once for each order. */
  readonly setupMinor: number;
  /** For each hour of machine time. */
  readonly hourMinor: number;
  /** For each part. */
  readonly unitMinor: number;
  /** No order costs less. */
  readonly minimumMinor: number;
  /** Material -> what it makes of the price, in hundredths of a percent: 10,000 leaves it. Only these materials are worked. */
  readonly materialFactors: ReadonlyMap<string, number>;
}

export interface Work {
  readonly quantity: number;
  /** Machine time for all of it, in whole minutes. */
  readonly minutes: number;
}

const minutesPerHour = 60n;
const basisPoints = 10_000n;

/**
 * (setup + hours + parts) x the material's factor, rounded to what can be charged, half up, and at least the minimum.
 *
 * @param factor of the order's material, from `materialFactors`
 * @returns undefined for more than money can be
 */
export function priceOf(model: PriceModel, { quantity, minutes }: Work, factor: number): Money | undefined {
  const whole = BigInt(model.setupMinor) + BigInt(model.unitMinor) * BigInt(quantity);
  const scaled = (whole * minutesPerHour + BigInt(model.hourMinor) * BigInt(minutes)) * BigInt(factor);
  const step = chargeStep(model.currency);
  const scale = minutesPerHour * basisPoints * BigInt(step);
  const price = Math.max(Number((scaled + scale / 2n) / scale), Math.ceil(model.minimumMinor / step)) * step;
  return price > largestMinor ? undefined : money(price, model.currency);
}
