/**
 * What an issued invoice or credit note holds: everything that stands on it, so that it can be printed again in ten years when the
 * order, the companies and the rates are others. Kept as JSON and never changed. Amounts are minor units of the one currency; they
 * are checked against the lines here, so that none is stored that does not add up.
 */
import { z } from 'zod';
import { currencyOf, type Money, MoneyError, money } from '../money/money.ts';
import { canBeSeen } from './printable-text.ts';
import { calculateTotals, InvoiceTaxError, type InvoiceTotals, largestQuantity, vatIdPattern } from './tax.ts';

/** Text that Postgres can keep: no NUL, no half of a surrogate pair. */
const text = (max: number) =>
  z
    .string()
    .max(max)
    .refine((value) => !/[\0\p{Cs}]/u.test(value), { error: 'expected no NUL and no half of a surrogate pair' })
    .refine(canBeSeen, { error: 'expected something that can be seen' });

const minor = z.int();

const taxRate = z.int().min(0).max(10_000);

const day = z.iso.date();

const partySchema = z
  .strictObject({
    name: text(500),
    /** As on an envelope, without name and country. */
    address: z.array(text(200)).min(1).max(6).readonly(),
    /** ISO 3166-1, such as `DE`. */
    country: z.string().regex(/^[A-Z]{2}$/, { error: 'expected the two capitals of a country, such as DE' }),
    vatId: z.string().regex(vatIdPattern, { error: 'expected a VAT id such as DE123456789' }).optional(),
  })
  .readonly()
  // A company may be a person.
  .meta({ sensitive: true });

const lineSchema = z
  .strictObject({
    description: text(10_000),
    /** Thousandths of a unit, above 0 also on a credit note. */
    quantity: z.int().min(1).max(largestQuantity),
    unitPriceMinor: minor,
    /** Hundredths of a percent. */
    taxRate,
    /** Quantity times price, rounded; negative on a credit note. */
    netMinor: minor,
  })
  .readonly();

const numberText = z
  .string()
  .regex(/^[A-Z0-9]+(?:-[A-Z0-9]+)*-\d{6,9}$/, { error: 'expected the number of an invoice, such as TL-2026-000007' });

const fields = z.strictObject({
  kind: z.enum(['invoice', 'credit_note']),
  /** Whose numbers count up without gaps, such as `TL-2026`. */
  series: z
    .string()
    .max(30)
    .regex(/^[A-Z0-9]+(?:-[A-Z0-9]+)*$/, { error: 'expected capitals, digits and single hyphens, such as TL-2026' }),
  number: z.int().min(1).max(999_999_999),
  issuedOn: day,
  /** When it was delivered, or is going to be. */
  supplyOn: day,
  /** An invoice says until when it is to be paid, or when it was. */
  dueOn: day.optional(),
  paidOn: day.optional(),
  seller: partySchema,
  buyer: partySchema,
  lines: z.array(lineSchema).min(1, { abort: true }).max(1_000).readonly(),
  currency: z.string().refine(isCurrency, { error: 'expected the ISO 4217 code of a currency, such as EUR', abort: true }),
  /** The buyer owes the tax: it is 0 here, and a note says so. */
  reverseCharge: z.boolean(),
  totals: z
    .strictObject({
      netMinor: minor,
      /** By rate, the lowest first. */
      taxes: z
        .array(z.strictObject({ rate: taxRate, baseMinor: minor, taxMinor: minor }).readonly())
        .min(1)
        .readonly(),
      grossMinor: minor,
    })
    .readonly(),
  /** What a bank transfer has to name, or what a payment was made under. */
  paymentReference: text(100).optional(),
  /** Of a credit note: the number of the invoice that it corrects, as printed. */
  corrects: numberText.optional(),
  /** Paragraphs below the totals. */
  notes: z.array(text(10_000)).max(20).readonly(),
  orderId: z.int().min(1),
});

export const invoiceDocumentSchema = fields
  .superRefine((document, context) => {
    const refuse = (path: readonly (string | number)[], message: string) => context.addIssue({ code: 'custom', path: [...path], message });
    if (document.kind === 'invoice') {
      if ((document.dueOn === undefined) === (document.paidOn === undefined)) {
        refuse(['dueOn'], 'expected a day, or paidOn in its place, since an invoice is to be paid or is paid');
      }
      if (document.corrects !== undefined) refuse(['corrects'], 'expected nothing: only a credit note corrects an invoice');
    } else {
      if (document.dueOn !== undefined) refuse(['dueOn'], 'expected nothing: a credit note is not to be paid');
      if (document.paidOn !== undefined) refuse(['paidOn'], 'expected nothing: a credit note is not to be paid');
      if (document.corrects === undefined) refuse(['corrects'], 'expected the number of the invoice that the credit note corrects');
    }
    if (document.dueOn !== undefined && document.dueOn < document.issuedOn) refuse(['dueOn'], 'expected no day before issuedOn');
    for (const { path, message } of findDifferences(document)) refuse(path, message);
  })
  .readonly();

export type InvoiceDocument = z.output<typeof invoiceDocumentSchema>;
export type InvoiceParty = InvoiceDocument['seller'];

