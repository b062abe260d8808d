/** An order's whole life on real servers: the engine's broker, Postgres, the payment sandbox over HTTP, and SMTP. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { startPostgres, type TestPostgres } from '../test/database.ts';
import { newManufacturer, newOrder, newUser } from '../test/marketplace.ts';
import { patience } from '../test/patience.ts';
import { invoiceLinks, startTestPlatform, type TestPlatform, type TestPlatformOptions } from '../test/platform.ts';
import { changeUser } from './accounts/users.ts';
import { addDays, dayIn } from './calendar/business-days.ts';
import { nextWeek, weekOf } from './calendar/iso-week.ts';
import { invoiceFile } from './invoices/stored-invoices.ts';
import { balanceOf, inEscrow, trialBalance } from './ledger/ledger.ts';
import { money, parseAmount } from './money/money.ts';
import type { OrderActor, OrderEvent, OrderState } from './orders/order-states.ts';
import { lockOrder } from './orders/orders.ts';
import { reconcilePayments } from './payments/reconcile.ts';
import { requestRefund, waiveRefund } from './payments/refunds.ts';
import { createStripeGateway } from './payments/stripe-gateway.ts';

let postgres: TestPostgres;
let platform: TestPlatform;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterEach(() => platform.stop());
afterAll(() => postgres.stop());

const today = dayIn('UTC', new Date());
const weeks = Array.from({ length: 12 }).reduce<string[]>((all) => [...all, nextWeek(all.at(-1) ?? weekOf(today))], [weekOf(today)]);

/** A platform with a worker, a buyer and a manufacturer; and what is done to an order of theirs. */
async function scene({
  card = 'pm_card_visa',
  rfq = false,
  ...options
}: TestPlatformOptions & { readonly card?: string; readonly rfq?: boolean } = {}) {
  platform = await startTestPlatform(postgres, options);
  const { database, tasks } = platform;
  await platform.startWorker();
  const buyer = await newUser(database, 'buyer', 'ann@customer.example');
  const maker = await newManufacturer(database, { weeks, user_id: await newUser(database, 'manufacturer', 'turner@plant.example') });
  const order = await newOrder(database, {
    buyer_id: buyer,
    due_on: addDays(today, 45),
    minutes: 120,
    quantity: 20,
    payment_method: card,
    ...(rfq ? { mode: 'rfq' } : {}),
  });
  const happens = (event: OrderEvent, actor: OrderActor, actorId?: number) =>
    database
      .transaction()
      .execute((transaction) => tasks.orders.apply(transaction, order, { event, actor, ...(actorId === undefined ? {} : { actorId }) }));
  const read = () => database.selectFrom('orders').selectAll().where('id', '=', order).executeTakeFirstOrThrow();
  const state = (wanted: OrderState) => expect.poll(async () => (await read()).state, patience).toBe(wanted);
  const payment = () => database.selectFrom('payments').selectAll().where('order_id', '=', order).orderBy('id', 'desc').executeTakeFirst();
  /** The subjects of what somebody got. */
  const mailsTo = (address: string) =>
    platform.smtp.mails.filter(({ to }) => to.includes(address)).map(({ parsed }) => parsed.subject ?? '');
  /** Until the payment stands so. */
  const paid = (status: string) => expect.poll(async () => (await payment())?.status, patience).toBe(status);
  /** From the draft to an award that is paid for. */
  const awarded = async (): Promise<void> => {
    await happens('submit', 'buyer', buyer);
    await state('sourcing');
    const offer = await database.selectFrom('offers').selectAll().where('order_id', '=', order).executeTakeFirstOrThrow();
    await database.transaction().execute((transaction) => tasks.offers.accept(transaction, offer.id, maker.user));
  };
  /** And on, to parts that are made and looked at. */
  const produced = async (): Promise<void> => {
    await awarded();
    await state('payment_authorised');
    await happens('begin_production', 'manufacturer', maker.user);
    await paid('captured');
    await happens('finish_production', 'manufacturer', maker.user);
  };
  return { database, tasks, buyer, maker, order, happens, read, state, payment, paid, mailsTo, awarded, produced };
}

/** Setup, two hours and twenty parts of the manufacturer's. */
const price = 5_000 + 2 * 6_000 + 20 * 100;
/** With the tax of a sale within the United Kingdom. */
const due = price * 1.2;

const bank = async (currency = 'EUR') => (await balanceOf(platform.database, 'bank', currency)).minor;
const atGateway = () => platform.sandbox.ledger.totals().get('EUR') ?? { captured: 0, refunded: 0 };

/** What we have booked is what the provider has. */
async function agrees(): Promise<void> {
  const { captured, refunded } = atGateway();
  expect((await balanceOf(platform.database, 'gateway', 'EUR')).minor).toBe(captured - refunded);
  expect(Object.values(await trialBalance(platform.database)).filter((sum) => sum !== 0)).toEqual([]);
  expect(platform.sandbox.ledger.doubleCharges()).toEqual([]);
}

