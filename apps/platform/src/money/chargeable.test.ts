import * as currencies from 'dinero.js/currencies';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { netOf } from '../invoices/tax.ts';
import { mustBeChargeable, whyNotChargeable } from './chargeable.ts';
import { add, MoneyError, money, share, subtract } from './money.ts';

const codes = Object.values(currencies).flatMap(({ base, code }) => (base === 10 ? [code] : []));

describe('an amount that can be charged', () => {
  it.each([
    ['EUR', 99_999_999, 'EUR', 100_000_000],
    ['ISK', 999_999, 'ISK', 1_000_000],
    ['KWD', 5_120, 'KWD', 5_124],
    ['IDR', 99_999_999_999, 'IQD', 5_000],
    ['JPY', 1, 'JPY', 0],
  ])('is one of %s %d, and none of %s %d', (good, minor, bad, other) => {
    expect(() => mustBeChargeable(money(minor, good))).not.toThrow();
    expect(() => mustBeChargeable(money(other, bad))).toThrow(MoneyError);
  });

  it('stays one, whatever part is taken of it, to the minor unit', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...codes),
        fc.integer({ min: 1, max: 9_999_999 }),
        fc.integer({ min: 0, max: 10_000 }),
        (code, tens, basisPoints) => {
          const amount = money(tens * 10, code);
          fc.pre(whyNotChargeable(amount) === undefined);
          const part = share(amount, basisPoints);
          const net = netOf(amount, basisPoints);
          const parts = [part, subtract(amount, part), net, subtract(amount, net), add(net, share(net, basisPoints))];
          for (const one of parts) if (one.minor > 0 && one.minor <= amount.minor) expect(whyNotChargeable(one)).toBeUndefined();
        },
      ),
      { numRuns: 500 },
    );
  });
});
