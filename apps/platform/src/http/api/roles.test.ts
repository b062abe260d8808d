/** Who may do what: each route, called by everybody there is, with things of theirs and of others. */
import { describe, expect, it } from 'vitest';
import { newOrder as orderBody, profile, type TestApi, weeks, withTestApi } from '../../../test/api.ts';
import { newOffer, newOrder, newPayment, newUser, noteShipped } from '../../../test/marketplace.ts';
import { issueInvoices } from '../../invoices/invoices.ts';
import { book, captured } from '../../ledger/ledger.ts';
import { money } from '../../money/money.ts';
import type { OrderState } from '../../orders/order-states.ts';

let api: TestApi;
withTestApi((started) => {
  api = started;
});

/** A buyer and a manufacturer who have something to do with each other, two who have not, and the staff. */
async function scene() {
  const { database } = api;
  const people = {
    buyer: await api.person('buyer'),
    otherBuyer: await api.person('buyer'),
    maker: await api.maker(),
    otherMaker: await api.maker(),
    staff: await api.person('staff'),
  };
  const { buyer, maker, otherMaker } = people;
  const order = async (state: OrderState, values: object = {}) => {
    const id = await newOrder(database, { buyer_id: buyer.user, due_on: orderBody.due_on, minutes: 60, ...values });
    await database.updateTable('orders').set({ state }).where('id', '=', id).execute();
    return id;
  };
  const own = { manufacturer_id: maker.manufacturer, price_minor: 5_000 };
  const [draft, sourcing, rfq, quoted, awarded, shipped, delivered, closed] = [
    await order('draft'),
    await order('sourcing'),
    await order('sourcing', { mode: 'rfq' }),
    await order('quoted', { mode: 'rfq' }),
    await order('awarded', own),
    await order('shipped', own),
    await order('delivered', own),
    await order('closed', own),
  ];
  const uses = JSON.stringify([{ week: weeks[3], minutes: 60 }]);
  const expires_at = new Date(Date.now() + 86_400_000);
  const offer = await newOffer(database, { order_id: sourcing, manufacturer_id: maker.manufacturer, price_minor: 5_000, uses, expires_at });
  const quote = async (order_id: number) => {
    const { id } = await database
      .insertInto('quotes')
      .values({ order_id, manufacturer_id: maker.manufacturer, currency: 'EUR', expires_at })
      .returning('id')
      .executeTakeFirstOrThrow();
    return id;
  };
  const asked = await quote(rfq);
  const given = await quote(quoted);
  await database.updateTable('quotes').set({ state: 'quoted', price_minor: 4_000, uses }).where('id', '=', given).execute();
  const payment = await newPayment(database, shipped, 5_000, { status: 'captured', captured_minor: 5_000 });
  await database.transaction().execute((transaction) => book(transaction, captured(shipped, payment, money(5_000, 'EUR'))));
  await newPayment(database, delivered, 5_000, { status: 'captured', captured_minor: 5_000 });
  await database.updateTable('orders').set({ paid_at: new Date(), tax_rule: 'domestic' }).where('id', 'in', [shipped, delivered]).execute();
  await noteShipped(database, shipped);
  const [issued] = await database
    .transaction()
    .execute((transaction) => issueInvoices(transaction, shipped, { zone: 'UTC', now: Date.now, tell: async () => undefined }));
  const { id: difference } = await database
    .insertInto('payment_differences')
    .values({ payment_id: payment, intent: `pi_${payment}`, kind: 'captured', detail: '{}' })
    .returning('id')
    .executeTakeFirstOrThrow();
  const { id: failed } = await database
    .insertInto('refunds')
    .values({ payment_id: payment, reference: `failed:${payment}`, amount_minor: 1, currency: 'EUR', reason: 'x' })
    .returning('id')
    .executeTakeFirstOrThrow();
  await database.updateTable('refunds').set({ status: 'failed' }).where('id', '=', failed).execute();
  const noProfile = await newUser(database, 'manufacturer');
  return {
    ...people,
    ...{
      draft,
      sourcing,
      rfq,
      awarded,
      shipped,
      delivered,
      closed,
      offer,
      asked,
      given,
      payment,
      failed,
      difference,
      noProfile,
      invoice: issued?.id ?? 0,
    },
    mine: maker.manufacturer,
    theirs: otherMaker.manufacturer,
  };
}

type Scene = Awaited<ReturnType<typeof scene>>;
type Role = 'otherBuyer' | 'buyer' | 'otherMaker' | 'maker' | 'staff';
type Statuses = readonly [otherBuyer: number, buyer: number, otherMaker: number, maker: number, staff: number];

