/** Quotes: an order of mode rfq is sent to some manufacturers, each may quote until a date, and the buyer awards it to one of them. */
import type { Selectable } from 'kysely';
import { dayIn } from '../calendar/business-days.ts';
import { weekOf } from '../calendar/iso-week.ts';
import type { QuotesTable } from '../database/marketplace-tables.ts';
import type { WeekUse } from '../matching/production-slots.ts';
import { formatMoney, type Money, money, sameCurrency } from '../money/money.ts';
import { taxOfAward } from './award.ts';
import { bookCapacity, freeCapacity } from './capacity.ts';
import { closeOver } from './openings.ts';
import { eventsOf } from './order-states.ts';
import { lockOrder, type Order, type Orders, type PlatformTransaction } from './orders.ts';

export type Quote = Selectable<QuotesTable>;

/** How long manufacturers may quote, and how long a quote is good. */
export const quoteForMs = 7 * 24 * 3_600_000;

/** So often a manufacturer may quote each time that he is asked. */
const mostSubmissions = 10;

/**
 * Codes as those of offers; `QUOTE_OVER`: it was decided, or it is too late. `WRONG_HOURS`: not the minutes that the order takes, or not
 * in weeks in which it can be made. `OVER_BUDGET`: more than the buyer pays. `QUOTED_TOO_OFTEN`: it cannot be bettered any more.
 * `PRICE_CHANGED`: the buyer has seen another price.
 */
export class QuoteError extends Error {
  override readonly name = 'QuoteError';
  readonly code: 'NOT_FOUND' | 'QUOTE_OVER' | 'NO_CAPACITY' | 'WRONG_HOURS' | 'OVER_BUDGET' | 'QUOTED_TOO_OFTEN' | 'PRICE_CHANGED';

