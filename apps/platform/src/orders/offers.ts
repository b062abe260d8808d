/**
 * Offers: an instant order that matching has given to a manufacturer, who has some time to take it. Taken, its machine-hours are
 * booked; declined or expired, the order is matched again, with somebody else.
 */
import type { Selectable } from 'kysely';
import type { OffersTable } from '../database/marketplace-tables.ts';
import type { WeekUse } from '../matching/production-slots.ts';
import { bookCapacity, freeCapacity } from './capacity.ts';
import { lockOrder, type Order, type Orders, type PlatformTransaction } from './orders.ts';

export type Offer = Selectable<OffersTable>;

/** How long a manufacturer has. */
export const offerForMs = 24 * 3_600_000;

/**
 * `NOT_FOUND`: no such offer, or that of another manufacturer. `OFFER_OVER`: it was decided, or has expired. `NO_CAPACITY`: the
 * machine-hours were booked by other work meanwhile.
 */
export class OfferError extends Error {
  override readonly name = 'OfferError';
  readonly code: 'NOT_FOUND' | 'OFFER_OVER' | 'NO_CAPACITY';

  constructor(code: OfferError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

export interface NewOffer {
  readonly manufacturer: number;
  readonly priceMinor: number;
  /** When it would be made. */
  readonly uses: readonly WeekUse[];
}

/** The order must be locked. */
export function makeOffer(transaction: PlatformTransaction, order: Order, offer: NewOffer, now: number): Promise<Offer> {
  return transaction
    .insertInto('offers')
    .values({
      order_id: order.id,
      manufacturer_id: offer.manufacturer,
      price_minor: offer.priceMinor,
      currency: order.currency,
      process: order.process,
      uses: JSON.stringify(offer.uses),
      expires_at: new Date(now + offerForMs),
    })
    .returningAll()
    .executeTakeFirstOrThrow();
}

export class Offers {
  readonly #orders: Orders;
  readonly #now: () => number;

  constructor(orders: Orders, now: () => number = Date.now) {
    this.#orders = orders;
    this.#now = now;
  }

  /**
   * @param user who acts for the manufacturer
   * @returns the order, awarded; or as it is when the hours are gone: the offer is withdrawn, and the order matched again
   * @throws OfferError, OrderStateError
   */
  async accept(transaction: PlatformTransaction, id: number, user: number): Promise<Order> {
    const { order, offer } = await this.#open(transaction, id, user);
    const full = await bookCapacity(transaction, offer);
    if (full !== undefined) {
      await this.#decide(transaction, id, 'withdrawn');
      return this.#orders.applyTo(transaction, order, { event: 'match_again', actor: 'system', data: { offer: id, full } });
    }
    await this.#decide(transaction, id, 'accepted');
    return this.#orders.applyTo(transaction, order, {
      event: 'accept_offer',
      actor: 'manufacturer',
      actorId: user,
      data: { offer: id },
      set: { manufacturer_id: offer.manufacturer_id, price_minor: offer.price_minor },
    });
  }

  /** @throws OfferError, OrderStateError */
  async decline(transaction: PlatformTransaction, id: number, user: number): Promise<Order> {
    const { order } = await this.#open(transaction, id, user);
    await this.#decide(transaction, id, 'declined');
    return this.#orders.applyTo(transaction, order, { event: 'match_again', actor: 'manufacturer', actorId: user, data: { offer: id } });
  }

  /** Nothing happens to one that was decided in time, or has time left. @returns whether it has expired now, and how long it has yet */
  async expire(transaction: PlatformTransaction, id: number): Promise<{ readonly expired: boolean; readonly leftMs: number }> {
    const found = await transaction.selectFrom('offers').select('order_id').where('id', '=', id).executeTakeFirst();
    if (found === undefined) return { expired: false, leftMs: 0 };
    const order = await lockOrder(transaction, found.order_id);
    const offer = await transaction.selectFrom('offers').selectAll().where('id', '=', id).forUpdate().executeTakeFirstOrThrow();
    const leftMs = offer.state === 'open' ? Math.max(0, offer.expires_at.getTime() - this.#now()) : 0;
    if (offer.state !== 'open' || leftMs > 0) return { expired: false, leftMs };
    await this.#decide(transaction, id, 'expired');
    if (order.state === 'sourcing') {
      await this.#orders.applyTo(transaction, order, { event: 'match_again', actor: 'system', data: { offer: id } });
    }
    return { expired: true, leftMs: 0 };
  }

  async #open(transaction: PlatformTransaction, id: number, user: number): Promise<{ readonly order: Order; readonly offer: Offer }> {
    const found = await transaction
      .selectFrom('offers')
      .innerJoin('manufacturers', 'manufacturers.id', 'offers.manufacturer_id')
      .select('offers.order_id')
      .where('offers.id', '=', id)
      .where('manufacturers.user_id', '=', user)
      .executeTakeFirst();
    if (found === undefined) throw new OfferError('NOT_FOUND', `there is no offer ${id} for you`);
    const order = await lockOrder(transaction, found.order_id);
    const offer = await transaction.selectFrom('offers').selectAll().where('id', '=', id).forUpdate().executeTakeFirstOrThrow();
    if (offer.state !== 'open') throw new OfferError('OFFER_OVER', `this offer is ${offer.state}`);
    if (offer.expires_at.getTime() <= this.#now()) throw new OfferError('OFFER_OVER', 'this offer has expired');
    return { order, offer };
  }

  async #decide(transaction: PlatformTransaction, id: number, state: 'accepted' | 'declined' | 'expired' | 'withdrawn'): Promise<void> {
    await transaction
      .updateTable('offers')
      .set({ state, decided_at: new Date(this.#now()) })
      .where('id', '=', id)
      .execute();
  }
}

/** Of an order that is cancelled: an open offer is taken back, and booked hours are free again. @returns those that were open */
export async function withdrawOffers(
  transaction: PlatformTransaction,
  order: number,
  now: number,
): Promise<readonly Pick<Offer, 'id' | 'manufacturer_id'>[]> {
  const offers = await transaction
    .updateTable('offers')
    .set({ state: 'withdrawn', decided_at: new Date(now) })
    .where('order_id', '=', order)
    .where('state', 'in', ['open', 'accepted'])
    // As they were: an update gives what it has made of them.
    .from((from) => from.selectFrom('offers as before').select(['before.id as was_id', 'before.state as was']).as('b'))
    .whereRef('b.was_id', '=', 'offers.id')
    .returning(['offers.id', 'offers.manufacturer_id', 'offers.process', 'offers.uses', 'b.was'])
    .execute();
  for (const { was, ...work } of offers) if (was === 'accepted') await freeCapacity(transaction, work);
  return offers.filter(({ was }) => was === 'open');
}
