/**
 * The platform's tables as Kysely sees them. The columns themselves, with their checks and indexes, are made by the
 * migrations; this file only says what a query gets and gives.
 */
import type { ColumnType, Generated } from 'kysely';
import type { MarketplaceTables } from './marketplace-tables.ts';
import type { MoneyTables } from './money-tables.ts';

/** Values that a JSON column holds. Written as text, read as parsed. */
export type Json<Value> = ColumnType<Value, string, string>;

/** An instant that the database sets by its own clock. */
export type Timestamp = ColumnType<Date, never, never>;

export type DeliveryKind = 'normal' | 'urgent' | 'bulk';

/**
 * `queued`: waits for its job. `sending`: a job has it in hand. `sent`: the mail server took it. `deferred`: refused for
 * now, will be tried again. `bounced`: refused for good. `suppressed`: the address wants or takes no mail. `failed`: the
 * job gave up.
 */
export type DeliveryStatus = 'queued' | 'sending' | 'sent' | 'deferred' | 'bounced' | 'suppressed' | 'failed';

export type TemplateContext = Readonly<Record<string, unknown>>;

export interface EmailDeliveriesTable {
  id: string;
  /** Goes up by one whenever another job takes the record over. */
  generation: Generated<number>;
  kind: DeliveryKind;
  template: string;
  recipient: string;
  recipient_name: string;
  /** Null once nothing will be sent any more: then nobody needs it. */
  context: ColumnType<TemplateContext | null, string, string | null>;
  /** Digest of what the record is to send, to tell a repetition from another mail under the same id. */
  fingerprint: string;
  batch_id: string | null;
  status: DeliveryStatus;
  reply_code: number | null;
  reply_text: string | null;
  message_id: string;
  /** The one job that may send this record; null when none will. */
  job_id: string | null;
  /** Times that a job took it in hand; also the fence for what that job may write afterwards. */
  attempts: Generated<number>;
  created_at: Timestamp;
  updated_at: ColumnType<Date, never, Date>;
  sent_at: ColumnType<Date | null, never, Date | null>;
}

/** `bounce` stops all mail to the address, `unsubscribe` only bulk mail. */
export type SuppressionReason = 'bounce' | 'unsubscribe';

export interface EmailSuppressionsTable {
  /** Normalised: see email/addresses.ts. */
  address: string;
  reason: SuppressionReason;
  since: Timestamp;
}

export interface EmailBatchesTable {
  id: string;
  bulk_id: string;
  position: number;
  template: string;
  /** Shared by all recipients of the batch. */
  context: Json<TemplateContext>;
  created_at: Timestamp;
}

export interface PlatformTables extends MarketplaceTables, MoneyTables {
  email_deliveries: EmailDeliveriesTable;
  email_suppressions: EmailSuppressionsTable;
  email_batches: EmailBatchesTable;
}
