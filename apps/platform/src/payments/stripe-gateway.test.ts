import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Stripe } from 'stripe';
import { afterEach, describe, expect, it } from 'vitest';
import { money } from '../money/money.ts';
import { GatewayError, type NewIntent, type PaymentGateway } from './gateway.ts';
import { type SandboxGateway, type SandboxOptions, startSandboxGateway } from './sandbox-gateway.ts';
import type { Trouble, TroubleKind } from './sandbox-trouble.ts';
import { createStripeGateway } from './stripe-gateway.ts';
import type { StripeGatewayOptions } from './stripe-options.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

const returnUrl = 'https://shop.example/paid';
const tenEuros = money(1_000, 'EUR');

async function start(sandboxOptions: SandboxOptions = {}, options: Partial<StripeGatewayOptions> = {}) {
  const sandbox = await startSandboxGateway(sandboxOptions);
  cleanups.push(() => sandbox.stop());
  const connect = (timeoutMs: number) => createStripeGateway({ ...sandbox.connection, returnUrl, timeoutMs, ...options });
  // Only what is never answered needs a client that gives up soon; any other would fail on a busy machine.
  return { sandbox, gateway: connect(30_000), hasty: connect(300) };
}

/** Calls Stripe's API past the adapter. */
async function post(sandbox: SandboxGateway, path: string, form: Readonly<Record<string, string>>): Promise<{ readonly id: string }> {
  const response = await fetch(`${sandbox.url}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${sandbox.connection.secretKey}` },
    body: new URLSearchParams(form),
  });
  return (await response.json()) as { readonly id: string };
}

const newIntent = (more: Partial<NewIntent> = {}): NewIntent => ({
  reference: 'payment-1',
  amount: tenEuros,
  paymentMethod: 'pm_123',
  authoriseOnly: false,
  ...more,
});

async function paid(gateway: PaymentGateway, more: Partial<NewIntent> = {}, paymentMethod = 'pm_123') {
  const { id } = await gateway.create(newIntent(more));
  return gateway.confirm(id, paymentMethod);
}

async function all<Item>(items: AsyncIterable<Item>): Promise<readonly Item[]> {
  const list: Item[] = [];
  for await (const item of items) list.push(item);
  return list;
}

/** What it was refused with. */
async function errorOf(work: Promise<unknown>): Promise<GatewayError> {
  try {
    await work;
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    // A cause could hold what the provider has said.
    expect(error).not.toHaveProperty('cause');
    return error;
  }
  throw new Error('it succeeded');
}

/** Spoils the calls whose path ends so, once each time it is set. */
function troubleMaker() {
  let next: { readonly end: string; readonly trouble: Trouble } | undefined;
  const met: { resolve: () => void }[] = [];
  return {
    source: ({ path }: { readonly path: string }): Trouble | undefined => {
      if (next === undefined || !path.endsWith(next.end)) return undefined;
      const { trouble } = next;
      next = undefined;
      for (const { resolve } of met.splice(0)) resolve();
      return trouble;
    },
    /** Resolves when it has struck. */
    set(end: string, kind: TroubleKind, done: boolean, ms = 1): Promise<void> {
      next = { end, trouble: { kind, done, ms } };
      return new Promise((resolve) => met.push({ resolve }));
    },
  };
}

