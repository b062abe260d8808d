/** Orders: buyers post them, whoever has a part in one reads it and makes its events, the staff sees why it went to whom. */
import { z } from '@hono/zod-openapi';
import { type Insertable, sql } from 'kysely';
import type { Caller } from '../../accounts/api-keys.ts';
import { manufacturerOf } from '../../accounts/users.ts';
import { dayIn } from '../../calendar/business-days.ts';
import type { OrdersTable } from '../../database/marketplace-tables.ts';
import { closeOver } from '../../orders/openings.ts';
import { OrderStateError, orderEvents, orderStates } from '../../orders/order-states.ts';
import type { Order, PlatformTransaction } from '../../orders/orders.ts';
import { paymentMethodSchema } from '../../payments/payment-input.ts';
import { noteActOf } from './caller-acts.ts';
import type { ApiDeps } from './deps.ts';
import { ApiError, invalid } from './errors.ts';
import {
  certificate,
  countries,
  country,
  currency,
  day,
  id,
  instant,
  instantOf,
  line,
  location,
  material,
  moneyIn,
  mostMinutes,
  pathId,
  printedLine,
  process,
  quantity,
  reference,
} from './fields.ts';
import { mayPost, postedEvents } from './order-event-rules.ts';
import { lockOrderFor, orderAnswer, orderAnswers, orderById, orderShape, partyOf, viewOf } from './order-views.ts';
import { before, listOf, pageOf, pageQuery, rowsFor } from './pages.ts';
import { type Api, apiRoute, everybody, json, jsonBody, newApi } from './route.ts';

const tags: [string] = ['Orders'];

const newOrder = z
  .strictObject({
    mode: z.enum(['instant', 'rfq']).describe('instant: it is offered at a price. rfq: manufacturers are asked for quotes.'),
    title: printedLine(200).meta({ examples: ['Brackets'] }),
    process,
    material,
    quantity,
    minutes: z
      .int()
      .min(1)
      .max(mostMinutes)
      .meta({ description: 'Machine time for all parts.', examples: [120] }),
    certificates: z.array(certificate).max(20).default([]).describe('That the manufacturer has to hold.'),
    export_countries: countries.min(1).optional().describe('The countries that it may be made in; left out: it is not controlled.'),
    due_on: day.describe('The day by which it has to be there.'),
    country: country.describe('Where it goes.'),
    location: location.describe('Where it goes.'),
    currency,
    budget: moneyIn.optional().describe('What it may cost at most, without tax; left out: any price.'),
    payment_method: paymentMethodSchema
      .optional()
      .describe("The payment provider's id of how it is paid when it is awarded; left out: the buyer pays by himself then."),
    reference: reference.optional().describe("The buyer's own name for it: the same again is one order."),
    submit: z.boolean().default(false).describe('Whether it is submitted at once; else it is a draft.'),
  })
  .refine(({ budget, currency: code }) => budget === undefined || budget.currency === code, {
    path: ['budget', 'currency'],
    error: 'expected the currency of the order',
  })
  .meta({
    id: 'NewOrder',
    examples: [
      {
        mode: 'instant',
        title: 'Brackets',
        process: 'turning',
        material: 'steel',
        quantity: 20,
        minutes: 120,
        due_on: '2027-01-29',
        country: 'DE',
        location: { latitude: 52.52, longitude: 13.4 },
        currency: 'EUR',
        budget: { amount: '250.00', currency: 'EUR' },
        reference: 'po-1',
        submit: true,
      },
    ],
  });

const eventIn = z
  .strictObject({
    event: z.enum(postedEvents),
    version: z
      .int()
      .min(0)
      .max(2 ** 31 - 1)
      .optional()
      .describe('The version that the caller has seen: of another one nothing happens.'),
    reason: line(500).optional().describe('Is kept with the event, and read by both sides.'),
  })
  .meta({ id: 'OrderEventToMake', examples: [{ event: 'ship', version: 7 }] });

