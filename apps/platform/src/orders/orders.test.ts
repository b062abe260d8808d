import { describe, expect, it } from 'vitest';
import { withDatabase } from '../../test/database.ts';
import { newManufacturer, newOrder, newUser } from '../../test/marketplace.ts';
import { ordersScene } from '../../test/orders-scene.ts';
import type { PlatformDatabase } from '../database/database.ts';
import type { OrderEvent, OrderJob } from './order-states.ts';
import type { OrderChange } from './orders.ts';

let database: PlatformDatabase;
withDatabase((opened) => {
  database = opened;
});

/** Orders that note the jobs which they enqueue. */
function scene(failing?: OrderJob) {
  const { enqueued, orders, inTransaction } = ordersScene(database, failing);
  return { enqueued, apply: (id: number, change: OrderChange) => inTransaction((transaction) => orders.apply(transaction, id, change)) };
}

const read = (id: number) => database.selectFrom('orders').selectAll().where('id', '=', id).executeTakeFirstOrThrow();

const eventsOf = (id: number) => database.selectFrom('order_events').selectAll().where('order_id', '=', id).orderBy('version').execute();

describe('orders', () => {
  it('an event changes the state, counts the version, is written down, and enqueues its jobs', async () => {
    const { enqueued, apply } = scene();
    const buyer = await newUser(database);
    const id = await newOrder(database, { buyer_id: buyer });
    const order = await apply(id, { event: 'submit', actor: 'buyer', actorId: buyer, data: { by: 'api' } });
    expect(order).toMatchObject({ id, state: 'submitted', version: 1, held_state: null, deadline: null });
    expect(enqueued).toEqual([`match:${id}`, `notify:${id}`]);
    expect(await eventsOf(id)).toMatchObject([
      { version: 1, event: 'submit', from_state: 'draft', to_state: 'submitted', actor: 'buyer', actor_id: buyer, data: { by: 'api' } },
    ]);
  });

  it('has a deadline, which an event that leaves it where it is does not move', async () => {
    const { apply } = scene();
    const id = await newOrder(database, { mode: 'rfq' });
    const before = Date.now();
    for (const event of ['submit', 'source'] satisfies OrderEvent[]) await apply(id, { event, actor: 'staff' });
    expect(((await read(id)).deadline?.getTime() ?? 0) - before).toBeGreaterThanOrEqual(3 * 86_400_000);
    const quoted = await apply(id, { event: 'receive_quote', actor: 'manufacturer' });
    const deadline = new Date((quoted.deadline?.getTime() ?? 0) - 1_000);
    await database.updateTable('orders').set({ deadline }).where('id', '=', id).execute();
    expect(await apply(id, { event: 'receive_quote', actor: 'manufacturer' })).toMatchObject({ version: 4, deadline });
  });

  it('after a job that cannot be enqueued no other one is', async () => {
    const { apply, enqueued } = scene('match');
    const id = await newOrder(database);
    await expect(apply(id, { event: 'submit', actor: 'staff' })).rejects.toThrow('the outbox is gone');
    expect(enqueued).toEqual([]);
  });

  it('nothing has happened when a job cannot be enqueued', async () => {
    const { apply } = scene('notify');
    const buyer = await newUser(database);
    const id = await newOrder(database, { buyer_id: buyer });
    await expect(apply(id, { event: 'submit', actor: 'buyer', actorId: buyer })).rejects.toThrow('the outbox is gone');
    expect(await read(id)).toMatchObject({ state: 'draft', version: 0 });
    expect(await eventsOf(id)).toEqual([]);
  });

  it('of several who do the same at once one does it', async () => {
    const { enqueued, apply } = scene();
    const buyer = await newUser(database);
    const id = await newOrder(database, { buyer_id: buyer });
    const all = await Promise.allSettled(Array.from({ length: 8 }, () => apply(id, { event: 'submit', actor: 'buyer', actorId: buyer })));
    expect(all.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const one of all) if (one.status === 'rejected') expect(one.reason).toMatchObject({ code: 'ILLEGAL_EVENT' });
    expect(enqueued).toHaveLength(2);
  });

  it('refuses who has seen another version', async () => {
    const { apply } = scene();
    const id = await newOrder(database);
    await apply(id, { event: 'submit', actor: 'staff', expectedVersion: 0 });
    await expect(apply(id, { event: 'source', actor: 'system', expectedVersion: 0 })).rejects.toMatchObject({ code: 'VERSION_CONFLICT' });
  });

  it('refuses the order of another buyer, and that of another manufacturer', async () => {
    const { apply } = scene();
    const [one, other] = [await newManufacturer(database), await newManufacturer(database)];
    const id = await newOrder(database);
    await expect(apply(id, { event: 'submit', actor: 'buyer', actorId: await newUser(database) })).rejects.toMatchObject({
      code: 'FORBIDDEN_ACTOR',
    });
    for (const event of ['submit', 'source'] satisfies OrderEvent[]) await apply(id, { event, actor: 'staff' });
    await apply(id, {
      event: 'accept_offer',
      actor: 'manufacturer',
      actorId: one.user,
      set: { manufacturer_id: one.id, price_minor: 5_000 },
    });
    await apply(id, { event: 'authorise_payment', actor: 'system' });
    await expect(apply(id, { event: 'begin_production', actor: 'manufacturer', actorId: other.user })).rejects.toThrow(
      'another manufacturer',
    );
    await expect(apply(id, { event: 'begin_production', actor: 'manufacturer' })).rejects.toMatchObject({ code: 'FORBIDDEN_ACTOR' });
    expect(await apply(id, { event: 'begin_production', actor: 'manufacturer', actorId: one.user })).toMatchObject({
      state: 'in_production',
      manufacturer_id: one.id,
      price_minor: 5_000,
      deadline: null,
    });
  });

  it('an order on hold remembers where it was', async () => {
    const { apply } = scene();
    const id = await newOrder(database);
    for (const event of ['submit', 'source', 'hold'] satisfies OrderEvent[]) await apply(id, { event, actor: 'staff' });
    expect(await read(id)).toMatchObject({ state: 'on_hold', held_state: 'sourcing' });
    expect(await apply(id, { event: 'resume', actor: 'staff' })).toMatchObject({ state: 'sourcing', held_state: null, version: 4 });
  });

  it('there is no such order', async () => {
    await expect(scene().apply(2 ** 40, { event: 'submit', actor: 'staff' })).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});
