/** Invoices and credit notes, for those who are on them: as data, and as the PDF that was issued. */
import { z } from '@hono/zod-openapi';
import type { Caller } from '../../accounts/api-keys.ts';
import { manufacturerOf } from '../../accounts/users.ts';
import type { PlatformDatabase } from '../../database/database.ts';
import { type InvoiceDocument, invoiceDocumentSchema, invoiceNumber } from '../../invoices/invoice-document.ts';
import { invoiceFile } from '../../invoices/stored-invoices.ts';
import type { ApiDeps } from './deps.ts';
import { ApiError } from './errors.ts';
import { id, instant, instantOf, moneyOf, moneyOut, pathId } from './fields.ts';
import { before, listOf, pageOf, pageQuery, rowsFor } from './pages.ts';
import { type Api, apiRoute, everybody, json, newApi } from './route.ts';

const tags: [string] = ['Invoices'];

const fields = {
  id,
  number: z.string().meta({ examples: ['M12-2026-000007'] }),
  kind: z.enum(['invoice', 'credit_note']),
  order: id,
  corrects: z.string().nullable().meta({ description: 'Of a credit note: the number of its invoice.' }),
  total: moneyOut.meta({ description: 'With tax; negative on a credit note.' }),
  issued_at: instant,
};

const invoiceShape = z.object(fields).meta({ id: 'Invoice' });

const wholeInvoiceShape = z
  .object({
    ...fields,
    document: z.record(z.string(), z.unknown()).meta({ description: 'All that stands on it, amounts in minor units.' }),
  })
  .meta({ id: 'InvoiceWithDocument' });

const list = apiRoute(
  { roles: everybody },
  {
    method: 'get',
    path: '/invoices',
    operationId: 'listInvoices',
    summary: 'Invoices and credit notes',
    description: 'Of a buyer those that he got, of a manufacturer those in its name, of the staff all.',
    tags,
    request: {
      query: z.strictObject({
        ...pageQuery,
        order: pathId.shape.id.optional().openapi({ type: 'integer', minimum: 1, param: { name: 'order', in: 'query' } }),
      }),
    },
    responses: { 200: json('A page of them.', listOf(invoiceShape)) },
  },
);

const read = apiRoute(
  { roles: everybody },
  {
    method: 'get',
    path: '/invoices/{id}',
    operationId: 'readInvoice',
    summary: 'An invoice or a credit note',
    tags,
    request: { params: pathId },
    responses: { 200: json('It.', wholeInvoiceShape) },
  },
);

const readPdf = apiRoute(
  { roles: everybody },
  {
    method: 'get',
    path: '/invoices/{id}/pdf',
    operationId: 'readInvoicePdf',
    summary: 'An invoice or a credit note as it was issued',
    tags,
    request: { params: pathId },
    responses: {
      200: {
        description: 'The PDF.',
        content: { 'application/pdf': { schema: z.string().openapi({ type: 'string', format: 'binary' }) } },
      },
    },
  },
);

export function invoices({ database }: ApiDeps): Api {
  const api = newApi();

  api.openapi(list, async (c) => {
    const { order, ...page } = c.req.valid('query');
    const rows = await (await visible(database, c.get('caller')))
      .$if(order !== undefined, (query) => query.where('invoices.order_id', '=', order ?? 0))
      .where('invoices.id', '<', before(page))
      .orderBy('invoices.id', 'desc')
      .limit(rowsFor(page))
      .execute();
    const { rows: shown, next } = pageOf(rows, page);
    return c.json({ items: shown.map(answerOf), next }, 200);
  });

  api.openapi(read, async (c) => {
    const row = await visibleOne(database, c.get('caller'), c.req.valid('param').id);
    return c.json({ ...answerOf(row), document: { ...row.document } }, 200);
  });

  api.openapi(readPdf, async (c) => {
    const row = await visibleOne(database, c.get('caller'), c.req.valid('param').id);
    const file = await invoiceFile(database, String(row.id));
    if (file === undefined) throw new ApiError('NOT_FOUND');
    return c.body(new Uint8Array(file.pdf), 200, {
      'content-type': 'application/pdf',
      'content-disposition': `attachment; filename="${file.number}.pdf"`,
    });
  });

  return api;
}

/** What this caller may see of all that was issued. */
async function visible(database: PlatformDatabase, { user, role }: Caller) {
  const own = role === 'manufacturer' ? ((await manufacturerOf(database, user)) ?? 0) : undefined;
  return database
    .selectFrom('invoices')
    .innerJoin('orders', 'orders.id', 'invoices.order_id')
    .select(['invoices.id', 'invoices.order_id', 'invoices.document', 'invoices.issued_at'])
    .$if(role === 'buyer', (query) => query.where('orders.buyer_id', '=', user))
    .$if(own !== undefined, (query) => query.where('orders.manufacturer_id', '=', own ?? 0));
}

/** @throws ApiError `NOT_FOUND` */
async function visibleOne(database: PlatformDatabase, caller: Caller, invoice: number): Promise<Row> {
  const row = await (await visible(database, caller)).where('invoices.id', '=', invoice).executeTakeFirst();
  if (row === undefined) throw new ApiError('NOT_FOUND');
  return row;
}

interface Row {
  readonly id: number;
  readonly order_id: number;
  readonly document: Readonly<Record<string, unknown>>;
  readonly issued_at: Date;
}

function documentOf({ document }: Row): InvoiceDocument {
  return invoiceDocumentSchema.parse(document);
}

function answerOf(row: Row): z.infer<typeof invoiceShape> {
  const document = documentOf(row);
  return {
    id: row.id,
    number: invoiceNumber(document),
    kind: document.kind,
    order: row.order_id,
    corrects: document.corrects ?? null,
    total: moneyOf(document.totals.grossMinor, document.currency),
    issued_at: instantOf(row.issued_at),
  };
}
