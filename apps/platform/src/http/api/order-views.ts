/**
 * Who sees what of an order. The buyer and the staff see it from the start, the manufacturer who has got it from then on; one who is only
 * offered it, or asked for a quote, sees what he needs to decide. For everybody else it is not there. How it is paid nobody sees.
 */
import { z } from '@hono/zod-openapi';
import type { Caller } from '../../accounts/api-keys.ts';
import { manufacturerOf } from '../../accounts/users.ts';
import type { PlatformDatabase } from '../../database/database.ts';
import { amountDue } from '../../orders/award.ts';
import { orderStates } from '../../orders/order-states.ts';
import { lockOrder, type Order, type PlatformTransaction } from '../../orders/orders.ts';
import { ApiError } from './errors.ts';
import { id, instant, instantOf, instantOrNull, location, moneyOf, moneyOut, orNull } from './fields.ts';
import { possibleEvents } from './order-event-rules.ts';

type Reading = Pick<PlatformDatabase, 'selectFrom'>;

/** As whom somebody sees an order; `asked` is a manufacturer who has not got it. */
export type OrderView = 'buyer' | 'manufacturer' | 'staff' | 'asked';

/** What whoever decides about an order has to know of it. */
const neededFields = {
  id,
  mode: z.enum(['instant', 'rfq']),
  state: z.enum(orderStates),
  version: z.int().meta({ description: 'Goes up with each event.' }),
  title: z.string(),
  process: z.string(),
  material: z.string(),
  quantity: z.int(),
  minutes: z.int(),
  certificates: z.array(z.string()),
  export_countries: z.array(z.string()).nullable(),
  due_on: z.string(),
  country: z.string(),
  currency: z.string(),
  created_at: instant,
};

/** Of an order, beside an offer or a quote. */
export const orderNeedShape = z.object(neededFields).meta({ id: 'OrderNeed', description: 'What is to be made.' });

export const orderShape = z
  .object({
    ...neededFields,
    possible: z.array(z.string()).meta({
      description:
        'Events that this caller can make now: `reject_parts` by a non-conformance, `grant_credit` by a credit, the others as events.',
      examples: [['deliver']],
    }),
    held_state: z.enum(orderStates).nullable().optional().meta({ description: 'Where an order on hold goes on.' }),
    location: location.optional(),
    manufacturer: z.object({ id, name: z.string() }).nullable().optional(),
    buyer: z.object({ id, name: z.string(), address: z.array(z.string()), country: z.string() }).optional(),
    price: orNull(moneyOut).optional().meta({ description: 'Without tax; null before the award.' }),
    tax: z
      .object({ rule: z.string(), rate: z.number().meta({ description: 'In percent.' }), amount: moneyOut })
      .nullable()
      .optional()
      .meta({ description: 'As the award has settled it.' }),
    total: orNull(moneyOut).optional().meta({ description: 'Price and tax: what the buyer pays.' }),
    cancellation_fee: moneyOut.optional().meta({ description: 'What the buyer owes for cancelling late.' }),
    paid_at: instant.nullable().optional(),
    deadline: instant.nullable().optional().meta({ description: 'Until when the next step is due.' }),
    state_since: instant.optional(),
    budget: orNull(moneyOut).optional().meta({ description: 'For the buyer and the staff.' }),
    reference: z.string().nullable().optional().meta({ description: "The buyer's own name for it; for the buyer and the staff." }),
  })
  .meta({ id: 'Order', description: 'What a caller does not see is left out.' });

export type OrderAnswer = z.infer<typeof orderShape>;

/** As whom a caller sees this order. @throws ApiError `NOT_FOUND` where he does not */
export async function viewOf(database: Reading, { user, role }: Caller, order: Order): Promise<OrderView> {
  if (role === 'staff') return 'staff';
  if (role === 'buyer' && order.buyer_id === user) return 'buyer';
  const own = role === 'manufacturer' ? await manufacturerOf(database, user) : undefined;
  if (own === undefined) throw new ApiError('NOT_FOUND');
  if (order.manufacturer_id === own) return 'manufacturer';
  if (await isAsked(database, order.id, own)) return 'asked';
  throw new ApiError('NOT_FOUND');
}

/** The same for those who have a part in it. @throws ApiError `NOT_FOUND` */
export async function partyOf(database: Reading, caller: Caller, order: Order): Promise<Exclude<OrderView, 'asked'>> {
  const view = await viewOf(database, caller, order);
  if (view === 'asked') throw new ApiError('NOT_FOUND');
  return view;
}

/** @throws ApiError `NOT_FOUND` */
export async function orderById(database: Reading, order: number): Promise<Order> {
  const found = await database.selectFrom('orders').selectAll().where('id', '=', order).executeTakeFirst();
  if (found === undefined) throw new ApiError('NOT_FOUND');
  return found;
}

/**
 * An order that nobody else changes before the transaction is over, and as whom the caller sees it. He is asked before, too: nobody
 * makes others wait for what is not his.
 *
 * @param asWhom `viewOf`, or `partyOf`
 * @throws ApiError `NOT_FOUND`
 */
