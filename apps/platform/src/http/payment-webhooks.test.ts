/** Events of the payment sandbox, told over HTTP, to a platform that works on real servers. */
import { Hono } from 'hono';
import { Stripe } from 'stripe';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startPostgres, type TestPostgres } from '../../test/database.ts';
import { newManufacturer, newOrder } from '../../test/marketplace.ts';
import { patience } from '../../test/patience.ts';
import { startTestPlatform, type TestPlatform } from '../../test/platform.ts';
import { sameOriginWrites } from './guards.ts';
import { type Listener, listen } from './listener.ts';
import { paymentWebhooks } from './payment-webhooks.ts';

let postgres: TestPostgres;
let listener: Listener;
let platform: TestPlatform;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.stop());
beforeEach(async () => {
  listener = await listen('127.0.0.1', 0);
  platform = await startTestPlatform(postgres, { sandbox: { webhookUrl: `${listener.url}/webhooks/payments`, webhookRetryMs: [20, 50] } });
  const { gateway, tasks } = platform;
  listener.serve(
    new Hono().use(sameOriginWrites).route('/', paymentWebhooks({ gateway, paymentChanged: (intent) => tasks.paymentChanged(intent) })),
  );
});
afterEach(async () => {
  await platform.stop();
  await listener.stop();
});

/** An order that is awarded, and paid for by this card. */
async function pay(card: string) {
  const { database, tasks } = platform;
  const order = await newOrder(database, {
    payment_method: card,
    manufacturer_id: (await newManufacturer(database)).id,
    price_minor: 5_000,
  });
  await database.updateTable('orders').set({ state: 'awarded' }).where('id', '=', order).execute();
  const { buyer_id } = await database.selectFrom('orders').selectAll().where('id', '=', order).executeTakeFirstOrThrow();
  await tasks.processPayment.delay({
    amount: 50,
    currency: 'EUR',
    payment_method_id: card,
    order_id: order,
    user_id: buyer_id,
    authorise_only: true,
  });
  const payment = () => database.selectFrom('payments').selectAll().where('order_id', '=', order).executeTakeFirst();
  return { payment, status: (wanted: string) => expect.poll(async () => (await payment())?.status, patience).toBe(wanted) };
}

describe('events of the payment provider', () => {
  it('a payment goes on when the buyer has confirmed it there', async () => {
    await platform.startWorker();
    const { payment, status } = await pay('pm_card_authenticationRequired');
    await status('requires_action');
    platform.sandbox.approve((await payment())?.intent ?? '');
    await status('authorised');
  });

  it('are refused unless the provider has signed them, and enqueue nothing then', async () => {
    const body = JSON.stringify({
      id: 'evt_1',
      object: 'event',
      type: 'payment_intent.succeeded',
      data: { object: { id: 'pi_1', object: 'payment_intent', metadata: { reference: 'payment-1' } } },
    });
    const post = (headers: Record<string, string>, text = body) =>
      fetch(`${listener.url}/webhooks/payments`, {
        method: 'POST',
        body: text,
        headers: { 'content-type': 'application/json', ...headers },
      });
    const signed = (secret: string, text = body) => ({
      'stripe-signature': Stripe.webhooks.generateTestHeaderString({ payload: text, secret }),
    });
    const { webhookSecret } = platform.sandbox.connection;
    for (const headers of [{}, { 'stripe-signature': 't=1,v1=00' }, signed('whsec_other')]) {
      const response = await post(headers);
      expect(response.status).toBe(400);
      expect(response.headers.get('content-type')).toBe('application/problem+json');
    }
    expect((await post(signed(webhookSecret), `${body} `)).status).toBe(400);
    expect((await post(signed(webhookSecret, 'x'.repeat(66_000)), 'x'.repeat(66_000))).status).toBe(413);
    // Of an intent that is none of ours.
    expect((await post(signed(webhookSecret))).status).toBe(204);
    expect((await platform.app.inspector.queues()).reduce((sum, { ready, running }) => sum + ready + running, 0)).toBe(0);
    expect((await fetch(`${listener.url}/webhooks/payments`)).status).toBe(404);
  });
});
