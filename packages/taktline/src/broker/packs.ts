/**
 * Packs: jobs that come together travel and are stored as one record, since upkeep of a record for each job is what costs
 * a broker most. Only ids that the engine made within a short time share a pack, so that a job's pack is found by the job's
 * id alone: the engine's ids begin with the time (support/ids.ts).
 */
import { madeHere, timeOfId } from '../support/ids.ts';
import type { NewJob } from './broker.ts';

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
/** The characters of an id that tell its time, `xxxxxxxx-xxxx`. */
const prefixLength = 13;

export interface Pack<Item> {
  readonly items: readonly Item[];
  /** The lowest and the highest id. */
  readonly first: string;
  readonly last: string;
}

/**
 * Parts a batch of jobs, in their order, into the records that a broker stores. What waits for a time, or has an id of its
 * caller's, is a record of its own, and then its neighbours are.
 */
export function packJobs(jobs: readonly NewJob[]): readonly Pack<NewJob>[] {
  if (jobs.some((job) => job.unique !== undefined || dueOf(job) !== undefined)) return jobs.map((job) => packOfOne(job, job.id));
  return pack(
    jobs,
    (job) => job.id,
    (job) => job.envelope.length,
    (before, job) =>
      before.queue === job.queue &&
      before.priority === job.priority &&
      before.expiresAt === job.expiresAt &&
      before.expiresInMs === job.expiresInMs,
  );
}

/** When a job is due: a time, a distance from now as a negative number, or at once. The servers' moment() reads it. */
export function dueOf(job: NewJob): number | undefined {
  return moment(job.eta, job.countdownMs === 0 ? undefined : job.countdownMs);
}

/** When a job expires, in the same way. */
export function expiryOf(job: NewJob): number | undefined {
  return moment(job.expiresAt, job.expiresInMs);
}

function moment(at: number | undefined, inMs: number | undefined): number | undefined {
  if (at !== undefined) return Math.max(0, at);
  return inMs === undefined ? undefined : -inMs;
}

function packOfOne<Item>(item: Item, id: string): Pack<Item> {
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