describe('an order', { timeout: 60_000 }, () => {
  it('is matched, taken, paid for, made, delivered and paid out, and everybody hears of it', async () => {
    const { database, awarded, happens, state, paid, payment, maker, buyer, order, read, mailsTo } = await scene();
    await awarded();
    await state('payment_authorised');
    expect(await read()).toMatchObject({ price_minor: price, manufacturer_id: maker.id });
    expect(await payment()).toMatchObject({ status: 'authorised', amount_minor: due, captured_minor: 0 });
    await happens('begin_production', 'manufacturer', maker.user);
    await paid('captured');
    expect((await inEscrow(database, order, 'EUR')).minor).toBe(due);
    await happens('finish_production', 'manufacturer', maker.user);
    await happens('ship', 'manufacturer', maker.user);
    await happens('deliver', 'buyer', buyer);
    await happens('accept_parts', 'buyer', buyer);
    await expect.poll(bank, patience).toBe(-(due - price * 0.1));
    await agrees();
    // Eight changes, the receipt and the invoice, with the link to its PDF.
    await expect.poll(() => mailsTo('ann@customer.example').length, patience).toBe(10);
    const invoice = platform.smtp.mails.find(({ parsed }) => /^Invoice/i.test(parsed.subject ?? ''));
    const url = new URL(/https:\S+\/invoices\S+/.exec(invoice?.parsed.text ?? '')?.[0] ?? 'https://none.example');
    const id = invoiceLinks.subjectOf(url.searchParams.get('invoice') ?? '', url.searchParams.get('signature') ?? '') ?? '';
    expect((await invoiceFile(database, id))?.number).toBe(`M${maker.id}-${today.slice(0, 4)}-000001`);
    // The offer, the award, six changes, the payout.
    await expect.poll(() => mailsTo('turner@plant.example').length, patience).toBe(9);
    const rounds = await database.selectFrom('order_matches').selectAll().where('order_id', '=', order).execute();
    expect(rounds).toMatchObject([{ round: 1, method: 'instant', candidates: [{ supplierId: String(maker.id) }], left_out: [] }]);
  });

  it('with parts that are not right goes back to work, which counts for the manufacturer’s record', async () => {
    const { database, tasks, awarded, happens, state, paid, maker, buyer, order, mailsTo, read } = await scene();
    await awarded();
    await state('payment_authorised');
    await happens('begin_production', 'manufacturer', maker.user);
    await paid('captured');
    await happens('finish_production', 'manufacturer', maker.user);
    const reject = (quantity: number) =>
      database
        .transaction()
        .execute((transaction) =>
          tasks.rejectParts(transaction, order, { quantity, cause: 'surface', disposition: 'rework' }, { actor: 'buyer', actorId: buyer }),
        );
    for (const quantity of [0, 21, 1.5]) await expect(reject(quantity)).rejects.toMatchObject({ code: 'QUANTITY' });
    await reject(3);
    expect((await read()).state).toBe('rework');
    await expect(reject(3)).rejects.toMatchObject({ code: 'ILLEGAL_EVENT' });
    await expect
      .poll(() => mailsTo('turner@plant.example').filter((subject) => /not as|right|parts/i.test(subject)).length, patience)
      .toBeGreaterThan(0);
    await happens('finish_rework', 'manufacturer', maker.user);
    await happens('ship', 'manufacturer', maker.user);
    await happens('deliver', 'buyer', buyer);
    expect(await database.selectFrom('non_conformances').selectAll().execute()).toMatchObject([
      {
        order_id: order,
        manufacturer_id: maker.id,
        quantity: 3,
        cause: 'surface',
        disposition: 'rework',
        closed_at: expect.any(Date) as Date,
      },
    ]);
    expect(await database.selectFrom('manufacturers').selectAll().executeTakeFirst()).toMatchObject({
      rating_sum: 2,
      rating_count: 1,
      delivered: 1,
      delivered_in_time: 1,
    });
  });

  it('with parts that the buyer keeps for less is paid for less, and that is on paper', async () => {
    const { database, tasks, awarded, happens, state, paid, maker, buyer, order, mailsTo, read } = await scene();
    await awarded();
    await state('payment_authorised');
    await happens('begin_production', 'manufacturer', maker.user);
    await paid('captured');
    await happens('finish_production', 'manufacturer', maker.user);
    const grant = (minor: number, actorId = maker.user) =>
      database
        .transaction()
        .execute((transaction) =>
          tasks.grantCredit(
            transaction,
            order,
            { quantity: 2, cause: 'surface', amount: money(minor, 'EUR') },
            { actor: 'manufacturer', actorId },
          ),
        );
    await expect(grant(price + 1)).rejects.toMatchObject({ code: 'REFUND_TOO_LARGE' });
    await expect(grant(1_000, buyer)).rejects.toMatchObject({ code: 'FORBIDDEN_ACTOR' });
    await grant(1_000);
    await expect.poll(() => atGateway().refunded, patience).toBe(1_200);
    expect((await read()).state).toBe('inspection');
    await happens('ship', 'manufacturer', maker.user);
    await happens('deliver', 'buyer', buyer);
    await happens('accept_parts', 'buyer', buyer);
    // A tenth of what was earned is the platform's.
    await expect.poll(bank, patience).toBe(-(due - 1_200 - (price - 1_000) / 10));
    await agrees();
    const papers = () => database.selectFrom('invoices').select(['kind', 'number']).orderBy('id').execute();
    await expect.poll(papers, patience).toEqual([
      { kind: 'invoice', number: 1 },
      { kind: 'credit_note', number: 2 },
    ]);
    await expect.poll(() => mailsTo('ann@customer.example').filter((subject) => /credit note/i.test(subject)).length, patience).toBe(1);
  });

  it('that is disputed and resolved for the buyer is given back whole, and so is its invoice', async () => {
    const { database, awarded, happens, state, paid, maker, buyer, order } = await scene();
    await awarded();
    await state('payment_authorised');
    await happens('begin_production', 'manufacturer', maker.user);
    await paid('captured');
    for (const event of ['finish_production', 'ship'] as const) await happens(event, 'manufacturer', maker.user);
    await happens('dispute', 'buyer', buyer);
    await happens('resolve_for_buyer', 'staff');
    await expect.poll(atGateway, patience).toEqual({ captured: due, refunded: due });
    const papers = async () =>
      (await database.selectFrom('invoices').select('document').where('order_id', '=', order).orderBy('id').execute()).map(
        ({ document }) => (document['totals'] as { readonly grossMinor: number }).grossMinor,
      );
    await expect.poll(papers, patience).toEqual([due, -due]);
    await agrees();
  });

  it('between two companies of the EU is without tax once their VAT ids are checked, and keeps these for its invoice', async () => {
    const { database, awarded, happens, state, paid, maker, buyer, read } = await scene();
    const isFrom = (user: number, country: string, vat_id: string, vat_id_checked_at: Date | null) =>
      database.updateTable('users').set({ country, vat_id, vat_id_checked_at }).where('id', '=', user).execute();
    await isFrom(maker.user, 'DE', 'DE123456789', new Date());
    await isFrom(buyer, 'FR', 'FRXX999999999', new Date());
    await awarded();
    await state('payment_authorised');
    expect(await read()).toMatchObject({ tax_rule: 'reverse_charge', tax_minor: 0 });
    await database.transaction().execute((transaction) => changeUser(transaction, buyer, { vat_id: null }));
    await happens('begin_production', 'manufacturer', maker.user);
    await paid('captured');
    for (const event of ['finish_production', 'ship'] as const) await happens(event, 'manufacturer', maker.user);
    const papers = async () => (await database.selectFrom('invoices').select('document').execute()).map(({ document }) => document);
    await expect
      .poll(papers, patience)
      .toMatchObject([{ reverseCharge: true, seller: { vatId: 'DE123456789' }, buyer: { vatId: 'FRXX999999999' } }]);
  });

  it('of a buyer whose VAT id nobody has checked bears the tax', async () => {
    const { database, awarded, state, maker, buyer, read } = await scene();
    await database
      .updateTable('users')
      .set({ country: 'DE', vat_id: 'DE123456789', vat_id_checked_at: new Date() })
      .where('id', '=', maker.user)
      .execute();
    await database.updateTable('users').set({ country: 'FR', vat_id: 'FRXX999999999' }).where('id', '=', buyer).execute();
    await awarded();
    await state('payment_authorised');
    expect(await read()).toMatchObject({ tax_rule: 'destination', tax_rate: 2_000 });
  });

  it('that asks for quotes goes to whom the buyer awards it', async () => {
    const { database, tasks, happens, state, buyer, maker, order, mailsTo, read } = await scene({ rfq: true });
    await happens('submit', 'buyer', buyer);
    await state('sourcing');
    const quote = await database.selectFrom('quotes').selectAll().where('order_id', '=', order).executeTakeFirstOrThrow();
    const uses = [{ week: weeks[2] ?? '', minutes: 120 }];
    // With the tax it would be more than a card can be charged.
    await expect(
      database
        .transaction()
        .execute((transaction) => tasks.quotes.submit(transaction, quote.id, maker.user, parseAmount('900000.00', 'EUR'), uses)),
    ).rejects.toMatchObject({ code: 'INVALID_AMOUNT' });
    await database
      .transaction()
      .execute((transaction) => tasks.quotes.submit(transaction, quote.id, maker.user, parseAmount('99.00', 'EUR'), uses));
    await database.transaction().execute((transaction) => tasks.quotes.award(transaction, quote.id, buyer, parseAmount('99.00', 'EUR')));
    await state('payment_authorised');
    expect(await read()).toMatchObject({ price_minor: 9_900, manufacturer_id: maker.id });
    await expect.poll(() => mailsTo('turner@plant.example').length, patience).toBe(3);
    // The buyer hears who quotes what, instead of that it is quoted.
    const toBuyer = () => mailsTo('ann@customer.example');
    await expect.poll(() => toBuyer().length, patience).toBe(4);
    expect(toBuyer().filter((subject) => subject === `Order ${order}: Turners Ltd quotes 99.00 EUR`)).toHaveLength(1);
    // What came before the award is none of his, however late it is told.
    await (await tasks.notifyStatus.delay({ order_id: order, version: 1 })).result({ timeout: '30s' });
    await expect
      .poll(async () => (await platform.app.inspector.queues()).reduce((sum, one) => sum + one.ready + one.running, 0), patience)
      .toBe(0);
    expect(mailsTo('turner@plant.example')).toHaveLength(3);
  });

  it('whose quotes have come to nothing is asked for again, and does not stand in the way of others', async () => {
    const time = { now: Date.now() };
    const { database, tasks, happens, state, buyer, order, mailsTo } = await scene({ rfq: true, deps: { now: () => time.now } });
    await happens('submit', 'buyer', buyer);
    await state('sourcing');
    await expect.poll(() => mailsTo('turner@plant.example').length, patience).toBe(1);
    time.now += 8 * 86_400_000;
    await database
      .updateTable('orders')
      .set({ deadline: new Date(time.now) })
      .where('id', '=', order)
      .execute();
    const other = await newOrder(database, { buyer_id: buyer, mode: 'rfq', due_on: addDays(today, 45), minutes: 60 });
    await database.updateTable('orders').set({ state: 'submitted' }).where('id', '=', other).execute();
    const handle = await tasks.processPendingOrders.delay({});
    expect(await handle.result({ timeout: '30s' })).toMatchObject({ overdue: 1, asked: 2 });
    await expect.poll(() => mailsTo('turner@plant.example').length, patience).toBe(3);
    const asked = await database.selectFrom('quotes').select(['order_id', 'state']).orderBy('order_id').execute();
    expect(asked).toEqual([
      { order_id: order, state: 'requested' },
      { order_id: other, state: 'requested' },
    ]);
    // Nobody can make it any more: what was asked for is over.
    await database.updateTable('manufacturers').set({ active: false }).execute();
    time.now += 8 * 86_400_000;
    await database
      .updateTable('orders')
      .set({ deadline: new Date(time.now) })
      .execute();
    expect(await (await tasks.processPendingOrders.delay({})).result({ timeout: '30s' })).toMatchObject({ overdue: 2 });
    const left = await database.selectFrom('quotes').select('state').execute();
    expect(left).toEqual([{ state: 'expired' }, { state: 'expired' }]);
  });

  it('that nobody can make waits, and is offered with all that wait when somebody can', async () => {
    const { database, tasks, happens, buyer, maker, order, state, read } = await scene();
    await database.updateTable('manufacturers').set({ active: false }).execute();
    await happens('submit', 'buyer', buyer);
    await expect.poll(async () => (await database.selectFrom('order_matches').selectAll().execute()).length, patience).toBe(1);
    expect((await read()).state).toBe('submitted');
    await database.updateTable('manufacturers').set({ active: true }).execute();
    const handle = await tasks.processPendingOrders.delay({});
    expect(await handle.result({ timeout: '30s' })).toMatchObject({ pending: 1, offered: 1, waiting: 0, method: 'optimal' });
    await state('sourcing');
    expect(await database.selectFrom('offers').select(['manufacturer_id', 'state']).where('order_id', '=', order).execute()).toEqual([
      { manufacturer_id: maker.id, state: 'open' },
    ]);
  });
});

