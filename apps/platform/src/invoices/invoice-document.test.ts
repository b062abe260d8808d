import { describe, expect, it } from 'vitest';
import { draft } from '../../test/invoice.ts';
import { composeInvoice, InvoiceDocumentError, type InvoiceDraft, invoiceDocumentSchema, invoiceNumber } from './invoice-document.ts';
import { InvoiceTaxError, reverseChargeNote } from './tax.ts';

const { dueOn: _, ...undated } = draft;
const creditNote: InvoiceDraft = { ...undated, kind: 'credit_note', number: 8, corrects: 'TL-2026-000007' };

const invoice = composeInvoice(draft);

function fieldsOf(value: unknown): readonly string[] {
  const result = invoiceDocumentSchema.safeParse(value);
  return result.success ? [] : result.error.issues.map(({ path }) => path.join('.'));
}

describe('an invoice', () => {
  it('is calculated from its draft', () => {
    expect(invoice).toEqual({
      ...draft,
      lines: [
        { description: 'Bracket', quantity: 2_000, unitPriceMinor: 5_000, taxRate: 1_900, netMinor: 10_000 },
        { description: 'Handbook', quantity: 1_500, unitPriceMinor: 333, taxRate: 700, netMinor: 500 },
      ],
      totals: {
        netMinor: 10_500,
        taxes: [
          { rate: 700, baseMinor: 500, taxMinor: 35 },
          { rate: 1_900, baseMinor: 10_000, taxMinor: 1_900 },
        ],
        grossMinor: 12_435,
      },
    });
  });

  it('comes back from JSON as it was', () => {
    expect(invoiceDocumentSchema.parse(JSON.parse(JSON.stringify(invoice)))).toEqual(invoice);
  });

  it('is negated by the credit note of the same lines', () => {
    const { totals } = composeInvoice(creditNote);
    expect(totals).toEqual({
      netMinor: -10_500,
      taxes: [
        { rate: 700, baseMinor: -500, taxMinor: -35 },
        { rate: 1_900, baseMinor: -10_000, taxMinor: -1_900 },
      ],
      grossMinor: -12_435,
    });
  });

  it('of reverse charge has rates of 0 and the note, before those of its own', () => {
    const document = composeInvoice({ ...draft, reverseCharge: true });
    expect(document.lines.map(({ taxRate }) => taxRate)).toEqual([0, 0]);
    expect(document.totals).toEqual({ netMinor: 10_500, taxes: [{ rate: 0, baseMinor: 10_500, taxMinor: 0 }], grossMinor: 10_500 });
    expect(document.notes).toEqual([reverseChargeNote, 'Thank you.']);
  });

  it('of reverse charge needs the VAT ids of both', () => {
    const { vatId: _, ...buyer } = draft.buyer;
    expect(() => composeInvoice({ ...draft, buyer, reverseCharge: true })).toThrow(InvoiceTaxError);
    const { buyer: known, ...rest } = composeInvoice({ ...draft, reverseCharge: true });
    expect(known.vatId).toBe('FRXX999999999');
    expect(fieldsOf({ ...rest, buyer })).toEqual(['buyer.vatId']);
  });

  it.each([
    [{ series: 'TL-2026', number: 7 }, 'TL-2026-000007'],
    [{ series: 'A', number: 123_456_789 }, 'A-123456789'],
  ])('%j has the number %s', (parts, number) => {
    expect(invoiceNumber(parts)).toBe(number);
  });
});

