import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startPostgres, type TestPostgres } from '../../test/database.ts';
import { newManufacturer, newOffer, newOrder, newPayment, newUser } from '../../test/marketplace.ts';
import { patience } from '../../test/patience.ts';
import { startTestPlatform, type TestPlatform } from '../../test/platform.ts';
import { orderMails } from './order-mails.ts';
import type { OrderEvent } from './order-states.ts';
import { takeOverdueSteps } from './overdue.ts';
import { sendReminders } from './send-reminders.ts';

const day = 86_400_000;

let postgres: TestPostgres;
let platform: TestPlatform;
const time = { now: 0 };
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.stop());
beforeEach(async () => {
  time.now = Date.now();
  platform = await startTestPlatform(postgres, { deps: { now: () => time.now } });
  await platform.startWorker();
});
afterEach(() => platform.stop());

const remind = async () => (await platform.tasks.sendOrderReminders.delay({})).result({ timeout: '30s' });
const mailsTo = (address: string) =>
  platform.smtp.mails.filter(({ to }) => to.includes(address)).map(({ parsed }) => `${parsed.subject}\n${parsed.text}`);

/** An order that is made, or about to be. */
async function ordered(
  values: { readonly state?: 'awarded' | 'in_production'; readonly due?: string; readonly card?: string | null } = {},
) {
  const { database } = platform;
  const buyer = await newUser(database, 'buyer', 'ann@customer.example');
  const maker = await newManufacturer(database, { user_id: await newUser(database, 'manufacturer', 'turner@plant.example') });
  const order = await newOrder(database, {
    buyer_id: buyer,
    manufacturer_id: maker.id,
    price_minor: 10_000,
    payment_method: values.card ?? null,
    ...(values.due === undefined ? {} : { due_on: values.due }),
  });
  await database
    .updateTable('orders')
    .set({ state: values.state ?? 'awarded', tax_rule: 'domestic', tax_rate: 2_000, tax_minor: 2_000, state_since: new Date(time.now) })
    .where('id', '=', order)
    .execute();
  return { buyer, maker, order };
}

const none = { quotes: 0, payments: 0, late: 0, steps: 0 };

