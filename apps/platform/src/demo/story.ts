/**
 * Plays the people of the marketplace: buyers who post, award and accept, manufacturers who take offers, quote, make and ship, the
 * staff who settle disputes. What they do follows from an order's state and id, so that the same data takes the same way. All else,
 * matching, payments, mails, is the platform's own work.
 */
import { actsFor } from '../accounts/acting-user.ts';
import type { PlatformDatabase } from '../database/database.ts';
import type { Marketplace } from '../marketplace.ts';
import type { RankedCandidate } from '../matching/score.ts';
import { money, share } from '../money/money.ts';
import { amountDue } from '../orders/award.ts';
import { OfferError } from '../orders/offers.ts';
import { type OrderActor, type OrderEvent, type OrderState, OrderStateError } from '../orders/order-states.ts';
import { type Order, OrderError, type PlatformTransaction } from '../orders/orders.ts';
import { type Quote, QuoteError } from '../orders/quotes.ts';
import { reservation } from '../payments/payment-input.ts';
import type { SampleTrouble } from './sample-data.ts';

export interface StoryDeps {
  readonly database: PlatformDatabase;
  readonly tasks: Pick<Marketplace, 'orders' | 'offers' | 'quotes' | 'rejectParts' | 'grantCredit' | 'processPayment'>;
  readonly troubleOf: (order: Pick<Order, 'id' | 'reference'>) => SampleTrouble;
  /** Whether whoever's turn it is does it now. Default always. */
  readonly isTime?: (order: Order) => boolean;
}

/** In these states somebody has to do something. */
const waiting: readonly OrderState[] = [
  'draft',
  'sourcing',
  'quoted',
  'on_hold',
  'payment_authorised',
  'in_production',
  'inspection',
  'rework',
  'shipped',
  'delivered',
  'disputed',
];

/** A card that pays, of a buyer whose first one did not. */
const otherCard = 'pm_card_mastercard';
/** The first offer of every twelfth order is declined. */
const declinedOffers = 12;
/** What a buyer gets back for parts that he keeps although they are not right: a tenth. */
const creditBasisPoints = 1_000;

export class Story {
  readonly #deps: StoryDeps;

  constructor(deps: StoryDeps) {
    this.#deps = deps;
  }

