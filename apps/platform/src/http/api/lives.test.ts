/** Whole lives of orders, by nothing but the API, with the platform's own work by a worker. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Body, newOrder, startTestApi, type TestApi, weeks } from '../../../test/api.ts';
import { startPostgres, type TestPostgres } from '../../../test/database.ts';
import { patience } from '../../../test/patience.ts';

let postgres: TestPostgres;
let api: TestApi;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.stop());
beforeEach(async () => {
  api = await startTestApi(postgres);
  await api.startWorker();
});
afterEach(() => api.stop());

type Person = Awaited<ReturnType<TestApi['person']>>;

/** Until an order stands so for whoever looks. */
const state = (who: Person, order: number, wanted: string) =>
  expect.poll(async () => (await who.call('GET', `/orders/${order}`)).body.state, patience).toBe(wanted);

const event = async (who: Person, order: number, name: string, more: object = {}): Promise<Body> => {
  const answer = await who.call('POST', `/orders/${order}/events`, { event: name, ...more });
  expect(answer.status, answer.text).toBe(200);
  return answer.body;
};

/** Until the money of a payment has come in. */
const captured = (who: Person) =>
  expect.poll(async () => (await who.call('GET', '/payments')).body.items[0]?.status, patience).toBe('captured');

/** The one offer, or quote, that a manufacturer gets. */
async function firstOf(maker: Person, list: 'offers?state=open' | 'quotes?state=requested'): Promise<number> {
  await expect.poll(async () => (await maker.call('GET', `/${list}`)).body.items.length, patience).toBe(1);
  return (await maker.call('GET', `/${list}`)).body.items[0]?.id ?? 0;
}

async function makeAndDeliver(buyer: Person, maker: Person, order: number): Promise<void> {
  await state(maker, order, 'payment_authorised');
  await event(maker, order, 'begin_production');
  await captured(buyer);
  await event(maker, order, 'finish_production');
  await event(maker, order, 'ship');
  await event(buyer, order, 'deliver');
}

