/**
 * Money: payments with their attempts and refunds, the double-entry ledger, invoices. What must always hold is held by the database:
 * a ledger transaction sums to zero, entries and invoices are never changed, nothing is refunded that was not captured.
 */
import { type Kysely, sql } from 'kysely';

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql
    .raw(`
create table platform.payments (
  id bigint generated always as identity primary key,
  order_id bigint not null references platform.orders,
  user_id bigint not null references platform.users,
  amount_minor bigint not null check (amount_minor > 0),
  currency text not null,
  status text not null default 'created' check (status in ('created', 'requires_action', 'processing', 'authorised', 'captured',
    'failed', 'cancelled', 'unknown')),
  authorise_only boolean not null,
  payment_method text not null,
  gateway text,
  intent text unique,
  captured_minor bigint not null default 0 check (captured_minor between 0 and amount_minor),
  refunded_minor bigint not null default 0 check (refunded_minor between 0 and captured_minor),
  disputed boolean not null default false,
  -- The provider's id of the last try to charge that we know of.
  charge text,
  decline_code text,
  declined_hard boolean not null default false,
  -- Soft declines are tried again on days that count from the first one.
  first_declined_at timestamptz,
  retries integer not null default 0,
  retry_at timestamptz,
  action_url text,
  version integer not null default 0,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create index payments_order on platform.payments (order_id);
create index payments_retry on platform.payments (retry_at) where retry_at is not null;
create index payments_unsettled on platform.payments (updated_at) where status in ('created', 'processing', 'unknown', 'requires_action');
create index payments_created on platform.payments (created_at);
-- One payment at a time for an order.
create unique index payments_one on platform.payments (order_id) where status <> 'cancelled' and not declined_hard;

create table platform.payment_attempts (
  payment_id bigint not null references platform.payments,
  number integer not null,
  job_id text not null,
  outcome text not null default 'begun',
  decline_code text,
  begun_at timestamptz not null default now(),
  ended_at timestamptz,
  primary key (payment_id, number)
);

create table platform.refunds (
  id bigint generated always as identity primary key,
  payment_id bigint not null references platform.payments,
  -- What it is for, such as cancel:7. The same twice is one refund.
  reference text not null unique,
  amount_minor bigint not null check (amount_minor > 0),
  currency text not null,
  status text not null default 'requested' check (status in ('requested', 'succeeded', 'failed')),
  gateway_id text,
  reason text not null,
  created_at timestamptz not null default now(),
  settled_at timestamptz
);
create index refunds_payment on platform.refunds (payment_id);

-- Differences that the reconciliation found. Those that move money wait for a person.
create table platform.payment_differences (
  id bigint generated always as identity primary key,
  payment_id bigint references platform.payments,
  intent text not null,
  kind text not null,
  detail jsonb not null,
  resolution text,
  found_at timestamptz not null default now(),
  resolved_at timestamptz,
  resolved_by bigint references platform.users
);
create unique index payment_differences_open on platform.payment_differences (intent, kind) where resolved_at is null;

create table platform.ledger_transactions (
  id bigint generated always as identity primary key,
  -- What it books, such as capture:12. The same twice is booked once.
  key text not null unique,
  kind text not null,
  order_id bigint references platform.orders,
  at timestamptz not null default now()
);
create index ledger_transactions_order on platform.ledger_transactions (order_id);

create table platform.ledger_entries (
  transaction_id bigint not null references platform.ledger_transactions,
  place smallint not null,
  account text not null,
  currency text not null,
  amount_minor bigint not null check (amount_minor <> 0),
  primary key (transaction_id, place)
);
create index ledger_entries_account on platform.ledger_entries (account, currency);

create function platform.ledger_balances() returns trigger language plpgsql as $$
begin
  if exists (select 1 from platform.ledger_entries e where e.transaction_id = new.transaction_id group by e.currency having sum(e.amount_minor) <> 0) then
    raise check_violation using message = 'a ledger transaction does not sum to zero';
  end if;
  return null;
end $$;
create constraint trigger ledger_balances after insert on platform.ledger_entries
  deferrable initially deferred for each row execute function platform.ledger_balances();

create function platform.never_changed() returns trigger language plpgsql as $$
begin
  raise insufficient_privilege using message = tg_table_name || ' are never changed: book or issue what corrects them';
end $$;
create trigger never_changed before update or delete on platform.ledger_entries for each row execute function platform.never_changed();
create trigger never_changed before update or delete on platform.ledger_transactions for each row execute function platform.never_changed();

-- A series of numbers, such as TL-2026: the last one that was drawn.
create table platform.invoice_series (
  series text primary key,
  last integer not null default 0
);

create table platform.invoices (
  id bigint generated always as identity primary key,
  series text not null references platform.invoice_series,
  number integer not null check (number > 0),
  kind text not null check (kind in ('invoice', 'credit_note')),
  -- What it is for, such as order:7. The same twice is one invoice.
  key text not null unique,
  order_id bigint not null references platform.orders,
  corrects bigint references platform.invoices,
  document jsonb not null,
  pdf bytea not null,
  sha256 bytea not null,
  issued_at timestamptz not null default now(),
  unique (series, number),
  check ((kind = 'credit_note') = (corrects is not null))
);
create index invoices_order on platform.invoices (order_id);
create trigger never_changed before update or delete on platform.invoices for each row execute function platform.never_changed();
`)
    .execute(db);
}
