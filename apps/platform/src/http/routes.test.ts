import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { silentLogger, TaktlineError } from 'taktline';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startPostgres, type TestPostgres } from '../../test/database.ts';
import { newUser } from '../../test/marketplace.ts';
import { startTestPlatform, type TestPlatform } from '../../test/platform.ts';
import { createApiKey } from '../accounts/api-keys.ts';
import type { PlatformDatabase } from '../database/database.ts';
import { DeliveryRecords } from '../email/delivery-records.ts';
import type { SendEmailInput } from '../email/email-input.ts';
import { Suppressions } from '../email/suppressions.ts';
import { loadTemplates } from '../email/templates.ts';
import { createUnsubscribeLinks } from '../email/unsubscribe.ts';
import { createInvoiceLinks } from '../invoices/invoice-links.ts';
import { MailboxStore } from '../mailbox/mailbox-store.ts';
import { queues } from '../queues.ts';
import { isTooDeep } from './json-body.ts';
import { ListenError, type Listener, listen } from './listener.ts';
import { routes } from './routes.ts';

const publicUrl = 'https://mail.example.com';
const links = createUnsubscribeLinks({ secret: 's'.repeat(32), publicUrl: () => publicUrl });
const invoiceLinks = createInvoiceLinks({ secret: 's'.repeat(32), publicUrl: () => publicUrl });

let postgres: TestPostgres;
let platform: TestPlatform;
let database: PlatformDatabase;
let records: DeliveryRecords;
let suppressions: Suppressions;
beforeAll(async () => {
  postgres = await startPostgres();
  platform = await startTestPlatform(postgres);
  ({ database } = platform);
  records = new DeliveryRecords(database);
  suppressions = new Suppressions(database);
});
afterAll(async () => {
  await platform.stop();
  await postgres.stop();
});

let enqueued: { input: SendEmailInput; urgent: boolean }[];
let failWith: Error | undefined;
let logged: unknown[];
let mailbox: MailboxStore;
let lag: () => Promise<{ waiting: number; oldestMs: number | undefined; kept: number }>;
let listener: Listener;
beforeEach(async () => {
  enqueued = [];
  failWith = undefined;
  logged = [];
  lag = () => Promise.reject(new TaktlineError('OUTBOX_SCHEMA', 'the outbox cannot be used'));
  mailbox = new MailboxStore();
  listener = await listen('127.0.0.1', 0);
  serve(mailbox);
});
afterEach(() => listener.stop());

function serve(store: MailboxStore | undefined, { production = false } = {}) {
  listener.serve(
    routes({
      app: { ping: async () => {}, outbox: { lag: () => lag() } },
      checks: {},
      queues,
      tasks: ['email.send'],
      templates: loadTemplates(),
      unsubscribe: links,
      invoiceLinks,
      invoiceFile: async (id) => (id === '12' ? { number: 'M7-2026-000001', pdf: Buffer.from('%PDF-1.7') } : undefined),
      records,
      suppressions,
      mailbox: store,
      story: undefined,
      publicUrl,
      production,
      market: { database, tasks: platform.tasks, timeZone: 'UTC' },
      gateway: { readWebhook: () => undefined },
      paymentChanged: async () => undefined,
      logger: { ...silentLogger, error: (message, fields) => logged.push(message, fields) },
      enqueue: async (input, urgent) => {
        if (failWith) throw failWith;
        enqueued.push({ input, urgent });
        return `email:${input.email.id}:1`;
      },
    }),
  );
}

const welcome = { to: 'ann@example.com', template: 'welcome', context: { user_name: 'Ann' } };
const post = (body: unknown, headers: Record<string, string> = {}) =>
  fetch(`${listener.url}/api/emails`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });

/** fetch refuses to send some headers; a socket does not. */
async function rawRequest(text: string): Promise<{ status: number; text: string }> {
  const socket = connect(listener.port, '127.0.0.1');
  // Not ended here: the server drops a request whose client is gone.
  socket.write(text.replace(/\n/g, '\r\n'));
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  const answer = Buffer.concat(chunks).toString();
  return { status: Number(answer.split(' ')[1]), text: answer };
}
const get = (path: string, headers = '') => rawRequest(`GET ${path} HTTP/1.1\nconnection: close\n${headers}\n\n`);

