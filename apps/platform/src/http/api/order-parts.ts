/** What is said of the parts of an order: that some are not as ordered, and how good whoever made them was. */
import { z } from '@hono/zod-openapi';
import type { NonConformance } from '../../orders/non-conformances.ts';
import { OrderStateError } from '../../orders/order-states.ts';
import { mustBeAt } from '../../orders/orders.ts';
import { rateOrder } from '../../orders/ratings.ts';
import { noteActOf } from './caller-acts.ts';
import type { ApiDeps } from './deps.ts';
import { ApiError } from './errors.ts';
import { id, instant, instantOf, instantOrNull, moneyIn, moneyOf, moneyOut, orNull, pathId, quantity } from './fields.ts';
import { lockOrderFor, orderAnswer, orderById, orderShape, partyOf } from './order-views.ts';
import { before, listOf, pageOf, pageQuery, rowsFor } from './pages.ts';
import { type Api, apiRoute, everybody, json, jsonBody, newApi } from './route.ts';

const tags: [string] = ['Orders'];

const causes = ['dimension', 'surface', 'material', 'damage', 'count', 'documents', 'other'] as const;

const seenVersion = z
  .int()
  .min(0)
  .max(2 ** 31 - 1)
  .describe('The version of the order that the caller has seen.');

const newNonConformance = z
  .strictObject({
    quantity: quantity.describe('Of the parts that are not right.'),
    cause: z.enum(causes),
    disposition: z.enum(['rework', 'remake']).describe('What becomes of them.'),
    version: seenVersion.optional(),
  })
  .meta({ id: 'NewNonConformance', examples: [{ quantity: 3, cause: 'surface', disposition: 'rework' }] });

const newCredit = z
  .strictObject({
    quantity: quantity.describe('Of the parts that are not right.'),
    cause: z.enum(causes),
    amount: moneyIn.describe('What goes back, without tax; the tax of it goes back with it.'),
    version: seenVersion,
  })
  .meta({ id: 'NewCredit', examples: [{ quantity: 3, cause: 'surface', amount: { amount: '12.00', currency: 'EUR' }, version: 9 }] });

const nonConformanceShape = z
  .object({
    id,
    quantity: z.int(),
    cause: z.enum(causes),
    disposition: z.enum(['rework', 'remake', 'credit']).nullable(),
    credit: orNull(moneyOut),
    opened_at: instant,
    closed_at: instant.nullable(),
  })
  .meta({ id: 'NonConformance' });

const newRating = z.strictObject({ stars: z.int().min(1).max(5) }).meta({ id: 'NewRating', examples: [{ stars: 5 }] });

const ratingShape = z.object({ order: id, manufacturer: id, stars: z.int(), at: instant }).meta({ id: 'Rating' });

const reject = apiRoute(
  { roles: ['buyer', 'staff'], codes: ['ILLEGAL_EVENT', 'VERSION_CONFLICT', 'QUANTITY'] },
  {
    method: 'post',
    path: '/orders/{id}/non-conformances',
    operationId: 'rejectParts',
    summary: 'Say that parts are not as ordered',
    description: 'The order goes to rework, and it counts for the rating of the manufacturer.',
    tags,
    request: { params: pathId, body: jsonBody(newNonConformance) },
    responses: { 201: json('The order as it is now.', orderShape) },
  },
);

const credit = apiRoute(
  {
    roles: ['manufacturer', 'staff'],
    codes: ['ILLEGAL_EVENT', 'GUARD', 'FORBIDDEN_ACTOR', 'VERSION_CONFLICT', 'QUANTITY', 'INVALID_AMOUNT', 'REFUND_TOO_LARGE'],
  },
  {
    method: 'post',
    path: '/orders/{id}/credits',
    operationId: 'grantCredit',
    summary: 'Let the buyer keep parts that are not right, for less',
    description:
      'The amount goes back to the buyer, and a credit note follows the invoice. Sent again it is not given again: the version is another one.',
    tags,
    request: { params: pathId, body: jsonBody(newCredit) },
    responses: { 201: json('The order as it is now.', orderShape) },
  },
);

