/**
 * Reads a JSON body with care: the type must say so (a form of another site cannot send that), the size is bounded, and
 * so is the depth, before anything recursive touches it.
 */
import type { Context, MiddlewareHandler } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { problem } from './problem.ts';

const largestBody = 256 * 1024;
const deepest = 32;

/** 415 unless the body is plain JSON, 413 when it is larger than 256 KiB. */
export const jsonOnly: readonly [MiddlewareHandler, MiddlewareHandler] = [
  async (c, next) => {
    const [type = ''] = (c.req.header('content-type') ?? '').split(';');
    const encoding = c.req.header('content-encoding') ?? 'identity';
    if (type.trim().toLowerCase() !== 'application/json' || encoding.toLowerCase() !== 'identity') {
      return problem(c, {
        status: 415,
        title: 'The body must be JSON',
        detail: 'Send content-type: application/json, without content-encoding',
      });
    }
    return next();
  },
  bodyLimit({
    maxSize: largestBody,
    onError: (c) => problem(c, { status: 413, title: 'The body is too large', detail: `At most ${largestBody} bytes are taken` }),
  }),
];

/** @returns the parsed body, or the answer that says why it cannot be read */
export async function readJson(c: Context): Promise<{ readonly value: unknown } | Response> {
  const text = await c.req.text();
  const refused = refuseDeep(c, text);
  if (refused !== undefined) return refused;
  try {
    return { value: JSON.parse(text) as unknown };
  } catch {
    return problem(c, notJson);
  }
}

export const notJson = { status: 400, title: 'The body is not JSON' } as const;

/** @returns the answer to a body that is nested too deeply */
export function refuseDeep(c: Context, text: string): Response | undefined {
  return isTooDeep(text) ? problem(c, { status: 400, title: 'The body is nested too deeply' }) : undefined;
}

/** Counts brackets outside of strings, in one pass. */
export function isTooDeep(text: string): boolean {
  let depth = 0;
  let inString = false;
  for (let position = 0; position < text.length; position += 1) {
    const character = text[position];
    if (inString) {
      if (character === '\\') position += 1;
      else if (character === '"') inString = false;
    } else if (character === '"') inString = true;
    else if (character === '[' || character === '{') depth += 1;
    else if (character === ']' || character === '}') depth -= 1;
    if (depth > deepest) return true;
  }
  return false;
}