  /**
   * Everybody does what is to be done now.
   *
   * @param each orders in each state at most
   * @param drafts orders that are posted at most
   * @returns how many things were done
   */
  async round(each: number, drafts = each): Promise<number> {
    const { isTime = () => true } = this.#deps;
    let done = 0;
    for (const state of waiting) {
      const orders = await this.#deps.database
        .selectFrom('orders')
        .selectAll()
        .where('state', '=', state)
        .orderBy('state_since')
        .orderBy('id')
        .limit(state === 'draft' ? drafts : each)
        .execute();
      for (const order of orders) if (isTime(order) && (await this.#act(order))) done += 1;
    }
    return done;
  }

  async #act(order: Order): Promise<boolean> {
    try {
      const done = await this.#deps.database.transaction().execute((transaction) => this.#step(transaction, order));
      return done || (order.state === 'quoted' && (await this.#award(order)));
    } catch (error) {
      // Somebody else was faster, or the hours are gone: the next round sees.
      if (error instanceof OrderStateError || error instanceof OrderError || error instanceof OfferError || error instanceof QuoteError)
        return false;
      throw error;
    }
  }

  async #step(transaction: PlatformTransaction, order: Order): Promise<boolean> {
    const trouble = this.#deps.troubleOf(order);
    switch (order.state) {
      case 'draft':
        return this.#event(transaction, order, 'submit', 'buyer');
      case 'sourcing':
      case 'quoted':
        return order.mode === 'instant' ? this.#answerOffer(transaction, order) : this.#quote(transaction, order);
      case 'on_hold':
        return this.#payAnotherWay(transaction, order);
      case 'payment_authorised':
        return this.#event(transaction, order, 'begin_production', 'manufacturer');
      case 'in_production':
        return order.paid_at !== null && this.#event(transaction, order, 'finish_production', 'manufacturer');
      case 'inspection':
        return trouble === 'not_right' && (await isFirstInspection(transaction, order))
          ? this.#findWrong(transaction, order)
          : this.#event(transaction, order, 'ship', 'manufacturer');
      case 'rework':
        return this.#event(transaction, order, 'finish_rework', 'manufacturer');
      case 'shipped':
        return this.#event(transaction, order, 'deliver', 'buyer');
      case 'delivered':
        return this.#event(transaction, order, trouble === 'disputed' ? 'dispute' : 'accept_parts', 'buyer');
      case 'disputed':
        return this.#event(transaction, order, order.id % 2 === 0 ? 'resolve_for_buyer' : 'resolve_for_manufacturer', 'staff');
      default:
        return false;
    }
  }

  async #event(transaction: PlatformTransaction, order: Order, event: OrderEvent, actor: OrderActor): Promise<boolean> {
    const actorId =
      actor === 'buyer' ? order.buyer_id : actor === 'manufacturer' ? await actsFor(transaction, order.manufacturer_id ?? 0) : undefined;
    await this.#deps.tasks.orders.apply(transaction, order.id, {
      event,
      actor,
      expectedVersion: order.version,
      ...(actorId === undefined ? {} : { actorId }),
    });
    return true;
  }

  async #answerOffer(transaction: PlatformTransaction, order: Order): Promise<boolean> {
    const offers = await transaction
      .selectFrom('offers')
      .innerJoin('manufacturers', 'manufacturers.id', 'offers.manufacturer_id')
      .select(['offers.id', 'offers.state', 'manufacturers.user_id'])
      .where('order_id', '=', order.id)
      .execute();
    const open = offers.find(({ state }) => state === 'open');
    if (open === undefined) return false;
    const { offers: answers } = this.#deps.tasks;
    if (order.id % declinedOffers === 0 && offers.length === 1) await answers.decline(transaction, open.id, open.user_id);
    else await answers.accept(transaction, open.id, open.user_id);
    return true;
  }

  /** Everybody who was asked quotes what he was ranked with. */
  async #quote(transaction: PlatformTransaction, order: Order): Promise<boolean> {
    const asked = await transaction
      .selectFrom('quotes')
      .innerJoin('manufacturers', 'manufacturers.id', 'quotes.manufacturer_id')
      .selectAll('quotes')
      .select('manufacturers.user_id')
      .where('order_id', '=', order.id)
      .where('quotes.state', '=', 'requested')
      .orderBy('quotes.id')
      .executeTakeFirst();
    return asked !== undefined && this.#submit(transaction, order, asked);
  }

  /** The buyer takes the cheapest that can be had yet. */
  async #award(order: Order): Promise<boolean> {
    const { database, tasks } = this.#deps;
    const quotes = await database
      .selectFrom('quotes')
      .select(['id', 'price_minor', 'currency'])
      .where('order_id', '=', order.id)
      .where('state', '=', 'quoted')
      .orderBy('price_minor')
      .orderBy('id')
      .execute();
    for (const { id, price_minor, currency } of quotes) {
      const seen = money(price_minor ?? 0, currency);
      try {
        await database.transaction().execute((transaction) => tasks.quotes.award(transaction, id, order.buyer_id, seen));
        return true;
      } catch (error) {
        // Those hours are gone: the next one may have some.
        if (!(error instanceof QuoteError)) throw error;
      }
    }
    return false;
  }

  async #submit(transaction: PlatformTransaction, order: Order, quote: Quote & { readonly user_id: number }): Promise<boolean> {
    const round = await transaction
      .selectFrom('order_matches')
      .select('candidates')
      .where('order_id', '=', order.id)
      .orderBy('round', 'desc')
      .executeTakeFirstOrThrow();
    const ranked = (round.candidates as readonly RankedCandidate[]).find(({ supplierId }) => supplierId === String(quote.manufacturer_id));
    const uses = ranked?.slots[0]?.uses;
    if (ranked === undefined || uses === undefined) {
      await this.#deps.tasks.quotes.decline(transaction, quote.id, quote.user_id);
      return true;
    }
    await this.#deps.tasks.quotes.submit(transaction, quote.id, quote.user_id, money(ranked.price.minor, order.currency), uses);
    return true;
  }

  async #payAnotherWay(transaction: PlatformTransaction, order: Order): Promise<boolean> {
    const due = amountDue(order);
    if (order.held_state !== 'awarded' || due === undefined) return false;
    await this.#deps.tasks.processPayment.enqueue(reservation(order, due, otherCard), {
      transaction,
      id: `story-pays:${order.id}`,
    });
    return true;
  }

  /** Of three such orders one is made right, one made anew, and one is kept for less. */
  async #findWrong(transaction: PlatformTransaction, order: Order): Promise<boolean> {
    const found = { quantity: 1, cause: 'dimension' } as const;
    const disposition = (['rework', 'remake', 'credit'] as const)[order.id % 3] ?? 'rework';
    if (disposition !== 'credit') {
      await this.#deps.tasks.rejectParts(transaction, order.id, { ...found, disposition }, { actor: 'buyer', actorId: order.buyer_id });
      return true;
    }
    const amount = share(money(order.price_minor ?? 0, order.currency), creditBasisPoints);
    await this.#deps.tasks.grantCredit(transaction, order.id, { ...found, amount }, { actor: 'staff' });
    return true;
  }
}

async function isFirstInspection(transaction: PlatformTransaction, { id }: Order): Promise<boolean> {
  const found = await transaction.selectFrom('non_conformances').select('id').where('order_id', '=', id).executeTakeFirst();
  return found === undefined;
}
