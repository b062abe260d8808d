import { createHash } from 'node:crypto';
import { sql } from 'kysely';
import { describe, expect, it } from 'vitest';
import { withDatabase } from '../../test/database.ts';
import { newManufacturer, newOrder, newPayment, newUser, noteShipped } from '../../test/marketplace.ts';
import { patience } from '../../test/patience.ts';
import { readPdf } from '../../test/pdf-text.ts';
import type { PlatformDatabase } from '../database/database.ts';
import { invoiceNumber } from './invoice-document.ts';
import { type IssuedInvoice, issueInvoices } from './invoices.ts';

let database: PlatformDatabase;
withDatabase((opened) => {
  database = opened;
});

const priceMinor = 10_000;
const taxMinor = 2_000;

/** An order between two of the United Kingdom that is shipped and paid for. */
async function shipped({ manufacturer, price = priceMinor, tax = taxMinor }: { manufacturer?: number; price?: number; tax?: number } = {}) {
  const maker = manufacturer ?? (await newManufacturer(database)).id;
  const order = await newOrder(database, { manufacturer_id: maker, price_minor: price });
  await database
    .updateTable('orders')
    .set({ state: 'shipped', tax_rule: 'domestic', tax_rate: 2_000, tax_minor: tax, paid_at: new Date('2026-11-20T12:00:00Z') })
    .where('id', '=', order)
    .execute();
  await noteShipped(database, order);
  const payment = await newPayment(database, order, price + tax, { status: 'captured', captured_minor: price + tax });
  const refund = async (amount: number) => {
    const { id } = await database
      .insertInto('refunds')
      .values({
        payment_id: payment,
        reference: `test:${payment}:${Math.random()}`,
        amount_minor: amount,
        currency: 'EUR',
        reason: 'credit for parts',
      })
      .returning('id')
      .executeTakeFirstOrThrow();
    await database.updateTable('refunds').set({ status: 'succeeded' }).where('id', '=', id).execute();
  };
  return { order, maker, refund };
}

const now = Date.parse('2026-12-31T23:30:00Z');

const issue = (order: number, tell: (issued: IssuedInvoice) => unknown = () => undefined, zone = 'UTC') =>
  database
    .transaction()
    .execute((transaction) => issueInvoices(transaction, order, { zone, now: () => now, tell: async (_, issued) => tell(issued) }));

const stored = (order: number) => database.selectFrom('invoices').selectAll().where('order_id', '=', order).orderBy('id').execute();