describe('reminders', { timeout: 60_000 }, () => {
  it('of an order that nobody has begun to pay go once, after a day, and say what is due', async () => {
    await ordered();
    expect(await remind()).toEqual(none);
    time.now += day;
    expect(await remind()).toEqual({ ...none, payments: 1 });
    await expect.poll(() => mailsTo('ann@customer.example').length, patience).toBe(1);
    expect(mailsTo('ann@customer.example')[0]).toContain('120.00 EUR');
    time.now += 10 * day;
    expect(await remind()).toEqual(none);
  });

  it('of a payment that the buyer has to confirm lead to where he does', async () => {
    const { order } = await ordered();
    await newPayment(platform.database, order, 12_000, {
      status: 'requires_action',
      action_url: 'https://pay.example.com/1',
      updated_at: new Date(time.now),
    });
    expect(await remind()).toEqual(none);
    time.now += day;
    expect(await remind()).toEqual({ ...none, payments: 1 });
    await expect
      .poll(() => mailsTo('ann@customer.example').some((text) => text.includes('https://pay.example.com/1')), patience)
      .toBe(true);
    expect(await remind()).toEqual(none);
  });

  it('of a quote go before its time is over, and none when it is', async () => {
    const { database } = platform;
    const maker = await newManufacturer(database, { user_id: await newUser(database, 'manufacturer', 'turner@plant.example') });
    const order = await newOrder(database, { mode: 'rfq' });
    const quote = (days: number, manufacturer: number) =>
      database
        .insertInto('quotes')
        .values({ order_id: order, manufacturer_id: manufacturer, currency: 'EUR', expires_at: new Date(time.now + days * day) })
        .execute();
    await quote(4, maker.id);
    await quote(-1, (await newManufacturer(database)).id);
    expect(await remind()).toEqual(none);
    time.now += 2 * day;
    expect(await remind()).toEqual({ ...none, quotes: 1 });
    expect(await remind()).toEqual(none);
    await expect.poll(() => mailsTo('turner@plant.example').length, patience).toBe(1);
    expect(platform.smtp.mails).toHaveLength(1);
    // Its time is over, and it is asked for again: that is another thing.
    time.now += 10 * day;
    await database
      .updateTable('quotes')
      .set({ expires_at: new Date(time.now + day) })
      .where('manufacturer_id', '=', maker.id)
      .execute();
    expect(await remind()).toEqual({ ...none, quotes: 1 });
    expect(await remind()).toEqual(none);
    await expect.poll(() => mailsTo('turner@plant.example').length, patience).toBe(2);
  });

  it('of an order that is late go to both sides, also when two runs look at once', async () => {
    await ordered({ state: 'in_production', due: new Date(time.now - 2 * day).toISOString().slice(0, 10) });
    const rounds = await Promise.all([remind(), remind(), remind()]);
    expect(rounds.reduce((sum, { late }) => sum + late, 0)).toBe(1);
    await expect.poll(() => [mailsTo('ann@customer.example').length, mailsTo('turner@plant.example').length], patience).toEqual([1, 1]);
    expect(await remind()).toEqual(none);
  });

  it('of an order that is not made yet, and not of one that is on its way or not paid for', async () => {
    const { order } = await ordered({ due: new Date(time.now - 2 * day).toISOString().slice(0, 10) });
    const set = (state: 'awarded' | 'shipped' | 'rework') =>
      platform.database.updateTable('orders').set({ state }).where('id', '=', order).execute();
    for (const state of ['awarded', 'shipped'] as const) {
      await set(state);
      expect(await remind()).toEqual(none);
    }
    await set('rework');
    expect(await remind()).toEqual({ ...none, late: 1 });
  });

  it('of a payment go again to whoever’s card was declined for good', async () => {
    const { order } = await ordered();
    await newPayment(platform.database, order, 12_000, { status: 'failed', declined_hard: true });
    time.now += day;
    expect(await remind()).toEqual({ ...none, payments: 1 });
  });

  it('do not go to whoever has done it since they were listed', async () => {
    const { database } = platform;
    const orders = [(await ordered()).order, await newOrder(database, { price_minor: 10_000 })];
    await database
      .updateTable('orders')
      .set({ state: 'awarded', state_since: new Date(time.now) })
      .execute();
    time.now += day;
    const told: number[] = [];
    const mails = orderMails(() => Promise.resolve(), 'UTC');
    const paymentDue = async (_: unknown, { id }: { readonly id: number }) => {
      told.push(id);
      const [other = 0] = orders.filter((order) => order !== id);
      await newPayment(database, other, 12_000, { status: 'processing' });
    };
    const { signal } = new AbortController();
    expect(await sendReminders({ database, mails, zone: 'UTC', now: () => time.now, paymentDue }, signal)).toEqual({
      ...none,
      payments: 1,
    });
    expect(told).toHaveLength(1);
  });

  it.each([
    ['payment_authorised', ['turner@plant.example']],
    ['inspection', ['turner@plant.example']],
    ['rework', ['turner@plant.example']],
    ['on_hold', ['stella@taktline.example']],
    ['disputed', ['stella@taktline.example']],
  ] as const)('of a step that is due, of what is %s, go once to whose it is', async (state, to) => {
    const { order } = await ordered();
    const { database, smtp } = platform;
    await newUser(database, 'staff', 'stella@taktline.example');
    await database
      .updateTable('orders')
      .set({ state, held_state: state === 'on_hold' ? 'in_production' : null, deadline: new Date(time.now + day) })
      .where('id', '=', order)
      .execute();
    expect(await remind()).toEqual(none);
    time.now += day;
    expect(await remind()).toEqual({ ...none, steps: 1 });
    await expect.poll(() => smtp.mails.flatMap((mail) => mail.to), patience).toEqual(to);
    expect(mailsTo(to[0])[0]).toContain('Please');
    expect(await remind()).toEqual(none);
  });

  it.each(['hold', 'lose_payment'] as const)('of an order that is on hold until it is paid for, by %s, go to the buyer', async (event) => {
    const { order } = await ordered();
    const { tasks, database } = platform;
    await database
      .transaction()
      .execute((transaction) => tasks.orders.apply(transaction, order, { event, actor: 'system', data: { payment: 1 } }));
    await expect.poll(() => mailsTo('ann@customer.example').length, patience).toBe(1);
    time.now += 14 * day;
    expect(await remind()).toEqual({ ...none, steps: 1 });
    await expect.poll(() => mailsTo('ann@customer.example').length, patience).toBe(2);
    expect(mailsTo('ann@customer.example')[1]).toContain('Please pay it in another way');
  });

  it('of an order that the staff has put on hold, and that has lost its payment since, go to the staff', async () => {
    const { order } = await ordered();
    const { tasks, database } = platform;
    await newUser(database, 'staff', 'stella@taktline.example');
    await database.transaction().execute(async (transaction) => {
      await tasks.orders.apply(transaction, order, { event: 'hold', actor: 'staff' });
      await tasks.orders.apply(transaction, order, { event: 'lose_payment', actor: 'system', data: { payment: 1 } });
    });
    time.now += 14 * day;
    expect(await remind()).toEqual({ ...none, steps: 1 });
    await expect.poll(() => mailsTo('stella@taktline.example'), patience).toEqual([expect.stringContaining('Please let it go on')]);
  });
});