describe('POST /api/emails', () => {
  it('enqueues the mail and answers 202 with the job and the record', async () => {
    const response = await post(welcome);
    expect(response.status).toBe(202);
    const { id, record } = (await response.json()) as { id: string; record: string };
    expect(id).toBe(`email:${record}:1`);
    expect(enqueued).toEqual([
      { input: { email: { id: record, to: 'ann@example.com' }, template: 'welcome', context: { user_name: 'Ann' } }, urgent: false },
    ]);
  });

  it("takes the caller's id, name and urgency", async () => {
    await post({ ...welcome, id: 'email_123', name: 'Ann', urgent: true });
    expect(enqueued).toMatchObject([{ input: { email: { id: 'email_123', name: 'Ann' } }, urgent: true }]);
  });

  it.each([
    [{ ...welcome, to: 'hunter2' }, 'to'],
    [{ ...welcome, to: 'a@example.com\r\nBcc: b@example.com' }, 'to'],
    [{ ...welcome, to: ['a@example.com'] }, 'to'],
    [{ ...welcome, template: '../hunter2' }, 'template'],
    [{ ...welcome, template: 'constructor' }, 'template'],
    [{ ...welcome, name: 'hunter2\n' }, 'name'],
    [{ ...welcome, id: 'hunter2 ' }, 'id'],
    [{ ...welcome, context: {} }, 'context.user_name'],
    [{ ...welcome, context: { user_name: 'hunter2\r\nX: y' } }, 'context.user_name'],
    [{ ...welcome, context: 'hunter2' }, 'context'],
    ['{"to":"ann@example.com","template":"welcome","context":{"user_name":"Ann","constructor":{"prototype":1}}}', 'context'],
    ['{"to":"ann@example.com","template":"welcome","context":{"user_name":"Ann","x":"\\u0000"}}', 'context'],
    [{ ...welcome, urgent: 'hunter2' }, 'urgent'],
    [{ ...welcome, cc: 'hunter2' }, ''],
    [[], ''],
    ['null', ''],
  ])('refuses %j and names the field, not the value', async (body, path) => {
    const response = await post(body);
    expect(response.status).toBe(400);
    expect(response.headers.get('content-type')).toBe('application/problem+json');
    const text = await response.text();
    expect((JSON.parse(text) as { errors: { path: string }[] }).errors.map((error) => error.path)).toEqual([path]);
    expect(text).not.toContain('hunter2');
    expect(enqueued).toEqual([]);
  });

  it.each(['{', '', 'x', '{"to":'])('answers 400 to what is no JSON: %j', async (body) => {
    expect((await post(body)).status).toBe(400);
  });

  it('answers 400 to what is nested too deeply, before anything looks into it', async () => {
    const response = await post(`${'['.repeat(120_000)}${']'.repeat(120_000)}`);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ title: 'The body is nested too deeply' });
  });

  it('leaves Object.prototype alone', async () => {
    await post(
      '{"__proto__":{"polluted":1},"to":"ann@example.com","template":"welcome","context":{"user_name":"Ann","__proto__":{"polluted":1}}}',
    );
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });

  it('answers 413 to a body that is too large, also when its length is not told', async () => {
    const large = JSON.stringify({ ...welcome, context: { user_name: 'x'.repeat(300_000) } });
    expect((await post(large)).status).toBe(413);
    const stream = new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode(large));
        controller.close();
      },
    });
    const response = await fetch(`${listener.url}/api/emails`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: stream,
      duplex: 'half',
    } as RequestInit);
    expect(response.status).toBe(413);
  });

  it.each(['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data', 'application/jsonp', ''])(
    'answers 415 to a body of type %j',
    async (type) => {
      expect((await post(welcome, { 'content-type': type })).status).toBe(415);
    },
  );

  it('answers 415 to a compressed body', async () => {
    expect((await post(welcome, { 'content-encoding': 'gzip' })).status).toBe(415);
  });

  it.each([
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { origin: 'http://localhost:3000' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
  ])('refuses what another site sends: %j', async (headers) => {
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
    const body = JSON.stringify(welcome);
    const answer = await rawRequest(
      `POST /api/emails HTTP/1.1\nhost: 127.0.0.1:${listener.port}\ncontent-type: application/json\ncontent-length: ${body.length}\nconnection: close\n${lines.join('\n')}\n\n${body}`,
    );
    expect(answer.status).toBe(403);
    expect(enqueued).toEqual([]);
  });

  it('takes what its own pages send', async () => {
    expect((await post(welcome, { origin: listener.url })).status).toBe(202);
  });

  it.each([
    ['ID_CONFLICT', 409],
    ['PAYLOAD_TOO_LARGE', 413],
    ['BROKER_UNAVAILABLE', 503],
  ] as const)('answers %s with %i', async (code, status) => {
    failWith = new TaktlineError(code, 'hunter2');
    const response = await post({ ...welcome, id: 'email_123' });
    expect(response.status).toBe(status);
    const text = await response.text();
    expect(text).not.toContain('hunter2');
    if (status !== 413) expect(JSON.parse(text)).toMatchObject({ record: 'email_123' });
  });

  it('tells nobody what went wrong inside, and logs where', async () => {
    failWith = new Error('could not write ann@example.com');
    const response = await post(welcome);
    expect(response.status).toBe(500);
    expect(await response.text()).not.toContain('ann@');
    expect(JSON.stringify(logged)).not.toContain('ann@');
    expect(JSON.stringify(logged)).toContain('routes.test.ts');
  });
});

