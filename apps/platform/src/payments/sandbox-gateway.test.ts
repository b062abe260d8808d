import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { sampleRandom } from '../demo/sample-random.ts';
import { money } from '../money/money.ts';
import { GatewayError, type Intent, type PaymentGateway } from './gateway.ts';
import { type SandboxGateway, type SandboxOptions, startSandboxGateway } from './sandbox-gateway.ts';
import { type TroubleKind, troubleKinds, troubleSource } from './sandbox-trouble.ts';
import { createStripeGateway } from './stripe-gateway.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

const returnUrl = 'https://shop.example/paid';
const tenEuros = money(1_000, 'EUR');
const newIntent = (reference: string) => ({ reference, amount: tenEuros, paymentMethod: 'pm_123', authoriseOnly: false });

async function start(options: SandboxOptions = {}, timeoutMs = 30_000) {
  const sandbox = await startSandboxGateway(options);
  cleanups.push(() => sandbox.stop());
  return { sandbox, gateway: createStripeGateway({ ...sandbox.connection, returnUrl, timeoutMs }) };
}

async function temporaryFile(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'sandbox-'));
  cleanups.push(() => rm(folder, { recursive: true }));
  return join(folder, 'payments.jsonl');
}

async function ask(sandbox: SandboxGateway, path: string, form?: Readonly<Record<string, string>>) {
  const response = await fetch(`${sandbox.url}${path}`, {
    headers: { authorization: `Bearer ${sandbox.connection.secretKey}` },
    ...(form === undefined ? {} : { method: 'POST', body: new URLSearchParams(form) }),
  });
  return { status: response.status, body: await response.json() };
}

/** Pays as the interface has it: what is unknown is asked for, and only what has not arrived is sent again. */
async function pay(gateway: PaymentGateway, reference: string): Promise<void> {
  const { id } = await untilAnswered(() => gateway.create(newIntent(reference)));
  for (;;) {
    const intent = await untilAnswered(() => gateway.find(id));
    if (intent?.status === 'captured') return;
    await gateway.confirm(id, 'pm_123').catch((error: unknown) => {
      if (!(error instanceof GatewayError) || error.code === 'GATEWAY_REFUSED') throw error;
    });
  }
}

async function untilAnswered<Answer>(work: () => Promise<Answer>): Promise<Answer> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof GatewayError) || error.code === 'GATEWAY_REFUSED') throw error;
    }
  }
}

