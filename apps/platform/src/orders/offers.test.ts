import { sql } from 'kysely';
import { describe, expect, it } from 'vitest';
import { withDatabase } from '../../test/database.ts';
import { newManufacturer, newOrder, newUser } from '../../test/marketplace.ts';
import { ordersScene } from '../../test/orders-scene.ts';
import type { PlatformDatabase } from '../database/database.ts';
import { makeOffer, Offers, offerForMs, withdrawOffers } from './offers.ts';
import { lockOrder } from './orders.ts';

let database: PlatformDatabase;
withDatabase((opened) => {
  database = opened;
});

const week = '2030-W10';
const booked = async (manufacturer: number) =>
  (await database.selectFrom('capacity').select('booked_minutes').where('manufacturer_id', '=', manufacturer).executeTakeFirstOrThrow())
    .booked_minutes;

/** An order that is offered to a manufacturer. `time.now` may be set. */
async function offered({ minutes = 60, manufacturer = undefined as { id: number; user: number } | undefined } = {}) {
  const time = { now: Date.now() };
  const scene = ordersScene(database);
  const maker = manufacturer ?? (await newManufacturer(database, { weeks: [week] }));
  const order = await newOrder(database, { minutes });
  await scene.events(order, 'submit', 'source');
  const offer = await scene.inTransaction(async (transaction) =>
    makeOffer(
      transaction,
      await lockOrder(transaction, order),
      { manufacturer: maker.id, priceMinor: 12_300, uses: [{ week, minutes }] },
      time.now,
    ),
  );
  scene.enqueued.length = 0;
  return { ...scene, time, maker, order, offer, offers: new Offers(scene.orders, () => time.now) };
}

const stateOf = async (id: number) =>
  (await database.selectFrom('offers').select('state').where('id', '=', id).executeTakeFirstOrThrow()).state;