const eventShape = z
  .object({
    version: z.int().meta({ description: "The order's after it." }),
    event: z.enum(orderEvents as [string, ...string[]]),
    from_state: z.enum(orderStates),
    to_state: z.enum(orderStates),
    actor: z.enum(['buyer', 'manufacturer', 'staff', 'system']),
    reason: z.string().nullable(),
    at: instant,
    data: z.record(z.string(), z.unknown()).optional().meta({ description: 'For the staff.' }),
  })
  .meta({ id: 'OrderEvent' });

const matchShape = z
  .object({
    id,
    round: z.int(),
    method: z.string(),
    outcome: z.enum(['offered', 'quotes_requested', 'waits']).nullable().meta({ description: 'Of rounds of earlier releases null.' }),
    candidates: z.array(z.unknown()).meta({ description: 'Who was considered, with the parts of the score.' }),
    left_out: z.array(z.unknown()).meta({ description: 'Who was left out, and why.' }),
    at: instant,
  })
  .meta({ id: 'OrderMatch', description: 'A round of matching.' });

const create = apiRoute(
  { roles: ['buyer'], codes: ['REFERENCE_TAKEN'] },
  {
    method: 'post',
    path: '/orders',
    operationId: 'createOrder',
    summary: 'Post an order',
    description: 'With a `reference` it can be sent again: the same gives the same order with 200, and something else 409.',
    tags,
    request: { body: jsonBody(newOrder) },
    responses: { 200: json('The order that there was.', orderShape), 201: json('The new order.', orderShape) },
  },
);

const list = apiRoute(
  { roles: everybody },
  {
    method: 'get',
    path: '/orders',
    operationId: 'listOrders',
    summary: 'My orders',
    description: 'Of a buyer his own, of a manufacturer those that he has got, of the staff all.',
    tags,
    request: { query: z.strictObject({ ...pageQuery, state: z.enum(orderStates).optional() }) },
    responses: { 200: json('A page of orders.', listOf(orderShape)) },
  },
);

const read = apiRoute(
  { roles: everybody },
  {
    method: 'get',
    path: '/orders/{id}',
    operationId: 'readOrder',
    summary: 'An order',
    description: 'A manufacturer who is offered it, or asked for a quote, sees what he needs to decide.',
    tags,
    request: { params: pathId },
    responses: { 200: json('The order.', orderShape) },
  },
);

const listEvents = apiRoute(
  { roles: everybody },
  {
    method: 'get',
    path: '/orders/{id}/events',
    operationId: 'listOrderEvents',
    summary: 'What has happened to an order',
    description: 'A manufacturer sees what has happened from the award on.',
    tags,
    request: { params: pathId, query: z.strictObject(pageQuery) },
    responses: { 200: json('A page of events.', listOf(eventShape)) },
  },
);

const post = apiRoute(
  { roles: everybody, codes: ['ILLEGAL_EVENT', 'GUARD', 'FORBIDDEN_ACTOR', 'VERSION_CONFLICT', 'STILL_OPEN'] },
  {
    method: 'post',
    path: '/orders/{id}/events',
    operationId: 'makeOrderEvent',
    summary: 'Make an event of an order happen',
    description: 'Those that can be made now are the `possible` ones of the order.',
    tags,
    request: { params: pathId, body: jsonBody(eventIn) },
    responses: { 200: json('The order as it is now.', orderShape) },
  },
);

const listMatches = apiRoute(
  { roles: ['staff'] },
  {
    method: 'get',
    path: '/orders/{id}/matches',
    operationId: 'listOrderMatches',
    summary: 'Why an order went to whom',
    tags,
    request: { params: pathId, query: z.strictObject(pageQuery) },
    responses: { 200: json('A page of rounds of matching.', listOf(matchShape)) },
  },
);