describe('a payment', { timeout: 60_000 }, () => {
  it('of the specification runs as it is written there, and twice is once', async () => {
    const { database, tasks, buyer, order, paid, payment } = await scene({ card: 'pm_card_never_used' });
    await database.updateTable('orders').set({ state: 'awarded', price_minor: 10_000, currency: 'USD' }).where('id', '=', order).execute();
    const input = { amount: 100.0, currency: 'USD', payment_method_id: 'pm_123', order_id: order, user_id: buyer };
    const [first, second] = await Promise.all([tasks.processPayment.delay(input), tasks.processPayment.delay(input)]);
    await paid('captured');
    const results = await Promise.all([first.result({ timeout: '30s' }), second.result({ timeout: '30s' })]);
    expect(results[0]).toMatchObject({ payment_id: (await payment())?.id, status: 'captured' });
    expect(results[1]).toEqual(results[0]);
    expect(platform.sandbox.ledger.totals().get('USD')?.captured).toBe(10_000);
    expect(platform.sandbox.ledger.doubleCharges()).toEqual([]);
  });

  it.each([
    ['another amount', { amount: 1 }],
    ['another currency', { currency: 'USD' }],
    ['an order of somebody else', { user_id: 2 ** 40 }],
    ['an order that is not there', { order_id: 2 ** 40 }],
  ])('for %s is refused for good', async (_, change) => {
    const { tasks, buyer, order, database } = await scene({ card: 'pm_card_never_used' });
    await database.updateTable('orders').set({ state: 'awarded', price_minor: 10_000 }).where('id', '=', order).execute();
    const handle = await tasks.processPayment.delay({
      amount: 100,
      currency: 'EUR',
      payment_method_id: 'pm_123',
      order_id: order,
      user_id: buyer,
      ...change,
    });
    await expect(handle.result({ timeout: '30s' })).rejects.toMatchObject({ code: 'JOB_FAILED' });
    expect(platform.sandbox.calls()).toBe(0);
  });

  it.each(['pm_card_timeout', 'pm_card_twice', 'pm_card_reset'])('by a provider that answers as %s says is charged once', async (card) => {
    const { awarded, state, payment } = await scene({ card });
    await awarded();
    await state('payment_authorised');
    expect(await payment()).toMatchObject({ status: 'authorised' });
    await agrees();
  });

  it('that is declined for good puts the order on hold, and another card pays it', async () => {
    const { awarded, state, payment, mailsTo, database, tasks, buyer, order, read } = await scene({ card: 'pm_card_lost' });
    await awarded();
    await state('on_hold');
    expect(await read()).toMatchObject({ held_state: 'awarded' });
    expect(await payment()).toMatchObject({ status: 'failed', declined_hard: true, retry_at: null, decline_code: 'lost_card' });
    expect(await database.selectFrom('payment_attempts').select(['number', 'outcome']).execute()).toEqual([
      { number: 1, outcome: 'failed' },
    ]);
    const input = {
      amount: due / 100,
      currency: 'EUR',
      payment_method_id: 'pm_card_visa',
      order_id: order,
      user_id: buyer,
      authorise_only: true,
    };
    await (await tasks.processPayment.delay(input)).result({ timeout: '30s' });
    expect(await payment()).toMatchObject({ status: 'authorised' });
    await state('payment_authorised');
    await expect.poll(() => mailsTo('ann@customer.example').length, patience).toBeGreaterThanOrEqual(6);
    // A notice that comes late finds that another card pays.
    const { id } = await database.selectFrom('payments').select('id').where('declined_hard', '=', true).executeTakeFirstOrThrow();
    await database.deleteFrom('reminders').execute();
    expect(await (await tasks.handleFailedPayment.delay({ payment_id: id })).result({ timeout: '30s' })).toEqual({
      told: false,
      held: false,
    });
    expect((await read()).state).toBe('payment_authorised');
  });

  it('that is declined softly is tried again on its day, and not before', async () => {
    const time = { now: Date.now() };
    const { awarded, state, payment, paid, tasks, read } = await scene({ card: 'pm_card_soft_once', deps: { now: () => time.now } });
    await awarded();
    await paid('failed');
    expect(await payment()).toMatchObject({ declined_hard: false, decline_code: 'insufficient_funds' });
    const retry = async () => (await tasks.retryFailedPayments.delay({})).result({ timeout: '30s' });
    expect(await retry()).toEqual({ due: 0, forgotten: 0 });
    expect((await read()).state).toBe('awarded');
    const { id = 0, intent } = (await payment()) ?? {};
    const older = await platform.gateway.find(intent ?? '');
    time.now += 86_400_000;
    expect(await retry()).toEqual({ due: 1, forgotten: 0 });
    await state('payment_authorised');
    expect(await payment()).toMatchObject({ status: 'authorised', retry_at: null });
    // What somebody has heard before comes late.
    if (older === undefined) throw new Error('the provider does not know it');
    await tasks.payments.take(id, older);
    expect(await payment()).toMatchObject({
      status: 'authorised',
      declined_hard: false,
      charge: expect.not.stringMatching(older.charge ?? '') as string,
    });
    await agrees();
  });

  it('that stays declined is tried on days 1, 3, 7 and 14, and then the order waits', async () => {
    const time = { now: Date.now() };
    const { awarded, state, payment, paid, tasks, mailsTo } = await scene({
      card: 'pm_card_insufficient_funds',
      deps: { now: () => time.now },
    });
    await awarded();
    await paid('failed');
    const begun = time.now;
    // Dunning holds the payment for a moment, and a run leaves alone what somebody holds.
    const notices = (count: number) =>
      expect.poll(async () => (await platform.database.selectFrom('reminders').selectAll().execute()).length, patience).toBe(count);
    await notices(1);
    const days: number[] = [];
    for (let day = 1; day <= 20; day++) {
      time.now = begun + day * 86_400_000 + 60_000;
      const { due } = await (await tasks.retryFailedPayments.delay({})).result({ timeout: '30s' });
      if (due === 0) continue;
      days.push(day);
      await notices(1 + days.length);
      expect(await payment()).toMatchObject({ status: 'failed' });
    }
    expect(days).toEqual([1, 3, 7, 14]);
    await state('on_hold');
    expect(await payment()).toMatchObject({ declined_hard: true, retry_at: null });
    // Received, awarded, four notices that it is tried again, one that it is not, and the hold.
    await expect.poll(() => mailsTo('ann@customer.example').length, patience).toBe(8);
  });

  it('that needs the buyer goes on when he has confirmed', async () => {
    const { awarded, state, payment, paid, tasks, mailsTo } = await scene({ card: 'pm_card_authenticationRequired' });
    await awarded();
    await paid('requires_action');
    const { id = 0, intent, action_url } = (await payment()) ?? {};
    expect(action_url).toMatch(/^http/);
    // Received, awarded, and what is to be done.
    await expect.poll(() => mailsTo('ann@customer.example').length, patience).toBe(3);
    platform.sandbox.approve(intent ?? '');
    await (await tasks.chargePayment.delay({ payment_id: id })).result({ timeout: '30s' });
    await state('payment_authorised');
    expect(await payment()).toMatchObject({ status: 'authorised', action_url: null });
  });

  it('that the buyer does not confirm is declined, and one that the provider does not know is refused', async () => {
    const { awarded, payment, paid, tasks, mailsTo, state } = await scene({ card: 'pm_card_authenticationRequired' });
    await awarded();
    await paid('requires_action');
    const { id = 0, intent } = (await payment()) ?? {};
    platform.sandbox.reject(intent ?? '');
    await (await tasks.chargePayment.delay({ payment_id: id })).result({ timeout: '30s' });
    expect(await payment()).toMatchObject({ status: 'failed', declined_hard: false });
    await expect.poll(() => mailsTo('ann@customer.example').length, patience).toBe(4);
    await platform.database
      .updateTable('payments')
      .set({ payment_method: 'pm_never_heard_of', retry_at: new Date(0) })
      .execute();
    await (await tasks.chargePayment.delay({ payment_id: id })).result({ timeout: '30s' });
    expect(await payment()).toMatchObject({ status: 'failed', declined_hard: true, decline_code: 'refused', retry_at: null });
    await state('on_hold');
    // It was told that it is tried again, and is told that it is not.
    await expect.poll(() => mailsTo('ann@customer.example').filter((line) => /could not charge/.test(line)).length, patience).toBe(1);
  });

  it('that the buyer never confirms is told each time, and at last that it was the last time', async () => {
    const time = { now: Date.now() };
    const { awarded, payment, paid, tasks, mailsTo, state } = await scene({
      card: 'pm_card_authenticationRequired',
      deps: { now: () => time.now },
    });
    const mails = (subject: RegExp, count: number) =>
      expect.poll(() => mailsTo('ann@customer.example').filter((line) => subject.test(line)).length, patience).toBe(count);
    const begun = time.now;
    await awarded();
    for (const [place, day] of [0, 1, 3, 7, 14].entries()) {
      time.now = begun + day * 86_400_000 + 60_000 * (place + 1);
      if (day > 0) expect(await (await tasks.retryFailedPayments.delay({})).result({ timeout: '30s' })).toEqual({ due: 1, forgotten: 0 });
      await paid('requires_action');
      const { id = 0, intent } = (await payment()) ?? {};
      platform.sandbox.reject(intent ?? '');
      await (await tasks.chargePayment.delay({ payment_id: id })).result({ timeout: '30s' });
      await mails(/did not go through/, Math.min(place + 1, 4));
      // Dunning holds the payment for a moment, and a run leaves alone what somebody holds.
      await expect
        .poll(async () => (await platform.database.selectFrom('reminders').selectAll().execute()).length, patience)
        .toBe(place + 1);
    }
    await mails(/could not charge/, 1);
    expect(await payment()).toMatchObject({ status: 'failed', declined_hard: true, charge: null });
    await state('on_hold');
  });

  it('that its bank declines without a charge is declined, and not sent again at once', async () => {
    const { awarded, payment, paid, tasks, mailsTo, database } = await scene({ card: 'pm_card_authenticationFails' });
    await awarded();
    await paid('failed');
    expect(await payment()).toMatchObject({ charge: null, decline_code: 'payment_intent_authentication_failure', declined_hard: false });
    const { id = 0, retry_at } = (await payment()) ?? {};
    expect(retry_at?.getTime()).toBeGreaterThan(Date.now());
    await (await tasks.chargePayment.delay({ payment_id: id })).result({ timeout: '30s' });
    expect(await database.selectFrom('payment_attempts').select('outcome').execute()).toEqual([{ outcome: 'failed' }]);
    await expect.poll(() => mailsTo('ann@customer.example').filter((line) => /did not go through/.test(line)).length, patience).toBe(1);
  });

  it('that the provider does not take at all has the order wait, and leaves no dead letter', async () => {
    const { database, tasks, buyer, order, state, payment, maker, mailsTo } = await scene({ card: 'pm_card_never_used' });
    // More than Stripe takes at once.
    await database
      .updateTable('orders')
      .set({ state: 'awarded', manufacturer_id: maker.id, price_minor: 100_000_000 })
      .where('id', '=', order)
      .execute();
    const input = { amount: 1_000_000, currency: 'EUR', payment_method_id: 'pm_card_visa', order_id: order, user_id: buyer };
    expect(await (await tasks.processPayment.delay(input)).result({ timeout: '30s' })).toMatchObject({ status: 'failed' });
    expect(await payment()).toMatchObject({ intent: null, status: 'failed', declined_hard: true, decline_code: 'refused' });
    await state('on_hold');
    await expect.poll(() => mailsTo('ann@customer.example').filter((line) => /could not charge/.test(line)).length, patience).toBe(1);
    expect((await platform.app.inspector.queues()).reduce((sum, { dead }) => sum + dead, 0)).toBe(0);
  });

  it('whose intent the provider does not know is for a person, who is told once, and goes on when it is known', async () => {
    const { awarded, payment, paid, tasks, state, database } = await scene({ card: 'pm_card_authenticationRequired' });
    await awarded();
    await paid('requires_action');
    const { id = 0, intent } = (await payment()) ?? {};
    // As with the key of another account.
    await database.updateTable('payments').set({ intent: 'pi_unheard_of' }).execute();
    const look = async () => (await tasks.chargePayment.delay({ payment_id: id })).result({ timeout: '30s' });
    for (const _ of [1, 2]) await expect(look()).rejects.toMatchObject({ code: 'JOB_CANCELLED' });
    expect(await database.selectFrom('payment_differences').select(['kind', 'payment_id', 'resolved_at']).execute()).toEqual([
      { kind: 'missing', payment_id: id, resolved_at: null },
    ]);
    expect((await platform.app.inspector.queues()).reduce((sum, { dead }) => sum + dead, 0)).toBe(0);
    await database
      .updateTable('payments')
      .set({ intent: intent ?? '' })
      .execute();
    platform.sandbox.approve(intent ?? '');
    await look();
    await state('payment_authorised');
  });

  it('that one job is charging is not charged by another one', async () => {
    const { awarded, paid, payment, tasks, database, state } = await scene({
      card: 'pm_card_lost',
      sandbox: { trouble: ({ path }) => (path.endsWith('/confirm') ? { kind: 'late', done: false, ms: 1_000 } : undefined) },
    });
    await awarded();
    await paid('unknown');
    const { id = 0 } = (await payment()) ?? {};
    // The provider has not heard of it yet. Whoever asks now hears later what came of it, or leaves it to the other.
    await Promise.allSettled([(await tasks.chargePayment.delay({ payment_id: id })).result({ timeout: '30s' })]);
    await state('on_hold');
    expect(await database.selectFrom('payment_attempts').select(['number', 'outcome']).execute()).toEqual([
      { number: 1, outcome: 'failed' },
    ]);
  });

  it('that nobody has tried for days is tried once, and again on the day that is left', async () => {
    const time = { now: Date.now() };
    const { awarded, payment, paid, tasks } = await scene({ card: 'pm_card_insufficient_funds', deps: { now: () => time.now } });
    await awarded();
    await paid('failed');
    const { first_declined_at: first } = (await payment()) ?? {};
    // Dunning holds the payment for a moment, and a run leaves alone what somebody holds.
    const told = () => platform.database.selectFrom('reminders').selectAll().where('kind', '=', 'payment_failed').execute();
    await expect.poll(async () => (await told()).length, patience).toBe(1);
    time.now += 8 * 86_400_000;
    await (await tasks.retryFailedPayments.delay({})).result({ timeout: '30s' });
    const retryOn = (day: number) =>
      expect.poll(async () => (await payment())?.retry_at?.getTime(), patience).toBe((first?.getTime() ?? 0) + day * 86_400_000);
    await retryOn(14);
  });

  it('that the buyer tries by other cards at once keeps its days', async () => {
    const { awarded, payment, paid, tasks, order, buyer, database } = await scene({ card: 'pm_card_insufficient_funds' });
    await awarded();
    await paid('failed');
    const { first_declined_at: first } = (await payment()) ?? {};
    for (const reason of ['do_not_honor', 'generic_decline', 'try_again_later', 'processing_error']) {
      const input = { amount: due / 100, currency: 'EUR', order_id: order, user_id: buyer, authorise_only: true };
      const paying = await tasks.processPayment.delay({ ...input, payment_method_id: `pm_card_decline_${reason}` });
      expect(await paying.result({ timeout: '30s' })).toMatchObject({ status: 'failed', decline_code: reason });
    }
    expect(await payment()).toMatchObject({ declined_hard: false, first_declined_at: first });
    expect((await payment())?.retry_at?.getTime()).toBe((first?.getTime() ?? 0) + 86_400_000);
    expect(await database.selectFrom('payment_attempts').selectAll().execute()).toHaveLength(5);
  });

  it.each(['at once', 'after a confirmation that was lost'])(
    'that waits for the buyer is paid by another card instead, %s',
    async (when) => {
      let confirmations = 0;
      const { awarded, payment, paid, tasks, order, buyer, state, mailsTo, database } = await scene({
        card: 'pm_card_authenticationRequired',
        sandbox: {
          trouble: ({ path }) => {
            if (!path.endsWith('/confirm')) return undefined;
            confirmations += 1;
            return when !== 'at once' && confirmations === 2 ? { kind: 'reset', done: false } : undefined;
          },
        },
      });
      await awarded();
      await paid('requires_action');
      const input = { amount: due / 100, currency: 'EUR', order_id: order, user_id: buyer, authorise_only: true };
      const pay = async (payment_method_id: string) =>
        (await tasks.processPayment.delay({ ...input, payment_method_id })).result({ timeout: '30s' });
      // The same is no other one.
      expect(await pay('pm_card_authenticationRequired')).toMatchObject({ status: 'requires_action' });
      expect(await pay('pm_card_visa')).toMatchObject({ status: 'authorised' });
      await state('payment_authorised');
      expect(await payment()).toMatchObject({ payment_method: 'pm_card_visa', action_url: null });
      const outcomes = (await database.selectFrom('payment_attempts').select('outcome').orderBy('number').execute()).map(
        ({ outcome }) => outcome,
      );
      expect(outcomes).toEqual(['requires_action', ...(when === 'at once' ? [] : ['never_arrived']), 'authorised']);
      await expect.poll(() => mailsTo('ann@customer.example').length, patience).toBe(4);
      expect(mailsTo('ann@customer.example').filter((line) => /confirm/i.test(line))).toHaveLength(1);
      await agrees();
    },
  );

  it('whose job was lost is found and goes on', async () => {
    const time = { now: Date.now() };
    const { database, awarded, state, tasks, payment } = await scene({ deps: { now: () => time.now } });
    await awarded();
    await state('payment_authorised');
    // As a worker leaves it that dies after it has said so, and before it has charged.
    await database.updateTable('payments').set({ status: 'unknown' }).execute();
    time.now += 3_600_000;
    expect(await (await tasks.retryFailedPayments.delay({})).result({ timeout: '30s' })).toEqual({ due: 0, forgotten: 1 });
    await expect.poll(async () => (await payment())?.status, patience).toBe('authorised');
    await agrees();
  });
});