describe('the sandbox', () => {
  it('shows a payment that was charged by two intents', async () => {
    let now = Date.now();
    const { sandbox, gateway } = await start({ now: () => now });
    const first = await gateway.create(newIntent('payment-1'));
    await gateway.confirm(first.id, 'pm_123');
    expect(sandbox.ledger.doubleCharges()).toEqual([]);
    now += 25 * 3_600_000;
    const second = await gateway.create(newIntent('payment-1'));
    await gateway.confirm(second.id, 'pm_card_lost');
    expect(sandbox.ledger.doubleCharges()).toEqual([]);
    await gateway.confirm(second.id, 'pm_123');
    await gateway.refund(second.id, tenEuros, 'refund-1');
    expect(sandbox.ledger.doubleCharges()).toMatchObject([
      { reference: 'payment-1', charges: [{ intent: first.id }, { intent: second.id }] },
    ]);
  });

  it('charges nobody twice, whatever happens to a fifth of all calls', async () => {
    const trouble = { rate: 0.2, lateMs: 150 };
    const { sandbox, gateway } = await start({ trouble, random: sampleRandom(7).next }, 100);
    const references = Array.from({ length: 120 }, (_, place) => `payment-${place}`);
    const left = references.values();
    await Promise.all(
      Array.from({ length: 20 }, async () => {
        for (const reference of left) await pay(gateway, reference);
      }),
    );
    expect(sandbox.ledger.doubleCharges()).toEqual([]);
    for (const reference of references) expect(sandbox.ledger.charges(reference)).toHaveLength(1);
    expect(sandbox.ledger.totals().get('EUR')).toEqual({ captured: 120_000, refunded: 0 });
  });

  it('lets the buyer answer on a page, and leads back to the shop', async () => {
    const { sandbox, gateway } = await start();
    const actionUrlOf = async (reference: string): Promise<string> => {
      const { id } = await gateway.create(newIntent(reference));
      const { actionUrl } = await gateway.confirm(id, 'pm_card_authenticationRequired');
      return actionUrl ?? '';
    };
    const answer = (url: string, value: string) =>
      fetch(url, { method: 'POST', body: new URLSearchParams({ answer: value }), redirect: 'manual' });
    const url = await actionUrlOf('payment-1');
    expect(await (await fetch(url)).text()).toContain('value="approve"');
    expect((await answer(url, 'perhaps')).status).toBe(400);
    const approved = await answer(url, 'approve');
    expect([approved.status, approved.headers.get('location')]).toEqual([303, returnUrl]);
    expect(sandbox.ledger.charges('payment-1')).toHaveLength(1);
    expect((await answer(url, 'approve')).status).toBe(409);
    expect((await answer(await actionUrlOf('payment-2'), 'reject')).status).toBe(303);
    expect(sandbox.ledger.charges('payment-2')).toEqual([]);
    expect((await fetch(`${sandbox.url}/authenticate/pi_missing`)).status).toBe(404);
  });

  it('ends by a word what is processing', async () => {
    const { sandbox, gateway } = await start();
    const intents: Intent[] = [];
    for (const reference of ['payment-1', 'payment-2']) {
      const { id } = await gateway.create(newIntent(reference));
      intents.push(await gateway.confirm(id, 'pm_card_processing'));
    }
    const [one, two] = intents.map(({ id }) => id);
    sandbox.approve(one ?? '');
    sandbox.reject(two ?? '');
    expect(await gateway.find(one ?? '')).toMatchObject({ status: 'captured' });
    expect(await gateway.find(two ?? '')).toMatchObject({ decline: { code: 'generic_decline' }, charge: expect.any(String) });
    expect(() => sandbox.approve(one ?? '')).toThrow(/payment_intent_unexpected_state/);
    expect(() => sandbox.dispute(two ?? '')).toThrow(/payment_intent_unexpected_state/);
    expect(() => sandbox.lapse(two ?? '')).toThrow(/payment_intent_unexpected_state/);
    expect(() => sandbox.settleRefund('re_missing', 'failed')).toThrow(/resource_missing/);
  });

  it('lets an authorisation lapse, which cancels the payment by nobody’s word', async () => {
    const { sandbox, gateway } = await start();
    const { id } = await gateway.create({ ...newIntent('payment-1'), authoriseOnly: true });
    expect(await gateway.confirm(id, 'pm_card_visa')).toMatchObject({ status: 'authorised' });
    sandbox.lapse(id);
    expect(await gateway.find(id)).toMatchObject({ status: 'cancelled', capturedMinor: 0, refundedMinor: 0 });
    expect((await ask(sandbox, `/v1/payment_intents/${id}`)).body).toMatchObject({ status: 'canceled', cancellation_reason: 'automatic' });
    expect(sandbox.ledger.charges('payment-1')).toEqual([]);
    await expect(gateway.capture(id, tenEuros)).rejects.toMatchObject({ code: 'GATEWAY_STATE' });
  });

  it('refuses what Stripe would, and fields that it does not know', async () => {
    const { sandbox } = await start();
    const intent = { amount: '100', currency: 'eur' };
    for (const form of [
      { ...intent, currency: 'EUR' },
      { ...intent, currency: 'xxx' },
      { ...intent, amount: '0' },
      { ...intent, amount: '1.5' },
      { ...intent, amount: '100000000' },
      { amount: '100' },
      { ...intent, currency: '' },
      { ...intent, capture_method: 'later' },
      { ...intent, 'allowed_payment_method_types[0]': 'sofort' },
      { ...intent, payment_method_types: 'card' },
    ]) {
      expect(await ask(sandbox, '/v1/payment_intents', form)).toMatchObject({
        status: 400,
        body: { error: { type: 'invalid_request_error' } },
      });
    }
    for (const query of ['limit=0', 'limit=101', 'limit=x', 'starting_after=pi_missing', 'ending_before=pi_1']) {
      expect((await ask(sandbox, `/v1/payment_intents?${query}`)).status).toBe(400);
    }
    for (const path of ['/v1/customers', '/v1/payment_intents/pi_missing', '/v1/refunds?payment_intent=pi_missing']) {
      expect((await ask(sandbox, path)).status).toBe(404);
    }
    expect((await ask(sandbox, '/v1/payment_intents', { ...intent, 'metadata[reference]': 'x'.repeat(65_536) })).status).toBe(413);
    const missingKey = await fetch(`${sandbox.url}/v1/payment_intents`);
    expect(missingKey.status).toBe(401);
  });

  it.each(['keep-alive', 'close'])('answers twice by a card, on a connection to %s', async (connection) => {
    const { sandbox, gateway } = await start();
    const { id } = await gateway.create(newIntent('payment-1'));
    const socket = connect(sandbox.port, sandbox.host);
    cleanups.push(() => socket.destroy());
    let heard = '';
    socket.setEncoding('utf8').on('data', (text: string) => {
      heard += text;
    });
    const form = 'payment_method=pm_card_twice';
    socket.write(
      `POST /v1/payment_intents/${id}/confirm HTTP/1.1\r\nHost: x\r\nConnection: ${connection}\r\n` +
        `Authorization: Bearer ${sandbox.connection.secretKey}\r\nContent-Length: ${form.length}\r\n\r\n${form}`,
    );
    await expect.poll(() => heard.split('"status":"succeeded"}').length).toBe(3);
    expect(sandbox.ledger.charges('payment-1')).toHaveLength(1);
  });

  it('answers 500 when it fails itself', async () => {
    const { sandbox } = await start({
      trouble: () => {
        throw new Error('a fault of the test');
      },
    });
    expect(await ask(sandbox, '/v1/payment_intents')).toMatchObject({
      status: 500,
      body: { error: { message: 'The sandbox has failed.' } },
    });
  });

  it('stops telling what nobody takes', async () => {
    const { gateway } = await start({ webhookUrl: 'http://127.0.0.1:1/', webhookRetryMs: [3_600_000] });
    await gateway.create(newIntent('payment-1'));
  });

  it('stops whatever is under way', async () => {
    const struck: (() => void)[] = [];
    const kinds: TroubleKind[] = ['late', 'never'];
    const sandbox = await startSandboxGateway({
      trouble: () => {
        struck.pop()?.();
        return { kind: kinds.pop() ?? 'late', done: false, ms: 3_600_000 };
      },
    });
    const gateway = createStripeGateway({ ...sandbox.connection, returnUrl, timeoutMs: 30_000 });
    const both = Promise.all([0, 1].map(() => new Promise<void>((resolve) => struck.push(resolve))));
    const calls = ['a', 'b'].map((reference) => gateway.create(newIntent(reference)));
    const ended = Promise.allSettled(calls);
    await both;
    await sandbox.stop();
    expect((await ended).map((call) => (call.status === 'rejected' ? (call.reason as GatewayError).code : 'answered'))).toEqual([
      'GATEWAY_UNKNOWN',
      'GATEWAY_UNKNOWN',
    ]);
  });

  it('says when its port is taken', async () => {
    const { sandbox } = await start();
    await expect(startSandboxGateway({ port: sandbox.port, file: await temporaryFile() })).rejects.toMatchObject({ code: 'EADDRINUSE' });
  });
});

