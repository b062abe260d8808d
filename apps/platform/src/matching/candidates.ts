/**
 * Which suppliers can make an order, and why the others cannot: the hard conditions, before anything is weighed. Every reason is
 * collected, not the first one only, since each match is stored with them and a supplier can ask what was missing.
 *
 * Pure, like all of matching: what day it is comes in, and so do the suppliers with the machine time that they have free.
 */
import { addDays } from '../calendar/business-days.ts';
import { whyNotChargeable } from '../money/chargeable.ts';
import type { CurrencyCode, Money } from '../money/money.ts';
import type { OrderNeed, ProcessOffer, Supplier } from './market.ts';
import { checkNeed, checkToday, faultOf, mostLeadDays } from './market-checks.ts';
import { memo } from './memo.ts';
import { priceOf } from './price.ts';
import { lastBusinessDay, type OpenWeek, openWeeks, type Slot, slotsOf, usableMinutes, workWeeks } from './production-slots.ts';
import { checkTransit, defaultTransit, distanceKm, type TransitStep, transitDays } from './transit.ts';

export type { OrderNeed, Supplier } from './market.ts';

/** Why a supplier is left out. All of it can be stored as JSON. */
export type Reason =
  /** A field of the supplier holds what cannot be: it is left out, so that one bad row does not stop the market. */
  | { readonly code: 'INVALID_DATA'; readonly field: string }
  | { readonly code: 'NO_PROCESS'; readonly process: string }
  | { readonly code: 'NO_MATERIAL'; readonly material: string }
  | { readonly code: 'QUANTITY'; readonly quantity: number; readonly smallest: number; readonly largest: number }
  /** It accepts others. */
  | { readonly code: 'CURRENCY'; readonly currency: CurrencyCode; readonly accepted: readonly CurrencyCode[] }
  /** It accepts the currency and has its prices in another one. Nothing is converted: no rate is agreed between the two. */
  | { readonly code: 'PRICE_CURRENCY'; readonly currency: CurrencyCode; readonly priced: CurrencyCode }
  | { readonly code: 'CERTIFICATE_MISSING'; readonly certificate: string }
  | { readonly code: 'CERTIFICATE_EXPIRES'; readonly certificate: string; readonly validUntil: string; readonly shipBy: string }
  /** The order may not be made where the supplier is. */
  | { readonly code: 'EXPORT_COUNTRY'; readonly country: string; readonly allowed: readonly string[] }
  /** It may be made there, and the supplier is not cleared for it there. */
  | { readonly code: 'EXPORT_CLEARANCE'; readonly country: string }
  /** There is no business day between the first one that it can work on and the one on which the goods have to leave. */
  | { readonly code: 'TOO_SOON'; readonly canBeginOn: string; readonly shipBy: string }
  | { readonly code: 'NO_CAPACITY'; readonly neededMinutes: number; readonly freeMinutes: number }
  | { readonly code: 'OVER_BUDGET'; readonly price: Money; readonly budgetMinor: number }
  | { readonly code: 'PRICE_TOO_LARGE' }
  /** No card can be charged so much, or so little. */
  | { readonly code: 'PRICE_NOT_CHARGEABLE'; readonly price: Money }
  /** By its prices it would be free of charge, which nobody means. */
  | { readonly code: 'NO_PRICE' }
  /** Which tax the sale bears is not known here. */
  | { readonly code: 'TAX_UNKNOWN'; readonly country: string };

export interface LeftOut {
  readonly supplierId: string;
  readonly reasons: readonly Reason[];
}

/** A supplier that can make the order. */
export interface Candidate {
  readonly supplier: Supplier;
  readonly price: Money;
  readonly distanceKm: number;
  readonly transitDays: number;
  /** The last business day on which the goods can leave and be there in time. */
  readonly shipBy: string;
  /** Ways to make it, earliest first; one at least. */
  readonly slots: readonly Slot[];
}

export interface CandidatesOptions {
  /** The day it is. */
  readonly today: string;
  /** Default: `defaultTransit`. */
  readonly transit?: readonly TransitStep[];
}

export interface Candidates {
  /** In the order of the suppliers. */
  readonly candidates: readonly Candidate[];
  readonly leftOut: readonly LeftOut[];
}

/** Longer than the weeks that openWeeks() gives. */
const horizonDays = 400;

/** The days between which a supplier can work on the order. */
interface Window {
  readonly canBeginOn: string;
  readonly shipBy: string;
  readonly weeks: readonly OpenWeek[];
}

/**
 * Parts the suppliers in those that can make the order and have it there by the due date, and those that cannot.
 *
 * Certificates have to be valid through the last day on which the goods can leave. An export-controlled order goes only to a supplier
 * that is in one of the allowed countries and cleared there.
 *
 * @throws MatchingError `INVALID_NEED` or `INVALID_OPTION`; a supplier at fault is left out instead
 */
export function candidatesOf(need: OrderNeed, suppliers: readonly Supplier[], options: CandidatesOptions): Candidates {
  const { today, transit = defaultTransit } = options;
  checkToday(today);
  checkTransit(transit);
  checkNeed(need);
  const windowOf = windowsOf(need, today);
  const candidates: Candidate[] = [];
  const leftOut: LeftOut[] = [];
  for (const supplier of suppliers) {
    const judged = judge(need, supplier, transit, windowOf);
    if ('reasons' in judged) leftOut.push({ supplierId: supplier.id, reasons: judged.reasons });
    else candidates.push(judged);
  }
  return { candidates, leftOut };
}