describe('an order that comes to nothing', { timeout: 60_000 }, () => {
  const round = async () => (await platform.tasks.processPendingOrders.delay({})).result({ timeout: '30s' });
  const stateOf = async (order: number) =>
    (await platform.database.selectFrom('orders').select('state').where('id', '=', order).executeTakeFirstOrThrow()).state;
  const on = (days: number) => new Date(time.now + days * day).toISOString().slice(0, 10);

  it('is cancelled when its day is over, and everybody who might have taken it is told', async () => {
    const { database } = platform;
    const buyer = await newUser(database, 'buyer', 'ann@customer.example');
    const offerer = await newManufacturer(database, { user_id: await newUser(database, 'manufacturer', 'turner@plant.example') });
    const quoter = await newManufacturer(database, { user_id: await newUser(database, 'manufacturer', 'miller@plant.example') });
    const put = async (state: 'submitted' | 'sourcing' | 'quoted', due_on: string) => {
      const id = await newOrder(database, { buyer_id: buyer, due_on, mode: state === 'quoted' ? 'rfq' : 'instant' });
      await database.updateTable('orders').set({ state }).where('id', '=', id).execute();
      return id;
    };
    const alive = await put('submitted', on(0));
    const [waiting, offered, quoted] = [await put('submitted', on(-1)), await put('sourcing', on(-1)), await put('quoted', on(-1))];
    const open = { currency: 'EUR', expires_at: new Date(time.now + day) };
    await newOffer(database, { ...open, order_id: offered, manufacturer_id: offerer.id });
    await database
      .insertInto('quotes')
      .values({ ...open, order_id: quoted, manufacturer_id: quoter.id })
      .execute();
    expect(await round()).toMatchObject({ cancelled: 3, pending: 1 });
    expect(await Promise.all([alive, waiting, offered, quoted].map(stateOf))).toEqual(['submitted', 'cancelled', 'cancelled', 'cancelled']);
    expect(await database.selectFrom('offers').select('state').execute()).toEqual([{ state: 'withdrawn' }]);
    expect(await database.selectFrom('quotes').select('state').execute()).toEqual([{ state: 'lost' }]);
    await expect.poll(() => platform.smtp.mails.length, patience).toBe(5);
    expect(mailsTo('ann@customer.example')).toHaveLength(3);
    for (const text of mailsTo('ann@customer.example')) expect(text).toContain('nobody has taken it by the day');
    for (const address of ['turner@plant.example', 'miller@plant.example']) expect(mailsTo(address)[0]).toContain('is cancelled');
    expect(await round()).toMatchObject({ cancelled: 0 });
  });

  it('is cancelled when it is not paid for three weeks after its award, also on hold for that, and its hours are free again', async () => {
    const { database, tasks } = platform;
    const maker = await newManufacturer(database, { weeks: ['2030-W50'] });
    const award = async () => {
      const order = await newOrder(database);
      await database.updateTable('orders').set({ state: 'sourcing' }).where('id', '=', order).execute();
      const id = await newOffer(database, {
        order_id: order,
        manufacturer_id: maker.id,
        uses: JSON.stringify([{ week: '2030-W50', minutes: 60 }]),
        expires_at: new Date(time.now + day),
      });
      // Nobody pays: there is no card.
      await database.updateTable('orders').set({ payment_method: null }).where('id', '=', order).execute();
      await database.transaction().execute((transaction) => tasks.offers.accept(transaction, id, maker.user));
      return order;
    };
    const [unpaid, held, byStaff, retried] = [await award(), await award(), await award(), await award()];
    const [lost, begun, lostByStaff] = [await award(), await award(), await award()];
    const happens = (order: number, ...events: readonly OrderEvent[]) =>
      database.transaction().execute(async (transaction) => {
        for (const event of events) {
          const actor = event === 'begin_production' || event === 'hold' ? 'staff' : 'system';
          const data = event === 'lose_payment' ? { payment: 1 } : {};
          await tasks.orders.apply(transaction, order, { event, actor, data });
        }
      });
    await happens(lost, 'authorise_payment', 'lose_payment');
    await happens(begun, 'authorise_payment', 'begin_production', 'lose_payment');
    // What the staff has put on hold stays theirs.
    await happens(lostByStaff, 'authorise_payment', 'hold', 'lose_payment');
    time.now += 20 * day;
    await database
      .transaction()
      .execute((transaction) => tasks.orders.apply(transaction, held, { event: 'hold', actor: 'system', data: { payment: 1 } }));
    await happens(byStaff, 'hold');
    await newPayment(database, retried, 1_200, { status: 'failed', retry_at: new Date(time.now + 3 * day) });
    expect(await round()).toMatchObject({ cancelled: 0 });
    time.now += day;
    expect(await round()).toMatchObject({ cancelled: 3 });
    expect(await Promise.all([unpaid, held, lost].map(stateOf))).toEqual(['cancelled', 'cancelled', 'cancelled']);
    // Work has begun on the last one: a person decides.
    expect(await Promise.all([byStaff, lostByStaff, retried, begun].map(stateOf))).toEqual(['on_hold', 'on_hold', 'awarded', 'on_hold']);
    const orders = await database.selectFrom('orders').select('fee_minor').where('id', 'in', [unpaid, held]).execute();
    expect(orders).toEqual([{ fee_minor: 0 }, { fee_minor: 0 }]);
    expect(await database.selectFrom('capacity').select('booked_minutes').execute()).toEqual([{ booked_minutes: 240 }]);
  });
});