describe('a payment by Stripe', () => {
  it('is made uncharged, then charged by its confirmation', async () => {
    const { gateway, sandbox } = await start();
    const made = await gateway.create(newIntent());
    expect(made).toMatchObject({ reference: 'payment-1', status: 'requires_payment_method', amount: tenEuros, capturedMinor: 0 });
    expect(made).toMatchObject({ decline: undefined, charge: undefined, actionUrl: undefined, disputed: false });
    expect(Math.abs(made.createdAt - Date.now())).toBeLessThan(60_000);
    expect(sandbox.ledger.charges('payment-1')).toEqual([]);
    const charged = await gateway.confirm(made.id, 'pm_card_visa');
    expect(charged).toMatchObject({ id: made.id, status: 'captured', capturedMinor: 1_000, refundedMinor: 0 });
    expect(sandbox.ledger.charges('payment-1')).toMatchObject([{ id: charged.charge, intent: made.id, amount: 1_000 }]);
    expect(sandbox.ledger.totals().get('EUR')).toEqual({ captured: 1_000, refunded: 0 });
  });

  it.each([
    ['ISK', 5],
    ['JPY', 500],
    ['KWD', 5_120],
    ['UGX', 1_500],
  ])('keeps its amount in %s', async (currency, minor) => {
    const { gateway, sandbox } = await start();
    expect(await paid(gateway, { amount: money(minor, currency) })).toMatchObject({
      amount: money(minor, currency),
      capturedMinor: minor,
    });
    expect(sandbox.ledger.totals().get(currency)).toEqual({ captured: minor, refunded: 0 });
  });

  it('is one intent, however often it is made, and whatever the card', async () => {
    const { gateway } = await start();
    const [one, two] = await Promise.all([gateway.create(newIntent()), gateway.create(newIntent({ paymentMethod: 'pm_card_lost' }))]);
    expect(two.id).toBe(one.id);
    expect((await errorOf(gateway.create(newIntent({ amount: money(2_000, 'EUR') })))).code).toBe('GATEWAY_REFUSED');
  });

  it('waits for the buyer, who approves or does not', async () => {
    const { gateway, sandbox } = await start();
    const first = await paid(gateway, {}, 'pm_card_authenticationRequired');
    expect(first).toMatchObject({ status: 'requires_action', actionUrl: `${sandbox.url}/authenticate/${first.id}` });
    sandbox.reject(first.id);
    const rejected = { code: 'payment_intent_authentication_failure', hard: false };
    expect(await gateway.find(first.id)).toMatchObject({ status: 'requires_payment_method', decline: rejected, actionUrl: undefined });
    await gateway.confirm(first.id, 'pm_card_authenticationRequired');
    sandbox.approve(first.id);
    expect(await gateway.find(first.id)).toMatchObject({ status: 'captured', actionUrl: undefined, decline: undefined });
  });

  it.each([
    ['pm_card_lost', 'lost_card', true],
    ['pm_card_insufficient_funds', 'insufficient_funds', false],
    ['pm_card_decline_expired_card', 'expired_card', true],
    ['pm_card_decline_do_not_try_again', 'do_not_try_again', true],
    ['pm_card_decline_incorrect_cvc', 'incorrect_cvc', true],
    ['pm_card_decline_do_not_honor', 'do_not_honor', false],
    ['pm_card_decline_generic_decline', 'generic_decline', false],
    ['pm_card_decline_issuer_not_available', 'issuer_not_available', false],
    ['pm_card_decline_authentication_required', 'authentication_required', false],
    ['pm_card_decline_invented_tomorrow', 'invented_tomorrow', false],
  ])('declined by %s says so, then and later', async (paymentMethod, code, hard) => {
    const { gateway, sandbox } = await start();
    const declined = await paid(gateway, {}, paymentMethod);
    expect(declined).toMatchObject({ status: 'requires_payment_method', capturedMinor: 0, decline: { code, hard } });
    expect(await gateway.find(declined.id)).toEqual(declined);
    expect(sandbox.ledger.charges('payment-1')).toEqual([]);
  });

  it('declined before the issuer is asked says so, without a charge', async () => {
    const { gateway, sandbox } = await start();
    const declined = await paid(gateway, {}, 'pm_card_authenticationFails');
    const decline = { code: 'payment_intent_authentication_failure', hard: false };
    expect(declined).toMatchObject({ status: 'requires_payment_method', charge: undefined, decline });
    expect(await gateway.find(declined.id)).toEqual(declined);
    expect(sandbox.ledger.charges('payment-1')).toEqual([]);
  });

  it('that waits for the buyer is confirmed by another card instead, once', async () => {
    const { gateway, sandbox } = await start();
    const { id, paymentMethod } = await paid(gateway, {}, 'pm_card_authenticationRequired');
    expect(paymentMethod).toBe('pm_card_authenticationRequired');
    expect(await gateway.confirm(id, 'pm_card_visa')).toMatchObject({ status: 'captured', paymentMethod: 'pm_card_visa' });
    expect(() => sandbox.approve(id)).toThrow(/payment_intent_unexpected_state/);
    expect(sandbox.ledger.charges('payment-1')).toHaveLength(1);
  });

  it('declined for now succeeds later, by another charge', async () => {
    const { gateway } = await start({ softDeclines: 2 });
    const first = await paid(gateway, {}, 'pm_card_soft_once');
    const second = await gateway.confirm(first.id, 'pm_card_soft_once');
    expect(second).toMatchObject({ decline: { hard: false } });
    expect(second.charge).not.toBe(first.charge);
    expect(await gateway.confirm(first.id, 'pm_card_soft_once')).toMatchObject({ status: 'captured', decline: undefined });
  });

  it('is processing until the provider knows', async () => {
    const { gateway } = await start({ processingQuestions: 2 });
    const { id, status } = await paid(gateway, {}, 'pm_card_processing');
    expect(status).toBe('processing');
    expect((await errorOf(gateway.confirm(id, 'pm_card_processing'))).code).toBe('GATEWAY_STATE');
    const asked = [await gateway.find(id), await gateway.find(id), await gateway.find(id)];
    expect(asked.map((intent) => intent?.status)).toEqual(['processing', 'processing', 'captured']);
  });

  it('by a payment method that does not exist is refused, and the error repeats none of what was given', async () => {
    const { gateway } = await start();
    const error = await errorOf(paid(gateway, {}, 'pm_4242424242424242'));
    expect(error).toMatchObject({ code: 'GATEWAY_REFUSED' });
    expect(error.message).toMatch(/\(400, resource_missing, payment_method, req_\w+\)$/);
    expect(error.message).not.toMatch(/4242|No such/);
  });

  it('is reserved, captured in part, and the rest is released without counting as refunded', async () => {
    const { gateway, sandbox } = await start();
    const reserved = await paid(gateway, { authoriseOnly: true });
    expect(reserved).toMatchObject({ status: 'authorised', capturedMinor: 0, refundedMinor: 0 });
    const captured = await gateway.capture(reserved.id, money(600, 'EUR'));
    expect(captured).toMatchObject({ status: 'captured', capturedMinor: 600, refundedMinor: 0 });
    expect(await gateway.refunds(reserved.id)).toEqual([]);
    await gateway.refund(reserved.id, money(250, 'EUR'), 'refund-1');
    expect(await gateway.find(reserved.id)).toMatchObject({ capturedMinor: 600, refundedMinor: 250 });
    expect(sandbox.ledger.totals().get('EUR')).toEqual({ captured: 600, refunded: 250 });
    expect((await errorOf(gateway.capture(reserved.id, tenEuros))).code).toBe('GATEWAY_STATE');
  });

  it('is released by a cancellation; what is charged stays charged', async () => {
    const { gateway, sandbox } = await start();
    const reserved = await paid(gateway, { authoriseOnly: true });
    expect(await gateway.cancel(reserved.id)).toMatchObject({ status: 'cancelled', capturedMinor: 0, refundedMinor: 0 });
    expect(sandbox.ledger.charges('payment-1')).toEqual([]);
    const charged = await paid(gateway, { reference: 'payment-2' });
    expect((await errorOf(gateway.cancel(charged.id))).code).toBe('GATEWAY_STATE');
    expect((await errorOf(gateway.confirm(reserved.id, 'pm_123'))).code).toBe('GATEWAY_STATE');
  });

  it('in one currency is not captured or refunded in another', async () => {
    const { gateway, sandbox } = await start();
    const reserved = await paid(gateway, { authoriseOnly: true });
    expect((await errorOf(gateway.capture(reserved.id, money(1_000, 'USD')))).code).toBe('GATEWAY_REFUSED');
    await gateway.capture(reserved.id, tenEuros);
    expect((await errorOf(gateway.refund(reserved.id, money(1_000, 'USD'), 'refund-1'))).code).toBe('GATEWAY_REFUSED');
    expect(sandbox.ledger.totals().get('EUR')).toEqual({ captured: 1_000, refunded: 0 });
  });

  it('is charged once by twenty confirmations at once', async () => {
    const { gateway, sandbox } = await start();
    const { id } = await gateway.create(newIntent());
    const answers = await Promise.allSettled(Array.from({ length: 20 }, () => gateway.confirm(id, 'pm_123')));
    const refused = answers.flatMap((answer) => (answer.status === 'rejected' ? [answer.reason] : []));
    expect(refused).toHaveLength(19);
    for (const reason of refused) expect(reason).toMatchObject({ code: 'GATEWAY_STATE' });
    expect(sandbox.ledger.charges('payment-1')).toHaveLength(1);
  });

  it('disputed by the buyer says so, and what became of it', async () => {
    const { gateway, sandbox } = await start();
    const { id } = await paid(gateway);
    expect(await gateway.find(id)).toMatchObject({ disputed: false, disputes: [] });
    const asked = sandbox.dispute(id, { amount: 300, inquiry: true });
    const taken = sandbox.dispute(id);
    const disputes = async () => (await gateway.find(id))?.disputes;
    expect(await disputes()).toEqual([
      { id: taken, amount: tenEuros, status: 'open' },
      { id: asked, amount: money(300, 'EUR'), status: 'inquiry' },
    ]);
    expect(await all(gateway.list(0, Date.now() + 60_000))).toEqual([await gateway.find(id)]);
    expect((await errorOf(gateway.refund(id, tenEuros, 'refund-1'))).code).toBe('GATEWAY_STATE');
    sandbox.moveDispute(taken, 'won');
    expect(await disputes()).toMatchObject([{ id: taken, status: 'won' }, { id: asked }]);
    expect(await gateway.refund(id, tenEuros, 'refund-2')).toMatchObject({ status: 'succeeded' });
  });

  it('that is not there is not found, and cannot be asked for by what is no id', async () => {
    const { gateway, sandbox } = await start();
    expect(await gateway.find('pi_missing')).toBeUndefined();
    for (const id of ['', '../refunds', 'pi_1?x=1']) expect((await errorOf(gateway.find(id))).code).toBe('GATEWAY_REFUSED');
    expect((await errorOf(gateway.refunds('pi_missing'))).code).toBe('GATEWAY_REFUSED');
    expect((await errorOf(gateway.create(newIntent({ reference: '' })))).code).toBe('GATEWAY_REFUSED');
    expect((await errorOf(gateway.confirm('pi_missing', 'no method'))).code).toBe('GATEWAY_REFUSED');
    expect(sandbox.calls()).toBe(2);
  });

  it('made by others on the same account is none of ours', async () => {
    const { gateway, sandbox } = await start();
    const { id } = await post(sandbox, '/v1/payment_intents', { amount: '500', currency: 'eur' });
    expect(await gateway.find(id)).toBeUndefined();
    expect(await all(gateway.list(0, Date.now() + 60_000))).toEqual([]);
  });
});