export async function lockOrderFor<View extends OrderView>(
  transaction: PlatformTransaction,
  caller: Caller,
  number: number,
  asWhom: (database: Reading, caller: Caller, order: Order) => Promise<View>,
): Promise<{ readonly order: Order; readonly view: View }> {
  await asWhom(transaction, caller, await orderById(transaction, number));
  const order = await lockOrder(transaction, number);
  return { order, view: await asWhom(transaction, caller, order) };
}

export async function ordersById(database: Reading, ids: readonly number[]): Promise<ReadonlyMap<number, Order>> {
  if (ids.length === 0) return new Map();
  const rows = await database
    .selectFrom('orders')
    .selectAll()
    .where('id', 'in', [...ids])
    .execute();
  return new Map(rows.map((row) => [row.id, row]));
}

export async function orderAnswer(database: Reading, order: Order, view: OrderView): Promise<OrderAnswer> {
  const [answer] = await orderAnswers(database, [order], view);
  return answer as OrderAnswer;
}

/** Of orders that a caller sees in the same way. */
export async function orderAnswers(database: Reading, orders: readonly Order[], view: OrderView): Promise<OrderAnswer[]> {
  if (view === 'asked' || orders.length === 0) return orders.map((order) => ({ ...orderNeed(order), possible: [] }));
  const manufacturers = await namesOf(
    database,
    orders.flatMap(({ manufacturer_id }) => manufacturer_id ?? []),
  );
  const buyers = await database
    .selectFrom('users')
    .select(['id', 'name', 'address', 'country'])
    .where('id', 'in', [...new Set(orders.map(({ buyer_id }) => buyer_id))])
    .execute();
  const buyerOf = new Map(buyers.map((buyer) => [buyer.id, { ...buyer, address: [...buyer.address] }]));
  return orders.map((order) => {
    const buyer = buyerOf.get(order.buyer_id);
    return {
      ...orderNeed(order),
      possible: [...possibleEvents(order, view)],
      held_state: order.held_state,
      location: { latitude: order.latitude, longitude: order.longitude },
      manufacturer: order.manufacturer_id === null ? null : (manufacturers.get(order.manufacturer_id) ?? null),
      ...(buyer === undefined ? {} : { buyer }),
      ...amountsOf(order),
      paid_at: instantOrNull(order.paid_at),
      deadline: instantOrNull(order.deadline),
      state_since: instantOf(order.state_since),
      ...(view === 'manufacturer'
        ? {}
        : { budget: order.budget_minor === null ? null : moneyOf(order.budget_minor, order.currency), reference: order.reference }),
    };
  });
}

export function orderNeed(order: Order): z.infer<typeof orderNeedShape> {
  const { id, mode, state, version, title, process, material, quantity, minutes, due_on, country, currency } = order;
  return {
    id,
    mode,
    state,
    version,
    title,
    process,
    material,
    quantity,
    minutes,
    certificates: [...order.certificates],
    export_countries: order.export_countries === null ? null : [...order.export_countries],
    due_on,
    country,
    currency,
    created_at: instantOf(order.created_at),
  };
}

/** Of manufacturers, by id. */
export async function namesOf(
  database: Reading,
  ids: readonly number[],
): Promise<ReadonlyMap<number, { readonly id: number; readonly name: string }>> {
  if (ids.length === 0) return new Map();
  const rows = await database
    .selectFrom('manufacturers')
    .select(['id', 'name'])
    .where('id', 'in', [...new Set(ids)])
    .execute();
  return new Map(rows.map((row) => [row.id, row]));
}

function amountsOf(order: Order): Pick<OrderAnswer, 'price' | 'tax' | 'total' | 'cancellation_fee'> {
  const { price_minor, tax_rule, tax_rate, tax_minor, fee_minor, currency } = order;
  const due = amountDue(order);
  return {
    price: price_minor === null ? null : moneyOf(price_minor, currency),
    tax: tax_rule === null ? null : { rule: tax_rule, rate: tax_rate / 100, amount: moneyOf(tax_minor, currency) },
    total: due === undefined ? null : moneyOf(due.minor, due.currency),
    cancellation_fee: moneyOf(fee_minor, currency),
  };
}

/** Whether a manufacturer has something to decide about, as long as it is not decided. */
async function isAsked(database: Reading, order: number, manufacturer: number): Promise<boolean> {
  const offer = await database
    .selectFrom('offers')
    .select('id')
    .where('order_id', '=', order)
    .where('manufacturer_id', '=', manufacturer)
    .where('state', '=', 'open')
    .executeTakeFirst();
  if (offer !== undefined) return true;
  const quote = await database
    .selectFrom('quotes')
    .select('id')
    .where('order_id', '=', order)
    .where('manufacturer_id', '=', manufacturer)
    .where('state', 'in', ['requested', 'quoted'])
    .executeTakeFirst();
  return quote !== undefined;
}