/** An invoice before it is calculated. */
export type InvoiceDraft = Omit<InvoiceDocument, 'lines' | 'totals' | 'notes'> & {
  readonly lines: readonly Omit<InvoiceDocument['lines'][number], 'netMinor'>[];
  /** Beside the note on reverse charge, which is added. Default: none. */
  readonly notes?: readonly string[];
};

/** What cannot be issued. Its text names the fields and what they should be, and repeats no value. */
export class InvoiceDocumentError extends Error {
  override readonly name = 'InvoiceDocumentError';
  readonly code = 'INVALID_INVOICE';
  /** Such as `buyer.address` or `lines.0.quantity`. */
  readonly fields: readonly string[];

  constructor(problems: readonly { readonly field: string; readonly message: string }[]) {
    super(`the invoice cannot be issued: ${problems.map(({ field, message }) => `${field}: ${message}`).join('; ')}`);
    this.fields = problems.map(({ field }) => field);
  }
}

/**
 * Calculates a draft and checks all of it.
 *
 * @throws InvoiceDocumentError for what cannot stand on an invoice
 * @throws InvoiceTaxError, MoneyError as `calculateTotals` does
 */
export function composeInvoice({ lines, notes = [], ...draft }: InvoiceDraft): InvoiceDocument {
  const { lines: calculated, net, taxes, gross, note } = totalsOf({ ...draft, lines });
  const result = invoiceDocumentSchema.safeParse({
    ...draft,
    lines: lines.map((line, index) => ({ ...line, taxRate: calculated[index]?.taxRate, netMinor: calculated[index]?.net.minor })),
    totals: {
      netMinor: net.minor,
      taxes: taxes.map(({ rate, base, tax }) => ({ rate, baseMinor: base.minor, taxMinor: tax.minor })),
      grossMinor: gross.minor,
    },
    notes: note === undefined ? notes : [note, ...notes],
  });
  if (result.success) return result.data;
  throw new InvoiceDocumentError(
    result.error.issues.slice(0, 10).map(({ path, message }) => ({ field: path.map(String).join('.') || 'invoice', message })),
  );
}

/** The number as it is printed, such as `TL-2026-000007`. */
export function invoiceNumber({ series, number }: Pick<InvoiceDocument, 'series' | 'number'>): string {
  return `${series}-${String(number).padStart(6, '0')}`;
}

type Calculable = Pick<InvoiceDocument, 'kind' | 'seller' | 'buyer' | 'currency' | 'reverseCharge'> & Pick<InvoiceDraft, 'lines'>;

function totalsOf({ kind, seller, buyer, currency, reverseCharge, lines }: Calculable): InvoiceTotals {
  const inCurrency = (minor: number): Money => money(minor, currency);
  return calculateTotals(
    kind,
    lines.map(({ description, quantity, unitPriceMinor, taxRate }) => ({
      description,
      quantity,
      unitPrice: inCurrency(unitPriceMinor),
      taxRate,
    })),
    reverseCharge ? { sellerVatId: seller.vatId, buyerVatId: buyer.vatId } : undefined,
  );
}

interface Difference {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

/** What of a document is other than its lines make it. */
function findDifferences(document: z.output<typeof fields>): readonly Difference[] {
  const expected = calculated(document);
  if (!('gross' in expected)) return [expected];
  const { lines, net, taxes, gross, note } = expected;
  const message = 'expected what the lines come to';
  const { totals } = document;
  const differences: Difference[] = [];
  for (const [index, line] of document.lines.entries()) {
    if (line.netMinor !== lines[index]?.net.minor) differences.push({ path: ['lines', index, 'netMinor'], message });
    if (line.taxRate !== lines[index]?.taxRate)
      differences.push({ path: ['lines', index, 'taxRate'], message: 'expected 0 under reverse charge' });
  }
  if (totals.netMinor !== net.minor) differences.push({ path: ['totals', 'netMinor'], message });
  if (totals.grossMinor !== gross.minor) differences.push({ path: ['totals', 'grossMinor'], message });
  const asText = (sums: readonly (readonly number[])[]) => JSON.stringify(sums);
  const printed = totals.taxes.map(({ rate, baseMinor, taxMinor }) => [rate, baseMinor, taxMinor]);
  if (asText(printed) !== asText(taxes.map(({ rate, base, tax }) => [rate, base.minor, tax.minor]))) {
    differences.push({ path: ['totals', 'taxes'], message });
  }
  if (note !== undefined && !document.notes.includes(note))
    differences.push({ path: ['notes'], message: 'expected the note on reverse charge' });
  return differences;
}

function calculated(document: z.output<typeof fields>): InvoiceTotals | Difference {
  try {
    return totalsOf(document);
  } catch (error) {
    if (error instanceof InvoiceTaxError) return { path: error.field.split('.'), message: error.message };
    if (error instanceof MoneyError) return { path: ['lines'], message: error.message };
    throw error;
  }
}

function isCurrency(code: string): boolean {
  try {
    currencyOf(code);
    return true;
  } catch {
    return false;
  }
}