describe('GET /metrics', () => {
  it('tells the lag of the outbox, and nothing where there is none', async () => {
    const without = await fetch(`${listener.url}/metrics`);
    expect(without.status).toBe(200);
    expect(await without.text()).not.toContain('outbox');
    lag = async () => ({ waiting: 3, oldestMs: 1_500, kept: 2 });
    expect(await (await fetch(`${listener.url}/metrics`)).text()).toMatch(/^taktline_outbox_waiting_jobs 3$/m);
  });
});

describe('who may ask', () => {
  it.each(['evil.example', 'evil.example:8080', '127.0.0.1.evil.example', '192.168.0.1', '[::2]'])(
    'refuses the host name %j',
    async (host) => {
      const { pathname, search } = new URL(links.urlFor('x'));
      for (const path of ['/', '/mailbox', pathname + search]) expect((await get(path, `host: ${host}`)).status).toBe(403);
    },
  );

  it.each(['localhost', 'LOCALHOST:99', '127.0.0.1', '[::1]:8080'])('answers for the host name %j', async (host) => {
    expect((await get('/', `host: ${host}`)).status).toBe(200);
  });

  it.each(['host: mail.example.com', 'host: localhost\nx-forwarded-for: 1.2.3.4', 'host: localhost\nforwarded: for=1.2.3.4'])(
    'shows nothing but the unsubscribe page to those who come by a proxy: %j',
    async (headers) => {
      for (const path of ['/', '/mailbox', '/readyz', '/metrics', '/unsubscribe/x']) expect((await get(path, headers)).status).toBe(404);
      const { pathname, search } = new URL(links.urlFor('x'));
      expect((await get(pathname + search, headers)).status).toBe(200);
      expect((await get('/style.css', headers)).status).toBe(200);
    },
  );

  it('is told on the first page where the API is described', async () => {
    const [, path = ''] = /<th>API<\/th><td><a href="([^"]+)"/.exec(await (await fetch(listener.url)).text()) ?? [];
    expect(await (await fetch(listener.url + path)).json()).toMatchObject({ openapi: '3.1.0' });
  });

  it.each(['host: mail.example.com', 'host: localhost\nx-forwarded-for: 1.2.3.4', 'host: localhost'])(
    'lets the API be reached, which asks for a key: %j',
    async (headers) => {
      expect((await get('/api/v1/openapi.json', headers)).status).toBe(200);
      expect((await get('/api/v1/orders', headers)).status).toBe(401);
      const { secret } = await createApiKey(database, await newUser(database), 'shop');
      expect((await get('/api/v1/orders', `${headers}\nauthorization: Bearer ${secret}`)).status).toBe(200);
    },
  );

  it('lets nothing be reached that only looks like the API', async () => {
    const proxied = 'host: localhost\nx-forwarded-for: 1.2.3.4';
    for (const path of [
      '/api/v1',
      '/api/v2/orders',
      '/api/emails',
      '/api/v1x/orders',
      '/api/v1/../../mailbox',
      '/api/v1/%2e%2e/%2e%2e/metrics',
    ]) {
      expect((await get(path, proxied)).status).toBe(404);
    }
    expect((await get('/api/v1/openapi.json', 'host: evil.example')).status).toBe(403);
  });

  it('asks for a key of the staff in production, where a proxy that says nothing of itself looks like this machine', async () => {
    serve(mailbox, { production: true });
    const { secret: buyer } = await createApiKey(database, await newUser(database), 'shop');
    const { secret: staff } = await createApiKey(database, await newUser(database, 'staff'), 'desk');
    const host = `host: 127.0.0.1:${listener.port}`;
    const mail = (key?: string) => post(welcome, key === undefined ? {} : { authorization: `Bearer ${key}` });
    for (const path of ['/', '/metrics', '/mailbox', '/mailbox.json', '/story', '/nothing'])
      expect((await get(path, host)).status).toBe(401);
    expect((await mail()).status).toBe(401);
    expect((await get('/metrics', `${host}\nauthorization: Bearer ${buyer}`)).status).toBe(403);
    expect((await mail(buyer)).status).toBe(403);
    expect(enqueued).toEqual([]);
    expect((await get('/metrics', `${host}\nauthorization: Bearer ${staff}`)).status).toBe(200);
    expect((await mail(staff)).status).toBe(202);
    // What is for whoever looks around is not there for anybody.
    for (const path of ['/', '/mailbox', '/story']) expect((await get(path, `${host}\nauthorization: Bearer ${staff}`)).status).toBe(404);
    for (const path of ['/healthz', '/readyz', '/style.css', '/api/v1/openapi.json']) expect((await get(path, host)).status).toBe(200);
    const { pathname, search } = new URL(links.urlFor('x'));
    expect((await get(pathname + search, host)).status).toBe(200);
    // A key does not reach further than before.
    expect((await get('/metrics', `host: mail.example.com\nauthorization: Bearer ${staff}`)).status).toBe(404);
  });

  it('takes what a program writes by the API, and what another site sends only with a key', async () => {
    const { secret } = await createApiKey(database, await newUser(database), 'shop');
    const write = (...lines: readonly string[]) =>
      rawRequest(
        `POST /api/v1/offers/1/accept HTTP/1.1\nhost: 127.0.0.1:${listener.port}\ncontent-length: 0\nconnection: close\n${lines.join('\n')}\n\n`,
      );
    const foreign = ['origin: https://evil.example', 'sec-fetch-site: cross-site'];
    expect((await write(...foreign)).status).toBe(403);
    expect((await write(...foreign, 'authorization: Bearer tlk_x')).status).toBe(401);
    // Of a buyer, who takes no offers.
    const answer = await write(...foreign, `authorization: Bearer ${secret}`);
    expect([answer.status, /access-control/i.test(answer.text)]).toEqual([403, false]);
    expect(answer.text).toContain('"code":"FORBIDDEN"');
    expect((await write()).status).toBe(401);
    // Elsewhere a key is no proof.
    const body = JSON.stringify(welcome);
    const mail = await rawRequest(
      `POST /api/emails HTTP/1.1\nhost: 127.0.0.1:${listener.port}\ncontent-type: application/json\ncontent-length: ${body.length}\nconnection: close\n${foreign.join('\n')}\nauthorization: Bearer ${secret}\n\n${body}`,
    );
    expect(mail.status).toBe(403);
    const preflight = await rawRequest(
      `OPTIONS /api/v1/orders HTTP/1.1\nhost: 127.0.0.1:${listener.port}\nconnection: close\norigin: https://evil.example\naccess-control-request-method: POST\n\n`,
    );
    expect(preflight.text).not.toMatch(/access-control-allow/i);
  });

  it('sends strict headers with every answer', async () => {
    for (const path of ['/', '/mailbox', '/nothing', '/healthz', '/metrics', '/unsubscribe', '/api/v1/openapi.json', '/api/v1/me']) {
      const { headers } = await fetch(listener.url + path);
      expect(headers.get('content-security-policy')).toBe(
        "default-src 'none'; style-src 'self'; img-src 'self' data:; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
      );
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(headers.get('x-frame-options')).toBe('DENY');
      expect(headers.get('cache-control')).toBe('no-store');
      expect(headers.get('access-control-allow-origin')).toBeNull();
    }
  });
});