describe('a payment that was reserved', { timeout: 60_000 }, () => {
  /** The time of the authorisation is over. @returns its payment, and what pays for the order by another card */
  async function lapsing() {
    const all = await scene();
    const { awarded, state, payment, tasks, order, buyer } = all;
    const staff = await newUser(all.database, 'staff', 'staff@taktline.example');
    await awarded();
    await state('payment_authorised');
    const { id = 0, intent } = (await payment()) ?? {};
    const input = {
      amount: due / 100,
      currency: 'EUR',
      payment_method_id: 'pm_card_mastercard',
      order_id: order,
      user_id: buyer,
      authorise_only: true,
    };
    return {
      ...all,
      id,
      staff,
      lapse: () => platform.sandbox.lapse(intent ?? ''),
      look: async () => (await tasks.chargePayment.delay({ payment_id: id })).result({ timeout: '30s' }),
      payAgain: async () => (await tasks.processPayment.delay(input)).result({ timeout: '30s' }),
    };
  }
  const told = async (mailsTo: (address: string) => readonly string[], subject: RegExp, ...addresses: readonly string[]) => {
    for (const address of addresses)
      await expect.poll(() => mailsTo(address).filter((line) => subject.test(line)).length, patience).toBe(1);
  };
  const eventsOf = async (order: number) =>
    (await platform.database.selectFrom('order_events').select('event').where('order_id', '=', order).orderBy('version').execute()).map(
      ({ event }) => event,
    );

  it('and lapses has its order wait, and everybody hears of it, until it is paid for again', async () => {
    const { lapse, look, payAgain, id, state, read, payment, paid, happens, maker, order, mailsTo } = await lapsing();
    lapse();
    // Told twice, it is lost once.
    await look();
    await look();
    expect(await payment()).toMatchObject({ status: 'cancelled', captured_minor: 0 });
    expect(await read()).toMatchObject({ state: 'on_hold', held_state: 'awarded' });
    await told(mailsTo, /please pay again/, 'ann@customer.example');
    await told(mailsTo, /on hold/, 'staff@taktline.example', 'turner@plant.example');
    await payAgain();
    await state('payment_authorised');
    await happens('begin_production', 'manufacturer', maker.user);
    await paid('captured');
    expect((await payment())?.id).not.toBe(id);
    expect((await eventsOf(order)).slice(-5)).toEqual([
      'authorise_payment',
      'lose_payment',
      'resume',
      'authorise_payment',
      'begin_production',
    ]);
    await agrees();
  });

  it('and lapses unheard is missed when it is to be taken: its order waits, and no job is left for a person', async () => {
    const { lapse, payAgain, tasks, state, read, paid, happens, maker, order, mailsTo } = await lapsing();
    lapse();
    await happens('begin_production', 'manufacturer', maker.user);
    await state('on_hold');
    expect(await read()).toMatchObject({ held_state: 'awarded', paid_at: null });
    await told(mailsTo, /please pay again/, 'ann@customer.example');
    // One that comes late finds nothing to take, and takes nothing before the work begins again.
    const capture = async () => (await tasks.capturePayment.delay({ order_id: order })).result({ timeout: '30s' });
    await expect(capture()).rejects.toMatchObject({ code: 'JOB_CANCELLED' });
    await payAgain();
    await state('payment_authorised');
    await expect(capture()).rejects.toMatchObject({ code: 'JOB_CANCELLED' });
    expect(atGateway().captured).toBe(0);
    await happens('begin_production', 'manufacturer', maker.user);
    await paid('captured');
    expect((await platform.app.inspector.queues()).reduce((sum, { dead }) => sum + dead, 0)).toBe(0);
    await agrees();
  });

  it('and lapses during a hold of the staff is paid for again, and the staff resume', async () => {
    const { lapse, look, payAgain, staff, state, read, happens, order } = await lapsing();
    await happens('hold', 'staff', staff);
    lapse();
    await look();
    expect(await read()).toMatchObject({ state: 'on_hold', held_state: 'awarded' });
    await payAgain();
    expect(await read()).toMatchObject({ state: 'on_hold', held_state: 'awarded' });
    expect(await happens('resume', 'staff', staff)).toMatchObject({ state: 'payment_authorised', held_state: null });
    await state('payment_authorised');
    expect((await eventsOf(order)).slice(-4)).toEqual(['hold', 'lose_payment', 'resume', 'authorise_payment']);
  });

  it('and lapses for an order that is cancelled changes nothing there; and the log says that there was no fee to take', async () => {
    const { lapse, paid, read, happens, buyer, mailsTo } = await lapsing();
    lapse();
    await happens('cancel', 'buyer', buyer);
    await paid('cancelled');
    expect(await read()).toMatchObject({ state: 'cancelled', held_state: null });
    await expect
      .poll(() => platform.lines.filter((line) => line.includes('the fee of a cancelled order was not taken')).length, patience)
      .toBe(1);
    expect((await platform.app.inspector.queues()).reduce((sum, { dead }) => sum + dead, 0)).toBe(0);
    expect(mailsTo('ann@customer.example').filter((line) => /pay again/.test(line))).toEqual([]);
  });
});

