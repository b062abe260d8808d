/** Who has changed what, for the staff. */
import { z } from '@hono/zod-openapi';
import type { PlatformDatabase } from '../../database/database.ts';
import { id, instant, instantOf } from './fields.ts';
import { before, listOf, pageOf, pageQuery, rowsFor } from './pages.ts';
import { type Api, apiRoute, json, newApi } from './route.ts';

const actShape = z
  .object({
    id,
    actor: z.string().meta({ description: 'The role, or `operator` for the command line.' }),
    actor_id: id.nullable().meta({ description: 'The user.' }),
    action: z.string().meta({ examples: ['order.submit'] }),
    subject: z.string().meta({ examples: ['order:7'] }),
    data: z.record(z.string(), z.unknown()).meta({ description: 'Ids and names of things, and the key that was used.' }),
    at: instant,
  })
  .meta({ id: 'Act' });

const subject = z
  .string()
  .regex(/^[a-z_]{1,40}:\d{1,15}$/, { error: 'expected a subject such as order:7' })
  .optional()
  .openapi({ param: { description: 'What it is about.', examples: { order: { value: 'order:7' } } } });

const list = apiRoute(
  { roles: ['staff'] },
  {
    method: 'get',
    path: '/audit',
    operationId: 'listActs',
    summary: 'Who has changed what',
    tags: ['Audit'],
    request: { query: z.strictObject({ ...pageQuery, subject }) },
    responses: { 200: json('A page of the audit.', listOf(actShape)) },
  },
);

export function audit(database: PlatformDatabase): Api {
  const api = newApi();

  api.openapi(list, async (c) => {
    const { subject: about, ...page } = c.req.valid('query');
    const rows = await database
      .selectFrom('audit')
      .selectAll()
      .$if(about !== undefined, (query) => query.where('subject', '=', about ?? ''))
      .where('id', '<', before(page))
      .orderBy('id', 'desc')
      .limit(rowsFor(page))
      .execute();
    const { rows: shown, next } = pageOf(rows, page);
    return c.json({ items: shown.map(({ at, data, ...act }) => ({ ...act, data: { ...data }, at: instantOf(at) })), next }, 200);
  });

  return api;
}
