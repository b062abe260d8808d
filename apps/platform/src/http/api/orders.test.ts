/** Posting orders, their events and what one sees of them, without a worker: nothing happens but what is called. */
import { describe, expect, it } from 'vitest';
import { type Body, newOrder, type TestApi, today, withTestApi } from '../../../test/api.ts';
import { newManufacturer, newOffer, newOrder as storedOrder } from '../../../test/marketplace.ts';
import { ordersScene } from '../../../test/orders-scene.ts';
import { createApiKey } from '../../accounts/api-keys.ts';
import { addDays } from '../../calendar/business-days.ts';
import { lockOrder } from '../../orders/orders.ts';
import { api as marketplaceApi } from './api.ts';

let api: TestApi;
withTestApi((started) => {
  api = started;
});

const waiting = async (queue: string) => (await api.app.inspector.queues()).find(({ name }) => name === queue)?.ready ?? 0;
const actsOf = async (order: number) =>
  (await api.database.selectFrom('audit').select('action').where('subject', '=', `order:${order}`).orderBy('id').execute()).map(
    ({ action }) => action,
  );

describe('posting an order', () => {
  it('makes a draft, or submits it at once with its jobs', async () => {
    const buyer = await api.person('buyer');
    const [matching, notices] = [await waiting('order.critical'), await waiting('order.normal')];
    const draft = await buyer.call('POST', '/orders', newOrder);
    expect(draft).toMatchObject({ status: 201, body: { ...newOrder, state: 'draft', version: 0, price: null, tax: null } });
    expect([await waiting('order.critical'), await waiting('order.normal')]).toEqual([matching, notices]);
    const submitted = await buyer.call('POST', '/orders', { ...newOrder, submit: true });
    expect(submitted).toMatchObject({ status: 201, body: { state: 'submitted', version: 1 } });
    expect([await waiting('order.critical'), await waiting('order.normal')]).toEqual([matching + 1, notices + 1]);
    expect([await actsOf(draft.body.id), await actsOf(submitted.body.id)]).toEqual([['order.create'], ['order.create']]);
  });

  it('keeps all that is asked for', async () => {
    const buyer = await api.person('buyer');
    const asked = {
      ...newOrder,
      mode: 'rfq',
      title: "Robert'); drop table platform.orders; -- Łącznik Ωмега",
      certificates: ['ISO 9001'],
      export_countries: ['DE', 'US'],
      budget: { amount: '1234.50', currency: 'EUR' },
      reference: 'po-2026:7',
    };
    const { id } = (await buyer.call('POST', '/orders', asked)).body;
    expect((await buyer.call('GET', `/orders/${id}`)).body).toMatchObject(asked);
  });

  it('with a reference is one order, however often it is sent', async () => {
    const [buyer, other] = [await api.person('buyer'), await api.person('buyer')];
    const asked = { ...newOrder, reference: 'po-1', payment_method: 'pm_1', budget: { amount: '900.00', currency: 'EUR' }, submit: true };
    const before = await waiting('order.critical');
    const answers = await Promise.all([1, 2, 3].map(() => buyer.call('POST', '/orders', asked)));
    expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 200, 201]);
    const [first] = answers;
    expect(answers.map(({ body }) => body.id)).toEqual([first?.body.id, first?.body.id, first?.body.id]);
    expect(await waiting('order.critical')).toBe(before + 1);
    expect(await actsOf(first?.body.id ?? 0)).toEqual(['order.create']);
    // The same amount, written otherwise.
    expect((await buyer.call('POST', '/orders', { ...asked, budget: { amount: '900', currency: 'EUR' } })).status).toBe(200);
    for (const change of [
      { title: 'Other' },
      { quantity: 21 },
      { payment_method: 'pm_2' },
      { budget: undefined },
      { certificates: ['ISO 9001'] },
      { location: { latitude: 52.53, longitude: 13.4 } },
      { export_countries: ['DE'] },
    ]) {
      const refused = await buyer.call('POST', '/orders', { ...asked, ...change });
      expect(refused).toMatchObject({ status: 409, body: { code: 'REFERENCE_TAKEN' } });
      expect(refused.text).not.toContain('po-1');
    }
    // Names of others do not count.
    expect((await other.call('POST', '/orders', asked)).status).toBe(201);
  });

  it('with the reference of a draft is not a submission', async () => {
    const buyer = await api.person('buyer');
    const asked = { ...newOrder, reference: 'po-2' };
    const { id } = (await buyer.call('POST', '/orders', asked)).body;
    expect((await buyer.call('POST', '/orders', { ...asked, submit: true })).status).toBe(409);
    await buyer.call('POST', `/orders/${id}/events`, { event: 'submit' });
    for (const submit of [true, false]) {
      expect(await buyer.call('POST', '/orders', { ...asked, submit })).toMatchObject({ status: 200, body: { id, state: 'submitted' } });
    }
  });

  it('sent again when its day is over is the same order yet', async () => {
    const buyer = await api.person('buyer');
    const due_on = addDays(today, -1);
    expect(await buyer.call('POST', '/orders', { ...newOrder, due_on, reference: 'late' })).toMatchObject({
      status: 400,
      body: { errors: [{ path: 'due_on' }] },
    });
    const id = await storedOrder(api.database, {
      buyer_id: buyer.user,
      ...{ title: 'Brackets', quantity: 20, minutes: 120, country: 'DE', latitude: 52.52, longitude: 13.4, payment_method: null },
      due_on,
      reference: 'late',
    });
    expect(await buyer.call('POST', '/orders', { ...newOrder, due_on, reference: 'late' })).toMatchObject({ status: 200, body: { id } });
  });
});

