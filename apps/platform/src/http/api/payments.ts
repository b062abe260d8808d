/** Payments: the buyer pays, and everybody whom it concerns sees what has come of it. By what somebody pays is never given back. */
import { z } from '@hono/zod-openapi';
import type { Selectable } from 'kysely';
import type { Caller } from '../../accounts/api-keys.ts';
import type { PlatformDatabase } from '../../database/database.ts';
import type { PaymentAttemptsTable } from '../../database/money-tables.ts';
import type { Money } from '../../money/money.ts';
import { amountDue } from '../../orders/award.ts';
import type { Order, PlatformTransaction } from '../../orders/orders.ts';
import { paymentMethodSchema, reservation } from '../../payments/payment-input.ts';
import { type Payment, PaymentError } from '../../payments/payments.ts';
import { requestRefund, type StoredRefund, waiveRefund } from '../../payments/refunds.ts';
import { noteActOf } from './caller-acts.ts';
import type { ApiDeps } from './deps.ts';
import { ApiError } from './errors.ts';
import { id, instant, instantOf, instantOrNull, moneyIn, moneyOf, moneyOut, pathId, printedLine, reference, refundPath } from './fields.ts';
import { lockOrderFor, partyOf } from './order-views.ts';
import { before, listOf, pageOf, pageQuery, rowsFor } from './pages.ts';
import { type Api, apiRoute, json, jsonBody, newApi } from './route.ts';

const tags: [string] = ['Payments'];
const states = ['created', 'requires_action', 'processing', 'authorised', 'captured', 'failed', 'cancelled', 'unknown'] as const;

/** For an order. Each is charged when it comes, and whoever has more of them tries whose cards they are. */
const mostMethods = 10;

const payIn = z
  .strictObject({
    payment_method: paymentMethodSchema.meta({ description: "The payment provider's id of it.", examples: ['pm_card_visa'] }),
    authorise_only: z.boolean().default(true).describe('Only reserve the money; it is taken when the work begins.'),
  })
  .meta({ id: 'PaymentToMake', examples: [{ payment_method: 'pm_card_visa' }] });

const jobShape = z
  .object({ job: z.string().meta({ description: 'The id of the job that does it.' }) })
  .meta({ id: 'Job', description: 'It is being done: read what has come of it.' });

const paymentFields = {
  id,
  order: id,
  amount: moneyOut,
  status: z.enum(states),
  authorise_only: z.boolean(),
  captured: moneyOut,
  refunded: moneyOut,
  disputed: z.boolean(),
  decline_code: z.string().nullable(),
  final: z.boolean().meta({ description: 'Declined for good: the buyer has to pay in another way.' }),
  retry_at: instant.nullable().meta({ description: 'When it is tried again.' }),
  action_url: z.string().nullable().optional().meta({ description: 'For the buyer: where he confirms that it is him.' }),
  intent: z.string().nullable().optional().meta({ description: "For the staff: the provider's id of it." }),
  created_at: instant,
  updated_at: instant,
};

const paymentShape = z.object(paymentFields).meta({ id: 'Payment' });

const refundShape = z
  .object({
    id,
    reference: z.string(),
    amount: moneyOut,
    status: z.enum(['requested', 'succeeded', 'failed']),
    reason: z.string(),
    replaces: id.nullable().meta({ description: 'A refund that has failed, and that this one stands for.' }),
    created_at: instant,
    settled_at: instant.nullable(),
    waived_at: instant.nullable().meta({ description: 'Failed, and not to be given any more since then.' }),
  })
  .meta({ id: 'Refund' });

const wholePaymentShape = z
  .object({
    ...paymentFields,
    attempts: z.array(
      z.object({
        number: z.int(),
        outcome: z.string(),
        decline_code: z.string().nullable(),
        begun_at: instant,
        ended_at: instant.nullable(),
      }),
    ),
    refunds: z.array(refundShape),
  })
  .meta({ id: 'PaymentWithAttempts' });

const refundIn = z
  .strictObject({
    amount: moneyIn,
    reason: printedLine(200).meta({ description: 'The buyer reads it, on the credit note too.', examples: ['two parts were missing'] }),
    reference: reference.meta({ description: 'Of this payment: the same again is one refund.', examples: ['ticket-12'] }),
    replaces: id
      .optional()
      .meta({ description: 'A refund of this payment that has failed: what is reserved for it is not reserved any more.' }),
  })
  .meta({
    id: 'RefundToMake',
    examples: [{ amount: { amount: '1.00', currency: 'EUR' }, reason: 'two parts were missing', reference: 'ticket-12' }],
  });

const startedRefundShape = z
  .object({ refund: refundShape, job: z.string().nullable().meta({ description: 'null: it was asked for before.' }) })
  .meta({ id: 'StartedRefund' });

