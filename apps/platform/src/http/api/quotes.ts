/** Quotes: manufacturers who are asked say what they want for an order, and the buyer awards it to one of them. */
import { z } from '@hono/zod-openapi';
import { manufacturerOf } from '../../accounts/users.ts';
import type { PlatformDatabase } from '../../database/database.ts';
import type { Order, PlatformTransaction } from '../../orders/orders.ts';
import type { Quote } from '../../orders/quotes.ts';
import { noteActOf } from './caller-acts.ts';
import type { ApiDeps } from './deps.ts';
import { id, instant, instantOf, instantOrNull, moneyIn, moneyOf, moneyOut, orNull, pathId, weekUse } from './fields.ts';
import { namesOf, orderAnswer, orderById, orderNeed, orderNeedShape, orderShape, ordersById, partyOf } from './order-views.ts';
import { before, listOf, pageOf, pageQuery, rowsFor } from './pages.ts';
import { type Api, apiRoute, json, jsonBody, newApi } from './route.ts';

const tags: [string] = ['Quotes'];
const states = ['requested', 'quoted', 'declined', 'awarded', 'lost', 'expired'] as const;

const quoteShape = z
  .object({
    id,
    state: z.enum(states),
    order_id: id,
    order: orNull(orderNeedShape).meta({ description: 'As long as there is something to decide, or it is awarded; else null.' }),
    price: orNull(moneyOut),
    weeks: z.array(weekUse).nullable().meta({ description: 'When it would be made.' }),
    expires_at: instant,
    created_at: instant,
    decided_at: instant.nullable(),
  })
  .meta({ id: 'Quote' });

const receivedShape = z
  .object({
    id,
    state: z.enum(states),
    manufacturer: z.object({ id, name: z.string() }),
    price: orNull(moneyOut),
    ready_week: z
      .string()
      .nullable()
      .meta({ description: 'The ISO week in which it would be made.', examples: ['2026-W49'] }),
    expires_at: instant,
    weeks: z.array(weekUse).nullable().optional().meta({ description: 'For the staff.' }),
  })
  .meta({ id: 'ReceivedQuote', description: 'A quote as the buyer sees it.' });

const quoteIn = z
  .strictObject({
    price: moneyIn,
    weeks: z
      .array(weekUse)
      .min(1)
      .max(60)
      .describe('From this one to that in which it is due, each once; the minutes of the order in all.'),
  })
  .meta({
    id: 'QuoteToSubmit',
    examples: [{ price: { amount: '99.00', currency: 'EUR' }, weeks: [{ week: '2026-W49', minutes: 120 }] }],
  });

const awardIn = z
  .strictObject({ price: moneyIn.describe('The price of the quote as the buyer has read it: at another one nothing is awarded.') })
  .meta({ id: 'QuoteToAward', examples: [{ price: { amount: '99.00', currency: 'EUR' } }] });

const list = apiRoute(
  { roles: ['manufacturer'] },
  {
    method: 'get',
    path: '/quotes',
    operationId: 'listQuotes',
    summary: 'What I am asked for',
    tags,
    request: { query: z.strictObject({ ...pageQuery, state: z.enum(states).optional() }) },
    responses: { 200: json('A page of quotes.', listOf(quoteShape)) },
  },
);

const listOfOrder = apiRoute(
  { roles: ['buyer', 'staff'] },
  {
    method: 'get',
    path: '/orders/{id}/quotes',
    operationId: 'listOrderQuotes',
    summary: 'The quotes for an order',
    description: 'The buyer sees those that have come in; the staff all that were asked for.',
    tags,
    request: { params: pathId, query: z.strictObject(pageQuery) },
    responses: { 200: json('A page of quotes.', listOf(receivedShape)) },
  },
);

const submit = apiRoute(
  {
    roles: ['manufacturer'],
    codes: ['QUOTE_OVER', 'ILLEGAL_EVENT', 'WRONG_HOURS', 'INVALID_AMOUNT', 'OVER_BUDGET', 'QUOTED_TOO_OFTEN', 'RATE_UNKNOWN'],
  },
  {
    method: 'post',
    path: '/quotes/{id}/submit',
    operationId: 'submitQuote',
    summary: 'Quote',
    description: 'Again, as long as nobody has the order, ten times at most.',
    tags,
    request: { params: pathId, body: jsonBody(quoteIn) },
    responses: { 200: json('The quote as it is now.', quoteShape) },
  },
);

const decline = apiRoute(
  { roles: ['manufacturer'], codes: ['QUOTE_OVER'] },
  {
    method: 'post',
    path: '/quotes/{id}/decline',
    operationId: 'declineQuote',
    summary: 'Do not quote',
    tags,
    request: { params: pathId },
    responses: { 200: json('The quote as it is now.', quoteShape) },
  },
);

const award = apiRoute(
  { roles: ['buyer'], codes: ['QUOTE_OVER', 'PRICE_CHANGED', 'NO_CAPACITY', 'ILLEGAL_EVENT', 'RATE_UNKNOWN', 'INVALID_AMOUNT'] },
  {
    method: 'post',
    path: '/quotes/{id}/award',
    operationId: 'awardQuote',
    summary: 'Take a quote',
    description: 'The order is awarded, the hours are booked, and the other quotes are lost.',
    tags,
    request: { params: pathId, body: jsonBody(awardIn) },
    responses: { 200: json('The order as it is now.', orderShape) },
  },
);

