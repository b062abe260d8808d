/**
 * How a route of the API is declared: for whom it is, what it takes and answers. From that come its checks, in this order: the role, the
 * body's type, size and depth, each field; and its part of the OpenAPI document.
 */
import { createRoute, OpenAPIHono, type RouteConfig, z } from '@hono/zod-openapi';
import type { MiddlewareHandler } from 'hono';
import type { UserRole } from '../../database/marketplace-tables.ts';
import { jsonOnly, refuseDeep } from '../json-body.ts';
import { type ApiEnv, only } from './authentication.ts';
import { type ApiErrorCode, answers } from './errors.ts';

export type Api = OpenAPIHono<ApiEnv>;

export function newApi(): Api {
  return new OpenAPIHono<ApiEnv>();
}

export const everybody: readonly UserRole[] = ['buyer', 'manufacturer', 'staff'];

interface Declared extends Omit<RouteConfig, 'middleware' | 'security' | 'hide'> {
  readonly operationId: string;
  readonly summary: string;
  readonly tags: string[];
}

export interface RouteRules {
  readonly roles: readonly UserRole[];
  /** Codes that this route can answer with, beside those of every route. */
  readonly codes?: readonly ApiErrorCode[];
}

/** The name of the security scheme that is a key. */
export const keyScheme = 'key';

const checkedBody: readonly MiddlewareHandler[] = [
  ...jsonOnly,
  async (c, next) => {
    // It is parsed by what checks the fields.
    return refuseDeep(c, await c.req.text()) ?? next();
  },
];

/** @example apiRoute({ roles: ['staff'] }, { method: 'get', path: '/users', ... }) */
export function apiRoute<const R extends Declared>({ roles, codes = [] }: RouteRules, declared: R) {
  const { body } = declared.request ?? {};
  const always: ApiErrorCode[] = ['UNAUTHORISED', 'TOO_MANY_BAD_KEYS', 'TOO_MANY_REQUESTS', 'FAILED'];
  if (roles.length < everybody.length) always.push('FORBIDDEN');
  if (declared.request !== undefined) always.push('INVALID_REQUEST');
  if (declared.path.includes('{')) always.push('NOT_FOUND');
  if (body !== undefined) always.push('TOO_LARGE', 'NOT_JSON');
  const described = {
    ...declared,
    description: [declared.description, `For: ${roles.join(', ')}.`].filter((text) => text !== undefined).join('\n\n'),
    security: [{ [keyScheme]: [] }],
    'x-roles': roles,
    responses: { ...declared.responses, ...problems([...always, ...codes]) },
    middleware: [only(roles), ...(body === undefined ? [] : checkedBody)],
  };
  // For the handler the route is what was declared: errors are thrown, so that it never answers with one.
  return createRoute<R['path'], R>(described);
}

/** A body of JSON that has to be there. */
export function jsonBody<Schema extends z.ZodType>(schema: Schema) {
  return { required: true, content: { 'application/json': { schema } } } as const;
}

export function json<Schema extends z.ZodType>(description: string, schema: Schema) {
  return { description, content: { 'application/json': { schema } } } as const;
}

export const problemSchema = z
  .object({
    type: z.literal('about:blank'),
    title: z.string(),
    status: z.int(),
    code: z
      .string()
      .optional()
      .meta({ description: 'For programs: which error it is.', examples: ['VERSION_CONFLICT'] }),
    detail: z.string().optional(),
    errors: z
      .array(z.object({ path: z.string(), message: z.string() }))
      .optional()
      .meta({ description: 'Which fields are wrong.' }),
  })
  .meta({
    id: 'Problem',
    description: 'What is wrong, as RFC 9457 has it. It never repeats what was sent.',
    examples: [{ type: 'about:blank', title: 'The request is not valid', status: 400, code: 'INVALID_REQUEST', errors: [] }],
  });

const waitHeaders = {
  'retry-after': { description: 'Seconds to wait.', schema: { type: 'integer', minimum: 1 } },
} as const;

/** The answers for these codes, by status. */
export function problems(codes: readonly ApiErrorCode[]): RouteConfig['responses'] {
  const byStatus = new Map<number, ApiErrorCode[]>();
  for (const code of new Set(codes)) byStatus.set(answers[code].status, [...(byStatus.get(answers[code].status) ?? []), code]);
  return Object.fromEntries(
    [...byStatus]
      .toSorted(([one], [other]) => one - other)
      .map(([status, those]) => [
        status,
        {
          description: those.map((code) => `\`${code}\`: ${answers[code].title}.`).join('\n\n'),
          content: { 'application/problem+json': { schema: problemSchema } },
          ...(status === 429 ? { headers: waitHeaders } : {}),
        },
      ]),
  );
}
