/**
 * Parts that are not as ordered: how many, why, and what becomes of them. They are made right or made anew, or the buyer keeps them
 * and gets money back. It counts against the manufacturer's rating.
 */
import type { Selectable } from 'kysely';
import { addDays, dayIn } from '../calendar/business-days.ts';
import type { Disposition, NonConformanceCause, NonConformancesTable } from '../database/marketplace-tables.ts';
import { defaultTransit, distanceKm, transitDays } from '../matching/transit.ts';
import { add, type Money, money, sameCurrency, share } from '../money/money.ts';
import { lockOrder, type Order, type OrderChange, type Orders, type PlatformTransaction } from './orders.ts';
import { addToRecord } from './ratings.ts';

export type NonConformance = Selectable<NonConformancesTable>;

export interface Found {
  /** Of the parts that are not right. */
  readonly quantity: number;
  readonly cause: NonConformanceCause;
  readonly disposition: Exclude<Disposition, 'credit'>;
}

/** The buyer keeps the parts, for less. */
export interface Credit extends Pick<Found, 'quantity' | 'cause'> {
  /** Without tax, which goes back with it. */
  readonly amount: Money;
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
  mustBeOf(order, quantity);
  const changed = await orders.applyTo(transaction, order, { event: 'reject_parts', ...by, data: { quantity, cause, disposition } });
  await tell(transaction, await note(transaction, order, { quantity, cause, disposition, credit_minor: null }), order);
  return changed;
}

/**
 * @param by who grants it: the manufacturer, or the staff
 * @param giveBack to the buyer, in the same transaction
 * @throws NonConformanceError, OrderStateError, OrderError, MoneyError, and what giveBack throws for more than was paid
 */
export async function grantCredit(
  transaction: PlatformTransaction,
  orders: Orders,
  id: number,
  { quantity, cause, amount }: Credit,
  by: Pick<OrderChange, 'actor' | 'actorId'>,
  now: number,
  giveBack: (
    transaction: PlatformTransaction,
    order: Order,
    refund: { amount: Money; reference: string; reason: string },
  ) => Promise<unknown>,
): Promise<Order> {
  const order = await lockOrder(transaction, id);
  mustBeOf(order, quantity);
  sameCurrency(amount, money(0, order.currency));
  const data = { quantity, cause, disposition: 'credit', credit_minor: amount.minor };
  const changed = await orders.applyTo(transaction, order, { event: 'grant_credit', ...by, data });
  const found = await note(transaction, order, { quantity, cause, disposition: 'credit', credit_minor: amount.minor });
  await closeNonConformances(transaction, id, now);
  const back = add(amount, share(amount, order.tax_rate));
  await giveBack(transaction, changed, { amount: back, reference: `credit:${found.id}`, reason: `credit for parts: ${cause}` });
  return changed;
}

function mustBeOf(order: Order, quantity: number): void {
  if (!Number.isInteger(quantity) || quantity < 1 || quantity > order.quantity) {
    throw new NonConformanceError(`expected a quantity from 1 to ${order.quantity}`);
  }
}

async function note(
  transaction: PlatformTransaction,
  order: Order,
  values: Pick<NonConformance, 'quantity' | 'cause' | 'disposition' | 'credit_minor'>,
): Promise<NonConformance> {
  const manufacturer = order.manufacturer_id as number;
  await addToRecord(transaction, manufacturer, rating);
  return transaction
    .insertInto('non_conformances')
    .values({ order_id: order.id, manufacturer_id: manufacturer, ...values })
    .returningAll()
    .executeTakeFirstOrThrow();
}

/** The parts were made right, or made anew. */
export async function closeNonConformances(transaction: PlatformTransaction, order: number, now: number): Promise<void> {
  await transaction
    .updateTable('non_conformances')
    .set({ closed_at: new Date(now) })
    .where('order_id', '=', order)
    .where('closed_at', 'is', null)
    .execute();
}

/**
 * The first delivery of an order counts for the record of who made it: in time, or not. Where nobody has said that it has come, by when
 * it left and how long it was on the way.
 *
 * @param today where the platform is
 */
export async function recordDelivery(
  transaction: PlatformTransaction,
  order: Order,
  { actor }: Pick<OrderChange, 'actor'>,
  zone: string,
  today: string,
): Promise<void> {
  if (order.manufacturer_id === null) return;
  const events = await transaction
    .selectFrom('order_events')
    .select(['event', 'at'])
    .where('order_id', '=', order.id)
    .where('event', 'in', ['ship', 'deliver'])
    .orderBy('version', 'desc')
    .execute();
  if (events.filter(({ event }) => event === 'deliver').length > 1) return;
  const maker = await transaction.selectFrom('manufacturers').selectAll().where('id', '=', order.manufacturer_id).executeTakeFirstOrThrow();
  const shipped = events.find(({ event }) => event === 'ship');
  const arrived = shipped === undefined ? today : addDays(dayIn(zone, shipped.at), transitDays(distanceKm(order, maker), defaultTransit));
  const came = actor === 'system' && arrived < today ? arrived : today;
  await transaction
    .updateTable('manufacturers')
    .set((update) => ({
      delivered: update('delivered', '+', 1),
      delivered_in_time: update('delivered_in_time', '+', came <= order.due_on ? 1 : 0),
    }))
    .where('id', '=', maker.id)
    .execute();
}