describe('the mailbox pages', () => {
  const add = (more: object = {}) =>
    mailbox.add({
      receivedAt: new Date(0),
      from: 'a@example.com',
      to: 'b@example.com',
      subject: 'Hello',
      text: 'Hi',
      html: '<p>Hi</p>',
      headers: ['Subject: Hello'],
      bytes: 9,
      ...more,
    });

  it('list the newest first, in pages', async () => {
    for (let number = 1; number <= 30; number += 1) add({ subject: `Mail ${number}.` });
    const first = await (await fetch(`${listener.url}/mailbox`)).text();
    expect(first.indexOf('Mail 30.')).toBeLessThan(first.indexOf('Mail 29.'));
    expect(first).not.toContain('Mail 5.');
    expect(first).toContain('href="/mailbox?page=2&amp;limit=25"');
    expect(await (await fetch(`${listener.url}/mailbox?page=2`)).text()).toContain('Mail 5.');
    expect(await (await fetch(`${listener.url}/mailbox.json?limit=2&page=2`)).json()).toMatchObject({
      total: 30,
      messages: [{ subject: 'Mail 28.' }, { subject: 'Mail 27.' }],
    });
  });

  it.each(['limit=1e9', 'limit=-1', 'limit=NaN', 'limit=101', 'limit=0', 'page=0', 'page=x', 'page=1&page=2', 'page='])(
    'refuse ?%s',
    async (query) => {
      expect((await fetch(`${listener.url}/mailbox?${query}`)).status).toBe(400);
    },
  );

  it('show one mail as a page and as JSON', async () => {
    const { id } = add();
    const html = await (await fetch(`${listener.url}/mailbox/${id}`, { headers: { accept: 'text/html' } })).text();
    expect(html).toContain(`<iframe sandbox title="HTML part" src="/mailbox/${id}/html"></iframe>`);
    const byName = await (await fetch(`${listener.url}/mailbox/${id}.json`)).json();
    expect(byName).toMatchObject({ id, subject: 'Hello', text: 'Hi', html: '<p>Hi</p>', headers: ['Subject: Hello'] });
    expect(await (await fetch(`${listener.url}/mailbox/${id}`, { headers: { accept: 'application/json' } })).json()).toEqual(byName);
    expect((await fetch(`${listener.url}/mailbox/nothing`)).status).toBe(404);
  });

  it('escape what a mail says', async () => {
    const markup = '<script>alert(1)</script><img src=x onerror=alert(1)>"';
    const { id } = add({ subject: markup, from: markup, to: markup, text: markup, headers: [markup] });
    for (const path of ['/mailbox', `/mailbox/${id}`]) {
      const html = await (await fetch(listener.url + path)).text();
      expect(html).not.toContain('<script');
      expect(html).not.toContain('<img');
    }
  });

  it("lock a mail's HTML in", async () => {
    const { id } = add({ html: '<script>alert(1)</script>' });
    const { headers } = await fetch(`${listener.url}/mailbox/${id}/html`);
    expect(headers.get('content-security-policy')).toBe(
      "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; frame-ancestors 'self'",
    );
    expect(headers.get('x-frame-options')).toBe('SAMEORIGIN');
    expect((await fetch(`${listener.url}/mailbox/${add({ html: undefined }).id}/html`)).status).toBe(404);
  });

  it('are not there when mail goes to a real server', async () => {
    serve(undefined);
    for (const path of ['/mailbox', '/mailbox.json', '/mailbox/x']) expect((await fetch(listener.url + path)).status).toBe(404);
    expect(await (await fetch(listener.url)).text()).not.toContain('/mailbox');
  });
});