export function orders({ database, tasks, timeZone, now = Date.now }: ApiDeps): Api {
  const api = newApi();

  api.openapi(create, async (c) => {
    const caller = c.get('caller');
    const asked = c.req.valid('json');
    const today = dayIn(timeZone, new Date(now()));
    const { answer, fresh } = await database.transaction().execute(async (transaction) => {
      const { order, fresh: isNew } = await postOrder(transaction, caller, asked, today);
      const submitted =
        isNew && asked.submit
          ? await tasks.orders.applyTo(transaction, order, { event: 'submit', actor: 'buyer', actorId: caller.user })
          : order;
      if (isNew) {
        await noteActOf(transaction, caller, {
          action: 'order.create',
          subject: `order:${order.id}`,
          data: { mode: order.mode, submitted: asked.submit },
        });
      }
      return { answer: await orderAnswer(transaction, submitted, 'buyer'), fresh: isNew };
    });
    return fresh ? c.json(answer, 201) : c.json(answer, 200);
  });

  api.openapi(list, async (c) => {
    const { user, role } = c.get('caller');
    const { state, ...page } = c.req.valid('query');
    const own = role === 'manufacturer' ? await manufacturerOf(database, user) : undefined;
    if (role === 'manufacturer' && own === undefined) return c.json({ items: [], next: null }, 200);
    const rows = await database
      .selectFrom('orders')
      .selectAll()
      .$if(role === 'buyer', (query) => query.where('buyer_id', '=', user))
      .$if(own !== undefined, (query) => query.where('manufacturer_id', '=', own ?? 0))
      .$if(state !== undefined, (query) => query.where('state', '=', state ?? 'draft'))
      .where('id', '<', before(page))
      .orderBy('id', 'desc')
      .limit(rowsFor(page))
      .execute();
    const { rows: shown, next } = pageOf(rows, page);
    return c.json({ items: await orderAnswers(database, shown, role), next }, 200);
  });

  api.openapi(read, async (c) => {
    const order = await orderById(database, c.req.valid('param').id);
    return c.json(await orderAnswer(database, order, await viewOf(database, c.get('caller'), order)), 200);
  });

  api.openapi(listEvents, async (c) => {
    const order = await orderById(database, c.req.valid('param').id);
    const view = await partyOf(database, c.get('caller'), order);
    const page = c.req.valid('query');
    const rows = await database
      .selectFrom('order_events')
      .selectAll()
      .select('version as id')
      .where('order_id', '=', order.id)
      .$if(view === 'manufacturer', (query) =>
        query.where('version', '>=', (events) =>
          events
            .selectFrom('order_events')
            .select(({ fn }) => fn.min('version').as('award'))
            .where('order_id', '=', order.id)
            .where('event', 'in', ['accept_offer', 'award']),
        ),
      )
      .where('version', '<', sql<number>`${before(page)}::bigint`)
      .orderBy('version', 'desc')
      .limit(rowsFor(page))
      .execute();
    const { rows: shown, next } = pageOf(rows, page);
    const items = shown.map(({ version, event, from_state, to_state, actor, data, at }) => ({
      version,
      event,
      from_state,
      to_state,
      actor,
      reason: typeof data['reason'] === 'string' ? data['reason'] : null,
      at: instantOf(at),
      ...(view === 'staff' ? { data: { ...data } } : {}),
    }));
    return c.json({ items, next }, 200);
  });

  api.openapi(post, async (c) => {
    const caller = c.get('caller');
    const { id: number } = c.req.valid('param');
    const { event, version, reason } = c.req.valid('json');
    const answer = await database.transaction().execute(async (transaction) => {
      const { order, view } = await lockOrderFor(transaction, caller, number, viewOf);
      if (!mayPost(caller.role, event))
        throw new OrderStateError('FORBIDDEN_ACTOR', `this event is not made by a ${caller.role} in this way`);
      if (event === 'match_again') await mustBeOver(transaction, number, now());
      const changed = await tasks.orders.applyTo(transaction, order, {
        event,
        actor: caller.role,
        actorId: caller.user,
        ...(version === undefined ? {} : { expectedVersion: version }),
        ...(reason === undefined ? {} : { data: { reason } }),
      });
      await noteActOf(transaction, caller, { action: `order.${event}`, subject: `order:${number}`, data: { version: changed.version } });
      return orderAnswer(transaction, changed, view);
    });
    return c.json(answer, 200);
  });

  api.openapi(listMatches, async (c) => {
    const { id: number } = await orderById(database, c.req.valid('param').id);
    const page = c.req.valid('query');
    const rows = await database
      .selectFrom('order_matches')
      .selectAll()
      .where('order_id', '=', number)
      .where('id', '<', before(page))
      .orderBy('id', 'desc')
      .limit(rowsFor(page))
      .execute();
    const { rows: shown, next } = pageOf(rows, page);
    const items = shown.map(({ id: match, round, method, outcome, candidates, left_out, at }) => ({
      id: match,
      round,
      method,
      outcome,
      candidates: [...candidates],
      left_out: [...left_out],
      at: instantOf(at),
    }));
    return c.json({ items, next }, 200);
  });

  return api;
}