const pay = apiRoute(
  { roles: ['buyer'], codes: ['NOT_PAYABLE', 'TOO_MANY_PAYMENT_METHODS'] },
  {
    method: 'post',
    path: '/orders/{id}/payment',
    operationId: 'payOrder',
    summary: 'Pay for an order',
    description: `Price and tax, when the order is awarded. Twice is once; after a decline, or where the buyer was to confirm and has not, it pays in another way, of which ${mostMethods} are taken for an order.`,
    tags,
    request: { params: pathId, body: jsonBody(payIn) },
    responses: { 202: json('It is being paid.', jobShape) },
  },
);

const list = apiRoute(
  { roles: ['buyer', 'staff'] },
  {
    method: 'get',
    path: '/payments',
    operationId: 'listPayments',
    summary: 'My payments',
    description: 'Of a buyer his own, of the staff all.',
    tags,
    request: { query: z.strictObject(pageQuery) },
    responses: { 200: json('A page of payments.', listOf(paymentShape)) },
  },
);

const read = apiRoute(
  { roles: ['buyer', 'staff'] },
  {
    method: 'get',
    path: '/payments/{id}',
    operationId: 'readPayment',
    summary: 'A payment, with its attempts and refunds',
    tags,
    request: { params: pathId },
    responses: { 200: json('The payment.', wholePaymentShape) },
  },
);

const refund = apiRoute(
  { roles: ['staff'], codes: ['REFUND_TOO_LARGE', 'NOT_CAPTURED', 'NOT_FAILED', 'INVALID_AMOUNT', 'REFERENCE_TAKEN'] },
  {
    method: 'post',
    path: '/payments/{id}/refunds',
    operationId: 'refundPayment',
    summary: 'Give money back',
    description:
      'At most what was captured, and has neither gone back nor been paid out. What a refund that has failed was to give back is kept from the manufacturer until another one `replaces` it, or it is waived.',
    tags,
    request: { params: pathId, body: jsonBody(refundIn) },
    responses: { 200: json('The refund that there was.', startedRefundShape), 202: json('The new refund.', startedRefundShape) },
  },
);

const waive = apiRoute(
  { roles: ['staff'], codes: ['NOT_FAILED'] },
  {
    method: 'post',
    path: '/payments/{id}/refunds/{refund}/waive',
    operationId: 'waiveRefund',
    summary: 'Say that a refund that has failed is not to be given',
    description: 'What was reserved for it is the manufacturer’s, and paid out with the rest.',
    tags,
    request: { params: refundPath },
    responses: { 200: json('The refund as it is now.', refundShape) },
  },
);

export function payments({ database, tasks }: ApiDeps): Api {
  const api = newApi();

  api.openapi(pay, async (c) => {
    const caller = c.get('caller');
    const { id: number } = c.req.valid('param');
    const { payment_method, authorise_only } = c.req.valid('json');
    const job = await database.transaction().execute(async (transaction) => {
      const { order } = await lockOrderFor(transaction, caller, number, partyOf);
      const input = { ...reservation(order, toPay(order), payment_method), authorise_only };
      await noteMethod(transaction, number, payment_method);
      const { id: enqueued } = await tasks.processPayment.enqueue(input, { transaction });
      await noteActOf(transaction, caller, { action: 'order.pay', subject: `order:${number}`, data: { authorise_only } });
      return enqueued;
    });
    return c.json({ job }, 202);
  });

  api.openapi(list, async (c) => {
    const { user, role } = c.get('caller');
    const page = c.req.valid('query');
    const rows = await database
      .selectFrom('payments')
      .selectAll()
      // By way of the orders, which are indexed by their buyers.
      .$if(role === 'buyer', (query) =>
        query.where('order_id', 'in', (orders) => orders.selectFrom('orders').select('id').where('buyer_id', '=', user)),
      )
      .where('id', '<', before(page))
      .orderBy('id', 'desc')
      .limit(rowsFor(page))
      .execute();
    const { rows: shown, next } = pageOf(rows, page);
    return c.json({ items: shown.map((payment) => answerOf(payment, role)), next }, 200);
  });

  api.openapi(read, async (c) => {
    const caller = c.get('caller');
    const payment = await paymentById(database, c.req.valid('param').id, caller);
    const attempts = await database
      .selectFrom('payment_attempts')
      .selectAll()
      .where('payment_id', '=', payment.id)
      .orderBy('number')
      .execute();
    const refunds = await database.selectFrom('refunds').selectAll().where('payment_id', '=', payment.id).orderBy('id').execute();
    return c.json({ ...answerOf(payment, caller.role), attempts: attempts.map(attemptOf), refunds: refunds.map(refundOf) }, 200);
  });

  api.openapi(refund, async (c) => {
    const caller = c.get('caller');
    const { id: payment } = c.req.valid('param');
    const asked = c.req.valid('json');
    const started = await database.transaction().execute(async (transaction) => {
      const { refund: noted, fresh } = await requestRefund(transaction, {
        ...asked,
        payment,
        reference: `api:${payment}:${asked.reference}`,
      });
      if (!fresh) {
        const { amount, reason } = asked;
        const same =
          noted.amount_minor === amount.minor &&
          noted.currency === amount.currency &&
          noted.reason === reason &&
          noted.replaces === (asked.replaces ?? null);
        if (!same) throw new ApiError('REFERENCE_TAKEN');
        return { refund: refundOf(noted), job: null };
      }
      const { id: job } = await tasks.refundPayment.enqueue({ refund_id: noted.id }, { transaction });
      const { amount_minor, currency } = noted;
      const data = { refund: noted.id, amount_minor, currency };
      if (asked.replaces !== undefined) await payOutRest(transaction, payment);
      await noteActOf(transaction, caller, { action: 'payment.refund', subject: `payment:${payment}`, data });
      return { refund: refundOf(noted), job };
    });
    return started.job === null ? c.json(started, 200) : c.json(started, 202);
  });

  api.openapi(waive, async (c) => {
    const { id: payment, refund: number } = c.req.valid('param');
    const waived = await database.transaction().execute(async (transaction) => {
      const changed = await waiveRefund(transaction, payment, number);
      await payOutRest(transaction, payment);
      const subject = `payment:${payment}`;
      await noteActOf(transaction, c.get('caller'), { action: 'payment.refund.waive', subject, data: { refund: number } });
      return changed;
    });
    return c.json(refundOf(waived), 200);
  });

  /** Of an order that was paid out without it. */
  async function payOutRest(transaction: PlatformTransaction, payment: number): Promise<void> {
    const { id: order, state } = await transaction
      .selectFrom('payments')
      .innerJoin('orders', 'orders.id', 'payments.order_id')
      .select(['orders.id', 'orders.state'])
      .where('payments.id', '=', payment)
      .executeTakeFirstOrThrow();
    if (state === 'closed') await tasks.payOut.enqueue({ order_id: order }, { transaction });
  }

  return api;
}