describe('offers', () => {
  it('taken: the order is awarded at its price, and the hours are booked', async () => {
    const { inTransaction, offers, offer, order, maker, enqueued } = await offered();
    expect(await inTransaction((transaction) => offers.accept(transaction, offer.id, maker.user))).toMatchObject({
      state: 'awarded',
      manufacturer_id: maker.id,
      price_minor: 12_300,
    });
    expect(await booked(maker.id)).toBe(60);
    expect(await stateOf(offer.id)).toBe('accepted');
    expect(enqueued).toEqual([`authorise:${order}`, `notify:${order}`]);
  });

  it('declined: the order is matched again', async () => {
    const { inTransaction, offers, offer, order, maker, enqueued } = await offered();
    expect(await inTransaction((transaction) => offers.decline(transaction, offer.id, maker.user))).toMatchObject({ state: 'submitted' });
    expect([await stateOf(offer.id), await booked(maker.id), enqueued]).toEqual(['declined', 0, [`match:${order}`]]);
    await expect(inTransaction((transaction) => offers.accept(transaction, offer.id, maker.user))).rejects.toMatchObject({
      code: 'OFFER_OVER',
      message: 'this offer is declined',
    });
  });

  it('expired: it cannot be taken any more, and the order is matched again, once', async () => {
    const { inTransaction, offers, offer, maker, time, enqueued, order } = await offered();
    const expire = () => inTransaction((transaction) => offers.expire(transaction, offer.id));
    time.now += offerForMs - 100;
    expect(await expire()).toEqual({ expired: false, leftMs: 100 });
    time.now += 100;
    await expect(inTransaction((transaction) => offers.accept(transaction, offer.id, maker.user))).rejects.toThrow('has expired');
    expect([await expire(), await expire()]).toEqual([
      { expired: true, leftMs: 0 },
      { expired: false, leftMs: 0 },
    ]);
    expect([await stateOf(offer.id), enqueued]).toEqual(['expired', [`match:${order}`]]);
  });

  it('of two orders for the last hours of a week one gets them, and the other is matched again', async () => {
    const one = await offered({ minutes: 1_500 });
    const other = await offered({ minutes: 1_500, manufacturer: one.maker });
    const orders = await Promise.all(
      [one, other].map(({ inTransaction, offers, offer, maker }) =>
        inTransaction((transaction) => offers.accept(transaction, offer.id, maker.user)),
      ),
    );
    expect(orders.map(({ state }) => state).toSorted()).toEqual(['awarded', 'submitted']);
    const late = orders[0]?.state === 'submitted' ? one : other;
    // He has not let it go: it may be offered to him again.
    expect([await stateOf(late.offer.id), late.enqueued]).toEqual(['withdrawn', [`match:${late.order}`]]);
    expect(await booked(one.maker.id)).toBe(1_500);
  });

  it('whose weeks are not all free books none of them', async () => {
    const other = '2030-W11';
    const { inTransaction, offers, offer, maker, read, order } = await offered();
    await database
      .insertInto('capacity')
      .values({ manufacturer_id: maker.id, process: 'turning', week: other, total_minutes: 50 })
      .execute();
    const uses = JSON.stringify([
      { week: other, minutes: 51 },
      { week, minutes: 9 },
    ]);
    await sql`update platform.offers set uses = ${uses}::jsonb where id = ${offer.id}`.execute(database);
    await inTransaction((transaction) => offers.accept(transaction, offer.id, maker.user));
    expect([(await read(order)).state, await booked(maker.id)]).toEqual(['submitted', 0]);
  });

  it('has no hours on days on which the manufacturer is closed', async () => {
    const { inTransaction, offers, offer, maker, read, order } = await offered({ minutes: 1_921 });
    // The Monday, and the Sunday before: that is the end of another week.
    for (const day of ['2030-03-04', '2030-03-03']) {
      await database.insertInto('manufacturer_closures').values({ manufacturer_id: maker.id, day }).execute();
    }
    await inTransaction((transaction) => offers.accept(transaction, offer.id, maker.user));
    expect((await read(order)).state).toBe('submitted');
    const fits = await offered({ minutes: 1_920, manufacturer: maker });
    await fits.inTransaction((transaction) => fits.offers.accept(transaction, fits.offer.id, maker.user));
    expect((await read(fits.order)).state).toBe('awarded');
  });

  it('is nobody else’s', async () => {
    const { inTransaction, offers, offer } = await offered();
    const other = await newManufacturer(database);
    for (const user of [other.user, await newUser(database, 'staff')]) {
      await expect(inTransaction((transaction) => offers.accept(transaction, offer.id, user))).rejects.toMatchObject({ code: 'NOT_FOUND' });
      await expect(inTransaction((transaction) => offers.decline(transaction, offer.id, user))).rejects.toMatchObject({
        code: 'NOT_FOUND',
      });
    }
  });

  it('taken and declined at once: one of the two', async () => {
    const { inTransaction, offers, offer, maker } = await offered();
    const results = await Promise.allSettled([
      inTransaction((transaction) => offers.accept(transaction, offer.id, maker.user)),
      inTransaction((transaction) => offers.decline(transaction, offer.id, maker.user)),
    ]);
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    expect(await booked(maker.id)).toBe((await stateOf(offer.id)) === 'accepted' ? 60 : 0);
  });

  it('withdrawn: booked hours are free again, and nothing is freed twice', async () => {
    const { inTransaction, offers, offer, maker, order, time } = await offered();
    await inTransaction((transaction) => offers.accept(transaction, offer.id, maker.user));
    for (const _ of [1, 2]) await inTransaction((transaction) => withdrawOffers(transaction, order, time.now));
    expect([await stateOf(offer.id), await booked(maker.id)]).toEqual(['withdrawn', 0]);
    const open = await offered();
    await inTransaction((transaction) => withdrawOffers(transaction, open.order, time.now));
    expect([await stateOf(open.offer.id), await booked(open.maker.id)]).toEqual(['withdrawn', 0]);
  });
});