describe('an order that the staff have put on hold', { timeout: 60_000 }, () => {
  it('stays so when it is paid for, and goes on when they resume it', async () => {
    const { database, tasks, buyer, order, happens, state, payment, paid, read, awarded } = await scene({
      card: 'pm_card_authenticationRequired',
    });
    const staff = await newUser(database, 'staff');
    await awarded();
    await paid('requires_action');
    await happens('hold', 'staff', staff);
    const { id = 0, intent } = (await payment()) ?? {};
    platform.sandbox.approve(intent ?? '');
    await (await tasks.chargePayment.delay({ payment_id: id })).result({ timeout: '30s' });
    await paid('authorised');
    expect(await read()).toMatchObject({ state: 'on_hold', held_state: 'awarded', buyer_id: buyer });
    await happens('resume', 'staff', staff);
    await state('payment_authorised');
    const last = await database
      .selectFrom('order_events')
      .selectAll()
      .where('order_id', '=', order)
      .orderBy('version', 'desc')
      .executeTakeFirst();
    expect(last).toMatchObject({ event: 'authorise_payment', actor: 'system', data: { payment: id } });
  });
});

describe('an order that is cancelled while it is paid for', { timeout: 60_000 }, () => {
  it('lets go what is reserved for it only afterwards', async () => {
    const { awarded, happens, paid, tasks, payment, read, database } = await scene({ card: 'pm_card_authenticationRequired' });
    await awarded();
    await paid('requires_action');
    const { id = 0, intent } = (await payment()) ?? {};
    // As when the buyer confirms in the moment in which he cancels: the job that lets go has run before.
    await database.updateTable('orders').set({ state: 'cancelled' }).execute();
    platform.sandbox.approve(intent ?? '');
    await (await tasks.chargePayment.delay({ payment_id: id })).result({ timeout: '30s' });
    await paid('cancelled');
    expect((await read()).state).toBe('cancelled');
    expect(atGateway().captured).toBe(0);
    await expect(happens('authorise_payment', 'system')).rejects.toMatchObject({ code: 'ILLEGAL_EVENT' });
    await agrees();
  });

  it('is not charged any more, whatever waits, and leaves no dead letter', async () => {
    const { awarded, state, happens, paid, tasks, payment, order, buyer, database } = await scene({ card: 'pm_card_insufficient_funds' });
    await awarded();
    await paid('failed');
    const { id = 0 } = (await payment()) ?? {};
    await happens('cancel', 'staff');
    await paid('cancelled');
    const calls = platform.sandbox.calls();
    const input = { amount: due / 100, currency: 'EUR', payment_method_id: 'pm_card_visa', order_id: order, user_id: buyer };
    await expect((await tasks.processPayment.delay(input)).result({ timeout: '30s' })).rejects.toMatchObject({ code: 'JOB_CANCELLED' });
    expect(await payment()).toMatchObject({ retry_at: null });
    await (await tasks.chargePayment.delay({ payment_id: id })).result({ timeout: '30s' });
    await expect((await tasks.capturePayment.delay({ order_id: order })).result({ timeout: '30s' })).rejects.toMatchObject({
      code: 'JOB_CANCELLED',
    });
    expect(platform.sandbox.calls()).toBeLessThanOrEqual(calls + 1);
    expect((await platform.app.inspector.queues()).reduce((sum, { dead }) => sum + dead, 0)).toBe(0);
    await state('cancelled');
    await agrees();
    // Whatever day is noted, nobody tries it.
    await database
      .updateTable('payments')
      .set({ retry_at: new Date(0), updated_at: new Date(0) })
      .execute();
    expect(await (await tasks.retryFailedPayments.delay({})).result({ timeout: '30s' })).toEqual({ due: 0, forgotten: 0 });
  });
});

