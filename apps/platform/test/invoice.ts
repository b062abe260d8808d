/** An invoice before it is calculated, with two rates and a buyer abroad, for tests to change a field of. */
import type { InvoiceDraft } from '../src/invoices/invoice-document.ts';

export const draft: InvoiceDraft = {
  kind: 'invoice',
  series: 'TL-2026',
  number: 7,
  issuedOn: '2026-11-28',
  supplyOn: '2026-11-27',
  dueOn: '2026-12-12',
  seller: { name: 'Taktline GmbH', address: ['Werkstraße 12', '10115 Berlin'], country: 'DE', vatId: 'DE123456789' },
  buyer: { name: 'Ann', address: ['12, rue de l’Église', '75001 Paris'], country: 'FR', vatId: 'FRXX999999999' },
  lines: [
    { description: 'Bracket', quantity: 2_000, unitPriceMinor: 5_000, taxRate: 1_900 },
    { description: 'Handbook', quantity: 1_500, unitPriceMinor: 333, taxRate: 700 },
  ],
  currency: 'EUR',
  reverseCharge: false,
  paymentReference: 'TL-456',
  orderId: 456,
  notes: ['Thank you.'],
};
