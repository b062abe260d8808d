/** Differences that the reconciliation has found between our payments and the provider's: they wait for a person. */
import { z } from '@hono/zod-openapi';
import type { Selectable } from 'kysely';
import type { PaymentDifferencesTable } from '../../database/money-tables.ts';
import type { PlatformTransaction } from '../../orders/orders.ts';
import { noteActOf } from './caller-acts.ts';
import type { ApiDeps } from './deps.ts';
import { ApiError } from './errors.ts';
import { id, instant, instantOf, instantOrNull, line, pathId } from './fields.ts';
import { before, listOf, pageOf, pageQuery, rowsFor } from './pages.ts';
import { type Api, apiRoute, json, jsonBody, newApi } from './route.ts';

type Difference = Selectable<PaymentDifferencesTable>;

const tags: [string] = ['Payments'];

const differenceShape = z
  .object({
    id,
    payment: id.nullable().meta({ description: 'null: the intent is none of ours.' }),
    intent: z.string(),
    kind: z.string().meta({ examples: ['captured'] }),
    detail: z.record(z.string(), z.unknown()),
    found_at: instant,
    resolution: z.string().nullable(),
    resolved_at: instant.nullable(),
    resolved_by: id.nullable().meta({ description: 'The user.' }),
  })
  .meta({ id: 'PaymentDifference' });

const resolutionIn = z
  .strictObject({
    resolution: line(2_000).meta({ description: 'What was done about it.', examples: ['refunded at the provider'] }),
    take_over: z.boolean().optional().meta({
      description:
        'Of one of kind refunded: what went back at the provider past us is a refund here, which is booked, told to the buyer, and has its credit note.',
    }),
  })
  .meta({ id: 'Resolution', examples: [{ resolution: 'refunded at the provider' }] });

const list = apiRoute(
  { roles: ['staff'] },
  {
    method: 'get',
    path: '/payment-differences',
    operationId: 'listPaymentDifferences',
    summary: 'Differences to the payment provider',
    tags,
    request: {
      query: z.strictObject({
        ...pageQuery,
        open: z
          .enum(['true', 'false'])
          .optional()
          .openapi({ param: { description: 'Only those that are not resolved, or that are.' } }),
      }),
    },
    responses: { 200: json('A page of differences.', listOf(differenceShape)) },
  },
);

const resolve = apiRoute(
  { roles: ['staff'], codes: ['RESOLVED', 'NOTHING_TO_TAKE_OVER'] },
  {
    method: 'post',
    path: '/payment-differences/{id}/resolve',
    operationId: 'resolvePaymentDifference',
    summary: 'Say what was done about a difference',
    tags,
    request: { params: pathId, body: jsonBody(resolutionIn) },
    responses: { 200: json('The difference as it is now.', differenceShape) },
  },
);

export function paymentDifferences({ database, tasks }: ApiDeps): Api {
  const api = newApi();

  api.openapi(list, async (c) => {
    const { open, ...page } = c.req.valid('query');
    const rows = await database
      .selectFrom('payment_differences')
      .selectAll()
      .$if(open !== undefined, (query) => query.where('resolved_at', open === 'true' ? 'is' : 'is not', null))
      .where('id', '<', before(page))
      .orderBy('id', 'desc')
      .limit(rowsFor(page))
      .execute();
    const { rows: shown, next } = pageOf(rows, page);
    return c.json({ items: shown.map(answerOf), next }, 200);
  });

  api.openapi(resolve, async (c) => {
    const caller = c.get('caller');
    const { id: number } = c.req.valid('param');
    const { resolution, take_over: takesOver = false } = c.req.valid('json');
    const answer = await database.transaction().execute(async (transaction) => {
      if (takesOver) await takeOver(transaction, tasks, number);
      const there = await transaction.selectFrom('payment_differences').selectAll().where('id', '=', number).forUpdate().executeTakeFirst();
      if (there === undefined) throw new ApiError('NOT_FOUND');
      if (there.resolved_at !== null) throw new ApiError('RESOLVED');
      const resolved = await transaction
        .updateTable('payment_differences')
        .set({ resolution, resolved_at: new Date(), resolved_by: caller.user })
        .where('id', '=', number)
        .returningAll()
        .executeTakeFirstOrThrow();
      const subject = `payment_difference:${number}`;
      await noteActOf(transaction, caller, {
        action: 'payment_difference.resolve',
        subject,
        data: { kind: there.kind, take_over: takesOver },
      });
      return answerOf(resolved);
    });
    return c.json(answer, 200);
  });

  return api;
}

/** The order and its payment are locked before the difference, as by all who write one down. */
async function takeOver(transaction: PlatformTransaction, tasks: ApiDeps['tasks'], number: number): Promise<void> {
  const found = await transaction.selectFrom('payment_differences').selectAll().where('id', '=', number).executeTakeFirst();
  if (found === undefined) throw new ApiError('NOT_FOUND');
  if (found.resolved_at !== null) throw new ApiError('RESOLVED');
  const { payment_id: payment, kind, detail } = found;
  if (payment === null || kind !== 'refunded') throw new ApiError('NOTHING_TO_TAKE_OVER');
  const { theirs } = detail as { readonly theirs: number };
  await tasks.takeOverRefund(transaction, { payment, theirs, reference: `difference:${number}` });
}

function answerOf(row: Difference): z.infer<typeof differenceShape> {
  const { id, payment_id, intent, kind, detail, found_at, resolution, resolved_at, resolved_by } = row;
  return {
    id,
    payment: payment_id,
    intent,
    kind,
    detail: { ...detail },
    found_at: instantOf(found_at),
    resolution,
    resolved_at: instantOrNull(resolved_at),
    resolved_by,
  };
}
