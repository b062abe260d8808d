/**
 * The delivery records: one row for each mail to each person, and the rules that keep a mail from going out twice.
 *
 * A record belongs to one job at a time. `begin` takes it in hand for a job and counts the attempt; another job gets it
 * only when the owner is dead, by a compare-and-set that fails when anything moved in between. What an attempt reports
 * is written only while the record is still at that attempt, except `sent`, which is true whoever says it.
 */
import { createHash } from 'node:crypto';
import { type Selectable, sql } from 'kysely';
import type { PlatformDatabase } from '../database/database.ts';
import type { DeliveryKind, DeliveryStatus, EmailDeliveriesTable, TemplateContext } from '../database/tables.ts';
import type { SmtpReply } from './smtp-reply.ts';

export type DeliveryRecord = Selectable<EmailDeliveriesTable>;

/** What a record is made from. */
export interface NewDelivery {
  readonly id: string;
  readonly kind: DeliveryKind;
  readonly template: string;
  readonly recipient: string;
  readonly recipientName: string;
  readonly context: TemplateContext;
  readonly batchId?: string;
  /** The domain that the Message-ID ends in. */
  readonly messageDomain: string;
}

/** The right to send a record, and to say afterwards what became of it. */
export interface DeliveryClaim {
  readonly id: string;
  readonly attempt: number;
  readonly record: DeliveryRecord;
}

export type BeginReply =
  | { readonly kind: 'claimed'; readonly claim: DeliveryClaim }
  /** Nothing is left to send: sent, bounced or suppressed. */
  | { readonly kind: 'final'; readonly record: DeliveryRecord }
  /** Another job that is alive has it. */
  | { readonly kind: 'elsewhere'; readonly jobId: string }
  /** The id stands for another mail. */
  | { readonly kind: 'conflict' };

export interface AttemptReport {
  readonly status: 'deferred' | 'bounced' | 'suppressed' | 'failed' | 'queued';
  readonly reply?: SmtpReply | undefined;
  /** Shown when there is no reply. */
  readonly reason?: string;
  /** False: no job shall try again. Default true, except for final statuses. */
  readonly mayRetry?: boolean;
}

/** Tells whether a job may still run. */
export type IsJobAlive = (jobId: string) => Promise<boolean>;

const finalStatuses: ReadonlySet<DeliveryStatus> = new Set(['sent', 'bounced', 'suppressed']);

/** Statuses in which something may still be sent. */
export const openStatuses = ['queued', 'sending', 'deferred', 'failed'] as const satisfies readonly DeliveryStatus[];

export function isFinal(record: Pick<DeliveryRecord, 'status'>): boolean {
  return finalStatuses.has(record.status);
}

/** The same for every attempt and every job, so that a second copy can be told. Says nothing about the person. */
export function messageIdFor(record: string, domain: string): string {
  return `<${createHash('sha256').update(`taktline ${record}`).digest('hex').slice(0, 40)}@${domain}>`;
}

export class DeliveryRecords {
  readonly #database: PlatformDatabase;

  constructor(database: PlatformDatabase) {
    this.#database = database;
  }

  async find(id: string): Promise<DeliveryRecord | undefined> {
    return this.#database.selectFrom('email_deliveries').selectAll().where('id', '=', id).executeTakeFirst();
  }

  /**
   * Notes that a mail waits for its job. A record that is there already stays as it is: the job may have been faster.
   *
   * @returns whether the record is new
   */
  async noteQueued(delivery: NewDelivery, jobId: string): Promise<boolean> {
    const result = await this.#database
      .insertInto('email_deliveries')
      .values({ ...rowOf(delivery), status: 'queued', job_id: jobId })
      .onConflict((conflict) => conflict.doNothing())
      .executeTakeFirst();
    return (result.numInsertedOrUpdatedRows ?? 0n) > 0n;
  }

  /** Takes a record in hand for a job, and makes it when it is not there. */
  async begin(delivery: NewDelivery, jobId: string, isAlive: IsJobAlive): Promise<BeginReply> {
    const row = rowOf(delivery);
    const created = await this.#database
      .insertInto('email_deliveries')
      .values({ ...row, status: 'sending', job_id: jobId, attempts: 1 })
      .onConflict((conflict) => conflict.doNothing())
      .returningAll()
      .executeTakeFirst();
    if (created !== undefined) return claimed(created);
    return this.#takeOver(row.id, jobId, isAlive, row.fingerprint);
  }

  /** Takes a record of a batch in hand. */
  async beginExisting(id: string, jobId: string, isAlive: IsJobAlive): Promise<BeginReply> {
    return this.#takeOver(id, jobId, isAlive, undefined);
  }

