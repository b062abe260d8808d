/** What is told of requests that do not come to their route: fields that are wrong, and problems of the layers before. */
import type { z } from '@hono/zod-openapi';
import type { MiddlewareHandler } from 'hono';
import { ApiError, codeOf, type FieldError } from './errors.ts';

/** More say nothing new. */
const mostErrors = 20;

/** Of objects whose names the caller chooses: what is in them is not named. */
const namedByCaller = new Set<PropertyKey>(['materials']);

type Issues = Pick<z.core.$ZodError, 'issues'>;

/** @throws ApiError `INVALID_REQUEST` */
export function refuseInvalid(result: { readonly success: true } | { readonly success: false; readonly error: Issues }): void {
  if (result.success) return;
  const errors = new Map<string, FieldError>();
  // The first of a field: what else is wrong with it follows from that more often than not.
  for (const issue of result.error.issues.toReversed()) {
    const error = fieldError(issue);
    errors.delete(error.path);
    errors.set(error.path, error);
  }
  throw new ApiError('INVALID_REQUEST', { errors: [...errors.values()].toReversed().slice(0, mostErrors) });
}

function fieldError({ code, path, message }: Issues['issues'][number]): FieldError {
  const end = path.findIndex((part) => namedByCaller.has(part));
  return {
    path: (end === -1 ? path : path.slice(0, end + 1)).map(String).join('.'),
    // The names of unknown fields are the caller's own.
    message: code === 'unrecognized_keys' ? 'has a field that is not known here' : message,
  };
}

/** Problems of the layers that the API shares with other routes get their codes. */
export const coded: MiddlewareHandler = async (c, next) => {
  await next();
  const { status, headers } = c.res;
  const code = codeOf(status);
  if (code === undefined || headers.get('content-type') !== 'application/problem+json') return;
  const told = (await c.res.clone().json()) as Readonly<Record<string, unknown>>;
  if ('code' in told) return;
  c.res = new Response(JSON.stringify({ ...told, code }), { status, headers });
};
