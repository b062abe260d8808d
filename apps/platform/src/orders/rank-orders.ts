/** The manufacturers who could make orders that wait, best first: those who were asked before left out, or behind those who were not. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { sql } from 'kysely';
import { dayIn } from '../calendar/business-days.ts';
import type { PlatformDatabase } from '../database/database.ts';
import type { TaxParty } from '../invoices/tax-rules.ts';
import type { LeftOut } from '../matching/candidates.ts';
import type { OrderNeed, Supplier } from '../matching/market.ts';
import { memo } from '../matching/memo.ts';
import { type Ranking, rank, type Weights } from '../matching/score.ts';
import { currencyOf } from '../money/money.ts';
import { isTaxKnown, partyOf } from './award.ts';
import type { Order, PlatformTransaction } from './orders.ts';
import { loadMarket } from './suppliers.ts';

export interface RankDeps {
  readonly database: PlatformDatabase;
  /** Where a day begins. */
  readonly zone: string;
  readonly now: () => number;
  readonly weights?: Weights;
}

/** Of the candidates so many, the best, are kept and written down, and so many of those left out. */
const kept = 12;
/** So long the orders of one turn of the event loop are ranked. */
const turnMs = 20;

export interface Pending {
  readonly order: Order;
  readonly ranking: Ranking;
}

export interface Ranked {
  readonly pending: readonly Pending[];
  /** Everybody who works what they need. */
  readonly suppliers: readonly Supplier[];
}

/** Of the orders of a mode that wait, those that were not looked at for longest. The market is read once. */
export async function rankPending(deps: RankDeps, mode: Order['mode'], limit: number): Promise<Ranked> {
  const ranked = await deps.database
    .transaction()
    .setIsolationLevel('repeatable read')
    .execute(async (transaction) => {
      const orders = await transaction
        .selectFrom('orders')
        .selectAll()
        .where('state', '=', 'submitted')
        .where('mode', '=', mode)
        .orderBy('matched_at', (order) => order.asc().nullsFirst())
        .orderBy('id')
        .limit(limit)
        .execute();
      return rankAll(transaction, deps, orders);
    });
  await sql`
    update platform.orders set matched_at = ${new Date(deps.now())} where id in (
      select id from platform.orders where id = any (${ranked.pending.map(({ order }) => order.id)}) for update skip locked)`.execute(
    deps.database,
  );
  return ranked;
}

export async function rankAll(
  transaction: PlatformTransaction,
  { zone, now, weights }: RankDeps,
  orders: readonly Order[],
): Promise<Ranked> {
  const today = dayIn(zone, new Date(now()));
  const processes = [...new Set(orders.map(({ process }) => process))];
  const market = await loadMarket(transaction, processes, { today, zone });
  const asked = await askedBefore(
    transaction,
    orders.map(({ id }) => id),
  );
  const buyers = await buyersOf(transaction, orders);
  const pending: Pending[] = [];
  let begun = performance.now();
  for (const order of orders) {
    // A thousand orders take a second in which no other job of this process would go on.
    if (performance.now() - begun > turnMs) {
      await nextTurn();
      begun = performance.now();
    }
    const { refused, silent } = asked(order.id);
    const suppliers = market.suppliersFor(order.process, order.currency).filter(({ id }) => !refused.has(id));
    const isTaxed = memo((id: string) => isTaxKnown(market.sellerOf(id), buyers.get(order.buyer_id) as TaxParty));
    const { candidates, leftOut } = rank(
      needOf(order),
      suppliers.filter(({ id }) => isTaxed(id)),
      { today, ...(weights === undefined ? {} : { weights }) },
    );
    const untaxed = suppliers
      .filter(({ id }) => !isTaxed(id))
      .map(({ id, country }): LeftOut => ({ supplierId: id, reasons: [{ code: 'TAX_UNKNOWN', country }] }));
    // Of many orders with many candidates each, most would be kept for nothing.
    const inOrder = candidates.toSorted((one, other) => Number(silent.has(one.supplierId)) - Number(silent.has(other.supplierId)));
    pending.push({ order, ranking: { candidates: inOrder.slice(0, kept), leftOut: [...untaxed, ...leftOut].slice(0, kept) } });
  }
  return { pending, suppliers: processes.flatMap((process) => market.suppliersFor(process, '')) };
}

async function buyersOf(transaction: PlatformTransaction, orders: readonly Order[]): Promise<ReadonlyMap<number, TaxParty>> {
  if (orders.length === 0) return new Map();
  const users = await transaction
    .selectFrom('users')
    .select(['id', 'country', 'vat_id', 'vat_id_checked_at'])
    .where('id', 'in', [...new Set(orders.map(({ buyer_id }) => buyer_id))])
    .execute();
  return new Map(users.map((user) => [user.id, partyOf(user)]));
}

/** Manufacturers who were asked to make an order before. */
interface Asked {
  /** They do not want it, or another one was taken instead: they are not asked again. */
  readonly refused: Set<string>;
  /** They were asked for a quote, and have let the time pass: others come first. */
  readonly silent: Set<string>;
}

async function askedBefore(transaction: PlatformTransaction, orders: readonly number[]): Promise<(order: number) => Asked> {
  const asked = new Map<number, Asked>(orders.map((id) => [id, { refused: new Set(), silent: new Set() }]));
  if (orders.length > 0) {
    const { rows } = await sql<{ order_id: number; manufacturer_id: number; silent: boolean }>`
      select order_id, manufacturer_id, false as silent from platform.offers
      where order_id = any (${[...orders]}) and state in ('declined', 'expired')
      union all
      select order_id, manufacturer_id, state not in ('declined', 'lost') from platform.quotes
      where order_id = any (${[...orders]})`.execute(transaction);
    for (const { order_id, manufacturer_id, silent } of rows) {
      asked.get(order_id)?.[silent ? 'silent' : 'refused'].add(String(manufacturer_id));
    }
  }
  return (order) => asked.get(order) as Asked;
}

export function needOf(order: Order): OrderNeed {
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
