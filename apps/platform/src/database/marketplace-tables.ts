/** The marketplace's tables as Kysely sees them; see migrations/0002-marketplace.ts. Days are texts such as `2026-11-28`. */
import type { ColumnType, Generated } from 'kysely';
import type { WeekUse } from '../matching/production-slots.ts';
import type { OrderActor, OrderEvent, OrderState } from '../orders/order-states.ts';
import type { Json, Timestamp } from './tables.ts';

export type UserRole = 'buyer' | 'manufacturer' | 'staff';

export interface UsersTable {
  id: Generated<number>;
  role: UserRole;
  name: string;
  email: string;
  address: Generated<readonly string[]>;
  country: string;
  vat_id: string | null;
  /** When the staff has checked it. */
  vat_id_checked_at: ColumnType<Date | null, Date | null | undefined, Date | null>;
  created_at: Timestamp;
}

export interface ApiKeysTable {
  id: Generated<number>;
  user_id: number;
  label: string;
  digest: Buffer;
  created_at: Timestamp;
  revoked_at: ColumnType<Date | null, never, Date>;
}

export interface ManufacturersTable {
  id: Generated<number>;
  user_id: number;
  name: string;
  country: string;
  latitude: number;
  longitude: number;
  time_zone: string;
  lead_days: number;
  export_countries: Generated<readonly string[]>;
  rating_sum: Generated<number>;
  rating_count: Generated<number>;
  delivered: Generated<number>;
  delivered_in_time: Generated<number>;
  active: Generated<boolean>;
  created_at: Timestamp;
}

export interface ManufacturerProcessesTable {
  manufacturer_id: number;
  process: string;
  currency: string;
  setup_minor: number;
  hour_minor: number;
  unit_minor: number;
  minimum_minor: number;
  largest_quantity: number;
  material_factors: Json<Readonly<Record<string, number>>>;
}

export interface ManufacturerMachinesTable {
  id: Generated<number>;
  manufacturer_id: number;
  process: string;
  name: string;
  minutes_a_day: number;
}

export interface ManufacturerCertificatesTable {
  manufacturer_id: number;
  name: string;
  valid_until: string;
}

export interface ManufacturerClosuresTable {
  manufacturer_id: number;
  day: string;
}

export interface CapacityTable {
  manufacturer_id: number;
  process: string;
  week: string;
  total_minutes: number;
  booked_minutes: Generated<number>;
}

/** Why a price bears the tax that it bears; see invoices/tax-rules.ts. */
export type TaxRule = 'domestic' | 'destination' | 'reverse_charge' | 'export';

export type OrderMode = 'instant' | 'rfq';

export interface OrdersTable {
  id: Generated<number>;
  buyer_id: number;
  mode: OrderMode;
  state: ColumnType<OrderState, never, OrderState>;
  /** Where it goes on when it is on hold no longer. */
  held_state: ColumnType<OrderState | null, never, OrderState | null>;
  version: ColumnType<number, never, number>;
  title: string;
  process: string;
  material: string;
  quantity: number;
  minutes: number;
  certificates: Generated<readonly string[]>;
  export_countries: readonly string[] | null;
  due_on: string;
  country: string;
  latitude: number;
  longitude: number;
  currency: string;
  budget_minor: number | null;
  payment_method: string | null;
  manufacturer_id: number | null;
  price_minor: number | null;
  fee_minor: Generated<number>;
  /** The buyer's own name for it. */
  reference: ColumnType<string | null, string | null | undefined, never>;
  /** Settled by the award; the rate in hundredths of a percent. */
  tax_rule: ColumnType<TaxRule | null, never, TaxRule>;
  tax_rate: ColumnType<number, never, number>;
  tax_minor: ColumnType<number, never, number>;
  /** When price and tax were captured. */
  paid_at: ColumnType<Date | null, never, Date>;
  /** The buyer's bank has the money, or a part of it. */
  taken_back: ColumnType<boolean, never, boolean>;
  /** As they were at the award. */
  seller_vat_id: ColumnType<string | null, never, string | null>;
  buyer_vat_id: ColumnType<string | null, never, string | null>;
  deadline: ColumnType<Date | null, never, Date | null>;
  /** When the schedule has looked for somebody who makes it, as long as it waits. */
  matched_at: ColumnType<Date | null, never, Date>;
  state_since: ColumnType<Date, never, Date>;
  created_at: Timestamp;
}

