/** What the API works with. */
import type { PlatformDatabase } from '../../database/database.ts';
import type { Marketplace } from '../../marketplace.ts';

export interface ApiDeps {
  readonly database: PlatformDatabase;
  readonly tasks: Pick<
    Marketplace,
    'orders' | 'offers' | 'quotes' | 'rejectParts' | 'grantCredit' | 'processPayment' | 'refundPayment' | 'takeOverRefund' | 'payOut'
  >;
  /** Requests a second of each user; twice as many may come at once. Default 50. */
  readonly requestRate?: number;
  /** Where a day begins: an IANA name. */
  readonly timeZone: string;
  /** Milliseconds since the Unix epoch. Default Date.now. */
  readonly now?: () => number;
}
