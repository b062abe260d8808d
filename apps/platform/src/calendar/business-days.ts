/**
 * Days and business days. A day is a text such as `2026-11-28`, without a time and a zone, so that no daylight saving moves it; only
 * `dayIn` and `startOfDay` go between days and instants, and they ask for the zone. On Intl alone, which knows the zones' history.
 */

/** What is no day, no zone or no count of days. Its text repeats no value. */
export class CalendarError extends Error {
  override readonly name = 'CalendarError';
  readonly code: 'INVALID_DAY' | 'INVALID_INSTANT' | 'INVALID_ZONE' | 'INVALID_COUNT';

  constructor(code: CalendarError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
/** Milliseconds since the Unix epoch, with room on both sides for the zones. */
const earliest = Date.UTC(1900, 0, 1) - 2 * dayMs;
const latest = Date.UTC(10_000, 0, 1) + 2 * dayMs;
/** More than any zone was ever away from UTC, and less than a day, so that only one change of clocks is near. */
const widestOffsetMs = 16 * hourMs;
/** About forty years of business days. */
const largestCount = 10_000;

/**
 * Built once for each zone: building one costs more than a hundred uses. By the name that Intl has for it, since it takes names in any
 * case and a clock costs 69 KiB: other spellings do not add to them.
 */
const clocks = new Map<string, Intl.DateTimeFormat>();

/**
 * The day that a calendar on the wall shows in that zone.
 *
 * @param zone an IANA name, such as `Europe/Berlin`
 * @throws CalendarError `INVALID_ZONE`, or `INVALID_INSTANT` for a date that is none or whose year is not from 1900 to 9999
 */
export function dayIn(zone: string, instant: Date): string {
  const wall = new Date(wallClock(zone, instant.getTime()));
  if (!hasFourDigits(wall)) throw new CalendarError('INVALID_INSTANT', 'expected a date in the years 1900 to 9999');
  return wall.toISOString().slice(0, 10);
}

/**
 * The name of a zone as it is to be kept: `europe/berlin` is `Europe/Berlin`.
 *
 * @throws CalendarError `INVALID_ZONE`
 */
export function zoneName(zone: string): string {
  return clockOf(zone).resolvedOptions().timeZone;
}

/**
 * The first instant of a day in that zone: midnight, or later where the clocks skip midnight. A day that a zone skipped as a whole
 * (Pacific/Apia, 2011-12-30) has no instant; it gives the first one after it.
 *
 * @throws CalendarError `INVALID_ZONE` or `INVALID_DAY`
 */
export function startOfDay(zone: string, day: string): Date {
  const midnight = utcMidnight(day);
  // Clocks are changed at most once near a midnight: the offset there is the one before or the one after.
  const before = midnight - widestOffsetMs;
  const after = midnight + widestOffsetMs;
  const candidates = [before, after].map((instant) => midnight - (wallClock(zone, instant) - instant));
  // Where the clocks go back over midnight it comes twice: the day begins at the first one.
  const starts = candidates.filter((instant) => wallClock(zone, instant) === midnight);
  return new Date(starts.length > 0 ? Math.min(...starts) : firstPast(zone, midnight, before, after));
}

/**
 * @param days whole; negative for days before
 * @throws CalendarError `INVALID_DAY` or `INVALID_COUNT`, also when the result's year is not from 1900 to 9999
 */
export function addDays(day: string, days: number): string {
  if (!Number.isInteger(days)) throw new CalendarError('INVALID_COUNT', 'expected a whole number of days');
  const moved = new Date(utcMidnight(day) + days * dayMs);
  if (!hasFourDigits(moved)) throw new CalendarError('INVALID_COUNT', 'expected a count that stays within the years 1900 to 9999');
  return moved.toISOString().slice(0, 10);
}

/**
 * Monday to Friday, but for the closures: holidays, and days on which a company is closed.
 *
 * @throws CalendarError `INVALID_DAY`
 */
export function isBusinessDay(day: string, closures: ReadonlySet<string> = new Set()): boolean {
  const weekday = new Date(utcMidnight(day)).getUTCDay();
  return weekday !== 0 && weekday !== 6 && !closures.has(day);
}

/**
 * The n-th business day after a day, which itself does not count; of a negative n, before it. 0 is the day itself, or the next
 * business day where it is none.
 *
 * @throws CalendarError `INVALID_DAY`, or `INVALID_COUNT` unless n is whole and at most 10,000 either way
 * @example addBusinessDays('2026-11-27', 1) // '2026-11-30': over the weekend
 */
export function addBusinessDays(day: string, n: number, closures: ReadonlySet<string> = new Set()): string {
  if (!Number.isInteger(n) || Math.abs(n) > largestCount) {
    throw new CalendarError('INVALID_COUNT', `expected a whole number of business days, at most ${largestCount} either way`);
  }
  if (n === 0) return isBusinessDay(day, closures) ? day : addBusinessDays(day, 1, closures);
  const step = Math.sign(n);
  let current = day;
  for (let left = Math.abs(n); left > 0; ) {
    current = addDays(current, step);
    if (isBusinessDay(current, closures)) left -= 1;
  }
  return current;
}

/** What clock and calendar show in that zone, as milliseconds as if it were UTC. Whole seconds, the rest is kept. */
function wallClock(zone: string, instant: number): number {
  if (!(instant >= earliest && instant <= latest)) {
    throw new CalendarError('INVALID_INSTANT', 'expected a valid date in the years 1900 to 9999');
  }
  const parts = new Map(
    clockOf(zone)
      .formatToParts(instant)
      .map(({ type, value }) => [type, Number(value)]),
  );
  const part = (type: Intl.DateTimeFormatPartTypes) => parts.get(type) ?? 0;
  const milliseconds = ((instant % 1_000) + 1_000) % 1_000;
  return Date.UTC(part('year'), part('month') - 1, part('day'), part('hour'), part('minute'), part('second'), milliseconds);
}

function clockOf(zone: string): Intl.DateTimeFormat {
  const known = clocks.get(zone);
  if (known !== undefined) return known;
  const built = buildClock(zone);
  const { timeZone } = built.resolvedOptions();
  const clock = clocks.get(timeZone) ?? built;
  clocks.set(timeZone, clock);
  return clock;
}

function buildClock(timeZone: string): Intl.DateTimeFormat {
  try {
    return new Intl.DateTimeFormat('en', {
      timeZone,
      calendar: 'gregory',
      numberingSystem: 'latn',
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
  } catch {
    throw new CalendarError('INVALID_ZONE', 'expected the IANA name of a time zone, such as Europe/Berlin');
  }
}

/** By halves: the first instant whose clock shows `midnight` or later, between one that does not and one that does. */
function firstPast(zone: string, midnight: number, before: number, after: number): number {
  let low = before;
  let high = after;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (wallClock(zone, middle) < midnight) low = middle;
    else high = middle;
  }
  return high;
}

function utcMidnight(day: string): number {
  const time = /^(?:19|[2-9]\d)\d{2}-\d{2}-\d{2}$/.test(day) ? Date.parse(`${day}T00:00:00Z`) : Number.NaN;
  // Date.parse takes the 30th of February for the 2nd of March.
  if (Number.isNaN(time) || !new Date(time).toISOString().startsWith(day)) {
    throw new CalendarError('INVALID_DAY', 'expected a day such as 2026-11-28, from 1900 on');
  }
  return time;
}

function hasFourDigits(date: Date): boolean {
  const year = date.getUTCFullYear();
  return year >= 1900 && year <= 9999;
}