  async #takeOver(id: string, jobId: string, isAlive: IsJobAlive, fingerprint: string | undefined): Promise<BeginReply> {
    for (;;) {
      const seen = await this.find(id);
      if (seen === undefined) throw new Error('a delivery record was removed while its job ran');
      if (fingerprint !== undefined && seen.fingerprint !== fingerprint) return { kind: 'conflict' };
      if (isFinal(seen)) return { kind: 'final', record: seen };
      const owner = seen.job_id;
      if (owner !== null && owner !== jobId && (await isAlive(owner))) return { kind: 'elsewhere', jobId: owner };
      const taken = await this.#database
        .updateTable('email_deliveries')
        .set({
          status: 'sending',
          job_id: jobId,
          attempts: seen.attempts + 1,
          generation: owner === jobId ? seen.generation : seen.generation + 1,
          updated_at: sql<Date>`now()`,
        })
        .where(unmoved(seen))
        .returningAll()
        .executeTakeFirst();
      if (taken !== undefined) return claimed(taken);
    }
  }

  /** Notes that the mail server took the mail: true even when this attempt has been given up meanwhile. */
  async noteSent(claim: DeliveryClaim, reply: SmtpReply): Promise<void> {
    await this.#database
      .updateTable('email_deliveries')
      .set({
        status: 'sent',
        reply_code: reply.code,
        reply_text: reply.text,
        context: null,
        sent_at: sql<Date>`now()`,
        updated_at: sql<Date>`now()`,
      })
      .where('id', '=', claim.id)
      .where('status', '!=', 'sent')
      .execute();
  }

  /**
   * Notes what became of an attempt that did not send.
   *
   * @returns false when the record has moved on; nothing is written then
   */
  async report(claim: DeliveryClaim, report: AttemptReport): Promise<boolean> {
    const final = finalStatuses.has(report.status);
    const result = await this.#database
      .updateTable('email_deliveries')
      .set({
        status: report.status,
        reply_code: report.reply?.code ?? null,
        reply_text: report.reply?.text ?? report.reason ?? null,
        updated_at: sql<Date>`now()`,
        ...(final ? { context: null } : {}),
        ...(report.mayRetry === false ? { job_id: null } : {}),
      })
      .where('id', '=', claim.id)
      .where('status', '=', 'sending')
      .where('attempts', '=', claim.attempt)
      .executeTakeFirst();
    return result.numUpdatedRows > 0n;
  }

  /**
   * Gives a record whose job is dead to a new job that is about to be enqueued.
   *
   * @returns false when the record has moved since it was read
   */
  async handOver(seen: DeliveryRecord, jobId: string): Promise<boolean> {
    const result = await this.#database
      .updateTable('email_deliveries')
      .set({ status: 'queued', job_id: jobId, generation: seen.generation + 1, updated_at: sql<Date>`now()` })
      .where(unmoved(seen))
      .executeTakeFirst();
    return result.numUpdatedRows > 0n;
  }

  /** Says that no job will send this record any more. @returns false when it has moved since it was read */
  async close(seen: DeliveryRecord, reason: string): Promise<boolean> {
    const result = await this.#database
      .updateTable('email_deliveries')
      .set({ status: 'failed', job_id: null, reply_text: reason, updated_at: sql<Date>`now()` })
      .where(unmoved(seen))
      .executeTakeFirst();
    return result.numUpdatedRows > 0n;
  }

  /** Records that are not final and have a job, by id, in pages. */
  async open(afterId: string, limit: number): Promise<readonly DeliveryRecord[]> {
    return this.#database
      .selectFrom('email_deliveries')
      .selectAll()
      .where('status', 'in', openStatuses)
      .where('job_id', 'is not', null)
      .where('id', '>', afterId)
      .orderBy('id')
      .limit(limit)
      .execute();
  }
}

function claimed(record: DeliveryRecord): BeginReply {
  return { kind: 'claimed', claim: { id: record.id, attempt: record.attempts, record } };
}

/** Whoever took the record in hand, handed it over or finished it since then has changed one of these. */
function unmoved(seen: DeliveryRecord) {
  return sql<boolean>`id = ${seen.id} and attempts = ${seen.attempts} and generation = ${seen.generation}
    and status = ${seen.status} and job_id is not distinct from ${seen.job_id}`;
}

/** The columns that a delivery fills, without status and job. */
export function rowOf(delivery: NewDelivery) {
  const context = JSON.stringify(delivery.context);
  return {
    id: delivery.id,
    kind: delivery.kind,
    template: delivery.template,
    recipient: delivery.recipient,
    recipient_name: delivery.recipientName,
    context,
    fingerprint: createHash('sha256')
      .update(JSON.stringify([delivery.template, delivery.recipient, delivery.recipientName, canonical(delivery.context)]))
      .digest('base64url'),
    batch_id: delivery.batchId ?? null,
    message_id: messageIdFor(delivery.id, delivery.messageDomain),
  };
}

/** The same value with the keys of all objects in order, so that equal contexts have equal digests. */
function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, item]) => [key, canonical(item)]),
  );
}
