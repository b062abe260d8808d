/**
 * Issues what an order needs on paper: an invoice when its parts are shipped, and a credit note for each refund that corrects it.
 * They are issued in the manufacturer's name (Directive 2006/112/EC, article 220), so each manufacturer has a series of numbers for
 * each year. A number is drawn in the transaction that stores its invoice: one that is rolled back has drawn none.
 */
import { createHash } from 'node:crypto';
import { sql } from 'kysely';
import { dayIn } from '../calendar/business-days.ts';
import { type Money, money, share, subtract } from '../money/money.ts';
import { lockOrder, type Order, type PlatformTransaction } from '../orders/orders.ts';
import { paymentOf, referenceOf } from '../payments/payments.ts';
import type { StoredRefund } from '../payments/refunds.ts';
import {
  composeInvoice,
  type InvoiceDocument,
  type InvoiceDraft,
  type InvoiceParty,
  invoiceDocumentSchema,
  invoiceNumber,
} from './invoice-document.ts';
import { invoiceFonts } from './invoice-fonts.ts';
import { renderInvoicePdf } from './invoice-pdf.ts';
import { netOf } from './tax.ts';
import { noteOf } from './tax-rules.ts';

export interface IssuedInvoice {
  readonly id: number;
  readonly document: InvoiceDocument;
  /** Of a credit note: what it is for. */
  readonly reason: string | undefined;
}

export interface IssueDeps {
  /** Where a day begins. */
  readonly zone: string;
  readonly now: () => number;
  /** In the same transaction. */
  readonly tell: (transaction: PlatformTransaction, issued: IssuedInvoice, order: Order) => Promise<unknown>;
}

/**
 * Issues what is missing: nothing before the parts are shipped, and nothing twice.
 *
 * @throws InvoiceDocumentError, InvoicePdfError when what is known of buyer or manufacturer cannot stand on an invoice
 * @throws OrderError `NOT_FOUND`
 */
export async function issueInvoices(transaction: PlatformTransaction, id: number, deps: IssueDeps): Promise<readonly IssuedInvoice[]> {
  const order = await lockOrder(transaction, id);
  const shippedAt = await lastShipment(transaction, id);
  if (shippedAt === undefined) return [];
  const there = await transaction.selectFrom('invoices').select(['id', 'key', 'document']).where('order_id', '=', id).execute();
  const issue = (key: string, draft: Unnumbered, corrects: number | undefined, reason: string | undefined) =>
    store(transaction, deps, order, { key, draft, corrects, reason });

  const issued: IssuedInvoice[] = [];
  const known = there.find(({ key }) => key === `order:${id}`);
  const invoice =
    known === undefined
      ? await issue(`order:${id}`, await invoiceOf(transaction, order, shippedAt, deps.zone), undefined, undefined)
      : { id: known.id, document: invoiceDocumentSchema.parse(known.document), reason: undefined };
  if (known === undefined) issued.push(invoice);
  for (const refund of await refundsOf(transaction, id)) {
    const key = `refund:${refund.id}`;
    if (there.some((other) => other.key === key)) continue;
    issued.push(await issue(key, creditNoteOf(invoice.document, refund), invoice.id, refund.reason));
  }
  return issued;
}

/** Whatever is on it but its number and day. */
type Unnumbered = Omit<InvoiceDraft, 'series' | 'number' | 'issuedOn'>;

interface Issue {
  readonly key: string;
  readonly draft: Unnumbered;
  readonly corrects: number | undefined;
  readonly reason: string | undefined;
}

async function store(transaction: PlatformTransaction, { zone, now, tell }: IssueDeps, order: Order, issue: Issue): Promise<IssuedInvoice> {
  const { series, issuedOn, number } = await drawNumber(transaction, order, () => dayIn(zone, new Date(now())));
  const document = composeInvoice({ ...issue.draft, series, number, issuedOn });
  const pdf = await renderInvoicePdf(document, { fonts: invoiceFonts() });
  const { id } = await transaction
    .insertInto('invoices')
    .values({
      series,
      number,
      kind: document.kind,
      key: issue.key,
      order_id: order.id,
      corrects: issue.corrects ?? null,
      document: JSON.stringify(document),
      pdf,
      sha256: createHash('sha256').update(pdf).digest(),
    })
    .returning('id')
    .executeTakeFirstOrThrow();
  const issued = { id, document, reason: issue.reason };
  await tell(transaction, issued, order);
  return issued;
}

/**
 * The next number of the manufacturer's series of this year. Whoever draws the one after it waits until this transaction has ended, and
 * only then asks which day it is: so that numbers and days go up together, also about midnight.
 */
async function drawNumber(transaction: PlatformTransaction, { manufacturer_id }: Order, today: () => string) {
  for (;;) {
    const year = today().slice(0, 4);
    const series = `M${manufacturer_id}-${year}`;
    await transaction
      .insertInto('invoice_series')
      .values({ series })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    await transaction.selectFrom('invoice_series').select('last').where('series', '=', series).forUpdate().executeTakeFirstOrThrow();
    const issuedOn = today();
    // The year has ended while this one waited.
    if (issuedOn.slice(0, 4) !== year) continue;
    const { last } = await transaction
      .updateTable('invoice_series')
      .set({ last: sql`last + 1` })
      .where('series', '=', series)
      .returning('last')
      .executeTakeFirstOrThrow();
    return { series, issuedOn, number: last };
  }
}

