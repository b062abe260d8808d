/** Who is offered an order, and who is asked, on a real database; jobs are noted instead of enqueued. */
import { sql } from 'kysely';
import { beforeEach, describe, expect, it } from 'vitest';
import { withDatabase } from '../../test/database.ts';
import { newManufacturer, newOrder, newUser } from '../../test/marketplace.ts';
import { ordersScene } from '../../test/orders-scene.ts';
import { addDays } from '../calendar/business-days.ts';
import { mondayOf, nextWeek, weekOf } from '../calendar/iso-week.ts';
import type { PlatformDatabase } from '../database/database.ts';
import { askPending, type MatchDeps, matchOrder, processPending } from './match-orders.ts';
import { Offers } from './offers.ts';
import { Quotes, quoteForMs } from './quotes.ts';

let database: PlatformDatabase;
withDatabase((opened) => {
  database = opened;
});

/** A Monday. */
const monday = '2030-03-04';
const day = 86_400_000;
const time = { now: 0 };
const week = weekOf(addDays(monday, 7));
const quiet = { debug() {}, info() {}, warn() {}, error() {} };

beforeEach(async () => {
  time.now = Date.parse(`${monday}T08:00:00Z`);
  // The others of this file are not of this market.
  await database.updateTable('manufacturers').set({ active: false }).execute();
  await sql`update platform.orders set state = 'cancelled' where state <> 'cancelled'`.execute(database);
});

function scene() {
  const base = ordersScene(database);
  const deps: MatchDeps = {
    database,
    orders: base.orders,
    zone: 'UTC',
    now: () => time.now,
    offered: () => Promise.resolve(),
    asked: () => Promise.resolve(),
  };
  const failures: unknown[] = [];
  const run = { limit: 100, signal: new AbortController().signal, failures };
  return {
    ...base,
    deps,
    run,
    failures,
    offers: new Offers(base.orders, () => time.now),
    quotes: new Quotes(base.orders, 'UTC', () => time.now),
    round: () => processPending(deps, {}, run, quiet),
  };
}

/** An order that waits, due in four weeks. */
async function waiting(values: Parameters<typeof newOrder>[1] = {}): Promise<number> {
  const id = await newOrder(database, { due_on: addDays(monday, 28), ...values });
  await database.updateTable('orders').set({ state: 'submitted', version: 1 }).where('id', '=', id).execute();
  return id;
}

const stateOf = async (id: number) =>
  (await database.selectFrom('orders').select('state').where('id', '=', id).executeTakeFirstOrThrow()).state;
const offersOf = (id: number) => database.selectFrom('offers').selectAll().where('order_id', '=', id).orderBy('id').execute();
const quotesOf = (id: number) => database.selectFrom('quotes').selectAll().where('order_id', '=', id).orderBy('id').execute();
const roundsOf = (id: number) => database.selectFrom('order_matches').selectAll().where('order_id', '=', id).orderBy('round').execute();
const makers = async (count: number, weeks = [week]) => {
  const made: { readonly id: number; readonly user: number }[] = [];
  for (let n = 0; n < count; n += 1) made.push(await newManufacturer(database, { weeks }));
  return made;
};

describe('quotes', () => {
  it('are asked of the next ones when the first have declined, and of nobody when nobody is left', async () => {
    const { deps, quotes, inTransaction } = scene();
    const all = await makers(7);
    const order = await waiting({ mode: 'rfq' });
    const declineAll = async () => {
      for (const quote of await quotesOf(order)) {
        const user = all.find(({ id }) => id === quote.manufacturer_id)?.user ?? 0;
        if (quote.state === 'requested') await inTransaction((transaction) => quotes.decline(transaction, quote.id, user));
      }
    };
    expect(await matchOrder(deps, order)).toMatchObject({ outcome: 'quotes_requested' });
    expect(await quotesOf(order)).toHaveLength(5);
    await declineAll();
    expect(await matchOrder(deps, order)).toMatchObject({ outcome: 'quotes_requested' });
    expect((await quotesOf(order)).map(({ state }) => state)).toEqual([...Array(5).fill('declined'), 'requested', 'requested']);
    await declineAll();
    expect(await matchOrder(deps, order)).toMatchObject({ outcome: 'waits', candidates: 0 });
    expect(await stateOf(order)).toBe('submitted');
  });

  it('are asked of others before those who have let their time pass, and of these again after them', async () => {
    const { deps, inTransaction, orders } = scene();
    await makers(6);
    const order = await waiting({ mode: 'rfq' });
    const again = () => inTransaction((transaction) => orders.apply(transaction, order, { event: 'match_again', actor: 'system' }));
    await matchOrder(deps, order);
    time.now += quoteForMs;
    await again();
    await matchOrder(deps, order);
    const open = (await quotesOf(order)).filter(({ expires_at }) => expires_at.getTime() > time.now);
    expect(open).toHaveLength(5);
    expect(await quotesOf(order)).toHaveLength(6);
  });

  it('of many orders are asked for with one look at the market, those first that nobody has looked at for longest', async () => {
    const { deps, run, failures } = scene();
    await makers(1);
    const orders = [await waiting({ mode: 'rfq' }), await waiting({ mode: 'rfq', material: 'oak' }), await waiting({ mode: 'rfq' })];
    expect(await askPending(deps, { ...run, limit: 2 })).toBe(2);
    expect(await Promise.all(orders.map(stateOf))).toEqual(['sourcing', 'submitted', 'submitted']);
    time.now += 1_000;
    expect(await askPending(deps, { ...run, limit: 1 })).toBe(1);
    expect(await Promise.all(orders.map(stateOf))).toEqual(['sourcing', 'submitted', 'sourcing']);
    expect(await askPending(deps, run)).toBe(1);
    expect(failures).toEqual([]);
  });
});

