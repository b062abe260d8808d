/** Paying, giving back, and what the reconciliation has found; what the provider makes of it is in lives.test.ts. */
import { describe, expect, it } from 'vitest';
import { type TestApi, withTestApi } from '../../../test/api.ts';
import { newManufacturer, newOrder, newPayment } from '../../../test/marketplace.ts';
import { book, captured, inEscrow } from '../../ledger/ledger.ts';
import { money } from '../../money/money.ts';

let api: TestApi;
withTestApi((started) => {
  api = started;
});

const waiting = async (queue: string) => (await api.app.inspector.queues()).find(({ name }) => name === queue)?.ready ?? 0;

/** An order whose 50.00 were captured. */
async function paidOrder() {
  const { database } = api;
  const [buyer, staff] = [await api.person('buyer'), await api.person('staff')];
  const order = await newOrder(database, {
    buyer_id: buyer.user,
    manufacturer_id: (await newManufacturer(database)).id,
    price_minor: 5_000,
  });
  const payment = await newPayment(database, order, 5_000, { status: 'captured', captured_minor: 5_000 });
  await database.transaction().execute((transaction) => book(transaction, captured(order, payment, money(5_000, 'EUR'))));
  return { buyer, staff, order, payment };
}

describe('a credit', () => {
  it('that is sent twice is given once', async () => {
    const { staff, order, payment } = await paidOrder();
    await api.database.updateTable('orders').set({ state: 'delivered', paid_at: new Date() }).where('id', '=', order).execute();
    const credit = { quantity: 1, cause: 'surface', amount: { amount: '12.00', currency: 'EUR' } };
    const give = (body: object) => staff.call('POST', `/orders/${order}/credits`, body);
    expect(await give(credit)).toMatchObject({ status: 400, body: { errors: [{ path: 'version' }] } });
    const answers = [await give({ ...credit, version: 0 }), await give({ ...credit, version: 0 })];
    expect(answers).toMatchObject([{ status: 201 }, { status: 409, body: { code: 'VERSION_CONFLICT' } }]);
    const refunds = await api.database.selectFrom('refunds').select('amount_minor').where('payment_id', '=', payment).execute();
    expect(refunds).toEqual([{ amount_minor: 1_200 }]);
  });
});

describe('paying', () => {
  it.each(['draft', 'sourcing', 'in_production', 'closed', 'cancelled'] as const)('is not for an order that is %s', async (state) => {
    const { buyer, order } = await paidOrder();
    await api.database.updateTable('orders').set({ state }).where('id', '=', order).execute();
    const before = await waiting('payment.critical');
    expect(await buyer.call('POST', `/orders/${order}/payment`, { payment_method: 'pm_card_visa' })).toMatchObject({
      status: 422,
      body: { code: 'NOT_PAYABLE' },
    });
    expect(await waiting('payment.critical')).toBe(before);
  });

  it('takes ten payment methods for an order, and those again', async () => {
    const { buyer, order } = await paidOrder();
    await api.database.updateTable('orders').set({ state: 'awarded' }).where('id', '=', order).execute();
    const before = await waiting('payment.critical');
    const pay = (number: number) => buyer.call('POST', `/orders/${order}/payment`, { payment_method: `pm_${number}` });
    for (let number = 1; number <= 10; number += 1) expect((await pay(number)).status).toBe(202);
    expect(await pay(11)).toMatchObject({ status: 409, body: { code: 'TOO_MANY_PAYMENT_METHODS' } });
    expect((await pay(10)).status).toBe(202);
    expect(await waiting('payment.critical')).toBe(before + 11);
    const other = await paidOrder();
    await api.database.updateTable('orders').set({ state: 'awarded' }).where('id', '=', other.order).execute();
    expect((await other.buyer.call('POST', `/orders/${other.order}/payment`, { payment_method: 'pm_11' })).status).toBe(202);
  });

  it('enqueues price and tax, and keeps how it is paid out of the audit', async () => {
    const { buyer, order } = await paidOrder();
    await api.database
      .updateTable('orders')
      .set({ state: 'awarded', tax_rule: 'domestic', tax_rate: 2_000, tax_minor: 1_000 })
      .where('id', '=', order)
      .execute();
    const shown = await buyer.call('GET', `/orders/${order}`);
    expect(shown.body).toMatchObject({ total: { amount: '60.00' }, tax: { rule: 'domestic', rate: 20, amount: { amount: '10.00' } } });
    const before = await waiting('payment.critical');
    const answer = await buyer.call('POST', `/orders/${order}/payment`, { payment_method: 'pm_card_secret', authorise_only: false });
    expect(answer.status).toBe(202);
    expect(await waiting('payment.critical')).toBe(before + 1);
    const acts = await api.database.selectFrom('audit').selectAll().where('subject', '=', `order:${order}`).execute();
    expect(acts).toMatchObject([
      { actor: 'buyer', actor_id: buyer.user, action: 'order.pay', data: { authorise_only: false, key: buyer.key } },
    ]);
    expect(JSON.stringify(acts)).not.toContain('pm_card');
  });

  it.each(['4242424242424242', 'pm 1', '', 'x'.repeat(201), 7])('does not take %j for a payment method', async (payment_method) => {
    const { buyer, order } = await paidOrder();
    const answer = await buyer.call('POST', `/orders/${order}/payment`, { payment_method });
    expect(answer).toMatchObject({ status: 400, body: { errors: [{ path: 'payment_method' }] } });
    expect(answer.text).not.toContain('4242');
  });
});