const list = apiRoute(
  { roles: everybody },
  {
    method: 'get',
    path: '/orders/{id}/non-conformances',
    operationId: 'listNonConformances',
    summary: 'Parts of an order that were not as ordered',
    tags,
    request: { params: pathId, query: z.strictObject(pageQuery) },
    responses: { 200: json('A page of non-conformances.', listOf(nonConformanceShape)) },
  },
);

const rate = apiRoute(
  { roles: ['buyer'], codes: ['ILLEGAL_EVENT', 'RATED'] },
  {
    method: 'post',
    path: '/orders/{id}/rating',
    operationId: 'rateOrder',
    summary: 'Say how good the manufacturer was',
    description: 'Once, when the order is closed.',
    tags,
    request: { params: pathId, body: jsonBody(newRating) },
    responses: { 201: json('The rating.', ratingShape) },
  },
);

export function orderParts({ database, tasks }: ApiDeps): Api {
  const api = newApi();

  api.openapi(reject, async (c) => {
    const caller = c.get('caller');
    const { id: number } = c.req.valid('param');
    const { version, ...found } = c.req.valid('json');
    const answer = await database.transaction().execute(async (transaction) => {
      const { order, view } = await lockOrderFor(transaction, caller, number, partyOf);
      mustBeAt(order, version);
      const by = { actor: caller.role, actorId: caller.user };
      const changed = await tasks.rejectParts(transaction, number, found, by);
      const { quantity: parts, cause, disposition } = found;
      const data = { version: changed.version, quantity: parts, cause, disposition };
      await noteActOf(transaction, caller, { action: 'order.reject_parts', subject: `order:${number}`, data });
      return orderAnswer(transaction, changed, view);
    });
    return c.json(answer, 201);
  });

  api.openapi(credit, async (c) => {
    const caller = c.get('caller');
    const { id: number } = c.req.valid('param');
    const { version, ...granted } = c.req.valid('json');
    const answer = await database.transaction().execute(async (transaction) => {
      const { order, view } = await lockOrderFor(transaction, caller, number, partyOf);
      mustBeAt(order, version);
      const changed = await tasks.grantCredit(transaction, number, granted, { actor: caller.role, actorId: caller.user });
      const { quantity: parts, cause, amount } = granted;
      const data = { version: changed.version, quantity: parts, cause, amount_minor: amount.minor };
      await noteActOf(transaction, caller, { action: 'order.grant_credit', subject: `order:${number}`, data });
      return orderAnswer(transaction, changed, view);
    });
    return c.json(answer, 201);
  });

  api.openapi(list, async (c) => {
    const order = await orderById(database, c.req.valid('param').id);
    await partyOf(database, c.get('caller'), order);
    const page = c.req.valid('query');
    const rows = await database
      .selectFrom('non_conformances')
      .selectAll()
      .where('order_id', '=', order.id)
      .where('id', '<', before(page))
      .orderBy('id', 'desc')
      .limit(rowsFor(page))
      .execute();
    const { rows: shown, next } = pageOf(rows, page);
    return c.json({ items: shown.map((row) => answerOf(row, order.currency)), next }, 200);
  });

  api.openapi(rate, async (c) => {
    const caller = c.get('caller');
    const { id: number } = c.req.valid('param');
    const { stars } = c.req.valid('json');
    const rating = await database.transaction().execute(async (transaction) => {
      const { order } = await lockOrderFor(transaction, caller, number, partyOf);
      if (order.state !== 'closed' || order.manufacturer_id === null) {
        throw new OrderStateError('ILLEGAL_EVENT', `an order that is ${order.state} cannot be rated yet`);
      }
      const noted = await rateOrder(transaction, number, order.manufacturer_id, stars);
      if (noted === undefined) throw new ApiError('RATED');
      await noteActOf(transaction, caller, { action: 'order.rate', subject: `order:${number}`, data: { stars } });
      return noted;
    });
    return c.json({ order: rating.order_id, manufacturer: rating.manufacturer_id, stars, at: instantOf(rating.at) }, 201);
  });

  return api;
}

function answerOf(row: NonConformance, currency: string): z.infer<typeof nonConformanceShape> {
  const { id, quantity, cause, disposition, credit_minor, opened_at, closed_at } = row;
  return {
    id,
    quantity,
    cause,
    disposition,
    credit: credit_minor === null ? null : moneyOf(credit_minor, currency),
    opened_at: instantOf(opened_at),
    closed_at: instantOrNull(closed_at),
  };
}