describe('a refund by Stripe', () => {
  it('of one reference is one, also at once, and after Stripe has forgotten its keys', async () => {
    let now = Date.now();
    const { gateway, sandbox } = await start({ now: () => now });
    const { id } = await paid(gateway);
    const [one, two] = await Promise.all([1, 2].map(() => gateway.refund(id, money(300, 'EUR'), 'refund-1')));
    expect(one).toMatchObject({ intent: id, reference: 'refund-1', amount: money(300, 'EUR'), status: 'succeeded' });
    expect(two).toEqual(one);
    now += 25 * 3_600_000;
    expect(await gateway.refund(id, money(300, 'EUR'), 'refund-1')).toEqual(one);
    await gateway.refund(id, money(700, 'EUR'), 'refund-2');
    expect((await gateway.refunds(id)).map(({ reference }) => reference).toSorted()).toEqual(['refund-1', 'refund-2']);
    expect(sandbox.ledger.totals().get('EUR')).toEqual({ captured: 1_000, refunded: 1_000 });
  });

  it('is not made where that cannot be', async () => {
    const { gateway, sandbox } = await start();
    const { id } = await paid(gateway);
    expect((await errorOf(gateway.refund(id, money(1_001, 'EUR'), 'refund-1'))).code).toBe('GATEWAY_REFUSED');
    await gateway.refund(id, tenEuros, 'refund-2');
    expect((await errorOf(gateway.refund(id, money(1, 'EUR'), 'refund-3'))).code).toBe('GATEWAY_STATE');
    expect((await errorOf(gateway.refund(id, money(1, 'EUR'), 'refund-2'))).code).toBe('GATEWAY_REFUSED');
    const reserved = await paid(gateway, { reference: 'payment-2', authoriseOnly: true });
    const calls = sandbox.calls();
    expect((await errorOf(gateway.refund(reserved.id, tenEuros, 'refund-4'))).code).toBe('GATEWAY_STATE');
    // It was asked for, and nothing more.
    expect(sandbox.calls() - calls).toBe(2);
    expect(sandbox.ledger.totals().get('EUR')).toEqual({ captured: 1_000, refunded: 1_000 });
  });

  it('is pending until it is settled', async () => {
    const { gateway, sandbox } = await start();
    const { id } = await paid(gateway, {}, 'pm_card_pendingRefund');
    const [first, second] = [await gateway.refund(id, money(100, 'EUR'), 'a'), await gateway.refund(id, money(200, 'EUR'), 'b')];
    expect([first.status, second.status]).toEqual(['pending', 'pending']);
    sandbox.settleRefund(first.id, 'succeeded');
    sandbox.settleRefund(second.id, 'failed');
    expect((await gateway.refunds(id)).map(({ status }) => status).toSorted()).toEqual(['failed', 'succeeded']);
    expect(await gateway.find(id)).toMatchObject({ refundedMinor: 100 });
  });

  it('is found among more than a page', async () => {
    const { gateway, sandbox } = await start();
    const { id } = await paid(gateway);
    const references = Array.from({ length: 120 }, (_, place) => `refund-${place}`);
    for (const reference of references) {
      await post(sandbox, '/v1/refunds', { payment_intent: id, amount: '1', 'metadata[reference]': reference });
    }
    expect((await gateway.refunds(id)).map(({ reference }) => reference).toSorted()).toEqual(references.toSorted());
    await gateway.refund(id, money(1, 'EUR'), 'refund-0');
    expect(sandbox.ledger.totals().get('EUR')).toEqual({ captured: 1_000, refunded: 120 });
  });
});