/** What payment.process would refuse is said at once. @throws PaymentError `NOT_PAYABLE` */
function toPay(order: Order): Money {
  const { state, held_state } = order;
  const due = amountDue(order);
  if (due === undefined || (state !== 'awarded' && held_state !== 'awarded')) {
    throw new PaymentError('NOT_PAYABLE', `an order that is ${state} is not to be paid`);
  }
  return due;
}

/** Of an order that is locked. @throws ApiError `TOO_MANY_PAYMENT_METHODS` */
async function noteMethod(transaction: PlatformTransaction, order: number, method: string): Promise<void> {
  await transaction
    .insertInto('order_payment_methods')
    .values({ order_id: order, payment_method: method })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  const { count } = await transaction
    .selectFrom('order_payment_methods')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .where('order_id', '=', order)
    .executeTakeFirstOrThrow();
  if (count > mostMethods) throw new ApiError('TOO_MANY_PAYMENT_METHODS');
}

/** @throws ApiError `NOT_FOUND`, also for that of somebody else */
async function paymentById(database: PlatformDatabase, payment: number, { user, role }: Caller): Promise<Payment> {
  const found = await database
    .selectFrom('payments')
    .selectAll()
    .where('id', '=', payment)
    .$if(role === 'buyer', (query) => query.where('user_id', '=', user))
    .executeTakeFirst();
  if (found === undefined) throw new ApiError('NOT_FOUND');
  return found;
}

function answerOf(payment: Payment, role: Caller['role']): z.infer<typeof paymentShape> {
  const { currency } = payment;
  return {
    id: payment.id,
    order: payment.order_id,
    amount: moneyOf(payment.amount_minor, currency),
    status: payment.status,
    authorise_only: payment.authorise_only,
    captured: moneyOf(payment.captured_minor, currency),
    refunded: moneyOf(payment.refunded_minor, currency),
    disputed: payment.disputed,
    decline_code: payment.decline_code,
    final: payment.declined_hard,
    retry_at: instantOrNull(payment.retry_at),
    ...(role === 'buyer' ? { action_url: payment.action_url } : { intent: payment.intent }),
    created_at: instantOf(payment.created_at),
    updated_at: instantOf(payment.updated_at),
  };
}

function attemptOf({ number, outcome, decline_code, begun_at, ended_at }: Selectable<PaymentAttemptsTable>) {
  return { number, outcome, decline_code, begun_at: instantOf(begun_at), ended_at: instantOrNull(ended_at) };
}

function refundOf(refund: StoredRefund): z.infer<typeof refundShape> {
  const { id, reference, amount_minor, currency, status, reason, replaces, created_at, settled_at, waived_at } = refund;
  return {
    id,
    reference,
    amount: moneyOf(amount_minor, currency),
    status,
    reason,
    replaces,
    created_at: instantOf(created_at),
    settled_at: instantOrNull(settled_at),
    waived_at: instantOrNull(waived_at),
  };
}
