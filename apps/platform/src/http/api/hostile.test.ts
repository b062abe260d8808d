/** What is sent by mistake or in bad faith: it is refused by its field, changes nothing, and is told nothing of itself. */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { newOrder, startTestApi, type TestApi } from '../../../test/api.ts';
import { startPostgres, type TestPostgres } from '../../../test/database.ts';

let postgres: TestPostgres;
let api: TestApi;
type Person = Awaited<ReturnType<TestApi['person']>>;
let [buyer, staff]: Person[] = [];
let maker: Person;
beforeAll(async () => {
  postgres = await startPostgres();
  api = await startTestApi(postgres);
  [buyer, staff] = [await api.person('buyer'), await api.person('staff')];
  maker = await api.maker();
});
afterAll(async () => {
  // Nothing of all this was an error of ours.
  expect(api.logged).toEqual([]);
  await api.stop();
  await postgres.stop();
});

const count = async (table: 'orders' | 'users' | 'audit') =>
  (
    await api.database
      .selectFrom(table)
      .select(({ fn }) => fn.countAll<number>().as('count'))
      .executeTakeFirstOrThrow()
  ).count;

/** Stands for whatever must not come back. */
const secret = 'hunter2';
const loneSurrogate = '\ud800';

describe('an order with', () => {
  it.each([
    ['title', { title: `${secret}\0` }],
    ['title', { title: `${secret}${loneSurrogate}` }],
    ['title', { title: `${secret}\r\nBcc: a@example.com` }],
    ['title', { title: `${secret}\u2028` }],
    ['title', { title: '   ' }],
    ['title', { title: secret.repeat(100) }],
    ['title', { title: { $ne: secret } }],
    ['title', { title: [secret] }],
    ['mode', { mode: secret }],
    ['process', { process: `turning'; drop table ${secret}` }],
    ['process', { process: '__proto__' }],
    ['material', { material: '' }],
    ['quantity', { quantity: 0 }],
    ['quantity', { quantity: -1 }],
    ['quantity', { quantity: 1.5 }],
    ['quantity', { quantity: 2 ** 31 }],
    ['quantity', { quantity: 1e308 }],
    ['quantity', { quantity: '20' }],
    ['quantity', { quantity: true }],
    ['minutes', { minutes: 1e15 }],
    ['certificates', { certificates: secret }],
    ['certificates', { certificates: Array.from({ length: 21 }, () => 'ISO 9001') }],
    ['certificates.0', { certificates: [null] }],
    ['export_countries', { export_countries: [] }],
    ['export_countries.1', { export_countries: ['DE', secret] }],
    ['due_on', { due_on: '2030-02-30' }],
    ['due_on', { due_on: '9999-12-31' }],
    ['due_on', { due_on: '2030-01-01T00:00:00Z' }],
    ['due_on', { due_on: "2030-01-01'" }],
    ['due_on', { due_on: 20_300_101 }],
    ['country', { country: 'de' }],
    ['location.latitude', { location: { latitude: 90.1, longitude: 0 } }],
    ['location.longitude', { location: { latitude: 0, longitude: '0' } }],
    ['location', { location: { latitude: 0, longitude: 0, altitude: secret } }],
    ['currency', { currency: secret }],
    ['currency', { currency: 'constructor' }],
    ['currency', { currency: 'EUX' }],
    ['budget.amount', { budget: { amount: '0.00', currency: 'EUR' } }],
    ['budget.amount', { budget: { amount: 100, currency: 'EUR' } }],
    ['budget.amount', { budget: { amount: '1e5', currency: 'EUR' } }],
    ['budget.amount', { budget: { amount: '999999999999999', currency: 'EUR' } }],
    ['budget.currency', { budget: { amount: '100', currency: 'JPY' } }],
    ['budget', { budget: 100 }],
    ['payment_method', { payment_method: '4111111111111111' }],
    ['reference', { reference: `${secret} 1` }],
    ['reference', { reference: '' }],
    ['submit', { submit: 'true' }],
    ['', { [secret]: 1 }],
    ['', { buyer_id: 1 }],
    ['', { state: 'closed' }],
    ['', { price_minor: 1 }],
  ])('something wrong at %j is refused: %j', async (path, changes) => {
    const before = [await count('orders'), await count('audit')];
    const answer = await (buyer as Person).call('POST', '/orders', { ...newOrder, submit: true, ...changes });
    expect(answer.status, answer.text).toBe(400);
    expect(answer.body).toMatchObject({ code: 'INVALID_REQUEST', errors: [{ path }] });
    expect(answer.text).not.toMatch(/hunter2|4111|drop table/);
    expect([await count('orders'), await count('audit')]).toEqual(before);
  });

  it('names of prototypes changes none, and is refused', async () => {
    const text = JSON.stringify(newOrder);
    for (const extra of [
      '"__proto__":{"polluted":1}',
      '"constructor":{"prototype":{"polluted":1}}',
      '"location":{"__proto__":{"latitude":1}}',
    ]) {
      const answer = await (buyer as Person).call('POST', '/orders', `${text.slice(0, -1)},${extra}}`);
      expect(answer.status).toBe(400);
    }
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });
});

