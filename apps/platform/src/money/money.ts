/**
 * Money: a whole number of minor units (cents, yen, fils) and an ISO 4217 currency. Nothing else may calculate with amounts, so
 * that no fraction of a cent comes up anywhere. Built on dinero.js.
 */
import { type DineroCurrency, dinero, halfAwayFromZero, multiply, toDecimal, toSnapshot, transformScale } from 'dinero.js';
import * as currencies from 'dinero.js/currencies';

export interface Money {
  /** Minor units; negative for what flows back. */
  readonly minor: number;
  /** Such as `EUR`. */
  readonly currency: CurrencyCode;
}

/** A currency that money can be in: an ISO 4217 code whose unit is divided by tens. */
export type CurrencyCode = string & { readonly __currency: true };

/** An amount that is not one of that currency, or too large. Its text shows no amount. */
export class MoneyError extends Error {
  override readonly name = 'MoneyError';
  readonly code = 'INVALID_AMOUNT';
}

/** A milliard of a currency of two decimals. Times 10,000 it is exact yet, see share(). */
export const largestMinor = 99_999_999_999;

const known = new Map<string, DineroCurrency<number>>(
  Object.values(currencies as Record<string, DineroCurrency<number>>)
    // MGA and MRU are divided by fives.
    .filter(({ base }) => base === 10)
    .map((currency) => [currency.code, currency]),
);

/** @throws MoneyError for what is no ISO 4217 currency, such as `usd` */
export function currencyOf(code: string): CurrencyCode {
  if (!known.has(code)) throw new MoneyError('expected the ISO 4217 code of a currency, in capitals, such as EUR');
  return code as CurrencyCode;
}

/** Digits behind the point: 2 for EUR, 0 for JPY, 3 for KWD. */
export function exponentOf(currency: CurrencyCode): number {
  return (known.get(currency) as DineroCurrency<number>).exponent;
}

/** Amounts that can be charged are multiples of this: of three decimals, card networks know two. */
export function chargeStep(currency: CurrencyCode): number {
  return exponentOf(currency) === 3 ? 10 : 1;
}

/** @throws MoneyError unless `minor` is a whole number within the bounds, and `currency` one */
export function money(minor: number, currency: string): Money {
  if (!Number.isSafeInteger(minor) || Math.abs(minor) > largestMinor) {
    throw new MoneyError(`expected a whole number of minor units, at most ${largestMinor}`);
  }
  return { minor: minor === 0 ? 0 : minor, currency: currencyOf(currency) };
}

/**
 * Reads an amount as people and the specification write it: `100.00`, a number or a text, never rounded.
 *
 * @throws MoneyError when it has more digits behind the point than the currency, an exponent, a sign, or is too large
 * @example parseAmount('100.5', 'USD') // { minor: 10050, currency: 'USD' }
 */
export function parseAmount(amount: number | string, currency: string): Money {
  const code = currencyOf(currency);
  const exponent = exponentOf(code);
  const [, whole, fraction = ''] = /^(\d{1,15})(?:\.(\d{1,6}))?$/.exec(String(amount)) ?? [];
  if (whole === undefined) throw new MoneyError(`expected an amount such as ${exponent === 0 ? '100' : `100.${'0'.repeat(exponent)}`}`);
  if (fraction.slice(exponent).replaceAll('0', '') !== '') {
    throw new MoneyError(`expected at most ${exponent} digits behind the point, as ${code} has`);
  }
  return money(Number(`${whole}${fraction.slice(0, exponent).padEnd(exponent, '0')}`), code);
}

/** @throws MoneyError for different currencies, or a sum out of bounds */
export function add(one: Money, ...others: readonly Money[]): Money {
  return money(
    others.reduce((sum, other) => {
      sameCurrency(one, other);
      return sum + other.minor;
    }, one.minor),
    one.currency,
  );
}

/** @throws as `add` */
export function subtract(one: Money, other: Money): Money {
  return add(one, negated(other));
}

export function negated({ minor, currency }: Money): Money {
  return { minor: minor === 0 ? 0 : -minor, currency };
}

/**
 * A share of an amount, in hundredths of a percent (10,000 is all of it), rounded to what can be charged, half away from zero: a
 * refund gives back what was taken.
 *
 * @throws MoneyError when `basisPoints` is no whole number from 0 to 10,000
 */
export function share({ minor, currency }: Money, basisPoints: number): Money {
  if (!Number.isInteger(basisPoints) || basisPoints < 0 || basisPoints > 10_000) {
    throw new MoneyError('expected hundredths of a percent, a whole number from 0 to 10000');
  }
  const part = multiply(asDinero({ minor, currency }), { amount: basisPoints, scale: 4 });
  const step = chargeStep(currency);
  const scale = exponentOf(currency) - Math.log10(step);
  return money(toSnapshot(transformScale(part, scale, halfAwayFromZero)).amount * step, currency);
}

/** As parseAmount() reads it, such as `1234.50`. */
export function decimalOf(amount: Money): string {
  return toDecimal(asDinero(amount));
}

/** As people read it in mails and on invoices, such as `1,234.50 EUR`. */
export function formatMoney(amount: Money): string {
  const [whole = '', fraction] = decimalOf(amount).split('.');
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ',');
  return `${fraction === undefined ? grouped : `${grouped}.${fraction}`} ${amount.currency}`;
}

/** @throws MoneyError for different currencies */
export function sameCurrency(one: Money, other: Money): void {
  if (one.currency !== other.currency) throw new MoneyError(`expected one currency, not ${one.currency} and ${other.currency}`);
}

function asDinero({ minor, currency }: Money) {
  return dinero({ amount: minor, currency: known.get(currency) as DineroCurrency<number> });
}