describe('a change whose jobs cannot be enqueued', () => {
  it('is not made, and stands in no audit', async () => {
    const { database, tasks } = api;
    const buyer = await api.person('buyer');
    const { id } = (await buyer.call('POST', '/orders', newOrder)).body;
    const broken = marketplaceApi({ database, tasks: { ...tasks, orders: ordersScene(database, 'notify').orders }, timeZone: 'UTC' });
    broken.onError((_, c) => c.body(null, 500));
    const call = (path: string, body: object) =>
      broken.request(`/api/v1${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${buyer.secret}` },
        body: JSON.stringify(body),
      });
    expect((await call(`/orders/${id}/events`, { event: 'submit' })).status).toBe(500);
    expect((await call('/orders', { ...newOrder, submit: true, reference: 'lost' })).status).toBe(500);
    expect((await buyer.call('GET', '/orders')).body.items).toMatchObject([{ id, state: 'draft', version: 0 }]);
    expect(await actsOf(id)).toEqual(['order.create']);
    const acts = await database.selectFrom('audit').select('action').where('actor_id', '=', buyer.user).execute();
    expect(acts).toHaveLength(1);
  });
});

describe('an event', () => {
  it('of somebody else’s order waits for nobody', async () => {
    const [buyer, other] = [await api.person('buyer'), await api.person('buyer')];
    const { id } = (await buyer.call('POST', '/orders', newOrder)).body;
    await api.database.transaction().execute(async (transaction) => {
      await lockOrder(transaction, id);
      for (const [path, body] of [
        ['events', { event: 'submit' }],
        ['payment', { payment_method: 'pm_1' }],
        ['rating', { stars: 1 }],
        ['non-conformances', { quantity: 1, cause: 'other', disposition: 'rework' }],
      ] as const) {
        expect((await other.call('POST', `/orders/${id}/${path}`, body)).status).toBe(404);
      }
    });
  });

  it('of a version that is not the order’s any more changes nothing', async () => {
    const buyer = await api.person('buyer');
    const { id } = (await buyer.call('POST', '/orders', newOrder)).body;
    const submit = (version: number) => buyer.call('POST', `/orders/${id}/events`, { event: 'submit', version });
    expect(await submit(1)).toMatchObject({ status: 409, body: { code: 'VERSION_CONFLICT' } });
    expect((await submit(0)).body).toMatchObject({ state: 'submitted', version: 1 });
    expect(await submit(0)).toMatchObject({ status: 409, body: { code: 'VERSION_CONFLICT' } });
    expect(await actsOf(id)).toEqual(['order.create', 'order.submit']);
  });

  it('that cannot happen says what can, and happens to nothing', async () => {
    const buyer = await api.person('buyer');
    const { id } = (await buyer.call('POST', '/orders', newOrder)).body;
    const before = await waiting('order.normal');
    const refused = await buyer.call('POST', `/orders/${id}/events`, { event: 'accept_parts' });
    expect(refused).toMatchObject({ status: 409, body: { code: 'ILLEGAL_EVENT' } });
    expect(refused.text).toContain('possible: submit, cancel');
    expect([await waiting('order.normal'), await actsOf(id)]).toEqual([before, ['order.create']]);
  });

  it('has its reason kept, for both sides', async () => {
    const [buyer, staff] = [await api.person('buyer'), await api.person('staff')];
    const { id } = (await buyer.call('POST', '/orders', newOrder)).body;
    await buyer.call('POST', `/orders/${id}/events`, { event: 'cancel', reason: 'Ann Baker has no money' });
    const seen = await buyer.call('GET', `/orders/${id}/events`);
    expect(seen.body.items).toMatchObject([{ event: 'cancel', actor: 'buyer', reason: 'Ann Baker has no money' }]);
    expect(seen.text).not.toContain('"data"');
    expect((await staff.call('GET', `/orders/${id}/events`)).body.items).toMatchObject([{ data: {} }]);
    expect((await staff.call('GET', `/audit?subject=order:${id}`)).text).not.toContain('Ann');
  });

  it('with a route of its own is not made in this one', async () => {
    const buyer = await api.person('buyer');
    const { id } = (await buyer.call('POST', '/orders', newOrder)).body;
    for (const event of [
      'award',
      'accept_offer',
      'receive_quote',
      'reject_parts',
      'authorise_payment',
      'lose_payment',
      'source',
      'grant_credit',
      'constructor',
    ]) {
      expect(await buyer.call('POST', `/orders/${id}/events`, { event })).toMatchObject({
        status: 400,
        body: { errors: [{ path: 'event' }] },
      });
    }
  });

  it('of two at once happens once', async () => {
    const buyer = await api.person('buyer');
    const { id } = (await buyer.call('POST', '/orders', newOrder)).body;
    const answers = await Promise.all([1, 2].map(() => buyer.call('POST', `/orders/${id}/events`, { event: 'submit' })));
    expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 409]);
  });

  it('match_again of the staff waits until nobody can take the order', async () => {
    const staff = await api.person('staff');
    const { database } = api;
    const order = await storedOrder(database);
    await database.updateTable('orders').set({ state: 'sourcing' }).where('id', '=', order).execute();
    const { id: manufacturer_id } = await newManufacturer(database);
    const offer = await newOffer(database, { order_id: order, manufacturer_id, price_minor: 1, expires_at: new Date(Date.now() + 60_000) });
    const again = () => staff.call('POST', `/orders/${order}/events`, { event: 'match_again' });
    expect(await again()).toMatchObject({ status: 409, body: { code: 'STILL_OPEN' } });
    // Its time is over, whether its job has said so or not.
    await database.updateTable('offers').set({ expires_at: new Date() }).where('id', '=', offer).execute();
    expect((await again()).body).toMatchObject({ state: 'submitted' });
    const { state } = await database.selectFrom('offers').select('state').where('id', '=', offer).executeTakeFirstOrThrow();
    expect(state).toBe('expired');
  });
});

