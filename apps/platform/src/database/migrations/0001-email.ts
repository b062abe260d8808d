/** The email family: deliveries (one row for each mail to each person), suppressed addresses, and batches of bulk mail. */
import { type Kysely, sql } from 'kysely';

export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('email_batches')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('bulk_id', 'text', (column) => column.notNull())
    .addColumn('position', 'integer', (column) => column.notNull())
    .addColumn('template', 'text', (column) => column.notNull())
    .addColumn('context', 'jsonb', (column) => column.notNull())
    .addColumn('created_at', 'timestamptz', (column) => column.notNull().defaultTo(sql`now()`))
    .addUniqueConstraint('email_batches_place', ['bulk_id', 'position'])
    .execute();

  await db.schema
    .createTable('email_deliveries')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('generation', 'integer', (column) => column.notNull().defaultTo(1))
    .addColumn('kind', 'text', (column) => column.notNull().check(sql`kind in ('normal', 'urgent', 'bulk')`))
    .addColumn('template', 'text', (column) => column.notNull())
    .addColumn('recipient', 'text', (column) => column.notNull())
    .addColumn('recipient_name', 'text', (column) => column.notNull())
    .addColumn('context', 'jsonb')
    .addColumn('fingerprint', 'text', (column) => column.notNull())
    .addColumn('batch_id', 'text', (column) => column.references('email_batches.id'))
    .addColumn('status', 'text', (column) =>
      column.notNull().check(sql`status in ('queued', 'sending', 'sent', 'deferred', 'bounced', 'suppressed', 'failed')`),
    )
    .addColumn('reply_code', 'integer')
    .addColumn('reply_text', 'text')
    .addColumn('message_id', 'text', (column) => column.notNull())
    .addColumn('job_id', 'text')
    .addColumn('attempts', 'integer', (column) => column.notNull().defaultTo(0))
    .addColumn('created_at', 'timestamptz', (column) => column.notNull().defaultTo(sql`now()`))
    .addColumn('updated_at', 'timestamptz', (column) => column.notNull().defaultTo(sql`now()`))
    .addColumn('sent_at', 'timestamptz')
    .execute();

  // What email.retryFailed looks through: small, since nearly all records are final.
  await db.schema
    .createIndex('email_deliveries_open')
    .on('email_deliveries')
    .column('id')
    .where(sql.ref('status'), 'in', sql`('queued', 'sending', 'deferred', 'failed')`)
    .execute();
  await db.schema
    .createIndex('email_deliveries_batch')
    .on('email_deliveries')
    .column('batch_id')
    .where(sql.ref('batch_id'), 'is not', null)
    .execute();

  await db.schema
    .createTable('email_suppressions')
    .addColumn('address', 'text', (column) => column.notNull())
    .addColumn('reason', 'text', (column) => column.notNull().check(sql`reason in ('bounce', 'unsubscribe')`))
    .addColumn('since', 'timestamptz', (column) => column.notNull().defaultTo(sql`now()`))
    .addPrimaryKeyConstraint('email_suppressions_pkey', ['address', 'reason'])
    .execute();
}