describe('payments listed by Stripe', () => {
  it('come in pages, those of the time only', async () => {
    const began = Date.UTC(2026, 0, 1);
    let now = began;
    const { gateway, sandbox } = await start({ now: () => now });
    for (let place = 0; place < 250; place += 1) {
      await post(sandbox, '/v1/payment_intents', { amount: '100', currency: 'eur', 'metadata[reference]': `payment-${place}` });
      now += 1_000;
    }
    const before = sandbox.calls();
    const listed = await all(gateway.list(began + 10_000, began + 240_000));
    expect(sandbox.calls() - before).toBe(3);
    expect(listed.map(({ createdAt }) => createdAt).toSorted((one, other) => one - other)).toEqual(
      Array.from({ length: 230 }, (_, place) => began + (place + 10) * 1_000),
    );
    expect(await all(gateway.list(began, began))).toEqual([]);
  });

  it('are read to the end, though every second answer is lost or wrong', async () => {
    let calls = 0;
    const kinds = ['broken', 'failed', 'another', 'reset'] as const;
    const trouble = ({ method, path }: { readonly method: string; readonly path: string }): Trouble | undefined => {
      if (method !== 'GET' || path !== '/v1/payment_intents') return undefined;
      calls += 1;
      const kind = kinds[(calls >> 1) % kinds.length];
      return calls % 2 === 0 || kind === undefined ? undefined : { kind, done: true };
    };
    const { gateway, sandbox } = await start({ trouble });
    for (let place = 0; place < 250; place += 1) {
      await post(sandbox, '/v1/payment_intents', { amount: '100', currency: 'eur', 'metadata[reference]': `payment-${place}` });
    }
    expect(await all(gateway.list(0, Date.now() + 60_000))).toHaveLength(250);
    expect(calls).toBe(6);
  });

  it('are found by a search, which lags behind, and by making them again', async () => {
    let now = Date.now();
    const { gateway } = await start({ now: () => now });
    const { id } = await gateway.create(newIntent());
    await gateway.create(newIntent({ reference: 'payment-10' }));
    expect(await gateway.findByReference('payment-1', 0)).toBeUndefined();
    expect((await gateway.create(newIntent())).id).toBe(id);
    await gateway.confirm(id, 'pm_123');
    now += 60_000;
    expect(await gateway.findByReference('payment-1', 0)).toMatchObject({ id, status: 'captured', capturedMinor: 1_000 });
    expect(await gateway.findByReference('payment-2', 0)).toBeUndefined();
    expect((await errorOf(gateway.findByReference("x' OR amount>0 OR 'x", 0))).code).toBe('GATEWAY_REFUSED');
  });

  it('and found by reference are those that went furthest, of several', async () => {
    let now = Date.now();
    const { gateway } = await start({ now: () => now });
    const charged = await paid(gateway);
    now += 25 * 3_600_000;
    const later = await gateway.create(newIntent());
    expect(later.id).not.toBe(charged.id);
    now += 60_000;
    expect((await gateway.findByReference('payment-1', now - 26 * 3_600_000))?.id).toBe(charged.id);
    expect((await gateway.findByReference('payment-1', now - 60_000))?.id).toBe(later.id);
    expect(await gateway.findByReference('payment-1', now)).toBeUndefined();
  });
});

