/**
 * What an invoice or a credit note comes to. Each line is rounded by itself, the tax once for each rate on the sum of its lines, so
 * that base times rate is the tax that is printed beside them (EN 16931, rule BR-CO-17). A credit note is calculated as the invoice
 * would be and then negated, so that both cancel out to the cent.
 */
import { add, chargeStep, type Money, money, negated, share } from '../money/money.ts';

export type InvoiceKind = 'invoice' | 'credit_note';

export interface InvoiceLine {
  readonly description: string;
  /** Thousandths of a unit, above 0: 2 pieces are 2,000. Also on a credit note: its amounts are what is negative. */
  readonly quantity: number;
  /** For one unit. Negative for a discount. */
  readonly unitPrice: Money;
  /** Hundredths of a percent, from 0 to 10,000: 19 % are 1,900. */
  readonly taxRate: number;
}

/** A line as it is issued. Under reverse charge its tax rate is 0. */
export type CalculatedLine = InvoiceLine & {
  readonly net: Money;
};

/** All lines of one rate. */
export interface TaxSum {
  /** Hundredths of a percent. */
  readonly rate: number;
  readonly base: Money;
  readonly tax: Money;
}

export interface InvoiceTotals {
  readonly lines: readonly CalculatedLine[];
  readonly net: Money;
  /** By rate, the lowest first. */
  readonly taxes: readonly TaxSum[];
  readonly gross: Money;
  /** What has to be printed on the invoice. */
  readonly note: string | undefined;
}

/** The recipient owes the tax. Both ids have to be on the invoice (Directive 2006/112/EC, article 226, numbers 3, 4 and 11a). */
export interface ReverseCharge {
  readonly sellerVatId: string | undefined;
  readonly buyerVatId: string | undefined;
}

/** What cannot be an invoice. Its text names the field and shows no value. */
export class InvoiceTaxError extends Error {
  override readonly name = 'InvoiceTaxError';
  readonly code: 'INVALID_LINES' | 'VAT_ID_MISSING';
  /** Such as `lines.0.quantity` or `buyer.vatId`. */
  readonly field: string;

  constructor(code: InvoiceTaxError['code'], field: string, message: string) {
    super(`${field}: ${message}`);
    this.code = code;
    this.field = field;
  }
}

/** The two words are what the directive asks for. */
export const reverseChargeNote = 'Reverse charge: the recipient of the supply owes the VAT.';

/** A million units. */
export const largestQuantity = 1_000_000_000;

/** The form only: two letters of the country, then up to 18 letters and digits, which may be grouped. Whether it exists is not asked. */
export const vatIdPattern = /^[A-Z]{2}(?=.*\d)[A-Z0-9][A-Z0-9 .+*-]{1,17}$/;

/**
 * Rounding is half away from zero, for lines and taxes alike: for amounts above zero that is half up.
 *
 * @param reverseCharge the lines' rates are replaced by 0
 * @throws InvoiceTaxError `INVALID_LINES` for no lines, or a quantity or rate out of bounds; `VAT_ID_MISSING` when reverse charge
 *   lacks an id, or one is not of the form
 * @throws MoneyError for lines of several currencies, or a sum out of bounds
 * @example calculateTotals('invoice', [{ description: 'Bracket', quantity: 2_000, unitPrice: money(5_000, 'EUR'), taxRate: 1_900 }])
 *   // net 100.00, 19 % on 100.00 are 19.00, gross 119.00
 */
export function calculateTotals(kind: InvoiceKind, lines: readonly InvoiceLine[], reverseCharge?: ReverseCharge): InvoiceTotals {
  if (reverseCharge !== undefined) checkVatIds(reverseCharge);
  const calculated = lines.map((line, index) => ({
    ...line,
    taxRate: reverseCharge === undefined ? line.taxRate : 0,
    net: netOfLine(line, index),
  }));
  const net = sum(calculated.map((line) => line.net));
  const rates = [...new Set(calculated.map((line) => line.taxRate))].toSorted((one, other) => one - other);
  const taxes = rates.map((rate) => {
    const base = sum(calculated.filter((line) => line.taxRate === rate).map((line) => line.net));
    return { rate, base, tax: share(base, rate) };
  });
  const gross = add(net, ...taxes.map(({ tax }) => tax));
  const signed = kind === 'invoice' ? (amount: Money) => amount : negated;
  return {
    lines: calculated.map((line) => ({ ...line, net: signed(line.net) })),
    net: signed(net),
    taxes: taxes.map(({ rate, base, tax }) => ({ rate, base: signed(base), tax: signed(tax) })),
    gross: signed(gross),
    note: reverseCharge === undefined ? undefined : reverseChargeNote,
  };
}

/** What of an amount that includes tax is not tax, rounded as share() rounds. @param rate hundredths of a percent */
export function netOf({ minor, currency }: Money, rate: number): Money {
  const whole = 10_000n + BigInt(rate);
  const step = BigInt(chargeStep(currency));
  const net = Number(((2n * BigInt(Math.abs(minor)) * 10_000n + whole * step) / (2n * whole * step)) * step);
  return money(minor < 0 ? -net : net, currency);
}

function netOfLine({ quantity, unitPrice, taxRate }: InvoiceLine, index: number): Money {
  if (!Number.isInteger(quantity) || quantity < 1 || quantity > largestQuantity) {
    throw new InvoiceTaxError('INVALID_LINES', `lines.${index}.quantity`, `expected whole thousandths from 1 to ${largestQuantity}`);
  }
  if (!Number.isInteger(taxRate) || taxRate < 0 || taxRate > 10_000) {
    throw new InvoiceTaxError(
      'INVALID_LINES',
      `lines.${index}.taxRate`,
      'expected hundredths of a percent, a whole number from 0 to 10000',
    );
  }
  const { minor, currency } = money(unitPrice.minor, unitPrice.currency);
  // A price times thousandths can be beyond 2^53.
  const thousandths = BigInt(Math.abs(minor)) * BigInt(quantity);
  const rounded = Number((thousandths + 500n) / 1_000n);
  return money(minor < 0 ? -rounded : rounded, currency);
}

function sum(amounts: readonly Money[]): Money {
  const [first, ...others] = amounts;
  if (first === undefined) throw new InvoiceTaxError('INVALID_LINES', 'lines', 'expected at least one');
  return add(first, ...others);
}

function checkVatIds({ sellerVatId, buyerVatId }: ReverseCharge): void {
  for (const [field, id] of Object.entries({ 'seller.vatId': sellerVatId, 'buyer.vatId': buyerVatId })) {
    if (id === undefined || !vatIdPattern.test(id)) {
      throw new InvoiceTaxError('VAT_ID_MISSING', field, 'expected a VAT id such as DE123456789, since reverse charge needs both');
    }
  }
}
