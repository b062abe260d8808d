/**
 * What orders and suppliers have to hold before anything is calculated with them. The database has the same limits; these stand for
 * callers that come from elsewhere, since a day written as a word or a load of NaN would give a wrong match and no error.
 */
import { addDays } from '../calendar/business-days.ts';
import type { OrderNeed, ProcessOffer, Supplier } from './market.ts';
import { MatchingError } from './matching-error.ts';
import type { Place } from './transit.ts';

/** About three hundred years of one machine. */
const mostMinutes = 1_000_000_000;
const mostQuantity = 1_000_000_000;
/** Ten years. */
export const mostLeadDays = 3_650;
/** Lead times and transit are added to days and taken off: the results have to stay days. */
const nearDay = 'a day such as 2026-11-28, in the years 2000 to 9899';
/** A hundred times the price. */
const largestFactor = 1_000_000;

/** @throws MatchingError `INVALID_OPTION` */
export function checkToday(today: string): void {
  if (!isNearDay(today)) throw new MatchingError('INVALID_OPTION', 'today', nearDay);
}

/** @throws MatchingError `INVALID_NEED` */
export function checkNeed(need: OrderNeed): void {
  const refuse = (field: string, expected: string) => new MatchingError('INVALID_NEED', field, expected);
  if (!isNearDay(need.dueOn)) throw refuse('dueOn', nearDay);
  if (!isWhole(need.quantity, 1, mostQuantity)) throw refuse('quantity', `a whole number from 1 to ${mostQuantity}`);
  if (!isWhole(need.minutes, 1, mostMinutes)) throw refuse('minutes', `whole minutes from 1 to ${mostMinutes}`);
  if (need.budgetMinor !== undefined && !isWhole(need.budgetMinor, 0)) throw refuse('budgetMinor', 'whole minor units, or undefined');
  const place = placeFault(need);
  if (place !== undefined) throw refuse(place, 'degrees, from -90 to 90 north and from -180 to 180 east');
}

/** @returns the field of the supplier that holds what cannot be, or undefined; of its offers only the one is looked at */
export function faultOf(supplier: Supplier, offer: ProcessOffer, need: OrderNeed): string | undefined {
  return placeFault(supplier) ?? recordFault(supplier) ?? certificateFault(supplier, need) ?? offerFault(offer, need);
}

function placeFault({ latitude, longitude }: Place): string | undefined {
  if (!isWithin(latitude, -90, 90)) return 'latitude';
  return isWithin(longitude, -180, 180) ? undefined : 'longitude';
}

function recordFault({ leadDays, load, rating, ratings, onTime, deliveries }: Supplier): string | undefined {
  if (!isWhole(leadDays, 0, mostLeadDays)) return 'leadDays';
  if (!isWithin(load, 0, 1)) return 'load';
  if (rating !== undefined && !isWithin(rating, 1, 5)) return 'rating';
  if (!isWhole(ratings, 0)) return 'ratings';
  if (onTime !== undefined && !isWithin(onTime, 0, 1)) return 'onTime';
  return isWhole(deliveries, 0) ? undefined : 'deliveries';
}

function certificateFault({ certificates }: Supplier, need: OrderNeed): string | undefined {
  const asked = certificates.filter(({ name }) => need.certificates.includes(name));
  return asked.every(({ validUntil }) => isDay(validUntil)) ? undefined : 'certificates';
}

function offerFault(offer: ProcessOffer, { material }: OrderNeed): string | undefined {
  const amounts = ['setupMinor', 'hourMinor', 'unitMinor', 'minimumMinor', 'smallestQuantity', 'largestQuantity'] as const;
  const bad = amounts.find((field) => !isWhole(offer[field], 0));
  if (bad !== undefined) return bad;
  const factor = offer.materialFactors.get(material);
  if (factor !== undefined && !isWhole(factor, 0, largestFactor)) return 'materialFactors';
  for (const field of ['freeMinutes', 'totalMinutes'] as const) {
    for (const minutes of offer[field].values()) if (!isWhole(minutes, 0, mostMinutes)) return field;
  }
  return undefined;
}

function isDay(day: string): boolean {
  try {
    return addDays(day, 0) === day;
  } catch {
    return false;
  }
}

function isNearDay(day: string): boolean {
  return isDay(day) && day >= '2000-01-01' && day < '9900-01-01';
}

function isWhole(value: number, least: number, most: number = Number.MAX_SAFE_INTEGER): boolean {
  return Number.isSafeInteger(value) && value >= least && value <= most;
}

function isWithin(value: number, least: number, most: number): boolean {
  return value >= least && value <= most;
}
