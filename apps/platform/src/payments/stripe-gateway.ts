/**
 * Payments by Stripe: one PaymentIntent for each payment, made unconfirmed and confirmed as often as it takes. What Stripe answers is
 * checked against what was asked before it is believed, and whatever leaves a doubt is GATEWAY_UNKNOWN.
 *
 * Idempotency keys, which Stripe forgets after a day, only spare work here. A confirmation needs none, since an intent is charged once
 * at most; a refund is looked for before it is made.
 */
import { createHash } from 'node:crypto';
import { Stripe } from 'stripe';
import type { Money } from '../money/money.ts';
import { GatewayError, type Intent, type PaymentGateway, type Refund } from './gateway.ts';
import { toStripeAmount } from './stripe-amounts.ts';
import { believe, readDispute, readEvent, readIntent, readRefund, readSearch, referenceKey } from './stripe-answers.ts';
import { cardErrorOf, declineOf, gatewayErrorOf, isNotFound, isReplayedFailure } from './stripe-errors.ts';
import { createStripeHttp } from './stripe-http.ts';
import { checkOptions, type StripeGatewayOptions } from './stripe-options.ts';
import { pageSize, readAll, readPages } from './stripe-pages.ts';

/** Old webhooks are refused, so that one that was overheard is of no use later. Stripe signs each delivery anew. */
const webhookToleranceSeconds = 300;

/** Refunds and disputes stand in the charge, which is told only when asked for. */
const expandCharge = { expand: ['latest_charge'] };

/** Which of several intents of one payment counts: the one that went furthest. */
const progress = ['cancelled', 'requires_payment_method', 'requires_action', 'processing', 'authorised', 'captured'];

/**
 * The signal's reason is thrown when a signal aborts; whether the call took effect is then as unknown as after GATEWAY_UNKNOWN.
 *
 * @throws TypeError naming the options that are wrong
 */
