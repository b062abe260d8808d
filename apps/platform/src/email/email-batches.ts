/**
 * Bulk mail in the database: a campaign's list is cut into batches, and every recipient of a batch has a delivery
 * record from the start, so that each one's status can be read at any time and a job that is run again finds its place.
 */
import { createHash } from 'node:crypto';
import { type Selectable, sql } from 'kysely';
import type { PlatformDatabase } from '../database/database.ts';
import type { DeliveryStatus, EmailBatchesTable, TemplateContext } from '../database/tables.ts';
import { addressSchema, displayNameSchema, normaliseAddress } from './addresses.ts';
import { openStatuses, rowOf } from './delivery-records.ts';
import type { BulkRecipient } from './email-input.ts';

export type EmailBatch = Selectable<EmailBatchesTable>;

export interface NewBatch {
  readonly bulkId: string;
  /** Unique within the campaign. */
  readonly position: number;
  readonly template: string;
  readonly context: TemplateContext;
  readonly recipients: readonly BulkRecipient[];
  readonly messageDomain: string;
}

export interface StoredBatch {
  readonly id: string;
  /** Recipients that could not be mailed to: the address or the name is not valid. */
  readonly invalid: number;
  /** Recipients that the campaign had already. */
  readonly repeated: number;
}

/** The job that sends a batch, in its first or a later generation. */
export function batchJobId(batchId: string, generation: number): string {
  return `email-batch:${batchId}:${generation}`;
}

/** A recipient's own values: the common ones, the name as `user_name`, and what was given for this one. */
export function recipientContext(
  common: TemplateContext,
  recipient: { readonly name?: string | undefined; readonly context?: TemplateContext | undefined },
): TemplateContext {
  return { ...common, ...(recipient.name ? { user_name: recipient.name } : {}), ...recipient.context };
}

export class EmailBatches {
  readonly #database: PlatformDatabase;

  constructor(database: PlatformDatabase) {
    this.#database = database;
  }

  async find(id: string): Promise<EmailBatch | undefined> {
    return this.#database.selectFrom('email_batches').selectAll().where('id', '=', id).executeTakeFirst();
  }

  /** Stores a batch with all its recipients, in one transaction. Storing it again changes nothing. */
  async store(batch: NewBatch): Promise<StoredBatch> {
    const id = `${batch.bulkId}:${batch.position}`;
    const rows = batch.recipients.map((recipient) => recordOf(recipient, batch, id));
    const inserted = await this.#database.transaction().execute(async (transaction) => {
      await transaction
        .insertInto('email_batches')
        .values({ id, bulk_id: batch.bulkId, position: batch.position, template: batch.template, context: JSON.stringify(batch.context) })
        .onConflict((conflict) => conflict.doNothing())
        .execute();
      await transaction
        .insertInto('email_deliveries')
        .values(rows)
        .onConflict((conflict) => conflict.doNothing())
        .execute();
      return transaction
        .selectFrom('email_deliveries')
        .select(({ fn }) => fn.countAll<string>().as('count'))
        .where('batch_id', '=', id)
        .executeTakeFirstOrThrow();
    });
    return { id, invalid: rows.filter((row) => row.status === 'failed').length, repeated: rows.length - Number(inserted.count) };
  }

  /** Records of a batch that a job may still send, by id. */
  async openRecords(batchId: string): Promise<readonly string[]> {
    const rows = await this.#database
      .selectFrom('email_deliveries')
      .select('id')
      .where('batch_id', '=', batchId)
      .where('status', 'in', openStatuses)
      .where('job_id', 'is not', null)
      .orderBy('id')
      .execute();
    return rows.map((row) => row.id);
  }

  /** Gives up on what a job has left of a batch, so that email.retryFailed finds it. */
  async failRest(batchId: string, jobId: string, reason: string): Promise<void> {
    await this.#database
      .updateTable('email_deliveries')
      .set({ status: 'failed', reply_text: reason, updated_at: sql<Date>`now()` })
      .where('batch_id', '=', batchId)
      .where('job_id', '=', jobId)
      .where('status', 'in', ['queued', 'deferred'])
      .execute();
  }

  /** How many recipients of a batch are in which status. */
  async counts(batchId: string): Promise<Partial<Record<DeliveryStatus, number>>> {
    const rows = await this.#database
      .selectFrom('email_deliveries')
      .select(({ fn }) => ['status', fn.countAll<string>().as('count')])
      .where('batch_id', '=', batchId)
      .groupBy('status')
      .execute();
    return Object.fromEntries(rows.map((row) => [row.status, Number(row.count)]));
  }
}

function recordOf(recipient: BulkRecipient, batch: NewBatch, batchId: string) {
  const name = recipient.name ?? '';
  const problem = !addressSchema.safeParse(recipient.to).success
    ? 'the address is not valid'
    : displayNameSchema.safeParse(name).success
      ? undefined
      : 'the name has a line break or is too long';
  const row = rowOf({
    id: `${batch.bulkId}:${recipient.id ?? addressDigest(recipient.to)}`,
    kind: 'bulk',
    template: batch.template,
    recipient: printable(recipient.to),
    recipientName: printable(name),
    // Only what is this recipient's own; the batch has what is common.
    context: recipientContext({}, recipient),
    batchId,
    messageDomain: batch.messageDomain,
  });
  return problem === undefined
    ? { ...row, status: 'queued' as const, job_id: batchJobId(batchId, 1) }
    : { ...row, status: 'failed' as const, job_id: null, reply_text: problem };
}

/** Within a campaign an address has one record, however often it is listed. */
function addressDigest(address: string): string {
  return createHash('sha256').update(normaliseAddress(address)).digest('hex').slice(0, 32);
}

/** Postgres keeps no NUL and no half surrogate pairs; an address that is not valid is stored for people to read. */
function printable(text: string): string {
  return text.replace(/\p{C}/gu, '');
}
