/** How the sample orders stand: counts, sums and the last events, without anybody's data. */
import { sql } from 'kysely';
import type { PlatformDatabase } from '../database/database.ts';
import { formatMoney, money } from '../money/money.ts';
import { orderStates } from '../orders/order-states.ts';

export interface Count {
  readonly name: string;
  readonly count: number;
}

export interface StorySummary {
  /** In the order of an order's life; those that no order is in are left out. */
  readonly orders: readonly Count[];
  readonly payments: readonly Count[];
  readonly papers: readonly Count[];
  /** By kind of account; an amount for each currency. */
  readonly ledger: readonly { readonly account: string; readonly amounts: readonly string[] }[];
  /** What went wrong and is not settled. */
  readonly troubles: readonly { readonly order: number; readonly what: string }[];
  /** The newest first. */
  readonly events: readonly {
    readonly at: Date;
    readonly order: number;
    readonly event: string;
    readonly from: string;
    readonly to: string;
    readonly actor: string;
  }[];
}

const most = 20;

export async function summarise(database: PlatformDatabase): Promise<StorySummary> {
  const [orders, payments, papers, ledger, troubles, events] = await Promise.all([
    counts(database, 'orders', 'state'),
    counts(database, 'payments', 'status'),
    counts(database, 'invoices', 'kind'),
    ledgerOf(database),
    troublesOf(database),
    eventsOf(database),
  ]);
  const places = new Map<string, number>(orderStates.map((state, place) => [state, place]));
  return {
    orders: orders.toSorted((one, other) => (places.get(one.name) ?? 0) - (places.get(other.name) ?? 0)),
    payments,
    papers,
    ledger,
    troubles,
    events,
  };
}

async function counts(database: PlatformDatabase, table: 'orders' | 'payments' | 'invoices', column: string): Promise<readonly Count[]> {
  const { rows } = await sql<Count>`
    select ${sql.ref(column)} as name, count(*)::int as count from ${sql.table(`platform.${table}`)} group by 1 order by 2 desc, 1`.execute(
    database,
  );
  return rows;
}

async function ledgerOf(database: PlatformDatabase): Promise<StorySummary['ledger']> {
  const { rows } = await sql<{ account: string; currency: string; sum: number }>`
    select split_part(account, ':', 1) as account, currency, sum(amount_minor)::bigint as sum
    from platform.ledger_entries group by 1, 2 order by 1, 2`.execute(database);
  const accounts = [...new Set(rows.map(({ account }) => account))];
  return accounts.map((account) => ({
    account,
    amounts: rows.filter((row) => row.account === account).map(({ sum, currency }) => formatMoney(money(sum, currency))),
  }));
}

async function troublesOf(database: PlatformDatabase): Promise<StorySummary['troubles']> {
  const { rows } = await sql<{ order: number; what: string }>`
    (select order_id as order, 'payment ' || status || coalesce(': ' || decline_code, '') as what
      from platform.payments where status in ('failed', 'unknown', 'requires_action') and not exists (
        select 1 from platform.payments p where p.order_id = payments.order_id and p.id > payments.id)
      order by id desc limit ${most})
    union all
    (select order_id, quantity || ' parts not right (' || cause || '): ' || disposition
      from platform.non_conformances where closed_at is null order by id desc limit ${most})
    union all
    (select id, 'disputed' from platform.orders where state = 'disputed' order by id desc limit ${most})
    limit ${most}`.execute(database);
  return rows;
}

async function eventsOf(database: PlatformDatabase): Promise<StorySummary['events']> {
  const rows = await database
    .selectFrom('order_events')
    .select(['at', 'order_id', 'event', 'from_state', 'to_state', 'actor'])
    .orderBy('at', 'desc')
    .orderBy('version', 'desc')
    .limit(most)
    .execute();
  return rows.map(({ at, order_id, event, from_state, to_state, actor }) => ({
    at,
    order: order_id,
    event,
    from: from_state,
    to: to_state,
    actor,
  }));
}