export function createStripeGateway(options: StripeGatewayOptions): PaymentGateway {
  const { secretKey, webhookSecret, returnUrl, timeoutMs, ...server } = checkOptions(options);
  const http = createStripeHttp();
  const stripe = new Stripe(secretKey, {
    httpClient: http.client,
    timeout: timeoutMs,
    maxNetworkRetries: 0,
    telemetry: false,
    ...server,
  });

  async function call<T>(what: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    try {
      return await http.call(signal, work);
    } catch (error) {
      signal?.throwIfAborted();
      throw gatewayErrorOf(error, what);
    }
  }

  /** Only intents of ours are asked for. */
  function intentFrom(answer: unknown, id: string): Intent {
    const intent = readIntent(answer, id);
    believe(intent !== undefined);
    return intent;
  }

  async function find(id: string, signal: AbortSignal | undefined): Promise<Intent | undefined> {
    checkId(id);
    let intent: Intent | undefined;
    try {
      intent = readIntent(await http.call(signal, () => stripe.paymentIntents.retrieve(id, expandCharge)), id);
    } catch (error) {
      signal?.throwIfAborted();
      if (isNotFound(error)) return undefined;
      throw gatewayErrorOf(error, 'read a payment');
    }
    return intent === undefined ? undefined : withDisputes(intent, signal);
  }

  /** The charge says only that there is one, not what it came to. */
  async function withDisputes(intent: Intent, signal: AbortSignal | undefined): Promise<Intent> {
    if (!intent.disputed) return intent;
    const disputes = await readAll(
      (page) => call('list disputes', signal, () => stripe.disputes.list({ payment_intent: intent.id, ...page })),
      (item) => readDispute(item, intent),
    );
    return { ...intent, disputes };
  }

  /** Stripe takes amounts of an intent without a currency: ten dollars of an intent in euros would be ten euros. */
  async function findIn(currency: Money['currency'], id: string, signal: AbortSignal | undefined): Promise<Intent> {
    const intent = await find(id, signal);
    if (intent?.amount.currency === currency) return intent;
    throw new GatewayError('GATEWAY_REFUSED', `there is no such payment in ${currency}: take the id and the currency of one`);
  }

  async function* list(from: number, till: number, signal: AbortSignal | undefined): AsyncGenerator<Intent> {
    const created = { gte: Math.max(0, Math.ceil(from / 1000)), lt: Math.max(0, Math.ceil(till / 1000)) };
    const intents = readPages(
      (page) => call('list payments', signal, () => stripe.paymentIntents.list({ created, expand: ['data.latest_charge'], ...page })),
      (item) => {
        const intent = readIntent(item);
        believe(intent === undefined || (intent.createdAt >= from && intent.createdAt < till));
        return intent;
      },
    );
    for await (const intent of intents) if (intent !== undefined) yield withDisputes(intent, signal);
  }

  async function refunds(id: string, signal: AbortSignal | undefined): Promise<readonly Refund[]> {
    checkId(id);
    return readAll(
      (page) => call('list refunds', signal, () => stripe.refunds.list({ payment_intent: id, ...page })),
      (item) => readRefund(item, id),
    );
  }

  return {
    name: 'stripe',

    async create({ reference, amount, authoriseOnly }, signal) {
      checkReference(reference);
      const params: Stripe.PaymentIntentCreateParams = {
        amount: toStripeAmount(amount),
        currency: amount.currency.toLowerCase(),
        capture_method: authoriseOnly ? 'manual' : 'automatic',
        // Cards answer at once. Methods that are switched on in the dashboard, and lead away from our pages, stay out.
        allowed_payment_method_types: ['card'],
        // The payment method comes with the confirmation, so that a buyer who takes another card meets the same intent.
        metadata: { [referenceKey]: reference },
        ...expandCharge,
      };
      for (let again = 0; ; again += 1) {
        try {
          const answer = await http.call(signal, () =>
            stripe.paymentIntents.create(params, { idempotencyKey: keyOf('create', reference, String(again)) }),
          );
          const intent = readIntent(answer);
          believe(intent !== undefined && intent.reference === reference && sameAmount(intent.amount, amount));
          return intent;
        } catch (error) {
          signal?.throwIfAborted();
          // Stripe keeps a failure of its own under the key for a day. An intent too many, if it was made, charges nobody.
          if (!isReplayedFailure(error) || again === 3) throw gatewayErrorOf(error, 'make a payment');
        }
      }
    },

    async confirm(id, paymentMethod, signal) {
      checkId(id);
      if (!isId(paymentMethod)) throw new GatewayError('GATEWAY_REFUSED', 'expected the id of a payment method, such as pm_123');
      let answer: unknown;
      try {
        answer = await http.call(signal, () =>
          // Not off_session, in which Stripe declines what needs 3-D Secure; with a return_url it gives a page to send the buyer to.
          stripe.paymentIntents.confirm(id, { payment_method: paymentMethod, return_url: returnUrl, ...expandCharge }),
        );
      } catch (error) {
        signal?.throwIfAborted();
        const cardError = cardErrorOf(error);
        if (cardError === undefined) throw gatewayErrorOf(error, 'confirm a payment');
        const intent = intentFrom(cardError.payment_intent, id);
        believe(intent.status === 'requires_payment_method');
        return { ...intent, decline: declineOf(cardError) };
      }
      const intent = intentFrom(answer, id);
      believe(intent.status !== 'requires_payment_method' && intent.status !== 'cancelled');
      return intent;
    },

    async capture(id, amount, signal) {
      const minor = toStripeAmount(amount);
      await findIn(amount.currency, id, signal);
      const answer = await call('capture a payment', signal, () =>
        stripe.paymentIntents.capture(id, { amount_to_capture: minor, ...expandCharge }),
      );
      const intent = intentFrom(answer, id);
      believe(intent.status === 'captured' && intent.capturedMinor === amount.minor);
      return intent;
    },

    async cancel(id, signal) {
      checkId(id);
      const intent = intentFrom(await call('cancel a payment', signal, () => stripe.paymentIntents.cancel(id, expandCharge)), id);
      believe(intent.status === 'cancelled');
      return intent;
    },

    async refund(id, amount, reference, signal) {
      checkReference(reference);
      const minor = toStripeAmount(amount);
      for (let again = 0; ; again += 1) {
        const made = (await refunds(id, signal)).find((refund) => refund.reference === reference);
        if (made !== undefined) {
          if (sameAmount(made.amount, amount)) return made;
          throw new GatewayError('GATEWAY_REFUSED', 'this reference is of a refund of another amount: take a new one');
        }
        const { status } = await findIn(amount.currency, id, signal);
        // What is only reserved would be released by a refund, and that is for `cancel` to do.
        if (status !== 'captured')
          throw new GatewayError('GATEWAY_STATE', `nothing is captured, the payment is ${status}: cancel it instead`);
        try {
          const answer = await http.call(signal, () =>
            stripe.refunds.create(
              { payment_intent: id, amount: minor, metadata: { [referenceKey]: reference } },
              { idempotencyKey: keyOf('refund', id, reference, String(again)) },
            ),
          );
          const refund = readRefund(answer, id);
          believe(refund !== undefined && refund.reference === reference && sameAmount(refund.amount, amount));
          return refund;
        } catch (error) {
          signal?.throwIfAborted();
          // As with `create`; but what the failed call may have made is money, so it is looked for once more.
          if (!isReplayedFailure(error) || again === 3) throw gatewayErrorOf(error, 'refund a payment');
        }
      }
    },

    find,

    async findByReference(reference, createdAfter, signal) {
      checkReference(reference);
      const after = Math.max(0, Math.floor(createdAfter / 1000));
      const query = `metadata['${referenceKey}']:'${reference}' AND created>=${after}`;
      const found = await call('find a payment', signal, () => stripe.paymentIntents.search({ query, limit: pageSize }));
      let best: Intent | undefined;
      for (const id of readSearch(found)) {
        const intent = await find(id, signal);
        believe(intent?.reference === reference);
        if (best === undefined || progress.indexOf(intent.status) > progress.indexOf(best.status)) best = intent;
      }
      return best;
    },

    refunds,

    list,

    readWebhook(body, signature) {
      let event: unknown;
      try {
        event = stripe.webhooks.constructEvent(body, signature ?? '', webhookSecret, webhookToleranceSeconds);
      } catch {
        throw new GatewayError(
          'GATEWAY_REFUSED',
          `this is no webhook of Stripe's: its signature is missing, by another secret or older than ${webhookToleranceSeconds} s, or it is no JSON`,
        );
      }
      return readEvent(event);
    },
  };
}

/** A digest, since keys go into a header and have 255 characters at most. */
function keyOf(...parts: readonly string[]): string {
  return `taktline-${createHash('sha256').update(JSON.stringify(parts)).digest('hex')}`;
}

function sameAmount(one: Money, other: Money): boolean {
  return one.minor === other.minor && one.currency === other.currency;
}

function isId(text: string): boolean {
  return /^\w{1,255}$/.test(text);
}

/** An id goes into a path: an empty one would ask for the list. */
function checkId(id: string): void {
  if (!isId(id)) throw new GatewayError('GATEWAY_REFUSED', "expected an intent's id, such as pi_123");
}

/** It goes into metadata, which is bounded, and into the query of a search, in quotes. */
function checkReference(reference: string): void {
  if (/^[\w.:-]{1,200}$/.test(reference)) return;
  throw new GatewayError('GATEWAY_REFUSED', 'expected a reference of 1 to 200 letters, digits and _.:-');
}