/** In this order, so that whoever may comes after those who may not. */
const roles: readonly Role[] = ['otherBuyer', 'buyer', 'otherMaker', 'maker', 'staff'];

const user = { role: 'buyer', name: 'Bo', email: 'bo@example.com', address: ['1 High Street'], country: 'DE' };
const found = { quantity: 1, cause: 'damage', disposition: 'remake' };
/** More than was paid. */
const credited = { quantity: 1, cause: 'damage', amount: { amount: '60.00', currency: 'EUR' }, version: 0 };
const price = { amount: '40.00', currency: 'EUR' };

/** What each is answered: 401 goes without saying for nobody. */
const table: readonly (readonly [string, string, (scene: Scene) => string, unknown, Statuses])[] = [
  ['GET', '/me', () => '/me', undefined, [200, 200, 200, 200, 200]],
  ['POST', '/users', () => '/users', user, [403, 403, 403, 403, 201]],
  ['GET', '/users', () => '/users', undefined, [403, 403, 403, 403, 200]],
  ['GET', '/users/{id}', ({ buyer }) => `/users/${buyer.user}`, undefined, [404, 200, 404, 404, 200]],
  ['PATCH', '/users/{id}', ({ buyer }) => `/users/${buyer.user}`, { name: 'Bo' }, [404, 200, 404, 404, 200]],
  [
    'POST',
    '/users/{id}/check-vat-id',
    ({ buyer }) => `/users/${buyer.user}/check-vat-id`,
    { vat_id: 'DE123456789' },
    [403, 403, 403, 403, 409],
  ],
  ['POST', '/users/{id}/keys', ({ maker }) => `/users/${maker.user}/keys`, { label: 'x' }, [404, 404, 404, 201, 201]],
  ['GET', '/users/{id}/keys', ({ maker }) => `/users/${maker.user}/keys`, undefined, [404, 404, 404, 200, 200]],
  ['DELETE', '/users/{id}/keys', ({ maker }) => `/users/${maker.user}/keys`, undefined, [404, 404, 404, 204, 204]],
  ['DELETE', '/keys/{id}', ({ otherMaker }) => `/keys/${otherMaker.key}`, undefined, [404, 404, 204, 404, 204]],
  ['PUT', '/manufacturers/me', () => '/manufacturers/me', profile, [403, 403, 200, 200, 403]],
  ['PUT', '/manufacturers/{id}', ({ mine }) => `/manufacturers/${mine}`, profile, [403, 403, 403, 403, 200]],
  ['POST', '/manufacturers', () => '/manufacturers', undefined, [403, 403, 403, 403, 201]],
  ['GET', '/manufacturers/{id}', ({ theirs }) => `/manufacturers/${theirs}`, undefined, [200, 200, 200, 200, 200]],
  ['POST', '/orders', () => '/orders', orderBody, [201, 201, 403, 403, 403]],
  ['GET', '/orders', () => '/orders', undefined, [200, 200, 200, 200, 200]],
  ['GET', '/orders/{id}', ({ sourcing }) => `/orders/${sourcing}`, undefined, [404, 200, 404, 200, 200]],
  ['GET', '/orders/{id}', ({ rfq }) => `/orders/${rfq}`, undefined, [404, 200, 404, 200, 200]],
  ['GET', '/orders/{id}', ({ awarded }) => `/orders/${awarded}`, undefined, [404, 200, 404, 200, 200]],
  ['GET', '/orders/{id}', ({ draft }) => `/orders/${draft}`, undefined, [404, 200, 404, 404, 200]],
  ['GET', '/orders/{id}/events', ({ awarded }) => `/orders/${awarded}/events`, undefined, [404, 200, 404, 200, 200]],
  ['GET', '/orders/{id}/events', ({ sourcing }) => `/orders/${sourcing}/events`, undefined, [404, 200, 404, 404, 200]],
  ['POST', '/orders/{id}/events', ({ draft }) => `/orders/${draft}/events`, { event: 'submit' }, [404, 200, 404, 404, 409]],
  ['POST', '/orders/{id}/events', ({ sourcing }) => `/orders/${sourcing}/events`, { event: 'ship' }, [404, 403, 404, 403, 409]],
  ['POST', '/orders/{id}/events', ({ sourcing }) => `/orders/${sourcing}/events`, { event: 'match_again' }, [404, 403, 404, 403, 409]],
  ['POST', '/orders/{id}/events', ({ awarded }) => `/orders/${awarded}/events`, { event: 'hold' }, [404, 403, 404, 403, 200]],
  ['POST', '/orders/{id}/events', ({ shipped }) => `/orders/${shipped}/events`, { event: 'deliver' }, [404, 200, 404, 403, 409]],
  ['GET', '/orders/{id}/matches', ({ awarded }) => `/orders/${awarded}/matches`, undefined, [403, 403, 403, 403, 200]],
  ['POST', '/orders/{id}/non-conformances', ({ delivered }) => `/orders/${delivered}/non-conformances`, found, [404, 201, 403, 403, 409]],
  ['POST', '/orders/{id}/credits', ({ delivered }) => `/orders/${delivered}/credits`, credited, [403, 403, 404, 422, 422]],
  ['GET', '/orders/{id}/non-conformances', ({ awarded }) => `/orders/${awarded}/non-conformances`, undefined, [404, 200, 404, 200, 200]],
  ['POST', '/orders/{id}/rating', ({ closed }) => `/orders/${closed}/rating`, { stars: 4 }, [404, 201, 403, 403, 403]],
  ['GET', '/offers', () => '/offers', undefined, [403, 403, 200, 200, 403]],
  ['POST', '/offers/{id}/accept', ({ offer }) => `/offers/${offer}/accept`, undefined, [403, 403, 404, 200, 403]],
  ['POST', '/offers/{id}/decline', ({ offer }) => `/offers/${offer}/decline`, undefined, [403, 403, 404, 200, 403]],
  ['GET', '/quotes', () => '/quotes', undefined, [403, 403, 200, 200, 403]],
  ['GET', '/orders/{id}/quotes', ({ rfq }) => `/orders/${rfq}/quotes`, undefined, [404, 200, 403, 403, 200]],
  [
    'POST',
    '/quotes/{id}/submit',
    ({ asked }) => `/quotes/${asked}/submit`,
    { price, weeks: [{ week: weeks[3], minutes: 60 }] },
    [403, 403, 404, 200, 403],
  ],
  ['POST', '/quotes/{id}/decline', ({ asked }) => `/quotes/${asked}/decline`, undefined, [403, 403, 404, 200, 403]],
  ['POST', '/quotes/{id}/award', ({ given }) => `/quotes/${given}/award`, { price }, [404, 200, 403, 403, 403]],
  ['POST', '/orders/{id}/payment', ({ awarded }) => `/orders/${awarded}/payment`, { payment_method: 'pm_123' }, [404, 202, 403, 403, 403]],
  ['GET', '/payments', () => '/payments', undefined, [200, 200, 403, 403, 200]],
  ['GET', '/payments/{id}', ({ payment }) => `/payments/${payment}`, undefined, [404, 200, 403, 403, 200]],
  [
    'POST',
    '/payments/{id}/refunds',
    ({ payment }) => `/payments/${payment}/refunds`,
    { amount: price, reason: 'x', reference: 'x' },
    [403, 403, 403, 403, 202],
  ],
  [
    'POST',
    '/payments/{id}/refunds/{refund}/waive',
    ({ payment, failed }) => `/payments/${payment}/refunds/${failed}/waive`,
    undefined,
    [403, 403, 403, 403, 200],
  ],
  ['GET', '/invoices', () => '/invoices', undefined, [200, 200, 200, 200, 200]],
  ['GET', '/invoices/{id}', ({ invoice }) => `/invoices/${invoice}`, undefined, [404, 200, 404, 200, 200]],
  ['GET', '/payment-differences', () => '/payment-differences?open=true', undefined, [403, 403, 403, 403, 200]],
  [
    'POST',
    '/payment-differences/{id}/resolve',
    ({ difference }) => `/payment-differences/${difference}/resolve`,
    { resolution: 'x' },
    [403, 403, 403, 403, 200],
  ],
  ['GET', '/audit', () => '/audit', undefined, [403, 403, 403, 403, 200]],
];

