/**
 * How far a supplier is from where an order goes, and how many days the goods are on the way. As the crow flies: no service for
 * routes is asked, so that a thousand orders can be matched in one go, and days come in steps wide enough to cover the detours.
 */
import { MatchingError } from './matching-error.ts';

export interface Place {
  /** Degrees, -90 to 90. */
  readonly latitude: number;
  /** Degrees, -180 to 180. */
  readonly longitude: number;
}

/** Up to so many kilometres, the goods are so many days on the way: calendar days, the day they leave not counted. */
export interface TransitStep {
  readonly upToKm: number;
  readonly days: number;
}

/** By road up to 4,000 km, and with customs beyond. */
export const defaultTransit: readonly TransitStep[] = [
  { upToKm: 100, days: 1 },
  { upToKm: 500, days: 2 },
  { upToKm: 1_500, days: 4 },
  { upToKm: 4_000, days: 7 },
  { upToKm: Number.POSITIVE_INFINITY, days: 10 },
];

/** Mean radius R1 of the Earth by the IUGG; the sphere is up to 0.5 % off the ellipsoid. */
const earthKm = 6_371.0088;

/**
 * Kilometres on a great circle, by the haversine formula (R. W. Sinnott, "Virtues of the Haversine", Sky and Telescope 68, 1984),
 * which stays exact for places close together.
 */
export function distanceKm(one: Place, other: Place): number {
  const north = haversine(other.latitude - one.latitude);
  const east = haversine(other.longitude - one.longitude);
  const share = north + Math.cos(radians(one.latitude)) * Math.cos(radians(other.latitude)) * east;
  // Rounding can bring opposite ends of the Earth over 1, of which there is no arc.
  return 2 * earthKm * Math.asin(Math.sqrt(Math.min(1, share)));
}

/** @param steps as `checkTransit` lets through */
export function transitDays(km: number, steps: readonly TransitStep[]): number {
  return (steps.find(({ upToKm }) => km <= upToKm) as TransitStep).days;
}

/** @throws MatchingError `INVALID_OPTION` unless the steps rise, in whole days, and the last one reaches any distance */
export function checkTransit(steps: readonly TransitStep[]): void {
  const rise = steps.every(({ upToKm, days }, place) => {
    const before = steps[place - 1] ?? { upToKm: 0, days: 0 };
    return upToKm > before.upToKm && Number.isInteger(days) && days >= before.days && days <= 365;
  });
  if (!rise || steps.at(-1)?.upToKm !== Number.POSITIVE_INFINITY) {
    throw new MatchingError(
      'INVALID_OPTION',
      'transit',
      'rising steps of kilometres and whole days up to 365, the last one up to Infinity',
    );
  }
}

function haversine(degrees: number): number {
  return Math.sin(radians(degrees) / 2) ** 2;
}

function radians(degrees: number): number {
  return (degrees * Math.PI) / 180;
}
