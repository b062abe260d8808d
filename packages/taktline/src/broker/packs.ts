/**
 * Packs: jobs that come together travel and are stored as one record, since upkeep of a record for each job is what costs
 * a broker most. Only ids that the engine made within a short time share a pack, so that a job's pack is found by the job's
 * id alone: the engine's ids begin with the time (support/ids.ts).
 */
import { madeHere, timeOfId } from '../support/ids.ts';

/** No more jobs than this. */
const mostItems = 128;
/** No more bytes than this. */
const mostBytes = 64 * 1024;
/** What is larger stands alone, and costs nobody else who reads a pack. */
const mostBytesAnItem = mostBytes / 16;
/** Fewer are single records: a search by id passes all the packs of its window. */
const leastItems = 8;
/** From the first to the last id, in milliseconds. The brokers' look-ups by id rest on it. */
export const packWindowMs = 250;

export interface Pack<Item> {
  readonly items: readonly Item[];
  /** The lowest and the highest id. */
  readonly first: string;
  readonly last: string;
}

export function packOfOne<Item>(item: Item, id: string): Pack<Item> {
  return { items: [item], first: id, last: id };
}

/**
 * Parts items, in their order, into packs and single ones (packs of one).
 *
 * @param bytes about how large an item is
 * @param alike whether an item may share a pack with the one before it
 */
export function pack<Item>(
  items: readonly Item[],
  id: (item: Item) => string,
  bytes: (item: Item) => number,
  alike: (before: Item, item: Item) => boolean,
): Pack<Item>[] {
  const packs: Pack<Item>[] = [];
  let open: Item[] = [];
  let first = '';
  let last = '';
  let size = 0;
  let earliest = 0;
  let latest = 0;
  const close = (): void => {
    if (open.length >= leastItems) packs.push({ items: open, first, last });
    else for (const item of open) packs.push(packOfOne(item, id(item)));
    open = [];
  };
  let prefix = '';
  let time = 0;
  for (const item of items) {
    const own = id(item);
    const more = bytes(item);
    const foreign = !madeHere(own);
    if (!foreign && (prefix === '' || !own.startsWith(prefix))) {
      time = timeOfId(own);
      prefix = own.slice(0, prefixLength);
    }
    const fits =
      open.length > 0 &&
      !foreign &&
      open.length < mostItems &&
      size + more <= mostBytes &&
      Math.max(latest, time) - Math.min(earliest, time) <= packWindowMs &&
      more <= mostBytesAnItem &&
      alike(open.at(-1) as Item, item);
    if (!fits) close();
    if (foreign || more > mostBytesAnItem) {
      packs.push(packOfOne(item, own));
      continue;
    }
    if (open.length === 0) {
      first = last = own;
      size = 0;
      earliest = latest = time;
    }
    open.push(item);
    size += more;
    if (own < first) first = own;
    if (own > last) last = own;
    if (time < earliest) earliest = time;
    if (time > latest) latest = time;
  }
  close();
  return packs;
}

/** The characters of an id that tell its time, `xxxxxxxx-xxxx`. */
const prefixLength = 13;

/** The highest id that can end a pack with this id in it; undefined for an id that is in no pack. */
export function windowEnd(id: string): string | undefined {
  if (!madeHere(id)) return undefined;
  const time = Math.min(timeOfId(id) + packWindowMs, 2 ** 48 - 1)
    .toString(16)
    .padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}~`;
}