describe('who may', () => {
  it.each(table)('%s %s', async (method, template, pathOf, body, statuses) => {
    const one = await scene();
    const path = pathOf(one);
    const sent = template === '/manufacturers' ? { user: one.noProfile, profile } : body;
    expect(await api.request(method, path, sent)).toMatchObject({ status: 401, body: { code: 'UNAUTHORISED' } });
    const found: number[] = [];
    const codes: string[] = [];
    for (const role of roles) {
      const answer = await one[role].call(method, path, sent);
      found.push(answer.status);
      if (answer.status >= 400) codes.push(answer.body.code);
    }
    expect(found).toEqual(statuses);
    expect(codes).not.toContain(undefined);
  });

  it('the table has every route', async () => {
    const document = (await api.request('GET', '/openapi.json')).body as unknown as {
      paths: Record<string, Record<string, { security: readonly object[] }>>;
    };
    const routes = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).flatMap(([method, { security }]) =>
        security.some((scheme) => 'key' in scheme) ? [`${method.toUpperCase()} ${path.replace('/api/v1', '')}`] : [],
      ),
    );
    // The PDF has a test of its own: its answer is no JSON.
    const tested = [...table.map(([method, path]) => `${method} ${path}`), 'GET /invoices/{id}/pdf'];
    expect([...new Set(tested)].toSorted()).toEqual(routes.toSorted());
  });

  it('the PDF of an invoice is for those who are on it', async () => {
    const one = await scene();
    const statuses: number[] = [];
    for (const role of roles) {
      const headers = { authorization: `Bearer ${one[role].secret}`, host: '127.0.0.1' };
      const response = await api.server.request(`/api/v1/invoices/${one.invoice}/pdf`, { headers });
      statuses.push(response.status);
      if (response.status !== 200) continue;
      expect(response.headers.get('content-type')).toBe('application/pdf');
      expect(response.headers.get('content-disposition')).toMatch(/^attachment; filename="M\d+-\d{4}-000001\.pdf"$/);
      expect((await response.text()).slice(0, 5)).toBe('%PDF-');
    }
    expect(statuses).toEqual([404, 200, 404, 200, 200]);
    const nobody = await api.server.request(`/api/v1/invoices/${one.invoice}/pdf`, { headers: { host: '127.0.0.1' } });
    expect(nobody.status).toBe(401);
  });

  it('lists show what is one’s own', async () => {
    const one = await scene();
    const { buyer, otherBuyer, maker, otherMaker, staff } = one;
    const ids = async (who: typeof buyer, path: string) => (await who.call('GET', path)).body.items.map(({ id }) => id);
    expect(await ids(buyer, '/orders?state=draft')).toEqual([one.draft]);
    expect(await ids(maker, '/orders')).toEqual([one.closed, one.delivered, one.shipped, one.awarded]);
    expect(await ids(maker, '/offers?state=open')).toEqual([one.offer]);
    expect(await ids(maker, '/quotes')).toEqual([one.given, one.asked]);
    expect(await ids(buyer, '/payments')).toContain(one.payment);
    for (const who of [buyer, maker]) expect(await ids(who, '/invoices')).toEqual([one.invoice]);
    expect(await ids(buyer, `/invoices?order=${one.draft}`)).toEqual([]);
    for (const who of [otherBuyer, otherMaker]) expect(await ids(who, '/invoices')).toEqual([]);
    for (const path of ['/orders', '/payments']) expect(await ids(otherBuyer, path)).toEqual([]);
    for (const path of ['/orders', '/offers', '/quotes']) expect(await ids(otherMaker, path)).toEqual([]);
    expect(await ids(staff, '/orders?limit=1&state=draft')).toEqual([one.draft]);
    expect(await ids(staff, '/payments?limit=1')).toHaveLength(1);
  });

  it('nobody is given how something is paid, a digest, or anything of an order that is not his to see', async () => {
    const one = await scene();
    await one.buyer.call('POST', '/orders', { ...orderBody, payment_method: 'pm_secret' });
    const texts: string[] = [];
    for (const role of roles) {
      const { user: own } = one[role];
      for (const path of [
        '/orders?limit=100',
        '/payments',
        `/payments/${one.payment}`,
        '/offers',
        '/quotes',
        `/users/${own}/keys`,
        '/audit?limit=100',
      ]) {
        texts.push((await one[role].call('GET', path)).text);
      }
    }
    expect(texts.join()).not.toMatch(/pm_|payment_method|digest|tlk_/);
    const asked = await one.maker.call('GET', `/orders/${one.sourcing}`);
    for (const field of ['buyer', 'location', 'budget', 'reference', 'price', 'manufacturer']) expect(asked.body).not.toHaveProperty(field);
    const got = (await one.maker.call('GET', `/orders/${one.awarded}`)).body;
    expect(got).toHaveProperty('buyer');
    for (const field of ['budget', 'reference']) expect(got).not.toHaveProperty(field);
    expect(await one.maker.call('GET', `/manufacturers/${one.theirs}`)).not.toHaveProperty('body.profile');
  });
});
