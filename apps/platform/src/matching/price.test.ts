import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { offer } from '../../test/matching-market.ts';
import { currencyOf, largestMinor } from '../money/money.ts';
import { priceOf } from './price.ts';

const minor = (model: Parameters<typeof offer>[0], quantity: number, minutes: number, factor = 10_000) =>
  priceOf(offer({ setupMinor: 0, hourMinor: 0, unitMinor: 0, minimumMinor: 0, ...model }), { quantity, minutes }, factor)?.minor;

describe('priceOf', () => {
  it('adds set-up, hours and parts, and lets the material make it more', () => {
    const model = offer({ setupMinor: 10_000, hourMinor: 6_000, unitMinor: 100, minimumMinor: 5_000 });
    expect(priceOf(model, { quantity: 10, minutes: 90 }, 10_000)).toEqual({ minor: 20_000, currency: 'EUR' });
    expect(priceOf(model, { quantity: 10, minutes: 90 }, 25_000)).toEqual({ minor: 50_000, currency: 'EUR' });
  });

  it.each([
    // One minute of 29, 30 and 31 minor units an hour: 0.483, 0.5 and 0.516.
    [29, 0],
    [30, 1],
    [31, 1],
    [90, 2],
  ])('rounds once at the end, half up: a minute of %d an hour is %d', (hourMinor, price) => {
    expect(minor({ hourMinor }, 1, 1)).toBe(price);
  });

  it('does not lose a part of a minor unit before the material is counted', () => {
    expect(minor({ hourMinor: 20, unitMinor: 1 }, 1, 1, 15_000)).toBe(2);
  });

  it('takes the minimum where the price is below', () => {
    expect(minor({ minimumMinor: 5_000, unitMinor: 1 }, 10, 1)).toBe(5_000);
    expect(minor({ minimumMinor: 5_000, unitMinor: 1 }, 5_001, 1)).toBe(5_001);
  });

  it('has no price for more than money can be', () => {
    expect(minor({ unitMinor: largestMinor }, 1, 1)).toBe(largestMinor);
    expect(minor({ unitMinor: largestMinor }, 2, 1)).toBeUndefined();
    expect(minor({ unitMinor: Number.MAX_SAFE_INTEGER }, 1_000_000_000, 1, 1_000_000)).toBeUndefined();
  });

  it('is what can be charged, where the currency has three decimals', () => {
    const model = { currency: currencyOf('KWD'), hourMinor: 1_111 };
    expect(minor(model, 1, 60)).toBe(1_110);
    expect(minor({ ...model, minimumMinor: 5_001 }, 1, 60)).toBe(5_010);
  });

  it('is in the currency of the prices', () => {
    expect(priceOf(offer({ currency: currencyOf('JPY') }), { quantity: 1, minutes: 1 }, 10_000)?.currency).toBe('JPY');
  });

  it('is whole, and never less for more of anything', () => {
    const amounts = fc.integer({ min: 0, max: 50_000 });
    fc.assert(
      fc.property(
        amounts,
        amounts,
        amounts,
        fc.integer({ min: 1, max: 500 }),
        fc.integer({ min: 0, max: 30_000 }),
        (hour, unit, setup, count, factor) => {
          const price = minor({ hourMinor: hour, unitMinor: unit, setupMinor: setup }, count, count, factor) ?? Number.NaN;
          expect(Number.isSafeInteger(price)).toBe(true);
          expect(minor({ hourMinor: hour, unitMinor: unit, setupMinor: setup }, count + 1, count + 1, factor + 1)).toBeGreaterThanOrEqual(
            price,
          );
        },
      ),
    );
  });
});
