/** What the API works with. */
import type { PlatformDatabase } from '../../database/database.ts';
import type { Marketplace } from '../../marketplace.ts';

export interface ApiDeps {
  readonly database: PlatformDatabase;
  readonly tasks: Pick<Marketplace, 'orders' | 'offers' | 'quotes' | 'rejectParts' | 'grantCredit' | 'processPayment' | 'refundPayment'>;
  /** Where a day begins: an IANA name. */
  readonly timeZone: string;
  /** Milliseconds since the Unix epoch. Default Date.now. */
  readonly now?: () => number;
}