describe('a round', () => {
  it('that finds nobody is written down once, also by the schedule, and again when somebody else could make it', async () => {
    const { deps, run, round } = scene();
    const orders = [await waiting(), await waiting({ mode: 'rfq' })];
    await newManufacturer(database, { lead_days: 100 });
    for (const order of orders) expect(await matchOrder(deps, order)).toMatchObject({ outcome: 'waits' });
    for (const _ of [1, 2]) {
      expect(await round()).toMatchObject({ pending: 1, offered: 0, waiting: 1 });
      await askPending(deps, run);
      time.now += day;
    }
    for (const order of orders) expect(await roundsOf(order)).toMatchObject([{ round: 1, outcome: 'waits', candidates: [] }]);
    await makers(1);
    await round();
    await askPending(deps, run);
    expect((await roundsOf(orders[0] ?? 0)).map(({ outcome }) => outcome)).toEqual(['waits', 'offered']);
    expect((await roundsOf(orders[1] ?? 0)).map(({ outcome }) => outcome)).toEqual(['waits', 'quotes_requested']);
  });

  it('goes on after an order that fails, and ends when it is told to', async () => {
    const { deps, run, failures } = scene();
    const [maker] = await makers(1);
    const orders = [await waiting(), await waiting()];
    const offered: MatchDeps['offered'] = (_, { order_id }) =>
      order_id === orders[0] ? Promise.reject(new Error('no paper')) : Promise.resolve();
    await processPending({ ...deps, offered }, {}, run, quiet);
    expect(await Promise.all(orders.map(stateOf))).toEqual(['submitted', 'sourcing']);
    expect(failures).toMatchObject([{ message: 'no paper' }]);
    expect(await processPending(deps, {}, { ...run, signal: AbortSignal.abort() }, quiet)).toMatchObject({ pending: 1, offered: 0 });
    expect(await offersOf(orders[1] ?? 0)).toMatchObject([{ manufacturer_id: maker?.id }]);
  });

  it('leaves out whoever would make it for nothing, or in a country whose tax is not known', async () => {
    const { deps } = scene();
    const [free, canadian, good] = await makers(3);
    await database
      .updateTable('manufacturer_processes')
      .set({ setup_minor: 0, hour_minor: 0, unit_minor: 0, minimum_minor: 0 })
      .where('manufacturer_id', '=', free?.id ?? 0)
      .execute();
    await database
      .updateTable('users')
      .set({ country: 'CA' })
      .where('id', '=', canadian?.user ?? 0)
      .execute();
    const buyer_id = await newUser(database);
    await database.updateTable('users').set({ country: 'CA' }).where('id', '=', buyer_id).execute();
    const order = await waiting({ buyer_id });
    expect(await matchOrder(deps, order)).toMatchObject({ outcome: 'offered', candidates: 1 });
    expect(await offersOf(order)).toMatchObject([{ manufacturer_id: good?.id }]);
    const [round] = await roundsOf(order);
    expect(round?.left_out).toEqual([
      { supplierId: String(canadian?.id), reasons: [{ code: 'TAX_UNKNOWN', country: 'GB' }] },
      { supplierId: String(free?.id), reasons: [{ code: 'NO_PRICE' }] },
    ]);
  });
});