describe('money that goes back', { timeout: 60_000 }, () => {
  it('a buyer who cancels before the work begins pays a tenth, and the rest was never taken', async () => {
    const { awarded, happens, state, buyer, paid, database, maker, read, mailsTo } = await scene();
    await awarded();
    await state('payment_authorised');
    await happens('cancel', 'buyer', buyer);
    await paid('captured');
    expect((await read()).fee_minor).toBe(price / 10);
    await expect.poll(bank, patience).toBe((-price / 10) * 0.9);
    expect((await balanceOf(database, `payable:${maker.id}`, 'EUR')).minor).toBe(0);
    expect(atGateway()).toEqual({ captured: price / 10, refunded: 0 });
    await expect.poll(() => mailsTo('turner@plant.example').filter((subject) => subject.startsWith('Payout')).length, patience).toBe(1);
    const told = platform.smtp.mails.find(
      ({ to, parsed }) => to.includes('turner@plant.example') && /cancelled/i.test(parsed.subject ?? ''),
    );
    expect(told?.parsed.text?.replace(/\s+/g, ' ')).toContain(`You get ${((price / 1_000) * 0.9).toFixed(2)} EUR`);
    expect(told?.parsed.text).not.toContain('There is no fee');
    const { booked } = await database
      .selectFrom('capacity')
      .select(({ fn }) => fn.sum<number>('booked_minutes').as('booked'))
      .executeTakeFirstOrThrow();
    expect(booked).toBe(0);
    await agrees();
  });

  it('one whom the platform cancels for pays nothing', async () => {
    const { awarded, happens, state, paid } = await scene();
    await awarded();
    await state('payment_authorised');
    await happens('cancel', 'staff');
    await paid('cancelled');
    expect(atGateway().captured).toBe(0);
    await agrees();
  });

  it('cancelled during the work: half goes back', async () => {
    const { awarded, happens, state, buyer, maker, paid, mailsTo } = await scene();
    await awarded();
    await state('payment_authorised');
    await happens('begin_production', 'manufacturer', maker.user);
    await paid('captured');
    await happens('cancel', 'buyer', buyer);
    await expect.poll(atGateway, patience).toEqual({ captured: due, refunded: due - price / 2 });
    await expect.poll(() => mailsTo('ann@customer.example').filter((subject) => /refund/i.test(subject)).length, patience).toBe(1);
    await agrees();
  });

  it('is never more than was captured, whoever asks at once', async () => {
    const { awarded, happens, state, maker, paid, payment, database } = await scene();
    await awarded();
    await state('payment_authorised');
    await happens('begin_production', 'manufacturer', maker.user);
    await paid('captured');
    const { id = 0 } = (await payment()) ?? {};
    const ask = (reference: string, minor: number) =>
      database
        .transaction()
        .execute((transaction) => requestRefund(transaction, { payment: id, amount: money(minor, 'EUR'), reference, reason: 'test' }));
    const results = await Promise.allSettled(Array.from({ length: 6 }, (_, n) => ask(`part:${n}`, due / 4)));
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(4);
    await expect(ask('more', 1)).rejects.toMatchObject({ code: 'REFUND_TOO_LARGE' });
    expect((await ask('part:0', due / 4).catch(() => ({ fresh: true }))).fresh).toBe(results[0]?.status !== 'fulfilled');
  });

  it('and cannot go back stays reserved for the buyer until another refund stands for it, or it is waived', async () => {
    const { database, tasks, buyer, maker, order, happens, payment, produced } = await scene({ card: 'pm_card_pendingRefund' });
    await produced();
    const { id = 0, intent } = (await payment()) ?? {};
    const credit = async (minor: number) => {
      const amount = money(minor, 'EUR');
      const found = { quantity: 1, cause: 'surface', amount } as const;
      await database.transaction().execute((transaction) => tasks.grantCredit(transaction, order, found, { actor: 'staff' }));
      const refund = await database.selectFrom('refunds').selectAll().orderBy('id', 'desc').executeTakeFirstOrThrow();
      await refundEnds(intent ?? '', `refund-${refund.id}`, 'failed');
      await expect((await tasks.refundPayment.delay({ refund_id: refund.id })).result({ timeout: '30s' })).rejects.toMatchObject({
        code: 'JOB_FAILED',
      });
      return refund.id;
    };
    const replaced = await credit(1_000);
    const waived = await credit(500);
    await happens('ship', 'manufacturer', maker.user);
    await happens('deliver', 'buyer', buyer);
    await happens('accept_parts', 'buyer', buyer);
    await expect.poll(bank, patience).toBe(-(due - 1_800 - (price - 1_500) / 10));
    expect((await inEscrow(database, order, 'EUR')).minor).toBe(1_800);

    const another = { payment: id, amount: money(1_200, 'EUR'), reference: 'again', reason: 'by another way', replaces: replaced };
    const { refund } = await database.transaction().execute((transaction) => requestRefund(transaction, another));
    await expect(
      database.transaction().execute((transaction) => requestRefund(transaction, { ...another, reference: 'more' })),
    ).rejects.toMatchObject({ code: 'NOT_FAILED' });
    await tasks.refundPayment.delay({ refund_id: refund.id });
    await refundEnds(intent ?? '', `refund-${refund.id}`, 'succeeded');
    await (await tasks.refundPayment.delay({ refund_id: refund.id })).result({ timeout: '30s' });
    await database.transaction().execute((transaction) => waiveRefund(transaction, id, waived));
    for (let twice = 0; twice < 2; twice += 1) await (await tasks.payOut.delay({ order_id: order })).result({ timeout: '30s' });
    expect(await bank()).toBe(-(due - 1_200 - (price - 1_000) / 10));
    expect((await inEscrow(database, order, 'EUR')).minor).toBe(0);
    await agrees();
  });

  it('of a payment that was never captured is refused', async () => {
    const { database, awarded, state, payment } = await scene();
    await awarded();
    await state('payment_authorised');
    const { id = 0 } = (await payment()) ?? {};
    const asked = { payment: id, amount: money(1, 'EUR'), reference: 'x', reason: 'x' };
    await expect(database.transaction().execute((transaction) => requestRefund(transaction, asked))).rejects.toMatchObject({
      code: 'NOT_CAPTURED',
    });
  });

  it('past us at the provider is a difference, and nothing is paid out before somebody has seen to it', async () => {
    const { database, tasks, buyer, maker, order, happens, payment, produced } = await scene();
    await produced();
    await happens('ship', 'manufacturer', maker.user);
    await happens('deliver', 'buyer', buyer);
    const { id = 0, intent = '' } = (await payment()) ?? {};
    await giveBackByHand(intent ?? '', 700);
    const look = async () => (await tasks.chargePayment.delay({ payment_id: id })).result({ timeout: '30s' });
    const open = async () =>
      (await database.selectFrom('payment_differences').select(['kind', 'detail']).where('resolved_at', 'is', null).execute()).map(
        ({ kind, detail }) => ({ kind, ...detail }),
      );
    await look();
    expect(await open()).toEqual([{ kind: 'refunded', ours: 0, theirs: 700 }]);
    await happens('accept_parts', 'buyer', buyer);
    await expect((await tasks.payOut.delay({ order_id: order })).result({ timeout: '30s' })).rejects.toMatchObject({ code: 'JOB_FAILED' });
    expect(await bank()).toBe(0);
    await database.updateTable('payment_differences').set({ resolution: 'seen to', resolved_at: new Date() }).execute();
    // While nothing has changed, it is said once.
    await look();
    expect(await open()).toEqual([]);
    await giveBackByHand(intent ?? '', 1);
    await look();
    expect(await open()).toEqual([{ kind: 'refunded', ours: 0, theirs: 701 }]);
  });

  it('past us can be taken over: it is booked and credited, and the rest is paid out', async () => {
    const { database, tasks, buyer, maker, order, happens, payment, produced, mailsTo } = await scene();
    await produced();
    for (const [event, actor, user] of [
      ['ship', 'manufacturer', maker.user],
      ['deliver', 'buyer', buyer],
      ['accept_parts', 'buyer', buyer],
    ] as const)
      await happens(event, actor, user);
    const { id = 0, intent } = (await payment()) ?? {};
    const takeOver = (theirs: number) =>
      database
        .transaction()
        .execute((transaction) => tasks.takeOverRefund(transaction, { payment: id, theirs, reference: `difference:${theirs}` }));
    const payOut = async () => (await tasks.payOut.delay({ order_id: order })).result({ timeout: '30s' });
    await payOut();
    const paidOut = await bank();
    expect(paidOut).toBe(-(due - price / 10));
    // The manufacturer has all of it by now: who bears it is open.
    await giveBackByHand(intent ?? '', 700);
    expect(await takeOver(700)).toMatchObject({ amount_minor: 700, status: 'succeeded' });
    expect((await balanceOf(database, `chargeback:${order}`, 'EUR')).minor).toBe(700);
    await expect(takeOver(700)).rejects.toMatchObject({ code: 'NOTHING_TO_TAKE_OVER' });
    await agrees();
    await payOut();
    expect(await bank()).toBe(paidOut);
    await expect.poll(() => mailsTo('ann@customer.example').filter((line) => /sent back|refund/i.test(line)).length, patience).toBe(1);
    const notes = () => database.selectFrom('invoices').select('kind').where('order_id', '=', order).orderBy('id').execute();
    await expect.poll(async () => (await notes()).length, patience).toBe(2);
  });

  it('and comes back later from the buyer’s bank is a difference; one that is under way is none', async () => {
    const { database, tasks, payment, produced } = await scene({ card: 'pm_card_pendingRefund' });
    await produced();
    const { id = 0, intent } = (await payment()) ?? {};
    const asked = { payment: id, amount: money(700, 'EUR'), reference: 'x', reason: 'x' };
    const { refund } = await database.transaction().execute((transaction) => requestRefund(transaction, asked));
    const look = async () => (await tasks.chargePayment.delay({ payment_id: id })).result({ timeout: '30s' });
    const differences = async () =>
      (await database.selectFrom('payment_differences').select('detail').execute()).map(({ detail }) => detail);
    await tasks.refundPayment.delay({ refund_id: refund.id });
    await refundEnds(intent ?? '', `refund-${refund.id}`, 'succeeded', async () => {
      await look();
      expect(await differences()).toEqual([]);
    });
    await (await tasks.refundPayment.delay({ refund_id: refund.id })).result({ timeout: '30s' });
    await look();
    await refundEnds(intent ?? '', `refund-${refund.id}`, 'failed');
    // Days later: an answer about a refund that has just ended may be older than its end.
    await database
      .updateTable('refunds')
      .set({ settled_at: new Date(Date.now() - 3 * 86_400_000) })
      .execute();
    await look();
    expect(await differences()).toEqual([{ ours: 700, theirs: 0 }]);
  });
});