describe('trouble on the way', () => {
  const unknown: readonly TroubleKind[] = ['never', 'reset', 'broken', 'failed', 'another'];

  it.each(unknown.flatMap((kind) => [true, false].map((done) => [kind, done] as const)))(
    'with a confirmation, answered %s, done: %s, leaves it unknown, and asking tells',
    async (kind, done) => {
      const trouble = troubleMaker();
      const { gateway, hasty, sandbox } = await start({ trouble: trouble.source });
      await gateway.create(newIntent({ reference: 'another' }));
      const { id } = await gateway.create(newIntent());
      const calls = sandbox.calls();
      const struck = trouble.set('/confirm', kind, done);
      const error = await errorOf((kind === 'never' ? hasty : gateway).confirm(id, 'pm_123'));
      await struck;
      expect(error).toMatchObject({ code: 'GATEWAY_UNKNOWN' });
      // The SDK by itself would repeat a call whose connection was reset.
      expect(sandbox.calls() - calls).toBe(1);
      expect(await gateway.find(id)).toMatchObject({ status: done ? 'captured' : 'requires_payment_method' });
      if (!done) await gateway.confirm(id, 'pm_123');
      else expect((await errorOf(gateway.confirm(id, 'pm_123'))).code).toBe('GATEWAY_STATE');
      expect(sandbox.ledger.charges('payment-1')).toHaveLength(1);
    },
  );

  it.each(unknown)('with making it, answered %s, is got over by making it again', async (kind) => {
    const trouble = troubleMaker();
    const { gateway, hasty } = await start({ trouble: trouble.source });
    await gateway.create(newIntent({ reference: 'another' }));
    for (const done of [true, false]) {
      const reference = `payment-${done}`;
      void trouble.set('/payment_intents', kind, done);
      expect((await errorOf((kind === 'never' ? hasty : gateway).create(newIntent({ reference })))).code).toBe('GATEWAY_UNKNOWN');
      const made = await gateway.create(newIntent({ reference }));
      const listed = await all(gateway.list(0, Date.now() + 60_000));
      const ids = listed.filter((intent) => intent.reference === reference).map((intent) => intent.id);
      expect(ids).toContain(made.id);
      // A failure of Stripe's own it keeps under the key: what that may have made is left alone.
      expect(ids).toHaveLength(kind === 'failed' && done ? 2 : 1);
    }
  });

  it.each(unknown.flatMap((kind) => [true, false].map((done) => [kind, done] as const)))(
    'with a refund, answered %s, done: %s, ends in one refund as soon as it is asked for again',
    async (kind, done) => {
      const trouble = troubleMaker();
      const { gateway, hasty, sandbox } = await start({ trouble: trouble.source });
      const { id } = await paid(gateway);
      await paid(gateway, { reference: 'another' });
      const refunding = startRefundTrouble(kind === 'never' ? hasty : gateway, trouble, id, kind, done);
      expect((await errorOf(refunding)).code).toBe('GATEWAY_UNKNOWN');
      expect(await gateway.refund(id, tenEuros, 'refund-1')).toMatchObject({ status: 'succeeded' });
      expect(sandbox.ledger.totals().get('EUR')).toEqual({ captured: 2_000, refunded: 1_000 });
    },
  );

  it('twice answers each call once', async () => {
    const { gateway, sandbox } = await start({ trouble: () => ({ kind: 'twice', done: true }) });
    for (let place = 0; place < 10; place += 1) {
      const reference = `payment-${place}`;
      const { id } = await gateway.create(newIntent({ reference, authoriseOnly: true }));
      expect(await gateway.find(id)).toMatchObject({ reference, status: 'requires_payment_method' });
      expect(await gateway.confirm(id, 'pm_card_twice')).toMatchObject({ reference, status: 'authorised' });
      expect(await gateway.capture(id, tenEuros)).toMatchObject({ reference, status: 'captured' });
    }
    expect(sandbox.calls()).toBe(50);
  });

  it('late is no trouble within the timeout, and unknown beyond it, though it takes effect', async () => {
    const trouble = troubleMaker();
    const { gateway, hasty, sandbox } = await start({ trouble: trouble.source });
    const { id } = await gateway.create(newIntent());
    void trouble.set('/confirm', 'late', true, 20);
    expect(await gateway.confirm(id, 'pm_123')).toMatchObject({ status: 'captured' });
    const later = await gateway.create(newIntent({ reference: 'payment-2' }));
    void trouble.set('/confirm', 'late', false, 350);
    const error = await errorOf(hasty.confirm(later.id, 'pm_123'));
    expect(error).toMatchObject({ code: 'GATEWAY_UNKNOWN', message: expect.stringContaining('no whole answer within 300 ms') });
    await expect.poll(() => sandbox.ledger.charges('payment-2').length).toBe(1);
  });

  it('with its idempotency key in use is busy', async () => {
    const trouble = troubleMaker();
    const { gateway } = await start({ trouble: trouble.source });
    const struck = trouble.set('/payment_intents', 'late', false, 100);
    const first = gateway.create(newIntent());
    await struck;
    expect((await errorOf(gateway.create(newIntent()))).code).toBe('GATEWAY_BUSY');
    expect((await gateway.create(newIntent({ reference: 'payment-2' }))).id).not.toBe((await first).id);
  });

  it.each([
    ['nobody listens', { port: 1 }],
    ['the name does not resolve', { host: 'stripe.invalid' }],
    ['it speaks no TLS', { protocol: 'https' as const }],
  ])('where %s is known to have sent nothing', async (_case, options) => {
    const { gateway, sandbox } = await start({}, options);
    const error = await errorOf(gateway.confirm('pi_1', 'pm_123'));
    expect(error).toMatchObject({ code: 'GATEWAY_UNREACHABLE', message: expect.stringMatching(/no connection came about: E[A-Z_]+;/) });
    expect(sandbox.calls()).toBe(0);
  });

  it('by a wrong secret key says so, and nothing of the payment', async () => {
    const { gateway } = await start({}, { secretKey: 'sk_test_wrong' });
    const error = await errorOf(gateway.create(newIntent()));
    expect(error.code).toBe('GATEWAY_UNREACHABLE');
    expect(error.message).not.toContain('sk_test_wrong');
  });
});