describe('a refund', () => {
  const asked = { amount: { amount: '20.00', currency: 'EUR' }, reason: 'two were missing', reference: 'ticket-7' };

  it('is one for each reference, and for another thing the reference is taken', async () => {
    const { staff, payment, order } = await paidOrder();
    const other = await paidOrder();
    const before = await waiting('payment.critical');
    const first = await staff.call('POST', `/payments/${payment}/refunds`, asked);
    expect(first).toMatchObject({ status: 202, body: { refund: { reference: `api:${payment}:ticket-7`, status: 'requested' } } });
    expect(await staff.call('POST', `/payments/${payment}/refunds`, asked)).toMatchObject({ status: 200, body: { job: null } });
    for (const change of [{ reason: 'three were missing' }, { amount: { amount: '20.01', currency: 'EUR' } }]) {
      expect(await staff.call('POST', `/payments/${payment}/refunds`, { ...asked, ...change })).toMatchObject({
        status: 409,
        body: { code: 'REFERENCE_TAKEN' },
      });
    }
    // The same name is free for another payment.
    expect((await staff.call('POST', `/payments/${other.payment}/refunds`, asked)).status).toBe(202);
    expect(await waiting('payment.critical')).toBe(before + 2);
    expect(await api.database.selectFrom('audit').select('data').where('subject', '=', `payment:${payment}`).execute()).toEqual([
      { data: { refund: expect.any(Number) as number, amount_minor: 2_000, currency: 'EUR', key: staff.key } },
    ]);
    expect(order).toBeGreaterThan(0);
  });

  it('that has failed is replaced by another one, once, or waived', async () => {
    const { staff, payment, order } = await paidOrder();
    const { database } = api;
    await database.updateTable('orders').set({ state: 'closed' }).where('id', '=', order).execute();
    const five = { amount: '5.00', currency: 'EUR' };
    const fail = async (reference: string) => {
      const { body } = await staff.call('POST', `/payments/${payment}/refunds`, { ...asked, amount: five, reference });
      const { id } = (body as unknown as { readonly refund: { readonly id: number } }).refund;
      await database.updateTable('refunds').set({ status: 'failed' }).where('id', '=', id).execute();
      return id;
    };
    const [replaced, waived] = [await fail('first'), await fail('second')];
    const payouts = await waiting('payment.normal');
    const again = (reference: string, replaces: number) =>
      staff.call('POST', `/payments/${payment}/refunds`, { ...asked, reference, replaces });
    expect(await again('third', replaced)).toMatchObject({ status: 202, body: { refund: { replaces: replaced } } });
    expect(await again('third', replaced)).toMatchObject({ status: 200 });
    expect(await again('third', waived)).toMatchObject({ status: 409, body: { code: 'REFERENCE_TAKEN' } });
    expect(await again('fourth', replaced)).toMatchObject({ status: 409, body: { code: 'NOT_FAILED' } });
    const waive = (id: number) => staff.call('POST', `/payments/${payment}/refunds/${id}/waive`);
    expect(await waive(replaced)).toMatchObject({ status: 409, body: { code: 'NOT_FAILED' } });
    expect(await waive(waived)).toMatchObject({ status: 200, body: { waived_at: expect.any(String) as string } });
    expect(await waive(waived)).toMatchObject({ status: 409 });
    // What is free now is the manufacturer's.
    expect(await waiting('payment.normal')).toBe(payouts + 2);
  });

  it('of a payment of which nothing was captured is refused', async () => {
    const { database } = api;
    const staff = await api.person('staff');
    const order = await newOrder(database, { price_minor: 5_000 });
    const declined = await newPayment(database, order, 5_000, { status: 'failed', declined_hard: true });
    // The order has another one, of which there would be enough.
    const payment = await newPayment(database, order, 5_000, { status: 'captured', captured_minor: 5_000 });
    await database.transaction().execute((transaction) => book(transaction, captured(order, payment, money(5_000, 'EUR'))));
    expect(await staff.call('POST', `/payments/${declined}/refunds`, asked)).toMatchObject({ status: 422, body: { code: 'NOT_CAPTURED' } });
  });

  it('of more than there is, or in another currency, is refused', async () => {
    const { staff, payment } = await paidOrder();
    const refuse = async (amount: object, code: string) =>
      expect(await staff.call('POST', `/payments/${payment}/refunds`, { ...asked, amount })).toMatchObject({ status: 422, body: { code } });
    await refuse({ amount: '50.01', currency: 'EUR' }, 'REFUND_TOO_LARGE');
    await refuse({ amount: '1.00', currency: 'USD' }, 'INVALID_AMOUNT');
    expect((await staff.call('POST', `/payments/${2 ** 40}/refunds`, asked)).status).toBe(404);
    expect(await staff.call('POST', `/payments/${payment}/refunds`, { ...asked, reason: 'שלום' })).toMatchObject({
      status: 400,
      body: { errors: [{ path: 'reason' }] },
    });
    expect(await api.database.selectFrom('refunds').selectAll().where('payment_id', '=', payment).execute()).toEqual([]);
  });

  it.each(['0.00', '-1.00', '1e3', '1.001', '', '1,00', 'NaN', '9'.repeat(21)])('of %j is no refund', async (amount) => {
    const { staff, payment } = await paidOrder();
    expect(await staff.call('POST', `/payments/${payment}/refunds`, { ...asked, amount: { amount, currency: 'EUR' } })).toMatchObject({
      status: 400,
      body: { errors: [{ path: 'amount.amount' }] },
    });
  });
});

