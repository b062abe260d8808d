/** Lists, a page at a time, the newest first. A cursor says where the last page has ended; nobody has to know how. */
import { z } from '@hono/zod-openapi';

const defaultLimit = 20;
const highestLimit = 100;

const limit = z
  .string()
  .regex(/^[1-9]\d{0,2}$/, { error: `expected a whole number from 1 to ${highestLimit}` })
  .transform(Number)
  .refine((number) => number <= highestLimit, { error: `expected a whole number from 1 to ${highestLimit}` })
  .optional()
  .openapi({
    type: 'integer',
    minimum: 1,
    maximum: highestLimit,
    default: defaultLimit,
    param: { description: 'How many at most.' },
  });

const cursor = z
  .string()
  .max(40)
  .transform((text, context) => {
    const id = Buffer.from(text, 'base64url').toString('latin1');
    if (/^[1-9]\d{0,14}$/.test(id) && cursorOf(Number(id)) === text) return Number(id);
    context.addIssue({ code: 'custom', message: 'expected the cursor of a list, as its "next" was' });
    return z.NEVER;
  })
  .optional()
  .openapi({ type: 'string', param: { description: 'The `next` of the page before.' } });

/** What every list takes. */
export const pageQuery = { limit, cursor };

/** Which page is asked for. */
export interface Page {
  readonly limit?: number | undefined;
  /** The page begins behind this id. */
  readonly cursor?: number | undefined;
}

export function listOf<Item extends z.ZodType>(item: Item) {
  return z.object({
    items: z.array(item),
    next: z.string().nullable().meta({ description: 'Ask for the next page with `cursor` set to this. null: there is none.' }),
  });
}

/** Rows to ask the database for: one more than is shown tells whether there are others. */
export function rowsFor({ limit: asked = defaultLimit }: Page): number {
  return asked + 1;
}

/** Rows of the page have smaller ids than this. */
export function before({ cursor: ended = Number.MAX_SAFE_INTEGER }: Page): number {
  return ended;
}

/** @param rows as many as `rowsFor` says, if there are so many */
export function pageOf<Row extends { readonly id: number }>(
  rows: readonly Row[],
  page: Page,
): { readonly rows: readonly Row[]; readonly next: string | null } {
  const shown = rows.slice(0, rowsFor(page) - 1);
  const last = shown.at(-1);
  return { rows: shown, next: last === undefined || rows.length === shown.length ? null : cursorOf(last.id) };
}

function cursorOf(id: number): string {
  return Buffer.from(String(id), 'latin1').toString('base64url');
}
