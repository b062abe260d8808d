import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  add,
  currencyOf,
  decimalOf,
  exponentOf,
  formatMoney,
  largestMinor,
  MoneyError,
  money,
  negated,
  parseAmount,
  share,
  subtract,
} from './money.ts';

const eur = (minor: number) => money(minor, 'EUR');

describe('money', () => {
  it.each([
    [100, 'USD', 10_000],
    ['100.00', 'USD', 10_000],
    [100.5, 'USD', 10_050],
    ['0.01', 'EUR', 1],
    ['19.990', 'EUR', 1_999],
    [1_234, 'JPY', 1_234],
    ['1234.00', 'JPY', 1_234],
    ['1.234', 'KWD', 1_234],
    ['7', 'ISK', 7],
    [0, 'EUR', 0],
  ])('%s %s is %i minor units', (amount, currency, minor) => {
    expect(parseAmount(amount, currency)).toEqual({ minor, currency });
  });

  it.each([
    ['1.005', 'EUR'],
    [0.1 + 0.2, 'EUR'],
    ['12.5', 'JPY'],
    ['-1', 'EUR'],
    ['+1', 'EUR'],
    ['1e3', 'EUR'],
    [1e21, 'EUR'],
    [Number.NaN, 'EUR'],
    [Number.POSITIVE_INFINITY, 'EUR'],
    ['1,000', 'EUR'],
    [' 1', 'EUR'],
    ['', 'EUR'],
    ['.5', 'EUR'],
    ['1.', 'EUR'],
    ['1000000000.00', 'EUR'],
    ['1', 'usd'],
    ['1', 'XYZ'],
    ['1', 'constructor'],
    // Divided by fives.
    ['1', 'MGA'],
  ])('%s %s is refused', (amount, currency) => {
    expect(() => parseAmount(amount, currency)).toThrow(MoneyError);
  });

  it('an error shows no amount', () => {
    expect(() => parseAmount('4711.0815', 'EUR')).toThrow(/^expected at most 2 digits behind the point, as EUR has$/);
  });

  it('is a whole number of minor units within bounds', () => {
    expect(money(-0, 'EUR').minor).toBe(0);
    expect(Object.is(negated(eur(0)).minor, 0)).toBe(true);
    for (const minor of [0.5, Number.NaN, largestMinor + 1, -largestMinor - 1]) expect(() => money(minor, 'EUR')).toThrow(MoneyError);
    expect(() => add(eur(largestMinor), eur(1))).toThrow(MoneyError);
  });

  it('does not mix currencies', () => {
    expect(() => add(eur(1), money(1, 'USD'))).toThrow('expected one currency, not EUR and USD');
    expect(() => subtract(eur(1), money(1, 'USD'))).toThrow(MoneyError);
  });

  it.each([
    [1_050, 1_900, 200],
    // 2.5 and -2.5 cents.
    [25, 1_000, 3],
    [-25, 1_000, -3],
    [24, 1_000, 2],
    [largestMinor, 10_000, largestMinor],
    [100, 0, 0],
  ])('of %i minor units %i hundredths of a percent are %i', (minor, basisPoints, expected) => {
    expect(share(eur(minor), basisPoints).minor).toBe(expected);
  });

  it('a share is what exact arithmetic gives, half away from zero, and mirrored for what flows back', () => {
    fc.assert(
      fc.property(fc.integer({ min: -largestMinor, max: largestMinor }), fc.integer({ min: 0, max: 10_000 }), (minor, basisPoints) => {
        const exact = BigInt(Math.abs(minor)) * BigInt(basisPoints);
        const rounded = Number((exact + 5_000n) / 10_000n);
        expect(share(eur(minor), basisPoints).minor).toBe(minor < 0 ? 0 - rounded : rounded);
        expect(share(negated(eur(minor)), basisPoints)).toEqual(negated(share(eur(minor), basisPoints)));
      }),
    );
  });

  it('a share in three decimals is what can be charged', () => {
    expect(share(money(5_120, 'KWD'), 1_234).minor).toBe(630);
    expect(share(money(-5_120, 'KWD'), 1_234).minor).toBe(-630);
    expect(share(money(50, 'KWD'), 1_000).minor).toBe(10);
  });

  it.each([10_001, -1, 1.5, Number.NaN])('%d hundredths of a percent are refused', (basisPoints) => {
    expect(() => share(eur(1), basisPoints)).toThrow(MoneyError);
  });

  it('what is written is read again, in every currency', () => {
    fc.assert(
      fc.property(fc.constantFrom('EUR', 'JPY', 'KWD', 'CLF', 'HUF'), fc.integer({ min: 0, max: largestMinor }), (currency, minor) => {
        expect(parseAmount(decimalOf(money(minor, currency)), currency).minor).toBe(minor);
        const [amount = '', code = ''] = formatMoney(money(minor, currency)).split(' ');
        expect(parseAmount(amount.replaceAll(',', ''), code)).toEqual({ minor, currency });
      }),
    );
  });

  it.each([
    [123_456_789, 'EUR', '1,234,567.89 EUR'],
    [-5, 'EUR', '-0.05 EUR'],
    [1_234, 'JPY', '1,234 JPY'],
    [1_234, 'KWD', '1.234 KWD'],
  ])('%i %s reads %s', (minor, currency, text) => {
    expect(formatMoney(money(minor, currency))).toBe(text);
  });

  it('knows how a currency is divided', () => {
    expect(['EUR', 'JPY', 'KWD', 'CLF'].map((code) => exponentOf(currencyOf(code)))).toEqual([2, 0, 3, 4]);
  });
});