describe('an order', { timeout: 90_000 }, () => {
  it('of mode instant: posted, offered, taken, paid for, made, delivered, accepted and rated', async () => {
    const [buyer, maker, staff] = [await api.person('buyer'), await api.maker(), await api.person('staff')];
    const posted = await buyer.call('POST', '/orders', { ...newOrder, submit: true });
    expect(posted.status).toBe(201);
    const order = posted.body.id;
    const offer = await firstOf(maker, 'offers?state=open');

    // He sees what he needs to decide, and not whose it is.
    const seen = await maker.call('GET', `/orders/${order}`);
    expect(seen.body).toMatchObject({ title: 'Brackets', possible: [] });
    expect(seen.text).not.toMatch(/buyer|Ann Baker|location|price|budget/);

    expect((await maker.call('POST', `/offers/${offer}/accept`)).body).toMatchObject({
      state: 'awarded',
      price: { amount: '190.00', currency: 'EUR' },
      buyer: { name: 'Ann Baker' },
    });
    const paying = await buyer.call('POST', `/orders/${order}/payment`, { payment_method: 'pm_card_visa' });
    expect(paying).toMatchObject({ status: 202, body: { job: expect.any(String) as string } });
    await state(buyer, order, 'payment_authorised');
    expect((await maker.call('GET', `/orders/${order}`)).body.possible).toEqual(['begin_production']);
    await makeAndDeliver(buyer, maker, order);
    expect((await buyer.call('GET', `/orders/${order}`)).body.possible).toEqual(['accept_parts', 'dispute', 'reject_parts']);
    expect((await event(buyer, order, 'accept_parts')).state).toBe('closed');

    expect((await buyer.call('POST', `/orders/${order}/rating`, { stars: 5 })).status).toBe(201);
    expect(await buyer.call('POST', `/orders/${order}/rating`, { stars: 1 })).toMatchObject({ status: 409, body: { code: 'RATED' } });
    expect((await buyer.call('GET', `/manufacturers/${maker.manufacturer}`)).body).toMatchObject({
      rating: { mean: 5, count: 1 },
      record: { delivered: 1, in_time: 1 },
    });

    const events = (who: Person) =>
      who.call('GET', `/orders/${order}/events`).then(({ body }) => body.items.map((one) => (one as unknown as { event: string }).event));
    const all = ['accept_parts', 'deliver', 'ship', 'finish_production', 'begin_production', 'authorise_payment', 'accept_offer'];
    expect(await events(maker)).toEqual(all);
    expect(await events(buyer)).toEqual([...all, 'source', 'submit']);
    const acts = await staff.call('GET', '/audit?limit=100');
    expect(acts.body.items.map((act) => (act as unknown as { action: string }).action).toReversed()).toEqual([
      'manufacturer.create',
      'order.create',
      'offer.accept',
      'order.pay',
      'order.begin_production',
      'order.finish_production',
      'order.ship',
      'order.deliver',
      'order.accept_parts',
      'order.rate',
    ]);
    expect(acts.text).not.toMatch(/Ann|Baker|Turners|Brackets|@|pm_|tlk_|High Street/);
    expect((await staff.call('GET', `/orders/${order}/matches`)).body.items).toMatchObject([
      { round: 1, candidates: [{ supplierId: String(maker.manufacturer) }] },
    ]);
  });

  it('of mode rfq: quoted, awarded, and reworked; a refund goes back', async () => {
    const [buyer, maker, staff] = [await api.person('buyer'), await api.maker(), await api.person('staff')];
    const posted = await buyer.call('POST', '/orders', { ...newOrder, mode: 'rfq', payment_method: 'pm_card_visa' });
    const order = posted.body.id;
    expect(posted.body).toMatchObject({ state: 'draft', possible: ['submit', 'cancel'] });
    await event(buyer, order, 'submit', { version: 0 });
    const quote = await firstOf(maker, 'quotes?state=requested');
    expect((await buyer.call('GET', `/orders/${order}/quotes`)).body.items).toEqual([]);
    const price = { amount: '99.00', currency: 'EUR' };
    const late = { week: weeks[2], minutes: 119 };
    expect(await maker.call('POST', `/quotes/${quote}/submit`, { price, weeks: [late] })).toMatchObject({
      status: 422,
      body: { code: 'WRONG_HOURS' },
    });
    const submitted = await maker.call('POST', `/quotes/${quote}/submit`, { price, weeks: [{ ...late, minutes: 120 }] });
    expect(submitted).toMatchObject({ status: 200, body: { state: 'quoted', price } });

    const received = await buyer.call('GET', `/orders/${order}/quotes`);
    expect(received.body.items).toMatchObject([{ id: quote, price, ready_week: weeks[2], manufacturer: { name: 'Turners Ltd' } }]);
    expect(received.text).not.toContain('weeks');
    const award = (body: object) => buyer.call('POST', `/quotes/${quote}/award`, body);
    expect(await award({})).toMatchObject({ status: 400, body: { errors: [{ path: 'price' }] } });
    expect(await award({ price: { ...price, amount: '98.00' } })).toMatchObject({ status: 409, body: { code: 'PRICE_CHANGED' } });
    expect((await award({ price })).body).toMatchObject({ state: 'awarded', price });
    expect(await award({ price })).toMatchObject({ status: 409, body: { code: 'QUOTE_OVER' } });
    expect((await maker.call('GET', `/manufacturers/${maker.manufacturer}`)).body).toMatchObject({
      booked: [{ process: 'turning', week: weeks[2], minutes: 120 }],
    });
    await makeAndDeliver(buyer, maker, order);

    const wrong = { quantity: 3, cause: 'surface', disposition: 'rework' };
    expect(await buyer.call('POST', `/orders/${order}/non-conformances`, { ...wrong, quantity: 21 })).toMatchObject({
      status: 422,
      body: { code: 'QUANTITY' },
    });
    const rejected = await buyer.call('POST', `/orders/${order}/non-conformances`, wrong);
    expect(rejected).toMatchObject({ status: 201, body: { state: 'rework' } });
    expect((await maker.call('GET', `/orders/${order}/non-conformances`)).body.items).toMatchObject([{ ...wrong, closed_at: null }]);
    for (const name of ['finish_rework', 'ship']) await event(maker, order, name);
    await event(buyer, order, 'deliver');

    const payment = (await buyer.call('GET', '/payments')).body.items[0]?.id ?? 0;
    const refund = { amount: { amount: '1.00', currency: 'EUR' }, reason: 'for the trouble', reference: 'ticket-1' };
    expect((await staff.call('POST', `/payments/${payment}/refunds`, refund)).status).toBe(202);
    const settled = async () =>
      ((await buyer.call('GET', `/payments/${payment}`)).body as unknown as { refunds: { status: string }[] }).refunds[0]?.status;
    await expect.poll(settled, patience).toBe('succeeded');
    expect((await staff.call('GET', `/payments/${payment}`)).body).toMatchObject({
      refunded: { amount: '1.00' },
      attempts: [{ number: 1, outcome: 'authorised' }],
      refunds: [{ reference: `api:${payment}:ticket-1`, reason: 'for the trouble' }],
    });
    expect((await event(staff, order, 'accept_parts')).state).toBe('closed');
  });

  it('goes to another manufacturer when its offer is declined', async () => {
    const [buyer, first] = [await api.person('buyer'), await api.maker()];
    const order = (await buyer.call('POST', '/orders', { ...newOrder, submit: true })).body.id;
    const offer = await firstOf(first, 'offers?state=open');
    const second = await api.maker();
    expect((await first.call('POST', `/offers/${offer}/decline`)).body).toMatchObject({ state: 'declined', order: null });
    expect((await first.call('GET', `/orders/${order}`)).status).toBe(404);
    await firstOf(second, 'offers?state=open');
    expect((await second.call('GET', `/orders/${order}`)).status).toBe(200);
  });
});