function judge(
  need: OrderNeed,
  supplier: Supplier,
  transit: readonly TransitStep[],
  windowOf: ReturnType<typeof windowsOf>,
): Candidate | Pick<LeftOut, 'reasons'> {
  const offer = supplier.offers.get(need.process);
  if (offer === undefined) return { reasons: [{ code: 'NO_PROCESS', process: need.process }] };
  const fault = faultOf(supplier, offer, need);
  if (fault !== undefined) return { reasons: [{ code: 'INVALID_DATA', field: fault }] };
  const km = distanceKm(need, supplier);
  const days = transitDays(km, transit);
  const window = windowOf(supplier.leadDays, days);
  const slots = slotsOf(need.minutes, window.weeks, offer, supplier.closures);
  const factor = offer.materialFactors.get(need.material);
  const price = factor === undefined ? undefined : priceOf(offer, need, factor);
  const reasons = [
    ...exportReasons(need, supplier),
    ...offerReasons(need, supplier, offer),
    ...certificateReasons(need, supplier, window.shipBy),
    ...(slots.length > 0 ? [] : [timeReason(need, supplier, offer, window)]),
    ...(offer.currency === need.currency && factor !== undefined ? priceReasons(need, price) : []),
  ];
  if (reasons.length > 0 || price === undefined) return { reasons };
  return { supplier, price, distanceKm: Math.round(km * 10) / 10, transitDays: days, shipBy: window.shipBy, slots };
}

function exportReasons({ exportCountries }: OrderNeed, { country, exportClearance }: Supplier): readonly Reason[] {
  if (exportCountries === undefined) return [];
  if (!exportCountries.includes(country)) return [{ code: 'EXPORT_COUNTRY', country, allowed: exportCountries }];
  return exportClearance.includes(country) ? [] : [{ code: 'EXPORT_CLEARANCE', country }];
}

function offerReasons(need: OrderNeed, { currencies }: Supplier, offer: ProcessOffer): readonly Reason[] {
  const { material, quantity, currency } = need;
  const { smallestQuantity: smallest, largestQuantity: largest } = offer;
  const reasons: Reason[] = [];
  if (!offer.materialFactors.has(material)) reasons.push({ code: 'NO_MATERIAL', material });
  if (quantity < smallest || quantity > largest) reasons.push({ code: 'QUANTITY', quantity, smallest, largest });
  if (!currencies.includes(currency)) reasons.push({ code: 'CURRENCY', currency, accepted: currencies });
  else if (offer.currency !== currency) reasons.push({ code: 'PRICE_CURRENCY', currency, priced: offer.currency });
  return reasons;
}

function certificateReasons(need: OrderNeed, supplier: Supplier, shipBy: string): readonly Reason[] {
  return need.certificates.flatMap((certificate): readonly Reason[] => {
    const ends = supplier.certificates.filter(({ name }) => name === certificate).map(({ validUntil }) => validUntil);
    // Renewed, it can be there twice.
    const validUntil = ends.toSorted().at(-1);
    if (validUntil === undefined) return [{ code: 'CERTIFICATE_MISSING', certificate }];
    return validUntil < shipBy ? [{ code: 'CERTIFICATE_EXPIRES', certificate, validUntil, shipBy }] : [];
  });
}

function timeReason(need: OrderNeed, { closures }: Supplier, offer: ProcessOffer, { weeks, canBeginOn, shipBy }: Window): Reason {
  if (weeks.length === 0) return { code: 'TOO_SOON', canBeginOn, shipBy };
  const freeMinutes = weeks.reduce((sum, week) => sum + usableMinutes(week, offer, closures), 0);
  return { code: 'NO_CAPACITY', neededMinutes: need.minutes, freeMinutes };
}

function priceReasons({ budgetMinor }: OrderNeed, price: Money | undefined): readonly Reason[] {
  if (price === undefined) return [{ code: 'PRICE_TOO_LARGE' }];
  if (price.minor < 1) return [{ code: 'NO_PRICE' }];
  if (whyNotChargeable(price) !== undefined) return [{ code: 'PRICE_NOT_CHARGEABLE', price }];
  return budgetMinor !== undefined && price.minor > budgetMinor ? [{ code: 'OVER_BUDGET', price, budgetMinor }] : [];
}

/** Suppliers have few different lead times and days of transit, so windows are shared. */
function windowsOf({ dueOn }: OrderNeed, today: string): (leadDays: number, transit: number) => Window {
  const lastDay = addDays(today, mostLeadDays + horizonDays);
  const calendar = workWeeks(today, dueOn < lastDay ? dueOn : lastDay);
  const shipByOf = memo((transit: number) => lastBusinessDay(addDays(dueOn, -transit)));
  const windows = memo((leadDays: number) => {
    const canBeginOn = addDays(today, leadDays);
    return memo((shipBy: string): Window => ({ canBeginOn, shipBy, weeks: openWeeks(calendar, canBeginOn, shipBy) }));
  });
  return (leadDays, transit) => windows(leadDays)(shipByOf(transit));
}
