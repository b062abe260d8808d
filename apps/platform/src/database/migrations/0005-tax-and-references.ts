/** What an order's award settles about tax, when its price was paid, the name that its buyer has for it, and what he says of the parts. */
import { type Kysely, sql } from 'kysely';

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql
    .raw(`
-- reference: the buyer's own name for it. The same twice is one order.
alter table platform.orders
  add column reference text,
  add column tax_rule text check (tax_rule in ('domestic', 'destination', 'reverse_charge', 'export')),
  add column tax_rate integer not null default 0 check (tax_rate between 0 and 10000),
  add column tax_minor bigint not null default 0 check (tax_minor >= 0),
  add column paid_at timestamptz;
create unique index orders_reference on platform.orders (buyer_id, reference) where reference is not null;

create index offers_manufacturer on platform.offers (manufacturer_id, id desc);

-- One for each order that is closed.
create table platform.ratings (
  order_id bigint primary key references platform.orders,
  manufacturer_id bigint not null references platform.manufacturers,
  stars integer not null check (stars between 1 and 5),
  at timestamptz not null default now()
);
`)
    .execute(db);
}
