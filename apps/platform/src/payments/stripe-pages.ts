/**
 * Reads Stripe's lists to their end. Asking for a page again does no harm, and a list of a hundred pages would hardly ever be read in
 * one go if the first answer that is lost ended it: so here, and only here, the adapter repeats a call by itself.
 */
import { z } from 'zod';
import { GatewayError } from './gateway.ts';
import { believe, idSchema, readAnswer } from './stripe-answers.ts';

/** Stripe's most. */
export const pageSize = 100;

/** How often a page is asked for. */
const tries = 4;

const pageSchema = z.object({ object: z.literal('list'), has_more: z.boolean(), data: z.array(z.looseObject({ id: idSchema })) });

/** Which page is asked for: the one behind the item of that id, or the first one. */
export interface ListPage {
  readonly limit: number;
  readonly starting_after?: string;
}

/**
 * All items of a list.
 *
 * @param list gives a page
 * @param readItem @throws GatewayError `GATEWAY_UNKNOWN` for what is not believed
 * @throws GatewayError `GATEWAY_UNKNOWN` for a page that is lost or wrong four times, and any other of `list` at once
 */
export async function* readPages<Item>(
  list: (page: ListPage) => Promise<unknown>,
  readItem: (item: unknown) => Item,
): AsyncGenerator<Item, void, undefined> {
  const seen = new Set<string>();
  for (let after: string | undefined; ; ) {
    const { ids, items, more } = await patiently(async () => {
      const { data, has_more: more } = readAnswer(
        pageSchema,
        await list(after === undefined ? { limit: pageSize } : { limit: pageSize, starting_after: after }),
      );
      const ids = data.map(({ id }) => id);
      // A page that comes again, or an empty one before the end, would be read for ever.
      believe(new Set(ids).size === ids.length && !ids.some((id) => seen.has(id)) && (ids.length > 0 || !more));
      return { ids, items: data.map(readItem), more };
    });
    for (const id of ids) seen.add(id);
    yield* items;
    if (!more) return;
    after = ids.at(-1);
  }
}

/** The same, of a short list: those items that are of interest. @param readItem gives undefined for the others */
export async function readAll<Item>(
  list: (page: ListPage) => Promise<unknown>,
  readItem: (item: unknown) => Item | undefined,
): Promise<readonly Item[]> {
  const found: Item[] = [];
  for await (const item of readPages(list, readItem)) if (item !== undefined) found.push(item);
  return found;
}

async function patiently<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
  for (let left = tries; ; ) {
    try {
      return await ask();
    } catch (error) {
      left -= 1;
      if (left === 0 || !(error instanceof GatewayError) || error.code !== 'GATEWAY_UNKNOWN') throw error;
    }
  }
}
