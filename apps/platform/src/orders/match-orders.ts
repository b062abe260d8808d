/**
 * Who gets an order. One that comes in is matched by itself; those that found nobody, or were declined, are assigned all at once every
 * quarter of an hour. Either way the round is written down: who was considered with which score, and who was left out and why.
 */
import { sql } from 'kysely';
import type { Logger } from 'taktline';
import { dayIn } from '../calendar/business-days.ts';
import { weekOf } from '../calendar/iso-week.ts';
import type { PlatformDatabase } from '../database/database.ts';
import { type Assignment, type AssignOptions, assign } from '../matching/assign.ts';
import type { OrderNeed } from '../matching/market.ts';
import { freeTimeOf, pendingOrderOf } from '../matching/pending-orders.ts';
import { type RankedCandidate, type Ranking, rank, type Weights } from '../matching/score.ts';
import { currencyOf } from '../money/money.ts';
import { makeOffer, type Offer } from './offers.ts';
import { lockOrder, type Order, type Orders, type PlatformTransaction } from './orders.ts';
import { type Quote, requestQuotes } from './quotes.ts';
import { loadMarket, type Market } from './suppliers.ts';

export interface MatchDeps {
  readonly database: PlatformDatabase;
  readonly orders: Orders;
  /** Where a day begins. */
  readonly zone: string;
  readonly now: () => number;
  readonly weights?: Weights;
  /** In the transaction that makes them. */
  readonly offered: (transaction: PlatformTransaction, offer: Offer, order: Order) => Promise<unknown>;
  readonly asked: (transaction: PlatformTransaction, quote: Quote, order: Order) => Promise<unknown>;
}

/** What became of one order. */
export interface Match {
  readonly order_id: number;
  /** `waits`: nobody can make it now. `not_pending`: it waits for nobody any more. */
  readonly outcome: 'offered' | 'quotes_requested' | 'waits' | 'not_pending';
  readonly candidates: number;
}

/** So many manufacturers are asked for a quote. */
const quotesAsked = 5;
/** Of the candidates so many are written down, and of those left out. */
const kept = 20;

