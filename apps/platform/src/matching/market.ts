/**
 * The two sides of the market as matching sees them: what an order needs, and what a supplier can do. They are made from rows of
 * several tables by whoever asks, with free machine time and records as they are at that moment.
 */
import type { CurrencyCode } from '../money/money.ts';
import type { PriceModel } from './price.ts';
import type { MachineTime } from './production-slots.ts';
import type { Place } from './transit.ts';

/** What an order needs; the place is where it goes. */
export interface OrderNeed extends Place {
  readonly id: string;
  /** Such as `cnc_milling`; any text, compared as it is. */
  readonly process: string;
  readonly material: string;
  readonly quantity: number;
  /** Machine time for all of it, in whole minutes. */
  readonly minutes: number;
  /** Names of certificates that the supplier has to hold. */
  readonly certificates: readonly string[];
  /** The countries that an export-controlled order may be made in; undefined: it is not controlled. */
  readonly exportCountries: readonly string[] | undefined;
  /** The day by which it has to be there, such as `2026-11-28`. */
  readonly dueOn: string;
  readonly currency: CurrencyCode;
  /** In the order's currency; undefined: any price. */
  readonly budgetMinor: number | undefined;
}

export interface Certificate {
  readonly name: string;
  /** Its last day. */
  readonly validUntil: string;
}

/** What a supplier offers of one process. */
export interface ProcessOffer extends PriceModel, MachineTime {
  readonly smallestQuantity: number;
  readonly largestQuantity: number;
}

export interface Supplier extends Place {
  readonly id: string;
  /** ISO 3166-1 alpha-2, such as `DE`. */
  readonly country: string;
  readonly offers: ReadonlyMap<string, ProcessOffer>;
  readonly certificates: readonly Certificate[];
  /** The countries in which it is cleared for export-controlled work. */
  readonly exportClearance: readonly string[];
  /** Days on which it is closed. */
  readonly closures: ReadonlySet<string>;
  /** Calendar days before it can begin with an order. */
  readonly leadDays: number;
  /** Share of its machine time that is taken, 0 to 1. */
  readonly load: number;
  /** Mean of its ratings, 1 to 5; undefined when there is none. */
  readonly rating: number | undefined;
  /** How many ratings that is. */
  readonly ratings: number;
  /** Share of its deliveries that came in time, 0 to 1; undefined when there is none. */
  readonly onTime: number | undefined;
  readonly deliveries: number;
  readonly currencies: readonly CurrencyCode[];
}