describe('a body that', () => {
  it.each(['{', '', 'null', '[]', '7', '"x"', '{"event":}', 'x'.repeat(1_000)])('is %j is refused', async (body) => {
    expect((await (buyer as Person).call('POST', '/orders', body)).status).toBe(400);
  });

  it('is nested too deeply, or too large, is refused before it is looked into', async () => {
    const { call } = buyer as Person;
    expect(await call('POST', '/orders', `${'{"a":'.repeat(40_000)}1${'}'.repeat(40_000)}`)).toMatchObject({
      status: 400,
      body: { code: 'INVALID_REQUEST', title: 'The body is nested too deeply' },
    });
    expect(await call('POST', '/orders', JSON.stringify({ ...newOrder, title: 'x'.repeat(300_000) }))).toMatchObject({
      status: 413,
      body: { code: 'TOO_LARGE' },
    });
  });

  it.each([
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/jsonp',
    'application/json ;charset=utf-8',
  ])('comes as %s is none, or is read as JSON', async (type) => {
    const answer = await (buyer as Person).call('POST', '/orders', JSON.stringify({ ...newOrder, title: 1 }), { 'content-type': type });
    expect(answer).toMatchObject({ status: 415, body: { code: 'NOT_JSON' } });
  });

  it('says that it is JSON in UTF-8 is read', async () => {
    const answer = await (buyer as Person).call('POST', '/orders', JSON.stringify(newOrder), {
      'content-type': 'application/json; charset=utf-8',
    });
    expect(answer.status).toBe(201);
  });

  it('belongs to nothing is not asked for', async () => {
    // No content type is needed where there is no body.
    expect((await maker.call('POST', `/offers/${2 ** 40}/accept`)).status).toBe(404);
  });
});

describe('a path or query with', () => {
  it.each([
    'limit=0',
    'limit=-1',
    'limit=101',
    'limit=1e2',
    'limit=1.5',
    'limit=99999999999999999999',
    'limit=',
    'limit=1&limit=2',
    'cursor=',
    'cursor=7',
    'cursor=MA',
    'cursor=LTE',
    'cursor=Nw==',
    'cursor=Nx',
    `cursor=${Buffer.from('9'.repeat(30)).toString('base64url')}`,
    `cursor=${Buffer.from("1' or '1'='1").toString('base64url')}`,
    `cursor=${'A'.repeat(10_000)}`,
    'cursor=%00',
    'cursor=a&cursor=b',
    'state=hunter2',
    'state=draft&state=closed',
    'state=',
    'hunter2=1',
    '__proto__=1',
    'constructor=1',
  ])('?%s is refused', async (query) => {
    const answer = await (buyer as Person).call('GET', `/orders?${query}`);
    expect(answer.status, answer.text).toBe(400);
    expect(answer.body.errors).toHaveLength(1);
    expect(answer.text).not.toContain('hunter2');
  });

  it.each(['0', '-1', '1.5', '1e3', 'x', '07', '9'.repeat(16), '%00', '1%27%20or%201=1', '__proto__', '%F0%9F', '%zz'])(
    'the id %s is refused',
    async (id) => {
      for (const [method, path] of [
        ['GET', `/orders/${id}`],
        ['GET', `/orders/${id}/events`],
        ['GET', `/manufacturers/${id}`],
        ['DELETE', `/keys/${id}`],
      ] as const) {
        const answer = await (buyer as Person).call(method, path);
        expect(answer.status, `${path}: ${answer.text}`).toBe(400);
        expect(answer.body.errors).toMatchObject([{ path: 'id' }]);
      }
    },
  );

  it('an id of nothing is nothing', async () => {
    const { call } = buyer as Person;
    for (const id of [999_999_999_999_999, 2 ** 31, 123_456]) {
      for (const path of [`/orders/${id}`, `/payments/${id}`, `/users/${id}`, `/manufacturers/${id}`]) {
        expect(await call('GET', path)).toMatchObject({ status: 404, body: { code: 'NOT_FOUND' } });
      }
    }
  });

  it('a way out of the API leads nowhere', async () => {
    const proxied = { 'x-forwarded-for': '203.0.113.1' };
    for (const path of [
      '/../..',
      '/../../',
      '/%2e%2e/%2e%2e/metrics',
      '/..%2f..%2fmetrics',
      '//',
      '/orders/',
      '/ORDERS',
      '/openapi.json/x',
    ]) {
      expect((await (buyer as Person).call('GET', path, undefined, proxied)).status).toBe(404);
    }
    expect((await (buyer as Person).call('DELETE', '/orders')).status).toBe(404);
  });

  it.each(['user:1 or 1=1', 'hunter2', 'order:x', `order:${'9'.repeat(30)}`])('the subject %j is refused', async (subject) => {
    expect((await (staff as Person).call('GET', `/audit?subject=${encodeURIComponent(subject)}`)).status).toBe(400);
  });
});

