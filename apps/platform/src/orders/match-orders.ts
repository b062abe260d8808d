/**
 * Who gets an order. One that comes in is matched by itself; those that found nobody, or were declined, are assigned all at once every
 * quarter of an hour. Either way the round is written down, unless it is like the last one: who was considered with which score, who
 * was left out and why, and what came of it.
 */
import type { Logger } from 'taktline';
import { dayIn } from '../calendar/business-days.ts';
import { type Assignment, type AssignOptions, assign } from '../matching/assign.ts';
import { freeTimeOf, pendingOrderOf } from '../matching/pending-orders.ts';
import type { RankedCandidate, Ranking } from '../matching/score.ts';
import { lockFreeHours } from './machine-time.ts';
import { isSame, lastRounds, noteRound, type Outcome } from './match-rounds.ts';
import { makeOffer, type Offer } from './offers.ts';
import { oneByOne } from './one-by-one.ts';
import { closeOver } from './openings.ts';
import { lockOrder, type Order, type Orders, type PlatformTransaction } from './orders.ts';
import { type Quote, requestQuotes } from './quotes.ts';
import { needOf, type Pending, type RankDeps, rankAll, rankPending } from './rank-orders.ts';

export interface MatchDeps extends RankDeps {
  readonly orders: Orders;
  /** In the transaction that makes them. */
  readonly offered: (transaction: PlatformTransaction, offer: Offer, order: Order) => Promise<unknown>;
  readonly asked: (transaction: PlatformTransaction, quote: Quote, order: Order) => Promise<unknown>;
}

/** What became of one order. */
export interface Match {
  readonly order_id: number;
  /** `matched_again`: what was open is over, and its next job matches it. `not_pending`: it waits for nobody. */
  readonly outcome: Outcome | 'matched_again' | 'not_pending';
  readonly candidates: number;
}

/** Of a run over many orders. */
export interface Run {
  /** Orders at most. Those that were not looked at for longest come first, so that all come round. */
  readonly limit: number;
  readonly signal: AbortSignal;
  /** Where what goes wrong with one order is put. */
  readonly failures: unknown[];
}

/** So many manufacturers are asked for a quote. */
const quotesAsked = 5;
/** So often the market is read again when others have taken the hours meanwhile. */
const mostTries = 5;

/** Matches one order. Where others take the hours in the same moment, it is matched with what is left. */
export async function matchOrder(deps: MatchDeps, id: number): Promise<Match> {
  for (let tries = 1; tries <= mostTries; tries += 1) {
    const match = await deps.database.transaction().execute((transaction) => matchNow(transaction, deps, id));
    if (match !== undefined) return match;
  }
  // The schedule comes to it.
  return { order_id: id, outcome: 'waits', candidates: 0 };
}

/** @returns undefined when the hours of the best are gone since the market was read; nothing has happened then */
async function matchNow(transaction: PlatformTransaction, deps: MatchDeps, id: number): Promise<Match | undefined> {
  const order = await lockOrder(transaction, id);
  const idle = { order_id: id, outcome: 'not_pending', candidates: 0 } as const;
  if (order.state === 'sourcing' || order.state === 'quoted') {
    // On hold until now, while its time ran out.
    if (await closeOver(transaction, id, deps.now())) return idle;
    await deps.orders.applyTo(transaction, order, { event: 'match_again', actor: 'system' });
    return { ...idle, outcome: 'matched_again' };
  }
  if (order.state !== 'submitted') return idle;
  const { pending } = await rankAll(transaction, deps, [order]);
  const [{ ranking }] = pending as [Pending];
  if (order.mode === 'rfq') return askForQuotes(transaction, deps, order, ranking);
  const [best] = ranking.candidates;
  if (best === undefined) return wait(transaction, order, ranking);
  const uses = best.slots[0]?.uses ?? [];
  return (await offer(transaction, deps, order, { best, uses, ranking, method: order.mode }))
    ? { order_id: id, outcome: 'offered', candidates: ranking.candidates.length }
    : undefined;
}

export interface Round {
  readonly pending: number;
  readonly offered: number;
  readonly waiting: number;
  readonly method: Assignment['method'];
  /** What may be lost, as a share of the scores; see Assignment. */
  readonly gap: number;
  readonly took_ms: number;
}

/**
 * Assigns instant orders that wait, all at once. The market is read once; each offer is made in a transaction of its own, and an order
 * that has come to something else meanwhile is left alone, or whose hours have, for the next round.
 */
