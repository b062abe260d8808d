import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { money } from '../money/money.ts';
import { GatewayError, type PaymentGateway } from './gateway.ts';
import { createStripeGateway } from './stripe-gateway.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

/** A server that is no Stripe: it gives the same answer to whatever is asked. */
async function answering(answer: (response: ServerResponse) => void, timeoutMs = 30_000) {
  let calls = 0;
  const server = createServer((request, response) => {
    calls += 1;
    request.resume().once('end', () => answer(response));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanups.push(() => {
    server.closeAllConnections();
    server.close();
  });
  const gateway = createStripeGateway({
    secretKey: 'sk_test',
    webhookSecret: 'whsec_test',
    returnUrl: 'https://shop.example/paid',
    host: '127.0.0.1',
    port: (server.address() as AddressInfo).port,
    protocol: 'http',
    timeoutMs,
  });
  return { gateway, calls: () => calls };
}

const json =
  (status: number, body: unknown, headers: Readonly<Record<string, string>> = {}) =>
  (response: ServerResponse) => {
    response
      .writeHead(status, { 'content-type': 'application/json', ...headers })
      .end(typeof body === 'string' ? body : JSON.stringify(body));
  };
const failing = (status: number, error: object) => json(status, { error: { message: 'Card 4242 4242 4242 4242 of Ann', ...error } });

const charge = {
  object: 'charge',
  id: 'ch_1',
  payment_intent: 'pi_1',
  amount: 1_000,
  amount_captured: 1_000,
  amount_refunded: 0,
  disputed: false,
};
const charged = {
  object: 'payment_intent',
  id: 'pi_1',
  amount: 1_000,
  amount_received: 1_000,
  currency: 'eur',
  status: 'succeeded',
  created: 1_760_000_000,
  metadata: { reference: 'payment-1' },
  latest_charge: charge,
  next_action: null,
  last_payment_error: null,
};
const searched = { object: 'search_result', has_more: false, data: [{ id: 'pi_1' }] };
const fresh = { ...charged, status: 'requires_payment_method', amount_received: 0, latest_charge: null };

const confirm = (gateway: PaymentGateway) => gateway.confirm('pi_1', 'pm_123');

async function errorOf(work: Promise<unknown>): Promise<GatewayError> {
  try {
    await work;
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    expect(error).not.toHaveProperty('cause');
    expect(error.message).not.toMatch(/4242|Ann/);
    return error;
  }
  throw new Error('it succeeded');
}

describe('an error of Stripe', () => {
  it.each([
    [429, { type: 'invalid_request_error', code: 'rate_limit' }, 'GATEWAY_BUSY'],
    [429, { type: 'invalid_request_error', code: 'lock_timeout' }, 'GATEWAY_BUSY'],
    [400, { type: 'invalid_request_error', code: 'rate_limit' }, 'GATEWAY_BUSY'],
    [409, { type: 'idempotency_error', code: 'idempotency_key_in_use' }, 'GATEWAY_BUSY'],
    [400, { type: 'invalid_request_error', code: 'payment_intent_unexpected_state' }, 'GATEWAY_STATE'],
    [400, { type: 'invalid_request_error', code: 'charge_already_captured' }, 'GATEWAY_STATE'],
    [400, { type: 'idempotency_error' }, 'GATEWAY_REFUSED'],
    [400, { type: 'invalid_request_error', code: 'amount_too_small', param: 'amount' }, 'GATEWAY_REFUSED'],
    [401, { type: 'invalid_request_error' }, 'GATEWAY_UNREACHABLE'],
    [403, { type: 'invalid_request_error' }, 'GATEWAY_UNREACHABLE'],
    [404, { type: 'invalid_request_error', code: 'resource_missing' }, 'GATEWAY_REFUSED'],
    [500, { type: 'api_error' }, 'GATEWAY_UNKNOWN'],
    [503, { type: 'api_error', code: 'lock_timeout' }, 'GATEWAY_UNKNOWN'],
    // A decline without the payment that was declined, or with another one.
    [402, { type: 'card_error', code: 'card_declined' }, 'GATEWAY_UNKNOWN'],
    [402, { type: 'card_error', code: 'card_declined', payment_intent: { ...fresh, id: 'pi_2' } }, 'GATEWAY_UNKNOWN'],
    [402, { type: 'card_error', code: 'card_declined', payment_intent: charged }, 'GATEWAY_UNKNOWN'],
  ])('%d %j is %s', async (status, error, code) => {
    const { gateway, calls } = await answering(failing(status, error));
    expect((await errorOf(confirm(gateway))).code).toBe(code);
    expect(calls()).toBe(1);
  });

  it.each([
    [
      { code: 'card_declined', decline_code: 'lost_card' },
      { code: 'lost_card', hard: true },
    ],
    [{ code: 'expired_card' }, { code: 'expired_card', hard: true }],
    [
      { code: 'card_declined', decline_code: 'try_again_later' },
      { code: 'try_again_later', hard: false },
    ],
    // The card network says more than the issuer.
    [
      { code: 'card_declined', decline_code: 'generic_decline', advice_code: 'do_not_try_again' },
      { code: 'generic_decline', hard: true },
    ],
    // Nothing but a word of Stripe's gets through.
    [
      { code: 'card_declined', decline_code: 'card 4242424242424242' },
      { code: 'card_declined', hard: false },
    ],
    [{ code: '4242424242424242' }, { code: 'unknown', hard: false }],
  ])('that is a decline of %j is %j', async (error, decline) => {
    const { gateway } = await answering(
      failing(402, { type: 'card_error', ...error, payment_intent: { ...fresh, latest_charge: 'ch_1' } }),
    );
    expect(await confirm(gateway)).toMatchObject({ id: 'pi_1', status: 'requires_payment_method', charge: 'ch_1', decline });
  });

  it('of a word that is none is not shown', async () => {
    const { gateway } = await answering(failing(400, { code: 'card_4242424242424242', param: 'Ann', type: 'invalid_request_error' }));
    expect((await errorOf(confirm(gateway))).message).toContain('(400)');
  });
});

describe('an answer that is none', () => {
  it.each([
    ['a number', json(200, '5')],
    ['a text', json(200, '"pi_1"')],
    ['nothing', json(200, 'null')],
    ['a list', json(200, '[]')],
    ['empty', json(200, '')],
    ['half', json(200, '{"id": "pi_')],
    ['an object of nothing', json(200, {})],
    ['a page', (response: ServerResponse) => response.writeHead(502, { 'content-type': 'text/html' }).end('<h1>Bad Gateway</h1>')],
    ['a redirection', json(302, charged, { location: 'http://127.0.0.1:1/' })],
    ['an intent with a status of failure', json(500, charged)],
    ['an error with a status of success', json(200, { error: { type: 'card_error', code: 'card_declined', payment_intent: fresh } })],
    ['an error that is a text', json(400, { error: 'invalid_request' })],
    [
      'cut off',
      (response: ServerResponse) => response.writeHead(200, { 'content-length': '1000' }).write('{"id":', () => response.destroy()),
    ],
    ['longer than any', (response: ServerResponse) => response.writeHead(200).end(`{"id":"${'x'.repeat(17 * 1024 * 1024)}"}`)],
  ])('because it is %s leaves it unknown', async (_case, answer) => {
    const { gateway, calls } = await answering(answer);
    expect((await errorOf(confirm(gateway))).code).toBe('GATEWAY_UNKNOWN');
    expect(calls()).toBe(1);
  });

  it('because it never ends is given up in time, however steadily it comes', async () => {
    let dripping: NodeJS.Timeout | undefined;
    const { gateway } = await answering((response) => {
      response.writeHead(200);
      dripping = setInterval(() => response.write(' '), 10);
    }, 300);
    cleanups.push(() => clearInterval(dripping));
    expect((await errorOf(confirm(gateway))).message).toContain('no whole answer within 300 ms');
  });
});

describe('an answer that does not fit', () => {
  it('is not believed of a confirmation', async () => {
    const wrong: readonly object[] = [
      { id: 'pi_2' },
      { object: 'charge' },
      { status: 'canceled' },
      // It cannot be that after a confirmation that was not declined.
      fresh,
      { ...fresh, status: 'canceled' },
      { status: 'invented' },
      { status: 'processing' },
      { amount_received: 0 },
      { amount_received: 1_001 },
      { amount: 0.5 },
      { amount: -1_000 },
      { currency: 'EUR' },
      { currency: 'xxx' },
      { metadata: {} },
      { created: 0 },
      { latest_charge: null },
      { latest_charge: 'ch_1' },
      { latest_charge: { ...charge, payment_intent: 'pi_2' } },
      { latest_charge: { ...charge, amount_captured: 500 } },
      {
        status: 'requires_action',
        amount_received: 0,
        latest_charge: null,
        next_action: { redirect_to_url: { url: 'javascript:alert(1)' } },
      },
    ];
    let answer: object = charged;
    const { gateway } = await answering((response) => json(200, answer)(response));
    expect(await confirm(gateway)).toMatchObject({ id: 'pi_1', status: 'captured' });
    for (const part of wrong) {
      answer = { ...charged, ...part };
      expect((await errorOf(confirm(gateway))).code, JSON.stringify(part)).toBe('GATEWAY_UNKNOWN');
    }
  });

  it.each([
    [{ metadata: { reference: 'payment-2' } }],
    [{ metadata: {} }],
    [{ amount: 2_000 }],
    [{ currency: 'usd' }],
    [{ currency: 'jpy' }],
  ])('is not believed of a new intent: %j', async (part) => {
    const { gateway } = await answering(json(200, { ...fresh, ...part }));
    const intent = { reference: 'payment-1', amount: money(1_000, 'EUR'), paymentMethod: 'pm_123', authoriseOnly: false };
    expect((await errorOf(gateway.create(intent))).code).toBe('GATEWAY_UNKNOWN');
  });

  it('is not taken for "there is no such intent"', async () => {
    const { gateway } = await answering(json(200, { ...charged, id: 'pi_2', metadata: {} }));
    expect((await errorOf(gateway.find('pi_1'))).code).toBe('GATEWAY_UNKNOWN');
  });

  it('is not believed of a capture or a cancellation', async () => {
    const half = { ...charged, amount_received: 500, latest_charge: { ...charge, amount_captured: 500, amount_refunded: 500 } };
    const { gateway } = await answering(json(200, half));
    expect(await gateway.find('pi_1')).toMatchObject({ capturedMinor: 500, refundedMinor: 0 });
    expect((await errorOf(gateway.capture('pi_1', money(600, 'EUR')))).code).toBe('GATEWAY_UNKNOWN');
    expect((await errorOf(gateway.cancel('pi_1'))).code).toBe('GATEWAY_UNKNOWN');
  });

  const refund = { object: 'refund', id: 're_1', amount: 100, currency: 'eur', payment_intent: 'pi_1', status: 'succeeded' };
  it.each([
    // For ever the same page, an empty one that is not the last, and what belongs to another payment.
    [{ object: 'list', has_more: true, data: [refund] }],
    [{ object: 'list', has_more: true, data: [] }],
    [{ object: 'list', has_more: false, data: [refund, refund] }],
    [{ object: 'list', has_more: false, data: [{ ...refund, payment_intent: 'pi_2' }] }],
    [{ object: 'list', has_more: false, data: [{ ...refund, status: 'invented' }] }],
    [charged],
  ])('is not believed of a list: %j', async (page) => {
    const { gateway } = await answering(json(200, page));
    expect((await errorOf(gateway.refunds('pi_1'))).code).toBe('GATEWAY_UNKNOWN');
  });

  it('is not believed of a list of payments of another time', async () => {
    const { gateway } = await answering(json(200, { object: 'list', has_more: false, data: [charged] }));
    const created = charged.created * 1_000;
    const read = async (from: number, till: number) => {
      for await (const { id } of gateway.list(from, till)) return id;
      return undefined;
    };
    expect(await read(created, created + 1)).toBe('pi_1');
    expect((await errorOf(read(created + 1, created + 5_000))).code).toBe('GATEWAY_UNKNOWN');
  });

  it('is not believed of a search', async () => {
    for (const page of [
      { ...searched, object: 'list' },
      { ...searched, has_more: true },
      { ...searched, data: [{ id: '' }] },
      searched,
      charged,
    ]) {
      const { gateway } = await answering(json(200, page));
      expect((await errorOf(gateway.findByReference('payment-1', 0))).code).toBe('GATEWAY_UNKNOWN');
    }
  });
});