describe('a change', { timeout: 60_000 }, () => {
  it('that is told again, after somebody has another name, is told once', async () => {
    const { order, buyer } = await ordered({ state: 'in_production' });
    const { database, tasks } = platform;
    await database
      .transaction()
      .execute((transaction) => tasks.orders.apply(transaction, order, { event: 'finish_production', actor: 'staff' }));
    await expect.poll(() => mailsTo('ann@customer.example').length, patience).toBe(1);
    await database.updateTable('users').set({ name: 'Ann Cook' }).where('id', '=', buyer).execute();
    await (await tasks.notifyStatus.delay({ order_id: order, version: 1 })).result({ timeout: '30s' });
    expect(mailsTo('ann@customer.example')).toHaveLength(1);
  });

  it('of a time when the order was nobody’s is not told the manufacturer who has got it since', async () => {
    const { order } = await ordered();
    const { database, tasks } = platform;
    await database
      .insertInto('order_events')
      .values({
        order_id: order,
        version: 1,
        event: 'hold',
        from_state: 'sourcing',
        to_state: 'on_hold',
        actor: 'staff',
        actor_id: null,
        data: '{}',
      })
      .execute();
    await (await tasks.notifyStatus.delay({ order_id: order, version: 1 })).result({ timeout: '30s' });
    await expect.poll(() => mailsTo('ann@customer.example').length, patience).toBe(1);
    expect(platform.smtp.mails).toHaveLength(1);
  });
});