describe('what is on an invoice', () => {
  it.each([
    ['kind', { kind: 'receipt' }],
    ['series', { series: 'tl' }],
    ['series', { series: 'TL-' }],
    ['number', { number: 0 }],
    ['issuedOn', { issuedOn: '2026-02-30' }],
    ['supplyOn', { supplyOn: '28.11.2026' }],
    ['dueOn', { dueOn: undefined }],
    ['dueOn', { paidOn: '2026-11-28' }],
    ['paidOn', { dueOn: undefined, paidOn: 'yes' }],
    ['dueOn', { dueOn: '2026-11-27' }],
    ['corrects', { corrects: 'TL-2026-000001' }],
    ['seller.name', { seller: { ...draft.seller, name: '' } }],
    ['seller.name', { seller: { ...draft.seller, name: ' \u200b\u00a0' } }],
    ['seller.name', { seller: { ...draft.seller, name: 'x'.repeat(501) } }],
    ['buyer.name', { buyer: { ...draft.buyer, name: 'A\0' } }],
    ['buyer.name', { buyer: { ...draft.buyer, name: 'A\ud800' } }],
    ['buyer.address', { buyer: { ...draft.buyer, address: [] } }],
    ['buyer.country', { buyer: { ...draft.buyer, country: 'fr' } }],
    ['buyer.vatId', { buyer: { ...draft.buyer, vatId: 'none' } }],
    ['lines.0.description', { lines: [{ ...invoice.lines[0], description: '' }, invoice.lines[1]] }],
    ['lines.0.quantity', { lines: [{ ...invoice.lines[0], quantity: 0.5 }, invoice.lines[1]] }],
    ['lines', { lines: [] }],
    ['currency', { currency: 'eur' }],
    ['notes.0', { notes: [''] }],
    ['orderId', { orderId: 0 }],
    ['paymentReference', { paymentReference: 'x'.repeat(101) }],
    ['', { paid: true }],
  ])('is refused where it cannot be: %s', (field, change) => {
    expect(fieldsOf({ ...invoice, ...change })).toEqual([field]);
  });

  it.each([
    ['lines.1.netMinor', { lines: [invoice.lines[0], { ...invoice.lines[1], netMinor: 499 }] }],
    ['totals.netMinor', { totals: { ...invoice.totals, netMinor: 10_501 } }],
    ['totals.grossMinor', { totals: { ...invoice.totals, grossMinor: 12_436 } }],
    ['totals.taxes', { totals: { ...invoice.totals, taxes: invoice.totals.taxes.toReversed() } }],
    ['totals.taxes', { totals: { ...invoice.totals, taxes: invoice.totals.taxes.slice(1) } }],
    ['lines', { lines: [{ ...invoice.lines[0], unitPriceMinor: 100_000_000_000 }, invoice.lines[1]] }],
  ])('has to add up: %s', (field, change) => {
    expect(fieldsOf({ ...invoice, ...change })).toEqual([field]);
  });

  it('has no rate and no less than the note under reverse charge', () => {
    const reversed = composeInvoice({ ...draft, reverseCharge: true });
    expect(fieldsOf({ ...reversed, notes: ['Thank you.'] })).toEqual(['notes']);
    expect(fieldsOf({ ...reversed, lines: [{ ...reversed.lines[0], taxRate: 1_900 }, reversed.lines[1]] })).toEqual(['lines.0.taxRate']);
  });

  it('is on a credit note what it corrects, and no day to pay by', () => {
    const note = composeInvoice(creditNote);
    expect(fieldsOf({ ...note, corrects: undefined })).toEqual(['corrects']);
    expect(fieldsOf({ ...note, corrects: '7' })).toEqual(['corrects']);
    expect(fieldsOf({ ...note, dueOn: '2026-12-12' })).toEqual(['dueOn']);
    expect(fieldsOf({ ...note, paidOn: '2026-12-12' })).toEqual(['paidOn']);
  });

  it('is named in an error, and not repeated', () => {
    let error: unknown;
    try {
      composeInvoice({ ...draft, buyer: { ...draft.buyer, name: 'Secret\0', country: 'secret' } });
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(InvoiceDocumentError);
    expect(error).toMatchObject({ code: 'INVALID_INVOICE', fields: ['buyer.name', 'buyer.country'] });
    expect(String(error)).not.toMatch(/secret/i);
  });
});