export function matchOrder(deps: MatchDeps, id: number): Promise<Match> {
  return deps.database.transaction().execute(async (transaction) => {
    const order = await lockOrder(transaction, id);
    if (order.state !== 'submitted') return { order_id: id, outcome: 'not_pending', candidates: 0 };
    const today = dayIn(deps.zone, new Date(deps.now()));
    const market = await loadMarket(transaction, [order.process], weekOf(today));
    const ranking = rankFor(deps, market, order, await refusals(transaction, [id]), today);
    await noteRound(transaction, order, ranking, order.mode);
    const { candidates } = ranking;
    const best = candidates[0];
    if (best === undefined) return { order_id: id, outcome: 'waits', candidates: 0 };
    if (order.mode === 'instant') await offer(transaction, deps, order, best, best.slots[0]?.uses ?? []);
    else await askForQuotes(transaction, deps, order, candidates.slice(0, quotesAsked));
    return { order_id: id, outcome: order.mode === 'instant' ? 'offered' : 'quotes_requested', candidates: candidates.length };
  });
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
 * Assigns all instant orders that wait. The market is read once; each offer is made in a transaction of its own, and an order that has
 * come to something else meanwhile is left alone.
 */
export async function processPending(deps: MatchDeps, options: AssignOptions, log: Logger): Promise<Round> {
  const { database } = deps;
  const today = dayIn(deps.zone, new Date(deps.now()));
  const { rankings, suppliers } = await database
    .transaction()
    .setIsolationLevel('repeatable read')
    .execute(async (transaction) => {
      const pending = await transaction
        .selectFrom('orders')
        .selectAll()
        .where('state', '=', 'submitted')
        .where('mode', '=', 'instant')
        .orderBy('id')
        .execute();
      const processes = [...new Set(pending.map(({ process }) => process))];
      const market = await loadMarket(transaction, processes, weekOf(today));
      const refused = await refusals(
        transaction,
        pending.map(({ id }) => id),
      );
      return {
        rankings: new Map(pending.map((order) => [order.id, { order, ranking: rankFor(deps, market, order, refused, today) }])),
        suppliers: processes.flatMap((process) => market.suppliersFor(process, '')),
      };
    });
  const assignment = await assign(
    [...rankings.values()].map(({ order, ranking }) => pendingOrderOf(needOf(order), ranking.candidates)),
    freeTimeOf(suppliers),
    options,
  );
  if (assignment.method === 'greedy') {
    log.warn('the solver gave nothing: pending orders were assigned one after the other', {
      failure: assignment.failure,
      lost: 1 - assignment.objective / Math.max(assignment.bound, 1e-9),
    });
  }
  let offered = 0;
  for (const { orderId, supplierId, uses } of assignment.assigned) {
    options.signal?.throwIfAborted();
    const { ranking } = rankings.get(Number(orderId)) ?? {};
    const candidate = ranking?.candidates.find((one) => one.supplierId === supplierId);
    if (ranking === undefined || candidate === undefined) continue;
    const made = await database.transaction().execute(async (transaction) => {
      const order = await lockOrder(transaction, Number(orderId));
      if (order.state !== 'submitted') return false;
      await noteRound(transaction, order, ranking, assignment.method);
      await offer(transaction, deps, order, candidate, uses);
      return true;
    });
    if (made) offered += 1;
  }
  return {
    pending: rankings.size,
    offered,
    waiting: rankings.size - offered,
    method: assignment.method,
    gap: assignment.gap,
    took_ms: Math.round(assignment.tookMs),
  };
}

/** Manufacturers who have let offers of these orders go: they are not offered them again. */
async function refusals(transaction: PlatformTransaction, orders: readonly number[]): Promise<ReadonlyMap<number, ReadonlySet<string>>> {
  const refused = new Map<number, Set<string>>(orders.map((id) => [id, new Set()]));
  if (orders.length === 0) return refused;
  const offers = await transaction
    .selectFrom('offers')
    .select(['order_id', 'manufacturer_id'])
    .where('order_id', '=', sql<number>`any (${[...orders]})`)
    .where('state', 'in', ['declined', 'expired'])
    .execute();
  for (const { order_id, manufacturer_id } of offers) refused.get(order_id)?.add(String(manufacturer_id));
  return refused;
}

function rankFor(
  { weights }: MatchDeps,
  market: Market,
  order: Order,
  refused: Awaited<ReturnType<typeof refusals>>,
  today: string,
): Ranking {
  const suppliers = market.suppliersFor(order.process, order.currency).filter(({ id }) => refused.get(order.id)?.has(id) !== true);
  return rank(needOf(order), suppliers, { today, ...(weights === undefined ? {} : { weights }) });
}

function needOf(order: Order): OrderNeed {
  return {
    id: String(order.id),
    process: order.process,
    material: order.material,
    quantity: order.quantity,
    minutes: order.minutes,
    certificates: order.certificates,
    exportCountries: order.export_countries ?? undefined,
    dueOn: order.due_on,
    currency: currencyOf(order.currency),
    budgetMinor: order.budget_minor ?? undefined,
    latitude: order.latitude,
    longitude: order.longitude,
  };
}

async function offer(
  transaction: PlatformTransaction,
  { orders, now, offered }: MatchDeps,
  order: Order,
  { supplierId, price, score }: RankedCandidate,
  uses: Offer['uses'],
): Promise<void> {
  const made = await makeOffer(transaction, order, { manufacturer: Number(supplierId), priceMinor: price.minor, uses }, now());
  await orders.applyTo(transaction, order, { event: 'source', actor: 'system', data: { offer: made.id, score } });
  await offered(transaction, made, order);
}

async function askForQuotes(
  transaction: PlatformTransaction,
  { orders, now, asked }: MatchDeps,
  order: Order,
  candidates: readonly RankedCandidate[],
): Promise<void> {
  const quotes = await requestQuotes(
    transaction,
    order,
    candidates.map(({ supplierId }) => Number(supplierId)),
    now(),
  );
  await orders.applyTo(transaction, order, { event: 'source', actor: 'system', data: { quotes: quotes.length } });
  for (const quote of quotes) await asked(transaction, quote, order);
}

async function noteRound(transaction: PlatformTransaction, order: Order, { candidates, leftOut }: Ranking, method: string): Promise<void> {
  const { rounds } = await transaction
    .selectFrom('order_matches')
    .select(sql<number>`coalesce(max(round), 0)`.as('rounds'))
    .where('order_id', '=', order.id)
    .executeTakeFirstOrThrow();
  await transaction
    .insertInto('order_matches')
    .values({
      order_id: order.id,
      round: rounds + 1,
      method,
      candidates: JSON.stringify(candidates.slice(0, kept)),
      left_out: JSON.stringify(leftOut.slice(0, kept)),
    })
    .execute();
}
