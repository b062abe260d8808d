/** Errors as the HTTP interface tells them: problem details (RFC 9457). They name fields and never repeat values. */
import type { Context } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';

export interface Problem {
  readonly status: ContentfulStatusCode;
  readonly title: string;
  readonly detail?: string;
  /** Which fields are wrong, as paths such as `context.user_name`. */
  readonly errors?: readonly { readonly path: string; readonly message: string }[];
  /** Further members, such as the id to send again under. */
  readonly extra?: Readonly<Record<string, string>>;
}

export function problem(c: Context, { extra, ...members }: Problem): Response {
  return c.body(JSON.stringify({ type: 'about:blank', ...members, ...extra }), members.status, {
    'content-type': 'application/problem+json',
  });
}