describe('what is possible', () => {
  it.each([
    ['draft', ['submit', 'cancel'], ['submit', 'cancel']],
    ['submitted', ['cancel'], ['cancel']],
    ['sourcing', ['cancel'], ['match_again', 'hold', 'cancel']],
    ['awarded', ['cancel'], ['hold', 'cancel']],
    ['shipped', ['deliver', 'dispute'], ['deliver']],
    ['delivered', ['accept_parts', 'dispute', 'reject_parts'], ['accept_parts', 'reject_parts']],
    ['disputed', [], ['resolve_for_manufacturer', 'resolve_for_buyer', 'resolve_by_rework']],
    ['closed', [], []],
  ] as const)('for an order that is %s: by the buyer %j, by the staff %j', async (state, buyers, staffs) => {
    const [buyer, staff] = [await api.person('buyer'), await api.person('staff')];
    const order = await storedOrder(api.database, { buyer_id: buyer.user });
    await api.database.updateTable('orders').set({ state }).where('id', '=', order).execute();
    expect((await buyer.call('GET', `/orders/${order}`)).body.possible).toEqual(buyers);
    expect((await staff.call('GET', `/orders/${order}`)).body.possible).toEqual(staffs);
  });

  it('is what can be made', async () => {
    const staff = await api.person('staff');
    for (const state of ['draft', 'inspection', 'delivered', 'disputed', 'in_production'] as const) {
      const values = { manufacturer_id: (await newManufacturer(api.database)).id, price_minor: 5_000 };
      const first = await storedOrder(api.database, values);
      await api.database.updateTable('orders').set({ state, paid_at: new Date() }).where('id', '=', first).execute();
      const { possible } = (await staff.call('GET', `/orders/${first}`)).body;
      expect(possible.length).toBeGreaterThan(0);
      for (const event of possible.filter((name) => name !== 'reject_parts' && name !== 'grant_credit')) {
        const order = await storedOrder(api.database, values);
        await api.database.updateTable('orders').set({ state, paid_at: new Date() }).where('id', '=', order).execute();
        expect((await staff.call('POST', `/orders/${order}/events`, { event })).status).toBe(200);
      }
    }
  });
});

