/**
 * Parts that are not as ordered: how many, why, and what becomes of them. The order goes to rework, the manufacturer is told, and it
 * counts against the rating.
 */
import type { Selectable } from 'kysely';
import type { Disposition, NonConformanceCause, NonConformancesTable } from '../database/marketplace-tables.ts';
import { lockOrder, type Order, type OrderChange, type Orders, type PlatformTransaction } from './orders.ts';

export type NonConformance = Selectable<NonConformancesTable>;

export interface Found {
  /** Of the parts that are not right. */
  readonly quantity: number;
  readonly cause: NonConformanceCause;
  readonly disposition: Exclude<Disposition, 'credit'>;
}

/** `QUANTITY`: more parts than were ordered, or none. */
export class NonConformanceError extends Error {
  override readonly name = 'NonConformanceError';
  readonly code = 'QUANTITY';
}

/** What an order with parts that are not right is worth, from 1 to 5. */
const rating = 2;

/**
 * @param by who has found it: the buyer, or the staff
 * @param tell in the same transaction
 * @throws NonConformanceError, OrderStateError, OrderError
 */
export async function openNonConformance(
  transaction: PlatformTransaction,
  orders: Orders,
  id: number,
  { quantity, cause, disposition }: Found,
  by: Pick<OrderChange, 'actor' | 'actorId'>,
  tell: (transaction: PlatformTransaction, found: NonConformance, order: Order) => Promise<unknown>,
): Promise<Order> {
  const order = await lockOrder(transaction, id);
  if (!Number.isInteger(quantity) || quantity < 1 || quantity > order.quantity) {
    throw new NonConformanceError(`expected a quantity from 1 to ${order.quantity}`);
  }
  const changed = await orders.applyTo(transaction, order, { event: 'reject_parts', ...by, data: { quantity, cause, disposition } });
  const manufacturer = order.manufacturer_id as number;
  const found = await transaction
    .insertInto('non_conformances')
    .values({ order_id: id, manufacturer_id: manufacturer, quantity, cause, disposition, credit_minor: null })
    .returningAll()
    .executeTakeFirstOrThrow();
  await transaction
    .updateTable('manufacturers')
    .set((update) => ({ rating_sum: update('rating_sum', '+', rating), rating_count: update('rating_count', '+', 1) }))
    .where('id', '=', manufacturer)
    .execute();
  await tell(transaction, found, order);
  return changed;
}

/** The parts were made right, or made anew. */
export async function closeNonConformances(transaction: PlatformTransaction, order: number): Promise<void> {
  await transaction
    .updateTable('non_conformances')
    .set({ closed_at: new Date() })
    .where('order_id', '=', order)
    .where('closed_at', 'is', null)
    .execute();
}

/** A delivery counts for the record of who made it: in time, or not. @param today where the platform is */
export async function recordDelivery(transaction: PlatformTransaction, { manufacturer_id, due_on }: Order, today: string): Promise<void> {
  if (manufacturer_id === null) return;
  await transaction
    .updateTable('manufacturers')
    .set((update) => ({
      delivered: update('delivered', '+', 1),
      delivered_in_time: update('delivered_in_time', '+', today <= due_on ? 1 : 0),
    }))
    .where('id', '=', manufacturer_id)
    .execute();
}
