/** Offers: what a manufacturer may take, and takes or lets go. */
import { z } from '@hono/zod-openapi';
import { manufacturerOf } from '../../accounts/users.ts';
import type { PlatformDatabase } from '../../database/database.ts';
import { type Offer, OfferError } from '../../orders/offers.ts';
import type { Order } from '../../orders/orders.ts';
import { noteActOf } from './caller-acts.ts';
import type { ApiDeps } from './deps.ts';
import { id, instant, instantOf, instantOrNull, moneyOf, moneyOut, orNull, pathId, weekUse } from './fields.ts';
import { orderAnswer, orderNeed, orderNeedShape, orderShape, ordersById } from './order-views.ts';
import { before, listOf, pageOf, pageQuery, rowsFor } from './pages.ts';
import { type Api, apiRoute, json, newApi } from './route.ts';

const tags: [string] = ['Offers'];
const states = ['open', 'accepted', 'declined', 'expired', 'withdrawn'] as const;

const offerShape = z
  .object({
    id,
    state: z.enum(states),
    order_id: id,
    order: orNull(orderNeedShape).meta({ description: 'As long as there is something to decide, or it is taken; else null.' }),
    price: moneyOut,
    weeks: z.array(weekUse).meta({ description: 'When it would be made.' }),
    expires_at: instant,
    created_at: instant,
    decided_at: instant.nullable(),
  })
  .meta({ id: 'Offer' });

const list = apiRoute(
  { roles: ['manufacturer'] },
  {
    method: 'get',
    path: '/offers',
    operationId: 'listOffers',
    summary: 'My offers',
    tags,
    request: { query: z.strictObject({ ...pageQuery, state: z.enum(states).optional() }) },
    responses: { 200: json('A page of offers.', listOf(offerShape)) },
  },
);

const accept = apiRoute(
  { roles: ['manufacturer'], codes: ['OFFER_OVER', 'NO_CAPACITY', 'ILLEGAL_EVENT', 'RATE_UNKNOWN', 'INVALID_AMOUNT'] },
  {
    method: 'post',
    path: '/offers/{id}/accept',
    operationId: 'acceptOffer',
    summary: 'Take an offer',
    description: 'The order is awarded, and the hours are booked. Where they are gone the offer is withdrawn: NO_CAPACITY.',
    tags,
    request: { params: pathId },
    responses: { 200: json('The order as it is now.', orderShape) },
  },
);

const decline = apiRoute(
  { roles: ['manufacturer'], codes: ['OFFER_OVER', 'ILLEGAL_EVENT'] },
  {
    method: 'post',
    path: '/offers/{id}/decline',
    operationId: 'declineOffer',
    summary: 'Let an offer go',
    description: 'The order is offered to somebody else.',
    tags,
    request: { params: pathId },
    responses: { 200: json('The offer as it is now.', offerShape) },
  },
);

export function offers({ database, tasks }: ApiDeps): Api {
  const api = newApi();

  api.openapi(list, async (c) => {
    const { state, ...page } = c.req.valid('query');
    const own = await manufacturerOf(database, c.get('caller').user);
    if (own === undefined) return c.json({ items: [], next: null }, 200);
    const rows = await database
      .selectFrom('offers')
      .selectAll()
      .where('manufacturer_id', '=', own)
      .$if(state !== undefined, (query) => query.where('state', '=', state ?? 'open'))
      .where('id', '<', before(page))
      .orderBy('id', 'desc')
      .limit(rowsFor(page))
      .execute();
    const { rows: shown, next } = pageOf(rows, page);
    return c.json({ items: await answersOf(database, shown), next }, 200);
  });

  api.openapi(accept, async (c) => {
    const caller = c.get('caller');
    const { id: number } = c.req.valid('param');
    const answer = await database.transaction().execute(async (transaction) => {
      const order = await tasks.offers.accept(transaction, number, caller.user);
      if (order.state !== 'awarded') return undefined;
      await noteActOf(transaction, caller, { action: 'offer.accept', subject: `offer:${number}`, data: { order: order.id } });
      return orderAnswer(transaction, order, 'manufacturer');
    });
    if (answer === undefined) throw new OfferError('NO_CAPACITY', 'the hours of this offer are taken by other work: it is withdrawn');
    return c.json(answer, 200);
  });

  api.openapi(decline, async (c) => {
    const caller = c.get('caller');
    const { id: number } = c.req.valid('param');
    const answer = await database.transaction().execute(async (transaction) => {
      const order = await tasks.offers.decline(transaction, number, caller.user);
      await noteActOf(transaction, caller, { action: 'offer.decline', subject: `offer:${number}`, data: { order: order.id } });
      return answerOf(await transaction.selectFrom('offers').selectAll().where('id', '=', number).executeTakeFirstOrThrow(), undefined);
    });
    return c.json(answer, 200);
  });

  return api;
}

async function answersOf(database: PlatformDatabase, offers: readonly Offer[]): Promise<z.infer<typeof offerShape>[]> {
  const isLive = ({ state }: Offer) => state === 'open' || state === 'accepted';
  const orders = await ordersById(
    database,
    offers.filter(isLive).map(({ order_id }) => order_id),
  );
  return offers.map((offer) => answerOf(offer, isLive(offer) ? orders.get(offer.order_id) : undefined));
}

function answerOf(offer: Offer, order: Order | undefined): z.infer<typeof offerShape> {
  return {
    id: offer.id,
    state: offer.state,
    order_id: offer.order_id,
    order: order === undefined ? null : orderNeed(order),
    price: moneyOf(offer.price_minor, offer.currency),
    weeks: offer.uses.map(({ week, minutes }) => ({ week, minutes })),
    expires_at: instantOf(offer.expires_at),
    created_at: instantOf(offer.created_at),
    decided_at: instantOrNull(offer.decided_at),
  };
}