describe('a rating', () => {
  it('is for orders that are closed', async () => {
    const buyer = await api.person('buyer');
    const order = await storedOrder(api.database, { buyer_id: buyer.user, manufacturer_id: (await newManufacturer(api.database)).id });
    const rate = (stars: unknown) => buyer.call('POST', `/orders/${order}/rating`, { stars });
    expect(await rate(5)).toMatchObject({ status: 409, body: { code: 'ILLEGAL_EVENT' } });
    await api.database.updateTable('orders').set({ state: 'closed' }).where('id', '=', order).execute();
    for (const stars of [0, 6, 4.5, '5', null]) expect((await rate(stars)).status).toBe(400);
    const answers = await Promise.all([rate(4), rate(4)]);
    expect(answers.map(({ status }) => status).toSorted()).toEqual([201, 409]);
    const record = await api.database
      .selectFrom('manufacturers')
      .innerJoin('orders', 'orders.manufacturer_id', 'manufacturers.id')
      .select(['rating_sum', 'rating_count'])
      .where('orders.id', '=', order)
      .executeTakeFirst();
    expect(record).toEqual({ rating_sum: 4, rating_count: 1 });
  });
});

describe('a list', () => {
  it('goes through all of them by cursors, also when more come meanwhile', async () => {
    const buyer = await api.person('buyer');
    const posted: number[] = [];
    for (let number = 0; number < 7; number += 1) posted.push(await storedOrder(api.database, { buyer_id: buyer.user }));
    const first = (await buyer.call('GET', '/orders?limit=3')).body;
    await storedOrder(api.database, { buyer_id: buyer.user });
    const second = (await buyer.call('GET', `/orders?limit=3&cursor=${first.next}`)).body;
    const third = (await buyer.call('GET', `/orders?limit=3&cursor=${second.next}`)).body;
    expect([first, second, third].flatMap(({ items }) => items.map(({ id }) => id))).toEqual(posted.toReversed());
    expect(third.next).toBeNull();
    expect((await buyer.call('GET', '/orders')).body.items).toHaveLength(8);
  });

  it('of events begins for a manufacturer with the award, in pages too', async () => {
    const { id: manufacturer, user } = await newManufacturer(api.database);
    const { secret } = await createApiKey(api.database, user, 'works');
    const maker = api.withKey(secret);
    const order = await storedOrder(api.database, { manufacturer_id: manufacturer, price_minor: 5_000 });
    const events = ['submit', 'source', 'accept_offer', 'hold', 'resume'] as const;
    await api.database
      .insertInto('order_events')
      .values(
        events.map((event, place) => ({
          order_id: order,
          version: place + 1,
          event,
          from_state: 'draft' as const,
          to_state: 'draft' as const,
          actor: 'system' as const,
          actor_id: null,
          data: '{}',
        })),
      )
      .execute();
    const versions = (body: Body) => body.items.map(({ version }) => version);
    const first = (await maker('GET', `/orders/${order}/events?limit=2`)).body;
    expect([versions(first), first.next === null]).toEqual([[5, 4], false]);
    const second = (await maker('GET', `/orders/${order}/events?limit=2&cursor=${first.next}`)).body;
    expect([versions(second), second.next]).toEqual([[3], null]);
  });

  it('of events goes by versions', async () => {
    const [buyer, staff] = [await api.person('buyer'), await api.person('staff')];
    const { id } = (await buyer.call('POST', '/orders', newOrder)).body;
    await buyer.call('POST', `/orders/${id}/events`, { event: 'submit' });
    await staff.call('POST', `/orders/${id}/events`, { event: 'cancel' });
    const first = (await buyer.call('GET', `/orders/${id}/events?limit=1`)).body;
    expect(first.items).toMatchObject([{ version: 2 }]);
    const second = (await buyer.call('GET', `/orders/${id}/events?limit=1&cursor=${first.next}`)).body;
    expect(second).toMatchObject({ items: [{ version: 1 }], next: null });
  });
});