  constructor(code: QuoteError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

/** Which time of several a quote is asked for: one whose time was over can be asked for again. */
export function roundOf({ expires_at }: Pick<Quote, 'expires_at'>): string {
  return String(Math.floor(expires_at.getTime() / 1_000));
}

/** Asks manufacturers who are not asked already; those again whose time was over. The order must be locked. @returns whom it has asked */
export async function requestQuotes(
  transaction: PlatformTransaction,
  order: Order,
  manufacturers: readonly number[],
  now: number,
): Promise<readonly Quote[]> {
  if (manufacturers.length === 0) return [];
  return transaction
    .insertInto('quotes')
    .values(
      manufacturers.map((manufacturer_id) => ({
        order_id: order.id,
        manufacturer_id,
        currency: order.currency,
        expires_at: new Date(now + quoteForMs),
      })),
    )
    .onConflict((conflict) =>
      conflict
        .columns(['order_id', 'manufacturer_id'])
        .doUpdateSet({ state: 'requested', submissions: 0, expires_at: new Date(now + quoteForMs) })
        .where('quotes.state', 'in', ['requested', 'quoted', 'expired'])
        .where('quotes.expires_at', '<=', new Date(now)),
    )
    .returningAll()
    .execute();
}

export class Quotes {
  readonly #orders: Orders;
  readonly #zone: string;
  readonly #now: () => number;

  /** @param zone where a day begins */
  constructor(orders: Orders, zone: string, now: () => number = Date.now) {
    this.#orders = orders;
    this.#zone = zone;
    this.#now = now;
  }

  /**
   * A manufacturer says what he wants for it, and in which ISO weeks he would make it; again, as long as nobody has it.
   *
   * @throws QuoteError, OrderStateError, MoneyError, TaxRuleError
   */
  async submit(transaction: PlatformTransaction, id: number, user: number, price: Money, uses: readonly WeekUse[]): Promise<Order> {
    const { order, quote } = await this.#open(transaction, id, user, ['requested', 'quoted']);
    sameCurrency(price, { minor: 0, currency: quote.currency as Money['currency'] });
    // An award that could not be paid is refused now.
    await taxOfAward(transaction, order, quote.manufacturer_id, price.minor);
    if (uses.reduce((sum, { minutes }) => sum + minutes, 0) !== order.minutes || new Set(uses.map(({ week }) => week)).size < uses.length) {
      throw new QuoteError('WRONG_HOURS', `name each week once, with ${order.minutes} minutes in all`);
    }
    const [first, last] = [weekOf(dayIn(this.#zone, new Date(this.#now()))), weekOf(order.due_on)];
    if (uses.some(({ week }) => week < first || week > last)) {
      throw new QuoteError('WRONG_HOURS', `name weeks from ${first} to ${last}: by then it has to be there`);
    }
    if (order.budget_minor !== null && price.minor > order.budget_minor) {
      throw new QuoteError('OVER_BUDGET', 'this is more than the buyer pays: quote less, or decline');
    }
    if (quote.submissions >= mostSubmissions) {
      throw new QuoteError('QUOTED_TOO_OFTEN', `this was quoted ${mostSubmissions} times: the last price stands`);
    }
    await transaction
      .updateTable('quotes')
      .set({
        state: 'quoted',
        price_minor: price.minor,
        uses: JSON.stringify(uses),
        submissions: quote.submissions + 1,
        decided_at: new Date(this.#now()),
      })
      .where('id', '=', id)
      .execute();
    return this.#orders.applyTo(transaction, order, {
      event: 'receive_quote',
      actor: 'manufacturer',
      actorId: user,
      data: { quote: id, price_minor: price.minor },
    });
  }

  /** With the last one that is open the order is matched again. @throws QuoteError */
  async decline(transaction: PlatformTransaction, id: number, user: number): Promise<void> {
    const { order } = await this.#open(transaction, id, user, ['requested', 'quoted']);
    await transaction
      .updateTable('quotes')
      .set({ state: 'declined', decided_at: new Date(this.#now()) })
      .where('id', '=', id)
      .execute();
    const isOpen = await closeOver(transaction, order.id, this.#now());
    if (isOpen || !eventsOf(order.state).includes('match_again')) return;
    await this.#orders.applyTo(transaction, order, { event: 'match_again', actor: 'manufacturer', actorId: user, data: { quote: id } });
  }

  /**
   * The buyer takes one; the others are lost.
   *
   * @param seen the price that he has seen: another one binds him to nothing
   * @throws QuoteError, OrderStateError
   */
  async award(transaction: PlatformTransaction, id: number, buyer: number, seen: Money): Promise<Order> {
    const found = await transaction.selectFrom('quotes').select('order_id').where('id', '=', id).executeTakeFirst();
    const order = found === undefined ? undefined : await lockOrder(transaction, found.order_id);
    if (order === undefined || order.buyer_id !== buyer) throw new QuoteError('NOT_FOUND', `there is no quote ${id} for you`);
    const quote = await transaction.selectFrom('quotes').selectAll().where('id', '=', id).forUpdate().executeTakeFirstOrThrow();
    if (quote.state !== 'quoted' || quote.uses === null) throw new QuoteError('QUOTE_OVER', `this quote is ${quote.state}`);
    if (quote.expires_at.getTime() <= this.#now()) throw new QuoteError('QUOTE_OVER', 'this quote has expired');
    if (quote.price_minor !== seen.minor || quote.currency !== seen.currency) {
      const price = formatMoney(money(quote.price_minor ?? 0, quote.currency));
      throw new QuoteError('PRICE_CHANGED', `the price of this quote is ${price} now: read it again`);
    }
    const full = await bookCapacity(transaction, { manufacturer_id: quote.manufacturer_id, process: order.process, uses: quote.uses });
    if (full !== undefined) {
      throw new QuoteError('NO_CAPACITY', `this manufacturer has no hours left in ${full}: take another quote, or ask again`);
    }
    await transaction.updateTable('quotes').set({ state: 'awarded' }).where('id', '=', id).execute();
    await transaction
      .updateTable('quotes')
      .set({ state: 'lost', decided_at: new Date(this.#now()) })
      .where('order_id', '=', order.id)
      .where('state', 'in', ['requested', 'quoted'])
      .execute();
    return this.#orders.applyTo(transaction, order, {
      event: 'award',
      actor: 'buyer',
      actorId: buyer,
      data: { quote: id },
      set: { manufacturer_id: quote.manufacturer_id, price_minor: quote.price_minor },
    });
  }

  async #open(transaction: PlatformTransaction, id: number, user: number, states: readonly Quote['state'][]) {
    const found = await transaction
      .selectFrom('quotes')
      .innerJoin('manufacturers', 'manufacturers.id', 'quotes.manufacturer_id')
      .select('quotes.order_id')
      .where('quotes.id', '=', id)
      .where('manufacturers.user_id', '=', user)
      .executeTakeFirst();
    if (found === undefined) throw new QuoteError('NOT_FOUND', `there is no quote ${id} for you`);
    const order = await lockOrder(transaction, found.order_id);
    const quote = await transaction.selectFrom('quotes').selectAll().where('id', '=', id).forUpdate().executeTakeFirstOrThrow();
    if (!states.includes(quote.state)) throw new QuoteError('QUOTE_OVER', `this quote is ${quote.state}`);
    if (quote.expires_at.getTime() <= this.#now()) throw new QuoteError('QUOTE_OVER', 'the time for quotes is over');
    return { order, quote };
  }
}

/** Of an order that is cancelled: what was awarded frees its hours. @returns those that were open */
export async function withdrawQuotes(
  transaction: PlatformTransaction,
  order: Order,
  now: number,
): Promise<readonly Pick<Quote, 'id' | 'manufacturer_id'>[]> {
  const quotes = await transaction
    .selectFrom('quotes')
    .selectAll()
    .where('order_id', '=', order.id)
    .where('state', 'in', ['requested', 'quoted', 'awarded'])
    .orderBy('id')
    .execute();
  await transaction
    .updateTable('quotes')
    .set({ state: 'lost', decided_at: new Date(now) })
    .where('order_id', '=', order.id)
    .where('state', 'in', ['requested', 'quoted', 'awarded'])
    .execute();
  for (const { state, manufacturer_id, uses } of quotes) {
    if (state === 'awarded' && uses !== null) await freeCapacity(transaction, { manufacturer_id, process: order.process, uses });
  }
  return quotes.filter(({ state, expires_at }) => state !== 'awarded' && expires_at.getTime() > now);
}