type NewOrder = z.output<typeof newOrder>;

/** A draft; with a reference that was used, the order of that. @throws ApiError `REFERENCE_TAKEN` */
async function postOrder(
  transaction: PlatformTransaction,
  { user }: Caller,
  asked: NewOrder,
  today: string,
): Promise<{ readonly order: Order; readonly fresh: boolean }> {
  const row = rowOf(asked, user);
  const known = await orderOf(transaction, user, asked.reference);
  if (known !== undefined) return { order: sameOrder(known, row, asked.submit), fresh: false };
  // One that was sent again may be late by then.
  if (asked.due_on < today) throw invalid('due_on', 'expected a day that is not over');
  const added = await transaction
    .insertInto('orders')
    .values(row)
    .onConflict((conflict) => conflict.columns(['buyer_id', 'reference']).where('reference', 'is not', null).doNothing())
    .returningAll()
    .executeTakeFirst();
  if (added !== undefined) return { order: added, fresh: true };
  // Somebody has sent the same at the same time.
  return { order: sameOrder((await orderOf(transaction, user, asked.reference)) as Order, row, asked.submit), fresh: false };
}

async function orderOf(transaction: PlatformTransaction, user: number, name: string | undefined): Promise<Order | undefined> {
  if (name === undefined) return undefined;
  return transaction.selectFrom('orders').selectAll().where('buyer_id', '=', user).where('reference', '=', name).executeTakeFirst();
}

function rowOf(asked: NewOrder, buyer: number) {
  return {
    buyer_id: buyer,
    mode: asked.mode,
    title: asked.title,
    process: asked.process,
    material: asked.material,
    quantity: asked.quantity,
    minutes: asked.minutes,
    certificates: asked.certificates,
    export_countries: asked.export_countries ?? null,
    due_on: asked.due_on,
    country: asked.country,
    ...asked.location,
    currency: asked.currency,
    budget_minor: asked.budget?.minor ?? null,
    payment_method: asked.payment_method ?? null,
    reference: asked.reference ?? null,
    manufacturer_id: null,
    price_minor: null,
  } satisfies Insertable<OrdersTable>;
}

/** What a buyer asks for, and no award settles. */
const askedColumns = [
  'mode',
  'title',
  'process',
  'material',
  'quantity',
  'minutes',
  'certificates',
  'export_countries',
  'due_on',
  'country',
  'latitude',
  'longitude',
  'currency',
  'budget_minor',
  'payment_method',
] as const;

/** @throws ApiError `REFERENCE_TAKEN` unless it is what is asked for now */
function sameOrder(order: Order, row: ReturnType<typeof rowOf>, submit: boolean): Order {
  const textOf = (values: Pick<Order, (typeof askedColumns)[number]>) => JSON.stringify(askedColumns.map((column) => values[column]));
  if (textOf(order) !== textOf(row) || (submit && order.version === 0)) throw new ApiError('REFERENCE_TAKEN');
  return order;
}

/** Else two manufacturers would have it. @throws ApiError `STILL_OPEN` */
async function mustBeOver(transaction: PlatformTransaction, order: number, now: number): Promise<void> {
  if (await closeOver(transaction, order, now)) throw new ApiError('STILL_OPEN');
}