export async function processPending(
  deps: MatchDeps,
  options: AssignOptions,
  { limit, signal, failures }: Run,
  log: Logger,
): Promise<Round> {
  const { database } = deps;
  const { pending, suppliers } = await rankPending(deps, 'instant', limit);
  const assignment = await assign(
    pending.map(({ order, ranking }) => pendingOrderOf(needOf(order), ranking.candidates)),
    freeTimeOf(suppliers),
    options,
  );
  const { method, gap } = assignment;
  const took_ms = Math.round(assignment.tookMs);
  log.info('pending orders were assigned', { pending: pending.length, method, gap, took_ms });
  if (method === 'greedy') {
    log.warn('the solver gave nothing: pending orders were assigned one after the other', {
      failure: assignment.failure,
      lost: 1 - assignment.objective / Math.max(assignment.bound, 1e-9),
    });
  }
  const byId = new Map(pending.map((one) => [one.order.id, one]));
  const offered = await oneByOne(assignment.assigned, failures, signal, ({ orderId, supplierId, uses }) =>
    database.transaction().execute(async (transaction) => {
      const { ranking } = byId.get(Number(orderId)) ?? {};
      const best = ranking?.candidates.find((one) => one.supplierId === supplierId);
      const order = await lockOrder(transaction, Number(orderId));
      if (ranking === undefined || best === undefined || order.state !== 'submitted') return false;
      return offer(transaction, deps, order, { best, uses, ranking, method });
    }),
  );
  const waiting = assignment.unassigned.flatMap(({ orderId }) => byId.get(Number(orderId)) ?? []);
  await noteWaiting(deps, waiting, { limit, signal, failures });
  return { pending: pending.length, offered, waiting: pending.length - offered, method, gap, took_ms };
}

/** Asks for quotes for orders that wait for some. The market is read once: nobody's hours are held by that. @returns how many were looked at */
export async function askPending(deps: MatchDeps, { limit, signal, failures }: Run): Promise<number> {
  const { pending } = await rankPending(deps, 'rfq', limit);
  return oneByOne(pending, failures, signal, ({ order: { id }, ranking }) =>
    deps.database.transaction().execute(async (transaction) => {
      const order = await lockOrder(transaction, id);
      if (order.state === 'submitted') await askForQuotes(transaction, deps, order, ranking);
      return true;
    }),
  );
}

interface Choice {
  readonly best: RankedCandidate;
  readonly uses: Offer['uses'];
  readonly ranking: Ranking;
  readonly method: string;
}

/** @returns false when the hours are gone since the market was read */
async function offer(
  transaction: PlatformTransaction,
  { orders, now, zone, offered }: MatchDeps,
  order: Order,
  { best: { supplierId, price, score }, uses, ranking, method }: Choice,
): Promise<boolean> {
  const manufacturer = Number(supplierId);
  const day = { today: dayIn(zone, new Date(now())), zone };
  if (!(await lockFreeHours(transaction, { manufacturer_id: manufacturer, process: order.process, uses }, day))) return false;
  await noteRound(transaction, order, ranking, method, 'offered');
  const made = await makeOffer(transaction, order, { manufacturer, priceMinor: price.minor, uses }, now());
  await orders.applyTo(transaction, order, { event: 'source', actor: 'system', data: { offer: made.id, score } });
  await offered(transaction, made, order);
  return true;
}

async function askForQuotes(
  transaction: PlatformTransaction,
  { orders, now, asked }: MatchDeps,
  order: Order,
  ranking: Ranking,
): Promise<Match> {
  const { candidates } = ranking;
  const quotes = await requestQuotes(
    transaction,
    order,
    candidates.slice(0, quotesAsked).map(({ supplierId }) => Number(supplierId)),
    now(),
  );
  if (quotes.length === 0) return wait(transaction, order, ranking);
  await noteRound(transaction, order, ranking, order.mode, 'quotes_requested');
  await orders.applyTo(transaction, order, { event: 'source', actor: 'system', data: { quotes: quotes.length } });
  for (const quote of quotes) await asked(transaction, quote, order);
  return { order_id: order.id, outcome: 'quotes_requested', candidates: candidates.length };
}

async function wait(transaction: PlatformTransaction, order: Order, ranking: Ranking): Promise<Match> {
  const [last] = await lastRounds(transaction, [order.id]);
  if (!isSame(last, ranking)) await noteRound(transaction, order, ranking, order.mode, 'waits');
  return { order_id: order.id, outcome: 'waits', candidates: ranking.candidates.length };
}

/** Of orders that go on waiting, most have done so in the last round, with the same candidates. */
async function noteWaiting({ database }: MatchDeps, waiting: readonly Pending[], { signal, failures }: Run): Promise<void> {
  const rounds = await lastRounds(
    database,
    waiting.map(({ order }) => order.id),
  );
  const last = new Map(rounds.map((round) => [round.order_id, round]));
  const changed = waiting.filter(({ order, ranking }) => !isSame(last.get(order.id), ranking));
  await oneByOne(changed, failures, signal, ({ order: { id }, ranking }) =>
    database.transaction().execute(async (transaction) => {
      const order = await lockOrder(transaction, id);
      if (order.state === 'submitted') await noteRound(transaction, order, ranking, order.mode, 'waits');
      return true;
    }),
  );
}
