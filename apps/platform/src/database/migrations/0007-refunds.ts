/** What went back or was taken back: refunds that stand for others, disputes, how far payments were compared, and VAT ids that were checked. */
import { type Kysely, sql } from 'kysely';

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql
    .raw(`
-- What a refund that has failed was to give back stays reserved until another one replaces it, or somebody waives it.
alter table platform.refunds
  add column replaces bigint unique references platform.refunds,
  add column waived_at timestamptz;

-- By the provider's id. Of an inquiry no money has moved.
create table platform.disputes (
  id text primary key,
  payment_id bigint not null references platform.payments,
  amount_minor bigint not null check (amount_minor > 0),
  currency text not null,
  status text not null check (status in ('inquiry', 'open', 'won', 'lost')),
  found_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create index disputes_payment on platform.disputes (payment_id);

-- taken_back: the buyer's bank has the money, or a part of it. The VAT ids are those of the award: what users change later stands on no paper of it.
alter table platform.orders
  add column taken_back boolean not null default false,
  add column seller_vat_id text,
  add column buyer_vat_id text;
update platform.orders o set
  buyer_vat_id = (select u.vat_id from platform.users u where u.id = o.buyer_id),
  seller_vat_id = (select u.vat_id from platform.users u join platform.manufacturers m on m.user_id = u.id where m.id = o.manufacturer_id)
where o.tax_rule is not null;

-- An id counts for reverse charge once the staff has checked it.
alter table platform.users add column vat_id_checked_at timestamptz;

-- When the reconciliation has last asked for a payment that can still move.
alter table platform.payments add column looked_at timestamptz;
create index payments_moving on platform.payments (looked_at) where status in ('requires_action', 'processing', 'authorised');
-- Up to where it has compared all payments.
create table platform.reconciliation (
  one boolean primary key default true check (one),
  till timestamptz not null
);
create index payment_differences_last on platform.payment_differences (intent, kind, id desc);
create index payment_differences_payment on platform.payment_differences (payment_id) where resolved_at is null;
`)
    .execute(db);
}
