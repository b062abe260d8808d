/** What the API asks for: the keys of a user, and by how many payment methods an order was to be paid. */
import { type Kysely, sql } from 'kysely';

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql
    .raw(`
create index api_keys_user on platform.api_keys (user_id, id desc);

-- One row for each that the buyer has asked to pay with.
create table platform.order_payment_methods (
  order_id bigint not null references platform.orders,
  payment_method text not null,
  at timestamptz not null default now(),
  primary key (order_id, payment_method)
);
`)
    .execute(db);
}
