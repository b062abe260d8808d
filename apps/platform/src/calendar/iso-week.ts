/**
 * Weeks as ISO 8601 counts them, such as `2026-W49`: from Monday to Sunday, and of the year that their Thursday is in. So the days
 * around New Year can lie in a week of the other year, and some years have a week 53. Texts of weeks sort as the weeks do.
 */
import { addDays } from './business-days.ts';

/** What is no ISO week. Its text repeats no value. */
export class WeekError extends Error {
  override readonly name = 'WeekError';
  readonly code = 'INVALID_WEEK';
}

const dayMs = 86_400_000;

/**
 * The week that a day is in.
 *
 * @throws CalendarError `INVALID_DAY`, or `INVALID_COUNT` where the week's Thursday is beyond the year 9999
 * @example weekOf('2027-01-03') // '2026-W53'
 */
export function weekOf(day: string): string {
  const thursday = addDays(day, 4 - weekdayOf(day));
  const dayOfYear = (Date.parse(thursday) - Date.parse(`${thursday.slice(0, 4)}-01-01`)) / dayMs;
  return `${thursday.slice(0, 4)}-W${String(1 + Math.floor(dayOfYear / 7)).padStart(2, '0')}`;
}

/**
 * The day that a week begins with.
 *
 * @throws WeekError for what is no week, such as week 53 of a year that has 52
 */
export function mondayOf(week: string): string {
  const [, year, number] = /^((?:19|[2-9]\d)\d{2})-W(0[1-9]|[1-4]\d|5[0-3])$/.exec(week) ?? [];
  // 9999 has 52 weeks, and the days after them are not counted here.
  if (year === undefined || number === undefined || week === '9999-W53') throw new WeekError('expected an ISO week such as 2026-W49');
  // The 4th of January is in week 1 of every year.
  const fourth = `${year}-01-04`;
  const monday = addDays(fourth, 1 - weekdayOf(fourth) + 7 * (Number(number) - 1));
  if (weekOf(monday) !== week) throw new WeekError('expected an ISO week that its year has: not every year has a week 53');
  return monday;
}

/** @throws WeekError for what is no week, CalendarError for the last one of the year 9999 */
export function nextWeek(week: string): string {
  return weekOf(addDays(mondayOf(week), 7));
}

/** 1 for Monday to 7 for Sunday. */
export function weekdayOf(day: string): number {
  // addDays refuses what is no day.
  return new Date(addDays(day, 0)).getUTCDay() || 7;
}