export function quotes({ database, tasks }: ApiDeps): Api {
  const api = newApi();

  api.openapi(list, async (c) => {
    const { state, ...page } = c.req.valid('query');
    const own = await manufacturerOf(database, c.get('caller').user);
    if (own === undefined) return c.json({ items: [], next: null }, 200);
    const rows = await database
      .selectFrom('quotes')
      .selectAll()
      .where('manufacturer_id', '=', own)
      .$if(state !== undefined, (query) => query.where('state', '=', state ?? 'requested'))
      .where('id', '<', before(page))
      .orderBy('id', 'desc')
      .limit(rowsFor(page))
      .execute();
    const { rows: shown, next } = pageOf(rows, page);
    return c.json({ items: await answersOf(database, shown), next }, 200);
  });

  api.openapi(listOfOrder, async (c) => {
    const order = await orderById(database, c.req.valid('param').id);
    const view = await partyOf(database, c.get('caller'), order);
    const page = c.req.valid('query');
    const rows = await database
      .selectFrom('quotes')
      .selectAll()
      .where('order_id', '=', order.id)
      // Who was asked, and has not quoted, is none of the buyer's.
      .$if(view === 'buyer', (query) => query.where('state', 'in', ['quoted', 'awarded', 'lost']).where('price_minor', 'is not', null))
      .where('id', '<', before(page))
      .orderBy('id', 'desc')
      .limit(rowsFor(page))
      .execute();
    const { rows: shown, next } = pageOf(rows, page);
    const names = await namesOf(
      database,
      shown.map(({ manufacturer_id }) => manufacturer_id),
    );
    const items = shown.map((quote) => ({
      id: quote.id,
      state: quote.state,
      manufacturer: names.get(quote.manufacturer_id) ?? { id: quote.manufacturer_id, name: '' },
      price: priceOf(quote),
      ready_week:
        weeksOf(quote)
          ?.map(({ week }) => week)
          .toSorted()
          .at(-1) ?? null,
      expires_at: instantOf(quote.expires_at),
      ...(view === 'staff' ? { weeks: weeksOf(quote) } : {}),
    }));
    return c.json({ items, next }, 200);
  });

  api.openapi(submit, async (c) => {
    const caller = c.get('caller');
    const { id: number } = c.req.valid('param');
    const { price, weeks } = c.req.valid('json');
    const answer = await database.transaction().execute(async (transaction) => {
      const order = await tasks.quotes.submit(transaction, number, caller.user, price, weeks);
      await noteActOf(transaction, caller, { action: 'quote.submit', subject: `quote:${number}`, data: { order: order.id } });
      return answerOf(await quoteById(transaction, number), order);
    });
    return c.json(answer, 200);
  });

  api.openapi(decline, async (c) => {
    const caller = c.get('caller');
    const { id: number } = c.req.valid('param');
    const answer = await database.transaction().execute(async (transaction) => {
      await tasks.quotes.decline(transaction, number, caller.user);
      await noteActOf(transaction, caller, { action: 'quote.decline', subject: `quote:${number}` });
      return answerOf(await quoteById(transaction, number), undefined);
    });
    return c.json(answer, 200);
  });

  api.openapi(award, async (c) => {
    const caller = c.get('caller');
    const { id: number } = c.req.valid('param');
    const { price } = c.req.valid('json');
    const answer = await database.transaction().execute(async (transaction) => {
      const order = await tasks.quotes.award(transaction, number, caller.user, price);
      await noteActOf(transaction, caller, { action: 'quote.award', subject: `quote:${number}`, data: { order: order.id } });
      return orderAnswer(transaction, order, 'buyer');
    });
    return c.json(answer, 200);
  });

  return api;
}

function quoteById(transaction: PlatformTransaction, quote: number): Promise<Quote> {
  return transaction.selectFrom('quotes').selectAll().where('id', '=', quote).executeTakeFirstOrThrow();
}

async function answersOf(database: PlatformDatabase, quotes: readonly Quote[]): Promise<z.infer<typeof quoteShape>[]> {
  const isLive = ({ state }: Quote) => state === 'requested' || state === 'quoted' || state === 'awarded';
  const orders = await ordersById(
    database,
    quotes.filter(isLive).map(({ order_id }) => order_id),
  );
  return quotes.map((quote) => answerOf(quote, isLive(quote) ? orders.get(quote.order_id) : undefined));
}

function answerOf(quote: Quote, order: Order | undefined): z.infer<typeof quoteShape> {
  return {
    id: quote.id,
    state: quote.state,
    order_id: quote.order_id,
    order: order === undefined ? null : orderNeed(order),
    price: priceOf(quote),
    weeks: weeksOf(quote),
    expires_at: instantOf(quote.expires_at),
    created_at: instantOf(quote.created_at),
    decided_at: instantOrNull(quote.decided_at),
  };
}

function priceOf({ price_minor, currency }: Quote) {
  return price_minor === null ? null : moneyOf(price_minor, currency);
}

function weeksOf({ uses }: Quote) {
  return uses === null ? null : uses.map(({ week, minutes }) => ({ week, minutes }));
}