export interface OrderEventsTable {
  order_id: number;
  version: number;
  event: OrderEvent;
  from_state: OrderState;
  to_state: OrderState;
  actor: OrderActor;
  actor_id: number | null;
  data: Json<Readonly<Record<string, unknown>>>;
  at: ColumnType<Date, Date | undefined, never>;
  /** When those whom it concerns were told. */
  told_at: ColumnType<Date | null, never, Date>;
}

export interface OrderMatchesTable {
  id: Generated<number>;
  order_id: number;
  round: number;
  method: string;
  outcome: 'offered' | 'quotes_requested' | 'waits' | null;
  candidates: Json<readonly unknown[]>;
  left_out: Json<readonly unknown[]>;
  at: Timestamp;
}

export type OfferState = 'open' | 'accepted' | 'declined' | 'expired' | 'withdrawn';

export interface OffersTable {
  id: Generated<number>;
  order_id: number;
  manufacturer_id: number;
  state: ColumnType<OfferState, never, OfferState>;
  price_minor: number;
  currency: string;
  process: string;
  uses: Json<readonly WeekUse[]>;
  expires_at: Date;
  created_at: Timestamp;
  decided_at: ColumnType<Date | null, never, Date>;
}

export type QuoteState = 'requested' | 'quoted' | 'declined' | 'awarded' | 'lost' | 'expired';

export interface QuotesTable {
  id: Generated<number>;
  order_id: number;
  manufacturer_id: number;
  state: ColumnType<QuoteState, never, QuoteState>;
  price_minor: ColumnType<number | null, never, number>;
  currency: string;
  uses: ColumnType<readonly WeekUse[] | null, never, string>;
  /** How often it was quoted since it was asked for. */
  submissions: ColumnType<number, never, number>;
  expires_at: Date;
  created_at: Timestamp;
  decided_at: ColumnType<Date | null, never, Date>;
}

export type NonConformanceCause = 'dimension' | 'surface' | 'material' | 'damage' | 'count' | 'documents' | 'other';
export type Disposition = 'rework' | 'remake' | 'credit';

export interface NonConformancesTable {
  id: Generated<number>;
  order_id: number;
  manufacturer_id: number;
  quantity: number;
  cause: NonConformanceCause;
  disposition: Disposition | null;
  credit_minor: number | null;
  opened_at: Timestamp;
  closed_at: ColumnType<Date | null, never, Date>;
}

export interface RatingsTable {
  order_id: number;
  manufacturer_id: number;
  stars: number;
  at: Timestamp;
}

export interface RemindersTable {
  kind: string;
  subject: string;
  occasion: string;
  at: Timestamp;
}

export interface AuditTable {
  id: Generated<number>;
  actor: string;
  actor_id: number | null;
  action: string;
  subject: string;
  data: Json<Readonly<Record<string, unknown>>>;
  at: Timestamp;
}

export interface MarketplaceTables {
  users: UsersTable;
  api_keys: ApiKeysTable;
  manufacturers: ManufacturersTable;
  manufacturer_processes: ManufacturerProcessesTable;
  manufacturer_machines: ManufacturerMachinesTable;
  manufacturer_certificates: ManufacturerCertificatesTable;
  manufacturer_closures: ManufacturerClosuresTable;
  capacity: CapacityTable;
  orders: OrdersTable;
  order_events: OrderEventsTable;
  order_matches: OrderMatchesTable;
  offers: OffersTable;
  quotes: QuotesTable;
  non_conformances: NonConformancesTable;
  ratings: RatingsTable;
  reminders: RemindersTable;
  audit: AuditTable;
}