describe('/invoices', () => {
  const at = (url: string) => fetch(url.replace(publicUrl, listener.url));

  it('gives the PDF to whoever has the link', async () => {
    const response = await at(invoiceLinks.urlFor('12'));
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('application/pdf');
    expect(response.headers.get('content-disposition')).toBe('inline; filename="M7-2026-000001.pdf"');
    expect(await response.text()).toBe('%PDF-1.7');
  });

  it('gives nothing to others', async () => {
    const link = invoiceLinks.urlFor('12');
    const unsubscribing = new URL(links.urlFor('12')).searchParams.get('signature') ?? '';
    for (const url of [
      link.replace('invoice=12', 'invoice=13'),
      `${publicUrl}/invoices`,
      `${publicUrl}/invoices?invoice=12&signature=`,
      // Signed by us, for another purpose.
      `${publicUrl}/invoices?invoice=12&signature=${unsubscribing}`,
      // Signed, and not there.
      invoiceLinks.urlFor('13'),
      invoiceLinks.urlFor("12' or true --"),
    ])
      expect((await at(url)).status).toBe(403);
  });
});

describe('/unsubscribe', () => {
  const oneClick = { method: 'POST', body: new URLSearchParams({ 'List-Unsubscribe': 'One-Click' }) };
  async function newLink(address: string): Promise<string> {
    const id = `unsubscribe-${address}`;
    await records.noteQueued(
      { id, kind: 'bulk', template: 'newsletter', recipient: address, recipientName: '', context: {}, messageDomain: 'x.example' },
      'job',
    );
    const { pathname, search } = new URL(links.urlFor(id));
    return listener.url + pathname + search;
  }

  it('takes the one click of RFC 8058, from any site, without a login', async () => {
    const url = await newLink('a@example.com');
    const response = await fetch(url, { ...oneClick, headers: { origin: 'https://webmail.example', 'sec-fetch-site': 'cross-site' } });
    expect(response.status).toBe(200);
    expect(await suppressions.reasonFor('a@example.com', true)).toBe('unsubscribe');
    expect((await fetch(url, oneClick)).status).toBe(200);
    const form = new FormData();
    form.set('List-Unsubscribe', 'One-Click');
    expect((await fetch(await newLink('b@example.com'), { method: 'POST', body: form })).status).toBe(200);
    expect(await suppressions.reasonFor('b@example.com', true)).toBe('unsubscribe');
  });

  it('asks when it is opened, and changes nothing', async () => {
    const url = await newLink('c@example.com');
    const html = await (await fetch(url)).text();
    expect(html).toContain('<form method="post">');
    expect(html).not.toContain('c@example.com');
    expect((await fetch(url, { method: 'HEAD' })).status).toBe(200);
    expect(await suppressions.reasonFor('c@example.com', true)).toBeUndefined();
  });

  it('refuses a link that is not ours, and a post that is no click', async () => {
    const url = await newLink('d@example.com');
    for (const wrong of [
      url.replace(/signature=.*/, 'signature=x'),
      url.replace('unsubscribe-d', 'unsubscribe-c'),
      `${listener.url}/unsubscribe`,
    ]) {
      expect((await fetch(wrong)).status).toBe(403);
      expect((await fetch(wrong, oneClick)).status).toBe(403);
    }
    expect((await fetch(url, { method: 'POST' })).status).toBe(400);
    expect((await fetch(url, { method: 'POST', body: 'x'.repeat(5_000) })).status).toBe(413);
    expect((await fetch(url, { method: 'PUT' })).status).toBe(404);
    expect(await suppressions.reasonFor('d@example.com', true)).toBeUndefined();
    const { search } = new URL(links.urlFor('never-was'));
    expect((await fetch(`${listener.url}/unsubscribe${search}`, oneClick)).status).toBe(410);
  });
});

