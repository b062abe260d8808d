import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { add, largestMinor, MoneyError, money, negated } from '../money/money.ts';
import { calculateTotals, type InvoiceLine, InvoiceTaxError, reverseChargeNote } from './tax.ts';

const line = (minor: number, taxRate = 1_900, quantity = 1_000): InvoiceLine => ({
  description: 'Bracket',
  quantity,
  unitPrice: money(minor, 'EUR'),
  taxRate,
});

const vatIds = { sellerVatId: 'DE123456789', buyerVatId: 'FRXX999999999' };

const lines = fc.array(
  fc
    .record({
      minor: fc.integer({ min: -1_000_000, max: 1_000_000 }),
      taxRate: fc.constantFrom(0, 700, 1_900, 550, 825, 10_000),
      quantity: fc.integer({ min: 1, max: 50_000 }),
    })
    .map(({ minor, taxRate, quantity }) => line(minor, taxRate, quantity)),
  { minLength: 1, maxLength: 30 },
);

function errorOf(run: () => unknown): InvoiceTaxError {
  try {
    run();
  } catch (error) {
    if (error instanceof InvoiceTaxError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

/** Without the lines, which have an order. */
function amountsOf({ net, taxes, gross }: ReturnType<typeof calculateTotals>) {
  return { net, taxes, gross };
}

describe('totals', () => {
  it('adds up lines, taxes by rate, and the gross amount', () => {
    const totals = calculateTotals('invoice', [line(5_000, 1_900, 2_000), line(1_000, 700), line(333, 1_900)]);
    expect(totals).toMatchObject({
      lines: [{ net: { minor: 10_000 } }, { net: { minor: 1_000 } }, { net: { minor: 333 } }],
      net: money(11_333, 'EUR'),
      taxes: [
        { rate: 700, base: money(1_000, 'EUR'), tax: money(70, 'EUR') },
        // 1963.27 cents.
        { rate: 1_900, base: money(10_333, 'EUR'), tax: money(1_963, 'EUR') },
      ],
      gross: money(13_366, 'EUR'),
      note: undefined,
    });
  });

  it('taxes the sum of a rate and not each line', () => {
    // 19 % of 3 cents are 0.57, thrice rounded 3; of 9 cents 1.71.
    const { taxes } = calculateTotals('invoice', [line(3), line(3), line(3)]);
    expect(taxes.map(({ tax }) => tax.minor)).toEqual([2]);
  });

  it.each([
    // Half a cent either way.
    [1, 500, 1],
    [-1, 500, -1],
    [1, 499, 0],
    [-1, 499, 0],
    [333, 1_500, 500],
    [1_005, 100, 101],
    [3, 333, 1],
  ])('%i cents times %i thousandths are %i', (minor, quantity, net) => {
    expect(calculateTotals('invoice', [line(minor, 0, quantity)]).net.minor).toBe(net);
  });

  it.each([
    [50, 100, 1],
    [49, 100, 0],
    [-50, 100, -1],
  ])('the tax on %i cents at %i hundredths of a percent is %i', (minor, rate, tax) => {
    expect(calculateTotals('invoice', [line(minor, rate)]).taxes[0]?.tax.minor).toBe(tax);
  });

  it('stays exact where a price times thousandths is beyond 2^53', () => {
    // 99,999.99 times 9,999.999: 999,999,800.00001, exactly 99999980000.001 cents.
    expect(calculateTotals('invoice', [line(9_999_999, 0, 9_999_999)]).net.minor).toBe(99_999_980_000);
    expect(() => calculateTotals('invoice', [line(largestMinor, 0, 1_000_000_000)])).toThrow(MoneyError);
  });

  it('knows no negative zero', () => {
    const { net, taxes } = calculateTotals('credit_note', [line(0, 0)]);
    expect([net.minor, taxes[0]?.tax.minor]).toEqual([0, 0]);
    expect(Object.is(net.minor, 0)).toBe(true);
  });

  it('has sums that fit together', () => {
    fc.assert(
      fc.property(lines, (lines) => {
        const { lines: calculated, net, taxes, gross } = calculateTotals('invoice', lines);
        const total = (amounts: readonly { minor: number }[]) => amounts.reduce((sum, { minor }) => sum + minor, 0);
        expect(total(calculated.map((line) => line.net))).toBe(net.minor);
        expect(total(taxes.map(({ base }) => base))).toBe(net.minor);
        expect(gross).toEqual(add(net, ...taxes.map(({ tax }) => tax)));
        expect(new Set(taxes.map(({ rate }) => rate)).size).toBe(taxes.length);
      }),
    );
  });

  it('rounds each tax by at most half a cent', () => {
    fc.assert(
      fc.property(lines, (lines) => {
        for (const { rate, base, tax } of calculateTotals('invoice', lines).taxes) {
          expect(Math.abs(tax.minor * 10_000 - base.minor * rate)).toBeLessThanOrEqual(5_000);
        }
      }),
    );
  });

  it('is negated exactly by a credit note', () => {
    fc.assert(
      fc.property(lines, fc.boolean(), (lines, reverse) => {
        const reverseCharge = reverse ? vatIds : undefined;
        const invoice = calculateTotals('invoice', lines, reverseCharge);
        const note = calculateTotals('credit_note', lines, reverseCharge);
        expect(note).toEqual({
          lines: invoice.lines.map((line) => ({ ...line, net: negated(line.net) })),
          net: negated(invoice.net),
          taxes: invoice.taxes.map(({ rate, base, tax }) => ({ rate, base: negated(base), tax: negated(tax) })),
          gross: negated(invoice.gross),
          note: invoice.note,
        });
      }),
    );
  });

  it('does not depend on the order of the lines', () => {
    const shuffled = lines.chain((lines) =>
      fc.tuple(fc.constant(lines), fc.shuffledSubarray(lines, { minLength: lines.length, maxLength: lines.length })),
    );
    fc.assert(
      fc.property(shuffled, ([lines, other]) => {
        expect(amountsOf(calculateTotals('invoice', other))).toEqual(amountsOf(calculateTotals('invoice', lines)));
      }),
    );
  });
});

describe('reverse charge', () => {
  it('has no tax, and the note that it needs', () => {
    const totals = calculateTotals('invoice', [line(5_000), line(1_000, 700)], vatIds);
    expect(totals).toMatchObject({
      lines: [{ taxRate: 0 }, { taxRate: 0 }],
      net: money(6_000, 'EUR'),
      taxes: [{ rate: 0, base: money(6_000, 'EUR'), tax: money(0, 'EUR') }],
      gross: money(6_000, 'EUR'),
      note: reverseChargeNote,
    });
    expect(totals.note).toMatch(/^Reverse charge\b/);
  });

  it.each([
    ['seller.vatId', { ...vatIds, sellerVatId: undefined }],
    ['buyer.vatId', { ...vatIds, buyerVatId: undefined }],
    ['buyer.vatId', { ...vatIds, buyerVatId: '' }],
    ['buyer.vatId', { ...vatIds, buyerVatId: 'secret' }],
    ['buyer.vatId', { ...vatIds, buyerVatId: 'ABCDEF' }],
    ['seller.vatId', { ...vatIds, sellerVatId: 'DE1234567\n89' }],
  ])('wants %s', (field, ids) => {
    const error = errorOf(() => calculateTotals('invoice', [line(5_000)], ids));
    expect(error).toMatchObject({ code: 'VAT_ID_MISSING', field });
    expect(error.message).not.toContain('secret');
  });

  it.each(['DE123456789', 'FRXX999999999', 'ATU12345678', 'CHE-123.456.789 MWST', 'ESX1234567X', 'GB123 4567 89'])(
    'takes %s for a VAT id',
    (id) => {
      expect(calculateTotals('invoice', [line(1)], { sellerVatId: id, buyerVatId: id }).gross.minor).toBe(1);
    },
  );
});

describe('lines', () => {
  it.each([
    ['lines', []],
    ['lines.1.quantity', [line(1), line(1, 0, 0)]],
    ['lines.0.quantity', [line(1, 0, -1_000)]],
    ['lines.0.quantity', [line(1, 0, 1.5)]],
    ['lines.0.quantity', [line(1, 0, 1_000_000_001)]],
    ['lines.0.taxRate', [line(1, -1)]],
    ['lines.0.taxRate', [line(1, 10_001)]],
    ['lines.0.taxRate', [line(1, 7.5)]],
  ])('that cannot be are refused: %s', (field, lines) => {
    const error = errorOf(() => calculateTotals('invoice', lines));
    expect(error.code).toBe('INVALID_LINES');
    expect(error.field).toBe(field);
    expect(error.message.startsWith(`${field}: expected `)).toBe(true);
  });

  it('of two currencies are refused', () => {
    expect(() => calculateTotals('invoice', [line(1), { ...line(1), unitPrice: money(1, 'USD') }])).toThrow(MoneyError);
  });
});