describe('steps that are taken for whoever has let his time pass', { timeout: 60_000 }, () => {
  it.each([
    ['shipped', 'delivered'],
    ['delivered', 'closed'],
  ] as const)('what is %s counts as %s', async (state, then) => {
    const { order } = await ordered();
    const { database, tasks } = platform;
    await database
      .updateTable('orders')
      .set({ state, deadline: new Date(time.now + day) })
      .where('id', '=', order)
      .execute();
    const round = async () => (await tasks.processPendingOrders.delay({})).result({ timeout: '30s' });
    expect(await round()).toMatchObject({ overdue: 0 });
    time.now += day;
    expect(await round()).toMatchObject({ overdue: 1 });
    expect((await database.selectFrom('orders').select('state').where('id', '=', order).executeTakeFirstOrThrow()).state).toBe(then);
    expect(await round()).toMatchObject({ overdue: 0 });
  });

  it('an order whose offer has come to nothing is matched again, and one that is offered yet is not', async () => {
    const { database, tasks } = platform;
    const maker = await newManufacturer(database);
    const [alone, offered] = [await newOrder(database), await newOrder(database)];
    await database
      .updateTable('orders')
      .set({ state: 'sourcing', deadline: new Date(time.now - 1) })
      .execute();
    await newOffer(database, { order_id: offered, manufacturer_id: maker.id, expires_at: new Date(time.now + day) });
    expect(await (await tasks.processPendingOrders.delay({})).result({ timeout: '30s' })).toMatchObject({ overdue: 1 });
    const events = await database.selectFrom('order_events').select(['order_id', 'event']).where('event', '=', 'match_again').execute();
    expect(events).toEqual([{ order_id: alone, event: 'match_again' }]);
  });

  it('an offer whose job was lost expires all the same, and the order goes on', async () => {
    const { database, tasks } = platform;
    const maker = await newManufacturer(database);
    const orders = [await newOrder(database), await newOrder(database)];
    await database
      .updateTable('orders')
      .set({ state: 'sourcing', deadline: new Date(time.now + 3 * day) })
      .execute();
    const [over, open] = await database
      .insertInto('offers')
      .values(
        orders.map((order_id, place) => ({
          order_id,
          manufacturer_id: maker.id,
          price_minor: 1_000,
          currency: 'EUR',
          process: 'turning',
          uses: '[]',
          expires_at: new Date(time.now + place * day),
        })),
      )
      .returning('id')
      .execute();
    expect(await (await tasks.processPendingOrders.delay({})).result({ timeout: '30s' })).toMatchObject({ expired: 1, overdue: 0 });
    const states = await database.selectFrom('offers').select(['id', 'state']).orderBy('id').execute();
    expect(states).toEqual([
      { id: over?.id, state: 'expired' },
      { id: open?.id, state: 'open' },
    ]);
    const events = await database.selectFrom('order_events').select(['order_id', 'event']).where('event', '=', 'match_again').execute();
    expect(events).toEqual([{ order_id: orders[0], event: 'match_again' }]);
  });

  it('an offer’s job that comes too early waits for its time', async () => {
    const { database, tasks } = platform;
    const maker = await newManufacturer(database);
    const order = await newOrder(database);
    await database.updateTable('orders').set({ state: 'sourcing' }).execute();
    const id = await newOffer(database, { order_id: order, manufacturer_id: maker.id, expires_at: new Date(time.now + 1_000) });
    const handle = await tasks.expireOffer.delay({ offer_id: id });
    await expect
      .poll(async () => (await platform.app.inspector.queues()).reduce((sum, { scheduled }) => sum + scheduled, 0), patience)
      .toBe(1);
    time.now += 1_000;
    expect(await handle.result({ timeout: '30s' })).toEqual({ expired: true });
  });

  it('orders that are offered yet do not keep others from being matched again', async () => {
    const { database, orders } = { database: platform.database, orders: platform.tasks.orders };
    const maker = await newManufacturer(database);
    const [offered, alone] = [await newOrder(database), await newOrder(database)];
    for (const [place, order] of [offered, alone].entries()) {
      await database
        .updateTable('orders')
        .set({ state: 'sourcing', deadline: new Date(time.now - day + place) })
        .where('id', '=', order)
        .execute();
    }
    await newOffer(database, { order_id: offered, manufacturer_id: maker.id, expires_at: new Date(time.now + day) });
    const failures: unknown[] = [];
    const { signal } = new AbortController();
    const { offers } = platform.tasks;
    expect(await takeOverdueSteps({ database, orders, offers, now: time.now, zone: 'UTC', limit: 1, signal, failures })).toBe(1);
    expect((await database.selectFrom('orders').select('state').where('id', '=', alone).executeTakeFirstOrThrow()).state).toBe('submitted');
  });
});