describe('an invoice', () => {
  it('says what was sold to whom, by whom, and is kept as it was issued', async () => {
    const { order, maker } = await shipped();
    const told: string[] = [];
    const [issued] = await issue(order, ({ document }) => told.push(invoiceNumber(document)));
    expect(issued?.document).toMatchObject({
      kind: 'invoice',
      series: `M${maker}-2026`,
      number: 1,
      issuedOn: '2026-12-31',
      paidOn: '2026-11-20',
      seller: { name: 'Turners Ltd', country: 'GB' },
      buyer: { name: 'Ann Baker', address: ['1 High Street', 'Leeds'] },
      lines: [{ description: 'Brackets\nturning in steel, 10 pieces', netMinor: priceMinor, taxRate: 2_000 }],
      totals: { netMinor: priceMinor, grossMinor: priceMinor + taxMinor },
      orderId: order,
    });
    expect(told).toEqual([`M${maker}-2026-000001`]);
    const [row] = await stored(order);
    expect(row?.sha256).toEqual(
      createHash('sha256')
        .update(row?.pdf ?? '')
        .digest(),
    );
    const text = readPdf(row?.pdf ?? Buffer.alloc(0));
    expect(JSON.stringify(text)).toContain(`M${maker}-2026-000001`);
  });

  it('is issued once, also when several ask at once', async () => {
    const { order } = await shipped();
    const rounds = await Promise.all([issue(order), issue(order), issue(order)]);
    expect(rounds.map((issued) => issued.length).sort()).toEqual([0, 0, 1]);
    expect(await stored(order)).toHaveLength(1);
  });

  it('is dated when its number is drawn, however long that had to wait', async () => {
    const { order, maker } = await shipped();
    let time = Date.parse('2026-12-31T23:59:59Z');
    await database
      .insertInto('invoice_series')
      .values({ series: `M${maker}-2026` })
      .execute();
    let issuing: Promise<readonly IssuedInvoice[]> | undefined;
    await database.transaction().execute(async (other) => {
      await other.selectFrom('invoice_series').selectAll().where('series', '=', `M${maker}-2026`).forUpdate().execute();
      issuing = database
        .transaction()
        .execute((transaction) => issueInvoices(transaction, order, { zone: 'UTC', now: () => time, tell: async () => undefined }));
      const waiting = async () =>
        (await sql<{ n: number }>`select count(*)::int as n from pg_locks where not granted`.execute(database)).rows[0]?.n;
      await expect.poll(waiting, patience).toBeGreaterThan(0);
      time += 2_000;
    });
    expect((await issuing)?.[0]?.document).toMatchObject({ series: `M${maker}-2027`, number: 1, issuedOn: '2027-01-01' });
  });

  it('is not issued before the parts are shipped', async () => {
    const order = await newOrder(database);
    expect(await issue(order)).toEqual([]);
    await expect(issue(2 ** 40)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('is in the series of the year where the platform is', async () => {
    const { order, maker } = await shipped();
    const [issued] = await issue(order, undefined, 'Europe/Berlin');
    expect(issued?.document).toMatchObject({ series: `M${maker}-2027`, issuedOn: '2027-01-01' });
  });

  it('has the next number of its series, without gaps, whoever issues at once and whatever is rolled back', async () => {
    const { id: maker } = await newManufacturer(database);
    const orders = await Promise.all(Array.from({ length: 12 }, () => shipped({ manufacturer: maker })));
    const results = await Promise.allSettled(
      orders.map(({ order }, place) =>
        issue(order, () => {
          if (place % 3 === 0) throw new Error('the mail could not be enqueued');
        }),
      ),
    );
    expect(results.filter(({ status }) => status === 'rejected')).toHaveLength(4);
    const numbers = async () =>
      (await database.selectFrom('invoices').select('number').where('series', '=', `M${maker}-2026`).orderBy('number').execute()).map(
        ({ number }) => number,
      );
    expect(await numbers()).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    for (const { order } of orders) await issue(order);
    expect(await numbers()).toEqual(Array.from({ length: 12 }, (_, place) => place + 1));
  });

  it('cannot be issued to somebody whose name cannot be printed, and draws no number for it', async () => {
    const { order, maker } = await shipped();
    const buyer = await newUser(database);
    await database.updateTable('users').set({ name: '山田' }).where('id', '=', buyer).execute();
    await database.updateTable('orders').set({ buyer_id: buyer }).where('id', '=', order).execute();
    await expect(issue(order)).rejects.toMatchObject({ code: 'UNPRINTABLE_TEXT', fields: ['buyer.name'] });
    expect(await database.selectFrom('invoice_series').selectAll().where('series', '=', `M${maker}-2026`).execute()).toEqual([]);
  });

  it('is never changed', async () => {
    const { order } = await shipped();
    await issue(order);
    await expect(database.deleteFrom('invoices').where('order_id', '=', order).execute()).rejects.toThrow('never changed');
  });
});

describe('a credit note', () => {
  it('corrects the invoice by what went back, each refund once', async () => {
    const { order, maker, refund } = await shipped();
    await issue(order);
    await refund(2_400);
    const [note] = await issue(order);
    expect(note).toMatchObject({
      reason: 'credit for parts',
      document: { kind: 'credit_note', number: 2, corrects: `M${maker}-2026-000001`, totals: { netMinor: -2_000, grossMinor: -2_400 } },
    });
    expect(await issue(order)).toEqual([]);
    expect((await stored(order)).map(({ kind, corrects }) => [kind, corrects !== null])).toEqual([
      ['invoice', false],
      ['credit_note', true],
    ]);
  });

  it('of a refund that came before the shipment follows the invoice', async () => {
    const { order, refund } = await shipped();
    await refund(1_200);
    expect((await issue(order)).map(({ document }) => document.kind)).toEqual(['invoice', 'credit_note']);
  });

  it('of everything is the invoice the other way round', async () => {
    const { order, refund } = await shipped();
    await issue(order);
    await refund(12_000);
    const [note] = await issue(order);
    expect(note?.document.lines).toMatchObject([{ description: 'Brackets\nturning in steel, 10 pieces', netMinor: -priceMinor }]);
    expect(note?.document.totals.grossMinor).toBe(-12_000);
  });

  it.each([1, 2, 3, 7, 9, 1_001, 11_999])('of %i minor units comes to exactly that', async (amount) => {
    const { order, refund } = await shipped();
    await issue(order);
    await refund(amount);
    const [note] = await issue(order);
    expect(note?.document.totals.grossMinor).toBe(-amount);
  });
});