it('a body is parsed once', async () => {
  const parse = vi.spyOn(JSON, 'parse');
  try {
    const body = JSON.stringify({ label: 'x'.repeat(101) });
    expect((await (staff as Person).call('POST', '/users/1/keys', body)).status).toBe(400);
    expect(parse.mock.calls.filter(([text]) => text === body)).toHaveLength(1);
  } finally {
    parse.mockRestore();
  }
});

describe('other bodies', () => {
  it.each([
    ['POST', '/users', { role: 'admin', name: 'x', email: 'x@example.com', address: ['x'], country: 'DE' }, 'role'],
    ['POST', '/users', { role: 'buyer', name: 'x\n', email: 'x@example.com', address: ['x'], country: 'DE' }, 'name'],
    ['POST', '/users', { role: 'buyer', name: 'x', email: 'x@example.com\r\nBcc: y@example.com', address: ['x'], country: 'DE' }, 'email'],
    ['POST', '/users', { role: 'buyer', name: 'x', email: `${'x'.repeat(250)}@example.com`, address: ['x'], country: 'DE' }, 'email'],
    [
      'POST',
      '/users',
      { role: 'buyer', name: 'x', email: 'x@example.com', address: Array.from({ length: 7 }, () => 'x'), country: 'DE' },
      'address',
    ],
    ['POST', '/users', { role: 'buyer', name: 'x', email: 'x@example.com', address: ['\0'], country: 'DE' }, 'address.0'],
    ['POST', '/users', { role: 'buyer', name: 'x', email: 'x@example.com', address: ['x'], country: 'DE', vat_id: 'de1' }, 'vat_id'],
    ['POST', '/users', { role: 'buyer', name: 'x', email: 'x@example.com', address: ['x'], country: 'DE', id: 1 }, ''],
    ['POST', '/users/1/keys', { label: 'x'.repeat(101) }, 'label'],
    ['POST', '/orders/1/events', { event: 'hold', reason: 'x\u0007' }, 'reason'],
    ['POST', '/orders/1/events', { event: 'hold', version: -1 }, 'version'],
    ['POST', '/orders/1/events', { event: 'hold', version: 2 ** 31 }, 'version'],
    ['POST', '/orders/1/non-conformances', { quantity: 1, cause: 'x', disposition: 'rework' }, 'cause'],
    ['POST', '/orders/1/non-conformances', { quantity: 1, cause: 'other', disposition: 'credit' }, 'disposition'],
    ['POST', '/orders/1/credits', { quantity: 1, cause: 'other', amount: { amount: '1', currency: 'EUR' } }, 'version'],
    ['POST', '/payments/1/refunds', { amount: { amount: '1', currency: 'EUR' }, reason: 'x\ny', reference: 'x' }, 'reason'],
    ['POST', '/payments/1/refunds', { amount: { amount: '1', currency: 'EUR' }, reason: 'x', reference: 'x:\u00e9' }, 'reference'],
    ['POST', '/payment-differences/1/resolve', { resolution: '' }, 'resolution'],
  ])('%s %s refuses %j', async (method, path, body, field) => {
    const before = await count('audit');
    const answer = await (staff as Person).call(method, path, body);
    expect(answer.status, answer.text).toBe(400);
    expect(answer.body.errors.map((error) => error.path)).toEqual([field]);
    expect(await count('audit')).toBe(before);
  });

  it.each([
    [{ price: { amount: '1.00', currency: 'EUR' }, weeks: [] }, 'weeks'],
    [{ price: { amount: '0', currency: 'EUR' }, weeks: [{ week: '2030-W10', minutes: 1 }] }, 'price.amount'],
    [{ price: { amount: '1.00', currency: 'EUR' }, weeks: [{ week: '2030-W54', minutes: 1 }] }, 'weeks.0.week'],
    [{ price: { amount: '1.00', currency: 'EUR' }, weeks: [{ week: '9999-W53', minutes: 1 }] }, 'weeks.0.week'],
    [{ price: { amount: '1.00', currency: 'EUR' }, weeks: [{ week: '9999-W52', minutes: 1 }] }, 'weeks.0.week'],
    [{ price: { amount: '1.00', currency: 'EUR' }, weeks: [{ week: '2030-W10', minutes: 0.5 }] }, 'weeks.0.minutes'],
    [{ price: { amount: '1.00', currency: 'EUR' }, weeks: [{ week: '2030-W10', minutes: -60 }] }, 'weeks.0.minutes'],
    [{ price: { amount: '1.00', currency: 'EUR' }, weeks: Array.from({ length: 61 }, () => ({ week: '2030-W10', minutes: 1 })) }, 'weeks'],
  ])('a quote of %j is refused', async (body, field) => {
    expect(await maker.call('POST', '/quotes/1/submit', body)).toMatchObject({ status: 400, body: { errors: [{ path: field }] } });
  });
});
