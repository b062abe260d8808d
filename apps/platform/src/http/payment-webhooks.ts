/**
 * Where the payment provider tells that something has happened to an intent. Only that is believed: the payment's job asks the provider
 * what it is. So events may come twice, late, or in another order than they happened.
 */
import { Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { GatewayError, type PaymentGateway } from '../payments/gateway.ts';
import { paymentWebhookPath } from './guards.ts';
import { problem } from './problem.ts';

export interface PaymentWebhookDeps {
  readonly gateway: Pick<PaymentGateway, 'readWebhook'>;
  /** Has the payment of an intent looked at; undefined when there is none. */
  readonly paymentChanged: (intent: string) => Promise<string | undefined>;
}

/** Events of Stripe are a few kilobytes. */
const largestBody = 64 * 1024;

export function paymentWebhooks({ gateway, paymentChanged }: PaymentWebhookDeps): Hono {
  const limit = bodyLimit({ maxSize: largestBody, onError: (c) => problem(c, { status: 413, title: 'The event is too large' }) });
  return new Hono().post(paymentWebhookPath, limit, async (c) => {
    let told: ReturnType<PaymentGateway['readWebhook']>;
    try {
      told = gateway.readWebhook(await c.req.text(), c.req.header('stripe-signature'));
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      return problem(c, { status: 400, title: 'The event is not signed by the payment provider, or cannot be read' });
    }
    if (told !== undefined) await paymentChanged(told.intent);
    // Not before the job is enqueued: else the provider tells it again.
    return c.body(null, 204);
  });
}