/** Of a card whose refunds stay pending. */
async function refundEnds(
  intent: string,
  reference: string,
  status: 'succeeded' | 'failed',
  before: () => Promise<void> = async () => {},
): Promise<void> {
  const made = async () => (await platform.gateway.refunds(intent)).find((refund) => refund.reference === reference)?.id;
  await expect.poll(made, patience).toBeDefined();
  await before();
  platform.sandbox.settleRefund((await made()) ?? '', status);
}

/** As somebody does it at the provider's own pages. */
async function giveBackByHand(intent: string, amount: number): Promise<void> {
  const response = await fetch(`${platform.sandbox.url}/v1/refunds`, {
    method: 'POST',
    headers: { authorization: `Bearer ${platform.sandbox.connection.secretKey}` },
    body: new URLSearchParams({ payment_intent: intent, amount: String(amount) }),
  });
  expect(response.status).toBe(200);
}

describe('a dispute', { timeout: 60_000 }, () => {
  const disputed = async (options: Parameters<typeof scene>[0] = {}) => {
    const all = await scene(options);
    await newUser(all.database, 'staff', 'staff@taktline.example');
    await all.produced();
    const { id = 0, intent } = (await all.payment()) ?? {};
    return {
      ...all,
      id,
      intent: intent ?? '',
      look: async () => (await all.tasks.chargePayment.delay({ payment_id: id })).result({ timeout: '30s' }),
      escrow: async () => (await inEscrow(all.database, all.order, 'EUR')).minor,
      mailsAboutIt: () => platform.smtp.mails.filter(({ parsed }) => /dispute/i.test(parsed.subject ?? '')).length,
    };
  };
  const held = async () => {
    expect((await balanceOf(platform.database, 'gateway', 'EUR')).minor).toBe(
      atGateway().captured - atGateway().refunded - (platform.sandbox.ledger.disputed().get('EUR') ?? 0),
    );
    expect(Object.values(await trialBalance(platform.database)).filter((sum) => sum !== 0)).toEqual([]);
  };

  it('after the shipment is booked, the order is disputed, and nothing more goes back or out', async () => {
    const { happens, maker, database, id, intent, look, state, escrow, mailsAboutIt, mailsTo, tasks, order } = await disputed();
    await happens('ship', 'manufacturer', maker.user);
    const dispute = platform.sandbox.dispute(intent);
    await look();
    await state('disputed');
    expect(await escrow()).toBe(0);
    await held();
    await expect.poll(() => platform.smtp.mails.filter(({ to }) => to.includes('staff@taktline.example')).length, patience).toBe(1);
    await expect(
      database
        .transaction()
        .execute((transaction) => requestRefund(transaction, { payment: id, amount: money(1, 'EUR'), reference: 'x', reason: 'x' })),
    ).rejects.toMatchObject({ code: 'REFUND_TOO_LARGE' });
    await happens('resolve_for_manufacturer', 'staff');
    await (await tasks.payOut.delay({ order_id: order })).result({ timeout: '30s' });
    expect(await bank()).toBe(0);
    expect(mailsTo('turner@plant.example').filter((subject) => subject.startsWith('Payout'))).toEqual([]);
    // Now there is something to pay out.
    platform.sandbox.moveDispute(dispute, 'won');
    await look();
    await expect.poll(bank, patience).toBe(-(due - price / 10));
    await expect.poll(() => mailsTo('turner@plant.example').filter((subject) => subject.startsWith('Payout')).length, patience).toBe(1);
    expect(await escrow()).toBe(0);
    // Buyer, manufacturer and staff, once each, and both sides of the change.
    expect(mailsAboutIt()).toBe(5);
    await held();
  });

  it('before the shipment, of a part, puts the order on hold, and the parts stay until it is won', async () => {
    const { happens, maker, id, intent, look, state, escrow, read, database, order, payment } = await disputed();
    const dispute = platform.sandbox.dispute(intent, { amount: 3_000 });
    await look();
    await state('on_hold');
    expect(await read()).toMatchObject({ held_state: 'inspection', taken_back: true });
    const events = await database.selectFrom('order_events').select(['event', 'data']).where('order_id', '=', order).execute();
    expect(events.at(-1)).toEqual({ event: 'hold', data: { dispute } });
    expect(await escrow()).toBe(due - 3_000);
    await held();
    await happens('resume', 'staff');
    await expect(happens('ship', 'manufacturer', maker.user)).rejects.toMatchObject({ code: 'GUARD' });
    // Told again, or anew, it is the same one.
    await look();
    expect(await read()).toMatchObject({ state: 'inspection' });
    platform.sandbox.moveDispute(dispute, 'won');
    await look();
    await look();
    expect(await escrow()).toBe(due);
    expect(await payment()).toMatchObject({ id, disputed: true });
    await held();
    await happens('ship', 'manufacturer', maker.user);
  });

  it('that is an inquiry yet moves nothing, and is booked when it becomes more', async () => {
    const { intent, look, escrow, read, payment, mailsAboutIt, state, happens } = await disputed();
    const dispute = platform.sandbox.dispute(intent, { inquiry: true });
    await look();
    expect(await escrow()).toBe(due);
    expect((await read()).state).toBe('inspection');
    expect((await payment())?.disputed).toBe(false);
    expect(mailsAboutIt()).toBe(0);
    platform.sandbox.moveDispute(dispute, 'needs_response');
    await look();
    await state('on_hold');
    expect(await escrow()).toBe(0);
    await held();
    // Lost for good: the staff ends it, though the parts are made.
    platform.sandbox.moveDispute(dispute, 'lost');
    await look();
    await expect(happens('cancel', 'system')).rejects.toMatchObject({ code: 'GUARD' });
    await happens('cancel', 'staff');
    await held();
  });

  it('that is won after the order was cancelled waits for a person', async () => {
    const { intent, look, escrow, database, happens, state } = await disputed();
    const dispute = platform.sandbox.dispute(intent);
    await look();
    await state('on_hold');
    await happens('cancel', 'staff');
    platform.sandbox.moveDispute(dispute, 'won');
    await look();
    expect(await escrow()).toBe(due);
    expect(await database.selectFrom('payment_differences').select(['kind', 'intent']).execute()).toEqual([{ kind: 'won_back', intent }]);
    await held();
  });
});

