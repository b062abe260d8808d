/**
 * What a card can be charged, as docs.stripe.com/currencies has it: whatever the marketplace awards, takes or gives back has to be such
 * an amount. HUF and TWD need nothing: whole units are asked for in payouts only, not in charges.
 */
import { chargeStep, exponentOf, type Money, MoneyError } from './money.ts';

/** Without decimals, but the provider still takes and tells them with two, which are always 00. */
const keptAtTwoDecimals = new Set(['ISK', 'UGX']);

const noDecimals = new Set(['BIF', 'CLP', 'DJF', 'GNF', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'VND', 'VUV', 'XAF', 'XOF', 'XPF']);

const threeDecimals = new Set(['BHD', 'JOD', 'KWD', 'OMR', 'TND']);

/** Eight digits. */
const largestAmount = 99_999_999;

/** Twelve digits, for currencies of small units. */
const largestAmounts = new Map([['IDR', 999_999_999_999]]);

/**
 * What a minor unit of ours is in the provider's.
 *
 * @returns undefined for a currency that it would read with other decimals than ISO 4217 has: nothing can be charged in it
 */
export function providerUnits(currency: Money['currency']): number | undefined {
  if (keptAtTwoDecimals.has(currency)) return 100;
  const decimals = noDecimals.has(currency) ? 0 : threeDecimals.has(currency) ? 3 : 2;
  return decimals === exponentOf(currency) ? 1 : undefined;
}

/** @returns why no card can be charged so much, in words that say what to do; undefined when one can */
export function whyNotChargeable({ minor, currency }: Money): string | undefined {
  const units = providerUnits(currency);
  if (units === undefined) return `cards cannot be charged in ${currency}: take another currency`;
  const largest = Math.floor((largestAmounts.get(currency) ?? largestAmount) / units);
  if (minor < 1 || minor > largest) return `cards can be charged from 1 to ${largest} minor units of ${currency}`;
  const step = chargeStep(currency);
  return minor % step === 0 ? undefined : `cards are charged in ${currency} to the hundredth: round the amount to ${step} minor units`;
}

/** @throws MoneyError */
export function mustBeChargeable(amount: Money): void {
  const why = whyNotChargeable(amount);
  if (why !== undefined) throw new MoneyError(why);
}
