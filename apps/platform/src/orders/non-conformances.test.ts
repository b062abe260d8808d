import { describe, expect, it } from 'vitest';
import { withDatabase } from '../../test/database.ts';
import { newManufacturer, newOrder } from '../../test/marketplace.ts';
import { addDays } from '../calendar/business-days.ts';
import type { PlatformDatabase } from '../database/database.ts';
import { recordDelivery } from './non-conformances.ts';
import type { OrderActor, OrderEvent } from './order-states.ts';

let database: PlatformDatabase;
withDatabase((opened) => {
  database = opened;
});

const due = '2030-03-15';

/** An order whose parts are two days on the way, with these events. */
async function delivered(actor: OrderActor, today: string, ...events: readonly (readonly [OrderEvent, string])[]) {
  const maker = await newManufacturer(database);
  const id = await newOrder(database, { manufacturer_id: maker.id, due_on: due });
  await database
    .insertInto('order_events')
    .values(
      events.map(([event, day], place) => ({
        order_id: id,
        version: place + 1,
        event,
        from_state: 'inspection' as const,
        to_state: 'shipped' as const,
        actor: 'staff' as const,
        actor_id: null,
        data: '{}',
        at: new Date(`${day}T12:00:00Z`),
      })),
    )
    .execute();
  const order = await database.selectFrom('orders').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
  await database.transaction().execute((transaction) => recordDelivery(transaction, order, { actor }, 'UTC', today));
  const record = await database.selectFrom('manufacturers').selectAll().where('id', '=', maker.id).executeTakeFirstOrThrow();
  return [record.delivered, record.delivered_in_time];
}

describe('the record of deliveries', () => {
  it('counts those that a buyer says have come, by that day', async () => {
    expect(await delivered('buyer', due, ['ship', '2030-03-10'], ['deliver', due])).toEqual([1, 1]);
    expect(await delivered('buyer', addDays(due, 1), ['ship', '2030-03-10'], ['deliver', addDays(due, 1)])).toEqual([1, 0]);
  });

  it('counts those of which nobody says anything by when they were sent', async () => {
    const today = addDays(due, 20);
    expect(await delivered('system', today, ['ship', addDays(due, -2)], ['deliver', today])).toEqual([1, 1]);
    expect(await delivered('system', today, ['ship', addDays(due, -1)], ['deliver', today])).toEqual([1, 0]);
  });

  it('counts an order once, however often it comes back', async () => {
    const events = [
      ['ship', due],
      ['deliver', due],
      ['reject_parts', due],
      ['ship', due],
      ['deliver', due],
    ] as const;
    expect(await delivered('buyer', due, ...events)).toEqual([0, 0]);
    expect(await delivered('buyer', due, ...events.slice(0, 2))).toEqual([1, 1]);
  });
});
