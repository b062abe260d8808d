import * as currencies from 'dinero.js/currencies';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { largestMinor, money } from '../money/money.ts';
import { GatewayError } from './gateway.ts';
import { fromStripeAmount, toStripeAmount } from './stripe-amounts.ts';

const codes = Object.values(currencies).flatMap(({ base, code }) => (base === 10 ? [code] : []));

function codeOf(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error instanceof GatewayError ? error.code : error;
  }
  return 'no error';
}

describe('toStripeAmount', () => {
  it.each([
    ['EUR', 1_050, 1_050],
    ['EUR', 99_999_999, 99_999_999],
    ['JPY', 500, 500],
    ['ISK', 5, 500],
    ['UGX', 5, 500],
    ['ISK', 999_999, 99_999_900],
    ['KWD', 5_120, 5_120],
    // Charged with decimals; that payouts have none is another matter.
    ['HUF', 1_045, 1_045],
    ['TWD', 80_045, 80_045],
    ['IDR', 99_999_999_999, 99_999_999_999],
  ])('writes %s %d as %d', (currency, minor, amount) => {
    expect(toStripeAmount(money(minor, currency))).toBe(amount);
    expect(fromStripeAmount(amount, currency.toLowerCase())).toEqual(money(minor, currency));
  });

  it.each([
    ['EUR', 0],
    ['EUR', -1],
    ['EUR', 100_000_000],
    ['JPY', 100_000_000],
    ['ISK', 1_000_000],
    ['KWD', 5_124],
    // Stripe would read these with other decimals than ISO 4217 has.
    ['IQD', 5_000],
    ['LYD', 5_000],
    ['UYI', 500],
    ['CLF', 10_000],
  ])('refuses %s %d', (currency, minor) => {
    expect(codeOf(() => toStripeAmount(money(minor, currency)))).toBe('GATEWAY_REFUSED');
  });

  it('takes what it gives, whatever the amount and the currency, or refuses it without showing it', () => {
    const minor = fc.oneof(fc.integer({ min: -10, max: 200_000_000 }), fc.integer({ min: -largestMinor, max: largestMinor }));
    fc.assert(
      fc.property(minor, fc.constantFrom(...codes), (minor, currency) => {
        const given = money(minor, currency);
        try {
          const amount = toStripeAmount(given);
          expect(Number.isSafeInteger(amount) && amount > 0).toBe(true);
          expect(fromStripeAmount(amount, currency.toLowerCase())).toEqual(given);
        } catch (error) {
          if (!(error instanceof GatewayError)) throw error;
          expect(error.code).toBe('GATEWAY_REFUSED');
          if (Math.abs(minor) > 99) expect(error.message.match(/\d+/g) ?? []).not.toContain(String(minor));
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('fromStripeAmount', () => {
  it('reads nothing as nothing, as of what was captured so far', () => {
    expect(fromStripeAmount(0, 'isk')).toEqual(money(0, 'ISK'));
  });

  it.each([
    [550, 'isk'],
    [1.5, 'eur'],
    [-1, 'eur'],
    [Number.NaN, 'eur'],
    [largestMinor + 1, 'eur'],
    [100, 'xxx'],
    [100, 'iqd'],
    [100, ''],
  ])('does not believe %d of "%s"', (amount, currency) => {
    expect(codeOf(() => fromStripeAmount(amount, currency))).toBe('GATEWAY_UNKNOWN');
  });
});
