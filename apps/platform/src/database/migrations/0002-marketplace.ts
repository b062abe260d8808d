/**
 * The marketplace: users and their API keys, manufacturers with what they can do, orders with their events, offers and quotes, what
 * went wrong with parts, reminders and the audit. Amounts are minor units, times of machines are minutes, days are dates.
 */
import { type Kysely, sql } from 'kysely';

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql
    .raw(`
create table platform.users (
  id bigint generated always as identity primary key,
  role text not null check (role in ('buyer', 'manufacturer', 'staff')),
  name text not null,
  email text not null,
  address text[] not null default '{}',
  country char(2) not null,
  vat_id text,
  created_at timestamptz not null default now()
);
create unique index users_email on platform.users (lower(email));

-- Of a key only its digest is kept.
create table platform.api_keys (
  id bigint generated always as identity primary key,
  user_id bigint not null references platform.users,
  label text not null,
  digest bytea not null unique,
  created_at timestamptz not null default now(),
  revoked_at timestamptz
);

-- rating: the sum of what it was rated, and how often. delivered: how often, and how often in time.
create table platform.manufacturers (
  id bigint generated always as identity primary key,
  user_id bigint not null unique references platform.users,
  name text not null,
  country char(2) not null,
  latitude double precision not null check (latitude between -90 and 90),
  longitude double precision not null check (longitude between -180 and 180),
  time_zone text not null,
  lead_days integer not null check (lead_days >= 0),
  export_countries text[] not null default '{}',
  rating_sum integer not null default 0,
  rating_count integer not null default 0,
  delivered integer not null default 0,
  delivered_in_time integer not null default 0,
  active boolean not null default true,
  created_at timestamptz not null default now()
);

-- Prices, for each currency that is accepted. material_factors: material -> hundredths of a percent; only these are worked.
create table platform.manufacturer_processes (
  manufacturer_id bigint not null references platform.manufacturers,
  process text not null,
  currency text not null,
  setup_minor bigint not null check (setup_minor >= 0),
  hour_minor bigint not null check (hour_minor >= 0),
  unit_minor bigint not null check (unit_minor >= 0),
  minimum_minor bigint not null check (minimum_minor >= 0),
  largest_quantity integer not null check (largest_quantity > 0),
  material_factors jsonb not null,
  primary key (manufacturer_id, process, currency)
);
create index manufacturer_processes_process on platform.manufacturer_processes (process);

create table platform.manufacturer_machines (
  id bigint generated always as identity primary key,
  manufacturer_id bigint not null references platform.manufacturers,
  process text not null,
  name text not null,
  minutes_a_day integer not null check (minutes_a_day between 1 and 1440)
);
create index manufacturer_machines_owner on platform.manufacturer_machines (manufacturer_id, process);

create table platform.manufacturer_certificates (
  manufacturer_id bigint not null references platform.manufacturers,
  name text not null,
  valid_until date not null,
  primary key (manufacturer_id, name)
);

create table platform.manufacturer_closures (
  manufacturer_id bigint not null references platform.manufacturers,
  day date not null,
  primary key (manufacturer_id, day)
);

-- Machine time in an ISO week, such as 2026-W49: total without closures, booked by accepted work. What offers hold stands with them.
create table platform.capacity (
  manufacturer_id bigint not null references platform.manufacturers,
  process text not null,
  week text not null check (week ~ '^[0-9]{4}-W[0-9]{2}$'),
  total_minutes integer not null check (total_minutes >= 0),
  booked_minutes integer not null default 0 check (booked_minutes between 0 and total_minutes),
  primary key (manufacturer_id, process, week)
);

create table platform.orders (
  id bigint generated always as identity primary key,
  buyer_id bigint not null references platform.users,
  mode text not null check (mode in ('instant', 'rfq')),
  state text not null default 'draft' check (state in ('draft', 'submitted', 'sourcing', 'quoted', 'awarded', 'payment_authorised',
    'in_production', 'inspection', 'rework', 'shipped', 'delivered', 'closed', 'on_hold', 'cancelled', 'disputed')),
  held_state text,
  version integer not null default 0,
  title text not null,
  process text not null,
  material text not null,
  quantity integer not null check (quantity > 0),
  minutes integer not null check (minutes > 0),
  certificates text[] not null default '{}',
  export_countries text[],
  due_on date not null,
  country char(2) not null,
  latitude double precision not null,
  longitude double precision not null,
  currency text not null,
  budget_minor bigint check (budget_minor > 0),
  payment_method text,
  manufacturer_id bigint references platform.manufacturers,
  price_minor bigint check (price_minor > 0),
  fee_minor bigint not null default 0 check (fee_minor >= 0),
  deadline timestamptz,
  state_since timestamptz not null default now(),
  created_at timestamptz not null default now(),
  check ((state = 'on_hold') = (held_state is not null))
);
create index orders_buyer on platform.orders (buyer_id, id desc);
create index orders_manufacturer on platform.orders (manufacturer_id, id desc) where manufacturer_id is not null;
create index orders_open on platform.orders (state, deadline) where state not in ('closed', 'cancelled');

-- One row for each change; its version is the order's after it.
create table platform.order_events (
  order_id bigint not null references platform.orders,
  version integer not null,
  event text not null,
  from_state text not null,
  to_state text not null,
  actor text not null check (actor in ('buyer', 'manufacturer', 'staff', 'system')),
  actor_id bigint,
  data jsonb not null default '{}',
  at timestamptz not null default now(),
  primary key (order_id, version)
);

-- Why an order went to whom: the candidates of each round of matching, with the parts of their scores, and those left out.
create table platform.order_matches (
  id bigint generated always as identity primary key,
  order_id bigint not null references platform.orders,
  round integer not null,
  method text not null,
  candidates jsonb not null,
  left_out jsonb not null,
  at timestamptz not null default now(),
  unique (order_id, round)
);

-- While it is open an offer holds its minutes; accepted, they are booked. uses: [{week, minutes}].
create table platform.offers (
  id bigint generated always as identity primary key,
  order_id bigint not null references platform.orders,
  manufacturer_id bigint not null references platform.manufacturers,
  state text not null default 'open' check (state in ('open', 'accepted', 'declined', 'expired', 'withdrawn')),
  price_minor bigint not null check (price_minor > 0),
  currency text not null,
  process text not null,
  uses jsonb not null,
  expires_at timestamptz not null,
  created_at timestamptz not null default now(),
  decided_at timestamptz
);
create unique index offers_open_order on platform.offers (order_id) where state in ('open', 'accepted');
create index offers_holding on platform.offers (process) where state = 'open';
create index offers_expiring on platform.offers (expires_at) where state = 'open';

create table platform.quotes (
  id bigint generated always as identity primary key,
  order_id bigint not null references platform.orders,
  manufacturer_id bigint not null references platform.manufacturers,
  state text not null default 'requested' check (state in ('requested', 'quoted', 'declined', 'awarded', 'lost', 'expired')),
  price_minor bigint check (price_minor > 0),
  currency text not null,
  uses jsonb,
  expires_at timestamptz not null,
  created_at timestamptz not null default now(),
  decided_at timestamptz,
  unique (order_id, manufacturer_id)
);
create index quotes_manufacturer on platform.quotes (manufacturer_id, id desc);

create table platform.non_conformances (
  id bigint generated always as identity primary key,
  order_id bigint not null references platform.orders,
  manufacturer_id bigint not null references platform.manufacturers,
  quantity integer not null check (quantity > 0),
  cause text not null check (cause in ('dimension', 'surface', 'material', 'damage', 'count', 'documents', 'other')),
  disposition text check (disposition in ('rework', 'remake', 'credit')),
  credit_minor bigint check (credit_minor > 0),
  opened_at timestamptz not null default now(),
  closed_at timestamptz
);
create index non_conformances_order on platform.non_conformances (order_id);

-- Whoever reminds of a thing puts its row here first.
create table platform.reminders (
  kind text not null,
  subject text not null,
  occasion text not null,
  at timestamptz not null default now(),
  primary key (kind, subject, occasion)
);

create table platform.audit (
  id bigint generated always as identity primary key,
  actor text not null,
  actor_id bigint,
  action text not null,
  subject text not null,
  data jsonb not null default '{}',
  at timestamptz not null default now()
);
create index audit_subject on platform.audit (subject, id desc);
`)
    .execute(db);
}
