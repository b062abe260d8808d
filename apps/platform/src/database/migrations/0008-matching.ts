/** What matching needs to come round to every order that waits, what came of each round, and the paths that it goes most. */
import { type Kysely, sql } from 'kysely';

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql
    .raw(`
-- matched_at: when the schedule has looked at it, as long as it waits.
alter table platform.orders add column matched_at timestamptz;
create index orders_pending on platform.orders (mode, matched_at nulls first, id) where state = 'submitted';
-- Whose day can pass before anybody makes them.
create index orders_unplaced on platform.orders (due_on) where state in ('submitted', 'sourcing', 'quoted');

-- outcome: what came of the round. Of older ones nobody knows.
alter table platform.order_matches add column outcome text check (outcome in ('offered', 'quotes_requested', 'waits'));

-- told_at: when those whom it concerns were told.
alter table platform.order_events add column told_at timestamptz;

-- submissions: how often it was quoted since it was asked for.
alter table platform.quotes add column submissions integer not null default 0;
create index quotes_expiring on platform.quotes (expires_at);

create index offers_order on platform.offers (order_id);
create index offers_made on platform.offers (expires_at) where state = 'accepted';
`)
    .execute(db);
}