/** Spoils the second call to the path of refunds, which makes the refund. */
function startRefundTrouble(
  gateway: PaymentGateway,
  trouble: ReturnType<typeof troubleMaker>,
  id: string,
  kind: TroubleKind,
  done: boolean,
) {
  void trouble.set(`/payment_intents/${id}`, 'late', true).then(() => trouble.set('/refunds', kind, done));
  return gateway.refund(id, tenEuros, 'refund-1');
}

describe('a signal', () => {
  it('that is aborted already sends nothing', async () => {
    const { gateway, sandbox } = await start();
    const reason = new Error('no more');
    const signal = AbortSignal.abort(reason);
    await expect(gateway.create(newIntent(), signal)).rejects.toBe(reason);
    await expect(gateway.find('pi_1', signal)).rejects.toBe(reason);
    await expect(all(gateway.list(0, 1, signal))).rejects.toBe(reason);
    expect(sandbox.calls()).toBe(0);
  });

  it('breaks off a call that waits, with its own reason', async () => {
    const trouble = troubleMaker();
    const { gateway, sandbox } = await start({ trouble: trouble.source });
    const { id } = await gateway.create(newIntent());
    const stopping = new AbortController();
    const reason = new Error('the job was cancelled');
    const struck = trouble.set('/confirm', 'never', true);
    const confirmed = gateway.confirm(id, 'pm_123', stopping.signal);
    await struck;
    stopping.abort(reason);
    await expect(confirmed).rejects.toBe(reason);
    expect(sandbox.ledger.charges('payment-1')).toHaveLength(1);
  });
});