describe('the listener', () => {
  it('answers 503 until it has something to serve', async () => {
    const early = await listen('127.0.0.1', 0);
    expect((await fetch(early.url)).status).toBe(503);
    await early.stop();
  });

  it('says which port is in use', async () => {
    await expect(listen('127.0.0.1', listener.port)).rejects.toThrow(ListenError);
    await expect(listen('127.0.0.1', listener.port)).rejects.toThrow(`Port ${listener.port} on 127.0.0.1 is in use`);
  });

  it('lets a request that runs come to its end when it stops', async () => {
    const late = await listen('127.0.0.1', 0);
    let started = () => {};
    const running = new Promise<void>((resolve) => {
      started = resolve;
    });
    late.serve({
      fetch: async () => {
        started();
        await sleep(100);
        return new Response('done');
      },
    });
    const answer = fetch(late.url);
    await running;
    await late.stop();
    expect(await (await answer).text()).toBe('done');
  });
});

describe('isTooDeep', () => {
  it('counts brackets outside of strings only, in linear time', () => {
    expect(isTooDeep('[['.repeat(17))).toBe(true);
    expect(isTooDeep('[]'.repeat(100))).toBe(false);
    expect(isTooDeep(JSON.stringify('['.repeat(100)))).toBe(false);
    expect(isTooDeep(JSON.stringify(`\\"${'['.repeat(100)}`))).toBe(false);
    const began = performance.now();
    isTooDeep(`"${'\\"'.repeat(130_000)}`);
    expect(performance.now() - began).toBeLessThan(1_000);
  });
});
