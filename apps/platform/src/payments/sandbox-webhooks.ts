/**
 * Tells the platform what has happened, signed as Stripe signs. Each event goes its own way at once, so their order is as little a
 * promise as with Stripe; what is not taken comes again a few times. What is left at a stop is lost: the platform must not rest on
 * webhooks alone.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Stripe } from 'stripe';
import type { SandboxEvent } from './sandbox-objects.ts';

export interface WebhookOptions {
  readonly url: string;
  readonly secret: string;
  /** Waits between the tries, in milliseconds. Default 200, 1,000 and 5,000. */
  readonly retryMs?: readonly number[];
}

export interface Webhooks {
  post(event: SandboxEvent): void;
  /** Ends all tries. */
  stop(): Promise<void>;
}

const timeoutMs = 10_000;

export function createWebhooks({ url, secret, retryMs = [200, 1_000, 5_000] }: WebhookOptions): Webhooks {
  const stopping = new AbortController();
  const tries = new Set<AbortController>();
  const underWay = new Set<Promise<void>>();

  async function deliver(payload: string): Promise<void> {
    for (const waitMs of [0, ...retryMs]) {
      if (waitMs > 0) await sleep(waitMs, undefined, { signal: stopping.signal });
      stopping.signal.throwIfAborted();
      if (await isTaken(payload)) return;
    }
  }

  async function isTaken(payload: string): Promise<boolean> {
    const trying = new AbortController();
    const timer = setTimeout(() => trying.abort(), timeoutMs);
    tries.add(trying);
    try {
      const response = await fetch(url, {
        method: 'POST',
        headers: {
          'content-type': 'application/json; charset=utf-8',
          'stripe-signature': Stripe.webhooks.generateTestHeaderString({ payload, secret }),
        },
        body: payload,
        signal: trying.signal,
      });
      await response.body?.cancel();
      return response.ok;
    } catch {
      // Not reached, or not in time: the next try may be luckier.
      return false;
    } finally {
      clearTimeout(timer);
      tries.delete(trying);
    }
  }

  return {
    post(event) {
      const delivery = deliver(JSON.stringify(event))
        // Only a stop ends it so.
        .catch(() => {})
        .finally(() => underWay.delete(delivery));
      underWay.add(delivery);
    },
    async stop() {
      stopping.abort();
      for (const trying of tries) trying.abort();
      await Promise.all(underWay);
    },
  };
}