describe('webhooks by Stripe', () => {
  it('tell which payment has changed, as the sandbox posts them', async () => {
    const posts: { readonly body: string; readonly signature: string }[] = [];
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        // The first is taken the second time only.
        response
          .writeHead(
            posts.push({ body: Buffer.concat(chunks).toString(), signature: String(request.headers['stripe-signature']) }) === 1
              ? 503
              : 200,
          )
          .end();
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    cleanups.push(() => {
      server.closeAllConnections();
      server.close();
    });
    const webhookUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const { gateway, sandbox } = await start({ webhookUrl, webhookRetryMs: [1] });
    const { id } = await paid(gateway);
    await gateway.refund(id, money(1, 'EUR'), 'refund-1');
    sandbox.dispute(id);
    await expect.poll(() => posts.length).toBe(6);
    const types = posts.map(({ body }) => (JSON.parse(body) as { type: string }).type);
    expect([...new Set(types)].toSorted()).toEqual([
      'charge.dispute.created',
      'charge.refunded',
      'payment_intent.created',
      'payment_intent.succeeded',
      'refund.created',
    ]);
    const told = posts.map(({ body, signature }) => gateway.readWebhook(body, signature));
    // Of one that was only made there is nothing to look at, and whoever has made it is at it.
    expect(told.flatMap((event, place) => (event === undefined ? [types[place]] : []))).toEqual(
      types.filter((type) => type === 'payment_intent.created'),
    );
    const events = told.filter((event) => event !== undefined);
    expect(new Set(events.map(({ intent }) => intent))).toEqual(new Set([id]));
    expect(new Set(events.map(({ event }) => event)).size).toBe(4);
  });

  const secret = 'whsec_test';
  const gateway = createStripeGateway({ secretKey: 'sk_test', webhookSecret: secret, returnUrl });
  const event = (type: string, object: object) => JSON.stringify({ id: 'evt_1', object: 'event', type, data: { object } });
  const ours = event('payment_intent.succeeded', { object: 'payment_intent', id: 'pi_1', metadata: { reference: 'payment-1' } });
  const sign = (payload: string, more: { readonly secret?: string; readonly timestamp?: number } = {}) =>
    Stripe.webhooks.generateTestHeaderString({ payload, secret, ...more });
  const seconds = () => Math.floor(Date.now() / 1000);

  it.each(['charge.refunded', 'charge.refund.updated', 'charge.dispute.closed', 'refund.updated', 'refund.failed'])(
    'lead to the payment of what %s is about',
    (type) => {
      const body = event(type, { object: 'any', id: 'any_1', payment_intent: 'pi_1' });
      expect(gateway.readWebhook(body, sign(body))).toEqual({ event: 'evt_1', intent: 'pi_1' });
    },
  );

  it('are believed while they are fresh', () => {
    expect(gateway.readWebhook(ours, sign(ours, { timestamp: seconds() - 250 }))).toEqual({ event: 'evt_1', intent: 'pi_1' });
  });

  it.each([
    ['without a signature', () => undefined],
    ['with an empty signature', () => ''],
    ['with a signature of nothing', () => 'v1=,t='],
    ['signed by another secret', () => sign(ours, { secret: 'whsec_other' })],
    ['signed for another body', () => sign(ours.replace('pi_1', 'pi_2'))],
    ['signed too long ago', () => sign(ours, { timestamp: seconds() - 400 })],
  ])('%s are refused, without their content', (_case, signature) => {
    let error: unknown;
    try {
      gateway.readWebhook(ours, signature());
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toMatchObject({ code: 'GATEWAY_REFUSED' });
    expect(error).not.toHaveProperty('cause');
    expect(String(error)).not.toMatch(/pi_1|whsec/);
  });

  it.each([
    ['charge.succeeded', { object: 'charge', payment_intent: 'pi_1' }],
    ['customer.created', { object: 'customer', id: 'cus_1' }],
    ['payment_intent.succeeded', { object: 'payment_intent', id: 'pi_1', metadata: {} }],
    ['refund.created', { object: 'refund', payment_intent: null }],
  ])('of %s about %j are of no interest', (type, object) => {
    const body = event(type, object);
    expect(gateway.readWebhook(body, sign(body))).toBeUndefined();
  });

  it('that are signed and cannot be read are not passed over', () => {
    for (const body of [event('payment_intent.succeeded', { object: 'payment_intent' }), '{"object":"event"}', '5']) {
      expect(() => gateway.readWebhook(body, sign(body))).toThrow(expect.objectContaining({ code: 'GATEWAY_UNKNOWN' }));
    }
  });
});

describe('createStripeGateway', () => {
  it('names the options that are wrong, and shows none', () => {
    const options = { secretKey: 'sk live', webhookSecret: '', returnUrl: 'ftp://shop', timeoutMs: 0 };
    expect(() => createStripeGateway(options)).toThrow(/secretKey: .*webhookSecret: .*returnUrl: .*timeoutMs: /);
    expect(() => createStripeGateway(options)).not.toThrow(/sk live|ftp/);
  });
});
