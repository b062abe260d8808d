/** The tables of payments, ledger and invoices as Kysely sees them; see migrations/0003-money.ts. Amounts are minor units. */
import type { ColumnType, Generated } from 'kysely';
import type { Json, Timestamp } from './tables.ts';

/** `unknown`: the provider was asked to charge, and has not said what came of it. It is asked, never told again. */
export type PaymentStatus = 'created' | 'requires_action' | 'processing' | 'authorised' | 'captured' | 'failed' | 'cancelled' | 'unknown';

export interface PaymentsTable {
  id: Generated<number>;
  order_id: number;
  user_id: number;
  amount_minor: number;
  currency: string;
  status: ColumnType<PaymentStatus, never, PaymentStatus>;
  authorise_only: boolean;
  payment_method: string;
  /** By which it was charged, or tried to be, the last time. */
  tried_method: ColumnType<string | null, never, string | null>;
  gateway: ColumnType<string | null, never, string>;
  intent: ColumnType<string | null, never, string>;
  captured_minor: ColumnType<number, never, number>;
  refunded_minor: ColumnType<number, never, number>;
  disputed: ColumnType<boolean, never, boolean>;
  charge: ColumnType<string | null, never, string | null>;
  decline_code: ColumnType<string | null, never, string | null>;
  declined_hard: ColumnType<boolean, never, boolean>;
  first_declined_at: ColumnType<Date | null, never, Date | null>;
  retry_at: ColumnType<Date | null, never, Date | null>;
  action_url: ColumnType<string | null, never, string | null>;
  version: ColumnType<number, never, number>;
  created_at: Timestamp;
  updated_at: ColumnType<Date, never, Date>;
  looked_at: ColumnType<Date | null, never, Date>;
}

export interface PaymentAttemptsTable {
  payment_id: number;
  number: number;
  job_id: string;
  outcome: ColumnType<string, never, string>;
  decline_code: ColumnType<string | null, never, string | null>;
  begun_at: ColumnType<Date, Date, never>;
  ended_at: ColumnType<Date | null, never, Date>;
}

export interface RefundsTable {
  id: Generated<number>;
  payment_id: number;
  reference: string;
  amount_minor: number;
  currency: string;
  status: ColumnType<'requested' | 'succeeded' | 'failed', never, 'requested' | 'succeeded' | 'failed'>;
  gateway_id: ColumnType<string | null, never, string>;
  reason: string;
  created_at: Timestamp;
  settled_at: ColumnType<Date | null, never, Date>;
  /** One that has failed. */
  replaces: ColumnType<number | null, number | null | undefined, never>;
  waived_at: ColumnType<Date | null, never, Date>;
}

/** `inquiry`: the bank asks, and has taken nothing. `open`, `lost`: the bank has the money. */
export type DisputeStatus = 'inquiry' | 'open' | 'won' | 'lost';

export interface DisputesTable {
  /** The provider's. */
  id: string;
  payment_id: number;
  amount_minor: number;
  currency: string;
  status: DisputeStatus;
  found_at: Timestamp;
  updated_at: ColumnType<Date, never, Date>;
}

/** One row at most. */
export interface ReconciliationTable {
  one: Generated<boolean>;
  /** Up to where all payments were compared. */
  till: Date;
}

export interface PaymentDifferencesTable {
  id: Generated<number>;
  payment_id: number | null;
  intent: string;
  kind: string;
  detail: Json<Readonly<Record<string, unknown>>>;
  resolution: ColumnType<string | null, string | undefined, string>;
  found_at: Timestamp;
  resolved_at: ColumnType<Date | null, Date | undefined, Date>;
  resolved_by: ColumnType<number | null, never, number>;
}

export interface LedgerTransactionsTable {
  id: Generated<number>;
  key: string;
  kind: string;
  order_id: number | null;
  at: Timestamp;
}

export interface LedgerEntriesTable {
  transaction_id: number;
  place: number;
  account: string;
  currency: string;
  amount_minor: number;
}

export interface InvoiceSeriesTable {
  series: string;
  last: Generated<number>;
}

export interface InvoicesTable {
  id: Generated<number>;
  series: string;
  number: number;
  kind: 'invoice' | 'credit_note';
  key: string;
  order_id: number;
  corrects: number | null;
  document: Json<Readonly<Record<string, unknown>>>;
  pdf: Buffer;
  sha256: Buffer;
  issued_at: Timestamp;
}

/** By which payment methods the buyer has asked to pay for an order. */
export interface OrderPaymentMethodsTable {
  order_id: number;
  payment_method: string;
  at: Timestamp;
}

export interface MoneyTables {
  payments: PaymentsTable;
  order_payment_methods: OrderPaymentMethodsTable;
  payment_attempts: PaymentAttemptsTable;
  refunds: RefundsTable;
  payment_differences: PaymentDifferencesTable;
  disputes: DisputesTable;
  reconciliation: ReconciliationTable;
  ledger_transactions: LedgerTransactionsTable;
  ledger_entries: LedgerEntriesTable;
  invoice_series: InvoiceSeriesTable;
  invoices: InvoicesTable;
}