describe("the sandbox's file", () => {
  it('keeps all that anybody was told when the process is killed', async () => {
    const file = await temporaryFile();
    const module = new URL('../../dist/payments/sandbox-gateway.js', import.meta.url).href;
    const program = `import { startSandboxGateway } from ${JSON.stringify(module)};
      console.log((await startSandboxGateway({ file: ${JSON.stringify(file)} })).port);`;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', program], { stdio: ['ignore', 'pipe', 'inherit'] });
    cleanups.push(() => child.kill('SIGKILL'));
    const [port] = await once(createInterface(child.stdout), 'line');
    const connection = { secretKey: 'sk_test_sandbox', webhookSecret: 'whsec_sandbox', host: '127.0.0.1', protocol: 'http' as const };
    const before = createStripeGateway({ ...connection, port: Number(port), returnUrl });
    const first = await before.create(newIntent('payment-1'));
    const charged = await before.confirm(first.id, 'pm_123');
    const refund = await before.refund(first.id, money(300, 'EUR'), 'refund-1');
    const declined = await before.create(newIntent('payment-2')).then(({ id }) => before.confirm(id, 'pm_card_soft_once'));
    child.kill('SIGKILL');
    await once(child, 'exit');

    const { sandbox, gateway } = await start({ file });
    expect(await gateway.find(first.id)).toEqual({ ...charged, refundedMinor: 300 });
    expect(await gateway.refunds(first.id)).toEqual([refund]);
    expect(await gateway.find(declined.id)).toEqual(declined);
    expect(await gateway.confirm(declined.id, 'pm_card_soft_once')).toMatchObject({ status: 'captured' });
    // Idempotency keys are kept as well.
    expect((await gateway.create(newIntent('payment-1'))).id).toBe(first.id);
    expect(sandbox.ledger.totals().get('EUR')).toEqual({ captured: 2_000, refunded: 300 });
    expect(sandbox.ledger.charges('payment-1')).toHaveLength(1);
  });

  it('drops a line that a kill cut off, and goes on behind it', async () => {
    const file = await temporaryFile();
    const one = await startSandboxGateway({ file });
    const { id } = await createStripeGateway({ ...one.connection, returnUrl }).create(newIntent('payment-1'));
    await one.stop();
    await appendFile(file, '[{"table":"intent","row":{"id":"pi_half","re');
    const two = await startSandboxGateway({ file });
    await createStripeGateway({ ...two.connection, returnUrl }).confirm(id, 'pm_123');
    await two.stop();
    const { gateway } = await start({ file });
    expect(await gateway.find(id)).toMatchObject({ status: 'captured' });
    expect((await readFile(file, 'utf8')).includes('pi_half')).toBe(false);
  });

  it('that holds anything else is refused, and left alone', async () => {
    const file = await temporaryFile();
    await writeFile(file, '[]\nAnn 4242\n[]\n');
    await expect(startSandboxGateway({ file })).rejects.toMatchObject({
      code: 'SANDBOX_FILE',
      message: expect.stringContaining('line 2 '),
    });
    expect(await readFile(file, 'utf8')).toBe('[]\nAnn 4242\n[]\n');
  });
});

describe('troubles by rates', () => {
  it('are the same for the same seed, of every kind, and about as many as asked for', () => {
    const draw = (seed: number) => {
      const source = troubleSource({ rate: 0.05, lateMs: 100 }, sampleRandom(seed).next);
      return Array.from({ length: 20_000 }, () => source({ method: 'GET', path: '/' }));
    };
    const drawn = draw(1);
    expect(draw(1)).toEqual(drawn);
    expect(draw(2)).not.toEqual(drawn);
    const troubles = drawn.filter((trouble) => trouble !== undefined);
    expect(troubles.length).toBeGreaterThan(850);
    expect(troubles.length).toBeLessThan(1_150);
    for (const kind of troubleKinds) {
      for (const done of [true, false])
        expect(troubles.filter((trouble) => trouble.kind === kind && trouble.done === done).length).toBeGreaterThan(40);
    }
    expect(troubles.every(({ ms = 0 }) => ms >= 1 && ms <= 100)).toBe(true);
  });
});
