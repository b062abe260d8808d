/**
 * When a supplier could make an order: within the machine time that it has free in each ISO week, from the day it can begin on to
 * the day the goods have to leave. A week is the grain. Of a week that is cut by one of these days, or has days on which the supplier
 * is closed, only the share of the business days that are left counts, and what is made in a week leaves at its end.
 *
 * An order is made in one week where one has room for all of it, since a machine is set up once then; otherwise it is spread over
 * the earliest weeks.
 */
import { addDays, isBusinessDay } from '../calendar/business-days.ts';
import { mondayOf, weekOf } from '../calendar/iso-week.ts';

/** Whole minutes of machine time in an ISO week, such as `2026-W49`. */
export interface WeekUse {
  readonly week: string;
  readonly minutes: number;
}

/** One way to make the order. */
export interface Slot {
  readonly uses: readonly WeekUse[];
  /** The day on which all of it is made, and can leave. */
  readonly readyOn: string;
}

/** A week and its business days, Monday to Friday, or fewer at the ends of a calendar. */
export interface WorkWeek {
  readonly week: string;
  readonly days: readonly string[];
}

/** A week in which something can be made. */
export interface OpenWeek {
  readonly week: string;
  /** Business days of it that can be used, 1 to 5, those on which a supplier is closed among them. */
  readonly days: readonly string[];
  /** The last of them. */
  readonly lastDay: string;
}

/** Weeks that are looked at, at most: about a year. Nobody plans machines further, and a due date can be in the year 9899. */
const horizonWeeks = 53;
/** Single weeks that are offered, so that another order can have the first one. */
const mostSlots = 3;
const businessDaysPerWeek = 5;
const dayMs = 86_400_000;

/** The weeks from a day to another, both counted: made once for many suppliers, since days are costly to calculate with. */
export function workWeeks(from: string, till: string): readonly WorkWeek[] {
  const weeks: WorkWeek[] = [];
  for (let monday = mondayOf(weekOf(from)); monday <= till; monday = addDays(monday, 7)) {
    const days = Array.from({ length: businessDaysPerWeek }, (_, place) => addDays(monday, place));
    weeks.push({ week: weekOf(monday), days: days.filter((day) => day >= from && day <= till) });
  }
  return weeks;
}

/**
 * @param weeks that hold all days from the first to the last one
 * @param from first day on which work can be done
 * @param till last day on which work can be done
 * @returns earliest first, 53 at most; none when there is no business day between
 */
export function openWeeks(weeks: readonly WorkWeek[], from: string, till: string): readonly OpenWeek[] {
  const open: OpenWeek[] = [];
  for (const { week, days } of weeks) {
    const own = days.filter((day) => day >= from && day <= till);
    const lastDay = own.at(-1);
    if (lastDay !== undefined) open.push({ week, days: own, lastDay });
    if (open.length === horizonWeeks) break;
  }
  return open;
}

/** The last business day that is not after a day. */
export function lastBusinessDay(day: string): string {
  return isBusinessDay(day) ? day : lastBusinessDay(addDays(day, -1));
}

/** Calendar days from a day to a later one. */
export function daysUntil(from: string, till: string): number {
  return (Date.parse(till) - Date.parse(from)) / dayMs;
}

/** Machine time of one process. */
export interface MachineTime {
  /** ISO week -> whole minutes, as if nothing were booked and no day closed. */
  readonly totalMinutes: ReadonlyMap<string, number>;
  /** ISO week -> whole minutes that are free, see freeIn(). A week left out has none. */
  readonly freeMinutes: ReadonlyMap<string, number>;
}

/** Minutes of a week that fall on these business days of it, without those on which the supplier is closed. */
export function shareOf(totalMinutes: number, days: readonly string[], closures: ReadonlySet<string>): number {
  const open = closures.size === 0 ? days.length : days.filter((day) => !closures.has(day)).length;
  return Math.floor((totalMinutes * open) / businessDaysPerWeek);
}

/** Free minutes that can be used in that week. */
export function usableMinutes({ week, days }: OpenWeek, { totalMinutes, freeMinutes }: MachineTime, closures: ReadonlySet<string>): number {
  return Math.min(freeMinutes.get(week) ?? 0, shareOf(totalMinutes.get(week) ?? 0, days, closures));
}

/** Minutes of a week that are booked, or held by an open offer. */
export interface Taken {
  readonly taken: number;
  /** Of these, what was taken today: it begins no sooner than what is taken now. */
  readonly takenToday: number;
}

/**
 * What a supplier has free in a week. Work that was taken before today may be done on the days that are gone, or will be; what is taken
 * today shares the days that are left, so that many orders of one day do not get more of them than there is.
 *
 * @param days the business days of the week
 * @param from the first day on which work that is taken today can begin
 */
export function freeIn(
  totalMinutes: number,
  { taken, takenToday }: Taken,
  days: readonly string[],
  from: string,
  closures: ReadonlySet<string>,
): number {
  const free = shareOf(totalMinutes, days, closures) - taken;
  const left = days.filter((day) => day >= from);
  const rest = left.length === days.length ? free : shareOf(totalMinutes, left, closures) - takenToday;
  return Math.max(0, Math.min(free, rest));
}

/**
 * @param minutes that the order needs
 * @param weeks earliest first, see openWeeks()
 * @returns up to three, earliest first; none when the time does not suffice
 */
export function slotsOf(minutes: number, weeks: readonly OpenWeek[], time: MachineTime, closures: ReadonlySet<string>): readonly Slot[] {
  const single: Slot[] = [];
  for (const open of weeks) {
    if (usableMinutes(open, time, closures) < minutes) continue;
    single.push({ uses: [{ week: open.week, minutes }], readyOn: open.lastDay });
    if (single.length === mostSlots) break;
  }
  return single.length > 0 ? single : spreadSlot(minutes, weeks, time, closures);
}

function spreadSlot(minutes: number, weeks: readonly OpenWeek[], time: MachineTime, closures: ReadonlySet<string>): readonly Slot[] {
  const uses: WeekUse[] = [];
  let left = minutes;
  for (const open of weeks) {
    const part = Math.min(left, usableMinutes(open, time, closures));
    if (part === 0) continue;
    uses.push({ week: open.week, minutes: part });
    left -= part;
    if (left === 0) return [{ uses, readyOn: open.lastDay }];
  }
  return [];
}