describe('a difference', () => {
  it('is resolved once, by whom stands with it', async () => {
    const { staff } = await paidOrder();
    const { id } = await api.database
      .insertInto('payment_differences')
      .values({ payment_id: null, intent: 'pi_unknown', kind: 'unknown_intent', detail: JSON.stringify({ captured: 7 }) })
      .returning('id')
      .executeTakeFirstOrThrow();
    const open = async (which: boolean) => (await staff.call('GET', `/payment-differences?open=${which}`)).body.items.map((one) => one.id);
    expect(await open(true)).toContain(id);
    const resolution = 'Ann Baker has her money back';
    expect((await staff.call('POST', `/payment-differences/${id}/resolve`, { resolution })).body).toMatchObject({
      resolution,
      resolved_by: staff.user,
      detail: { captured: 7 },
    });
    expect(await staff.call('POST', `/payment-differences/${id}/resolve`, { resolution })).toMatchObject({
      status: 409,
      body: { code: 'RESOLVED' },
    });
    expect([await open(true), await open(false)]).toEqual([[], [id]]);
    expect((await staff.call('GET', `/audit?subject=payment_difference:${id}`)).text).not.toContain('Ann');
  });

  it('of what went back at the provider can be taken over, once, and one of another kind cannot', async () => {
    const { staff, order, payment } = await paidOrder();
    const note = async (kind: string, detail: object) => {
      const { id } = await api.database
        .insertInto('payment_differences')
        .values({ payment_id: payment, intent: `pi_${kind}`, kind, detail: JSON.stringify(detail) })
        .returning('id')
        .executeTakeFirstOrThrow();
      return (take_over: boolean) =>
        staff.call('POST', `/payment-differences/${id}/resolve`, { resolution: 'given back by hand', take_over });
    };
    const resolve = await note('refunded', { ours: 0, theirs: 700 });
    expect(await resolve(true)).toMatchObject({ status: 200, body: { resolution: 'given back by hand' } });
    expect(await resolve(true)).toMatchObject({ status: 409, body: { code: 'RESOLVED' } });
    expect((await staff.call('GET', `/payments/${payment}`)).body).toMatchObject({ refunded: { amount: '7.00', currency: 'EUR' } });
    expect((await inEscrow(api.database as never, order, 'EUR')).minor).toBe(4_300);
    const other = await note('captured', { ours: 0, theirs: 700 });
    expect(await other(true)).toMatchObject({ status: 409, body: { code: 'NOTHING_TO_TAKE_OVER' } });
    expect((await other(false)).status).toBe(200);
  });
});