async function invoiceOf(transaction: PlatformTransaction, order: Order, shippedAt: Date, zone: string): Promise<Unnumbered> {
  const { id, buyer_id, manufacturer_id, title, process, material, quantity, price_minor, currency, tax_rate, tax_rule, paid_at } = order;
  const { seller_vat_id, buyer_vat_id } = order;
  const payment = await paymentOf(transaction, id);
  if (manufacturer_id === null || price_minor === null || tax_rule === null || paid_at === null || payment === undefined) {
    throw new Error(`order ${id} was shipped without a price, or before it was paid for`);
  }
  const note = noteOf({ rule: tax_rule });
  return {
    kind: 'invoice',
    supplyOn: dayIn(zone, shippedAt),
    paidOn: dayIn(zone, paid_at),
    seller: await sellerOf(transaction, manufacturer_id, seller_vat_id),
    buyer: await buyerOf(transaction, buyer_id, buyer_vat_id),
    lines: [
      {
        description: `${title}\n${process} in ${material}, ${quantity} ${quantity === 1 ? 'piece' : 'pieces'}`,
        quantity: 1_000,
        unitPriceMinor: price_minor,
        taxRate: tax_rate,
      },
    ],
    currency,
    reverseCharge: tax_rule === 'reverse_charge',
    paymentReference: referenceOf(payment),
    notes: [...(note === undefined ? [] : [note]), 'Issued by the Taktline platform in the name and on behalf of the seller.'],
    orderId: id,
  };
}

/** Exactly what goes back. An amount that no net amount with its tax comes to has the difference in a line of its own. */
function creditNoteOf(invoice: InvoiceDocument, { amount_minor, currency, reason }: StoredRefund): Unnumbered {
  const { seller, buyer, reverseCharge, supplyOn, orderId, paymentReference, lines, totals } = invoice;
  const shared = {
    kind: 'credit_note' as const,
    supplyOn,
    seller,
    buyer,
    currency,
    reverseCharge,
    corrects: invoiceNumber(invoice),
    orderId,
    ...(paymentReference === undefined ? {} : { paymentReference }),
    notes: [`Reason: ${reason}`],
  };
  if (amount_minor === totals.grossMinor) return { ...shared, lines };
  const gross = money(amount_minor, currency);
  const rate = lines[0]?.taxRate ?? 0;
  const net = netOf(gross, rate);
  const rest = subtract(gross, money(net.minor + share(net, rate).minor, currency));
  return { ...shared, lines: [creditLine('Credit', net, rate), ...(rest.minor === 0 ? [] : [creditLine('Rounding', rest, 0)])] };
}

function creditLine(description: string, net: Money, taxRate: number): InvoiceDraft['lines'][number] {
  return { description, quantity: 1_000, unitPriceMinor: net.minor, taxRate };
}

async function sellerOf(transaction: PlatformTransaction, manufacturer: number, vatId: string | null): Promise<InvoiceParty> {
  const user = await transaction
    .selectFrom('manufacturers')
    .innerJoin('users', 'users.id', 'manufacturers.user_id')
    .select(['manufacturers.name', 'users.address', 'users.country'])
    .where('manufacturers.id', '=', manufacturer)
    .executeTakeFirstOrThrow();
  return partyOf(user, vatId);
}

async function buyerOf(transaction: PlatformTransaction, buyer: number, vatId: string | null): Promise<InvoiceParty> {
  const user = await transaction
    .selectFrom('users')
    .select(['name', 'address', 'country'])
    .where('id', '=', buyer)
    .executeTakeFirstOrThrow();
  return partyOf(user, vatId);
}

/** @param vatId as it was at the award, which has settled the tax by it */
function partyOf(user: Pick<InvoiceParty, 'name' | 'address' | 'country'>, vatId: string | null): InvoiceParty {
  return { ...user, ...(vatId === null ? {} : { vatId }) };
}

async function lastShipment(transaction: PlatformTransaction, order: number): Promise<Date | undefined> {
  const shipped = await transaction
    .selectFrom('order_events')
    .select('at')
    .where('order_id', '=', order)
    .where('event', '=', 'ship')
    .orderBy('version', 'desc')
    .limit(1)
    .executeTakeFirst();
  return shipped?.at;
}

function refundsOf(transaction: PlatformTransaction, order: number): Promise<readonly StoredRefund[]> {
  return transaction
    .selectFrom('refunds')
    .innerJoin('payments', 'payments.id', 'refunds.payment_id')
    .selectAll('refunds')
    .where('payments.order_id', '=', order)
    .where('refunds.status', '=', 'succeeded')
    .orderBy('refunds.id')
    .execute();
}
