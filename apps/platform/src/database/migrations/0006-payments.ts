/** By which method a payment was tried last; days of a further try only where there is one. */
import { type Kysely, sql } from 'kysely';

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql
    .raw(`
-- The buyer may choose another one while he is to confirm a payment.
alter table platform.payments add column tried_method text;
update platform.payments set tried_method = payment_method where intent is not null;

-- How often it was tried again says nothing of the day of the next try.
alter table platform.payments drop column retries;
update platform.payments set retry_at = null where retry_at is not null and status <> 'failed';
`)
    .execute(db);
}