describe('reconciling payments', { timeout: 60_000 }, () => {
  const hour = 3_600_000;
  const reconcile = async (tasks: TestPlatform['tasks']) =>
    (await tasks.reconcilePayments.delay({ from: Date.now() - hour, till: Date.now() + hour })).result({ timeout: '30s' });

  it('finds nothing where all is well', async () => {
    const { awarded, state, tasks, payment, database, order } = await scene();
    await awarded();
    await state('payment_authorised');
    const before = await payment();
    // What is as it was waits for nobody who has the order, and touches nothing.
    await database.transaction().execute(async (transaction) => {
      await lockOrder(transaction, order);
      expect(await reconcile(tasks)).toEqual({ compared: 1, differences: {}, complete: true });
    });
    expect(await payment()).toEqual(before);
  });

  it('takes over a status that we have not heard of, and writes down what moves money', async () => {
    const { awarded, state, tasks, database, paid } = await scene();
    await awarded();
    await state('payment_authorised');
    await database.updateTable('payments').set({ status: 'processing' }).execute();
    // Charged beside us, for one of our payments and for none.
    const gateway = createStripeGateway({ ...platform.sandbox.connection, returnUrl: 'https://www.example.com/' });
    for (const reference of ['payment-99', 'elsewhere-1']) {
      const { id } = await gateway.create({ reference, amount: money(700, 'EUR'), paymentMethod: 'pm_card_visa', authoriseOnly: false });
      await gateway.confirm(id, 'pm_card_visa');
    }
    const found = { double: 1, unknown_intent: 1 };
    expect(await reconcile(tasks)).toEqual({ compared: 3, differences: { taken_over: 1, ...found }, complete: true });
    await paid('authorised');
    expect(await reconcile(tasks)).toEqual({ compared: 3, differences: found, complete: true });
    const open = await database.selectFrom('payment_differences').select('kind').where('resolved_at', 'is', null).orderBy('kind').execute();
    expect(open.map(({ kind }) => kind)).toEqual(['double', 'unknown_intent']);
  });

  const day = 24 * hour;
  const next = async (tasks: TestPlatform['tasks']) => (await tasks.reconcilePayments.delay({})).result({ timeout: '30s' });
  /** As if it had been made so long ago. */
  const madeBefore = (ms: number) =>
    platform.database
      .updateTable('payments')
      .set({ created_at: new Date(Date.now() - ms) } as never)
      .execute();

  it('looks once a day at payments that can still move, however old they are', async () => {
    const { tasks, awarded, state, payment, paid, database } = await scene();
    await awarded();
    await state('payment_authorised');
    await madeBefore(9 * day);
    const { intent, amount_minor } = (await payment()) ?? {};
    await platform.gateway.capture(intent ?? '', money(amount_minor ?? 0, 'EUR'));
    expect(await next(tasks)).toEqual({ compared: 1, differences: { taken_over: 1 }, complete: true });
    await paid('captured');
    expect(await next(tasks)).toMatchObject({ compared: 0 });
    await database
      .updateTable('payments')
      .set({ looked_at: new Date(Date.now() - day) })
      .execute();
    expect(await next(tasks)).toEqual({ compared: 1, differences: {}, complete: true });
    expect(await database.selectFrom('payment_differences').select(['kind', 'resolution', 'resolved_at']).execute()).toEqual([
      { kind: 'taken_over', resolution: 'taken over', resolved_at: expect.any(Date) as Date },
    ]);
  });

  it('goes on where it has ended, however long ago that was', async () => {
    const { tasks, produced, payment, database } = await scene();
    await produced();
    await database.updateTable('orders').set({ state: 'closed' }).execute();
    const { intent } = (await payment()) ?? {};
    await giveBackByHand(intent ?? '', 700);
    await madeBefore(3 * day);
    expect(await next(tasks)).toMatchObject({ compared: 0 });
    const till = async () => (await database.selectFrom('reconciliation').select('till').executeTakeFirstOrThrow()).till.getTime();
    expect(Date.now() - (await till())).toBeLessThan(hour);
    const outage = new Date(Date.now() - 4 * day);
    await database.updateTable('reconciliation').set({ till: outage }).execute();

    // Without time it stops where it is.
    const stopped = await reconcilePayments(
      { database, payments: tasks.payments, gateway: platform.gateway },
      { till: Date.now() - hour },
      { signal: AbortSignal.timeout(30_000), hasTime: () => false, progress: () => undefined },
    );
    expect(stopped).toEqual({ compared: 0, differences: {}, complete: false });
    expect(await till()).toBeLessThan(Date.now() - 3 * day + hour);

    expect(await next(tasks)).toEqual({ compared: 1, differences: { refunded: 1 }, complete: true });
    expect(Date.now() - (await till())).toBeLessThan(hour);
  });
});
