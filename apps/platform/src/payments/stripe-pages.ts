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

/**
 * All items of a list.
 *
 * @param page gives the page behind the item of that id; undefined for the first one
 * @param readItem @throws GatewayError `GATEWAY_UNKNOWN` for what is not believed
 * @throws GatewayError `GATEWAY_UNKNOWN` for a page that is lost or wrong four times, and any other of `page` at once
 */
export async function* readPages<Item>(
  page: (after: string | undefined) => Promise<unknown>,
  readItem: (item: unknown) => Item,
): AsyncGenerator<Item, void, undefined> {
  const seen = new Set<string>();
  for (let after: string | undefined; ; ) {
    const { ids, items, more } = await patiently(async () => {
      const { data, has_more: more } = readAnswer(pageSchema, await page(after));
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