describe('the last hours of a week', () => {
  it('are offered to one of many orders that are matched at once, and the others get what is left', async () => {
    const { deps } = scene();
    const all = await makers(2);
    const orders: number[] = [];
    for (let n = 0; n < 4; n += 1) orders.push(await waiting({ minutes: 1_500 }));
    const matches = await Promise.all(orders.map((order) => matchOrder(deps, order)));
    expect(matches.map(({ outcome }) => outcome).toSorted()).toEqual(['offered', 'offered', 'waits', 'waits']);
    const offers = await database.selectFrom('offers').selectAll().where('state', '=', 'open').where('order_id', 'in', orders).execute();
    expect(offers.map(({ manufacturer_id }) => manufacturer_id).toSorted()).toEqual(all.map(({ id }) => id).toSorted());
  });

  it('that somebody gets after the market was read are left to the next round of the schedule', async () => {
    const { deps, run } = scene();
    const [maker] = await makers(1);
    const orders = [await waiting({ minutes: 1_200 }), await waiting({ minutes: 1_200 })];
    let assigned = () => {};
    const read = new Promise<void>((resolve) => {
      assigned = resolve;
    });
    let booked = () => {};
    const isBooked = new Promise<void>((resolve) => {
      booked = resolve;
    });
    const booking = database.transaction().execute(async (transaction) => {
      await transaction
        .updateTable('capacity')
        .set({ booked_minutes: 1_000 })
        .where('manufacturer_id', '=', maker?.id ?? 0)
        .execute();
      booked();
      await read;
    });
    await isBooked;
    expect(await processPending(deps, {}, run, { ...quiet, info: assigned })).toMatchObject({ pending: 2, offered: 1, waiting: 1 });
    await booking;
    expect((await Promise.all(orders.map(stateOf))).toSorted()).toEqual(['sourcing', 'submitted']);
  });
});

describe('machine time', () => {
  it('of a Friday is given out once, however many orders come', async () => {
    time.now = Date.parse(`${addDays(monday, 4)}T08:00:00Z`);
    const { deps, round, offers, inTransaction } = scene();
    const today = weekOf(monday);
    const maker = await newManufacturer(database, { weeks: [today], lead_days: 0 });
    const due_on = addDays(monday, 8);
    const orders = [await waiting({ minutes: 480, due_on }), await waiting({ minutes: 480, due_on })];
    expect(await round()).toMatchObject({ pending: 2, offered: 1 });
    const [offer] = (await Promise.all(orders.map(offersOf))).flat();
    await inTransaction((transaction) => offers.accept(transaction, offer?.id ?? 0, maker.user));
    expect(await round()).toMatchObject({ pending: 1, offered: 0 });
    expect(await matchOrder(deps, await waiting({ minutes: 1, due_on }))).toMatchObject({ outcome: 'waits' });
  });

  it('of a Friday is all there when Monday to Thursday are booked', async () => {
    time.now = Date.parse(`${addDays(monday, 4)}T08:00:00Z`);
    const { deps } = scene();
    const maker = await newManufacturer(database, { weeks: [weekOf(monday)], lead_days: 0 });
    await database.updateTable('capacity').set({ booked_minutes: 1_920 }).where('manufacturer_id', '=', maker.id).execute();
    expect(await matchOrder(deps, await waiting({ minutes: 480, due_on: addDays(monday, 8) }))).toMatchObject({ outcome: 'offered' });
  });

  it('is not there on closed days', async () => {
    const { deps } = scene();
    const maker = await newManufacturer(database, { weeks: [week] });
    const closed = [addDays(mondayOf(week), 1), addDays(mondayOf(week), 5)];
    await database
      .insertInto('manufacturer_closures')
      .values(closed.map((day) => ({ manufacturer_id: maker.id, day })))
      .execute();
    const order = await waiting({ minutes: 1_921 });
    expect(await matchOrder(deps, order)).toMatchObject({ outcome: 'waits' });
    expect(await matchOrder(deps, await waiting({ minutes: 1_920 }))).toMatchObject({ outcome: 'offered' });
    expect((await roundsOf(order))[0]?.left_out).toMatchObject([{ reasons: [{ code: 'NO_CAPACITY', freeMinutes: 1_920 }] }]);
  });
});

describe('an order that was on hold while its offer expired', () => {
  it('is matched again by its job, and one that is offered yet is not', async () => {
    const { deps, enqueued, offers, inTransaction, events } = scene();
    await makers(2, [week, nextWeek(week)]);
    const [over, open] = [await waiting(), await waiting()];
    for (const order of [over, open]) {
      await matchOrder(deps, order);
      await events(order, 'hold');
    }
    await database
      .updateTable('offers')
      .set({ expires_at: new Date(time.now) })
      .where('order_id', '=', over)
      .execute();
    const [offer] = await offersOf(over);
    await inTransaction((transaction) => offers.expire(transaction, offer?.id ?? 0));
    for (const order of [over, open]) await events(order, 'resume');
    enqueued.length = 0;
    expect(await matchOrder(deps, open)).toMatchObject({ outcome: 'not_pending' });
    expect(await matchOrder(deps, over)).toMatchObject({ outcome: 'matched_again' });
    expect([await stateOf(over), enqueued]).toEqual(['submitted', [`match:${over}`]]);
  });
});
