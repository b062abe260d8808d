import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addDays, CalendarError } from './business-days.ts';
import { mondayOf, nextWeek, WeekError, weekdayOf, weekOf } from './iso-week.ts';

const dayMs = 86_400_000;
const days = fc
  .integer({ min: Date.UTC(1901, 0, 1) / dayMs, max: Date.UTC(2999, 11, 1) / dayMs })
  .map((number) => new Date(number * dayMs).toISOString().slice(0, 10));

describe('weekOf', () => {
  it.each([
    ['2026-11-30', '2026-W49'],
    ['2026-12-06', '2026-W49'],
    ['2026-12-07', '2026-W50'],
    ['2026-12-31', '2026-W53'],
    ['2027-01-01', '2026-W53'],
    ['2027-01-03', '2026-W53'],
    ['2027-01-04', '2027-W01'],
    ['2024-12-29', '2024-W52'],
    ['2024-12-30', '2025-W01'],
    ['2024-12-31', '2025-W01'],
    ['2025-01-01', '2025-W01'],
    ['2020-12-31', '2020-W53'],
    ['2021-01-03', '2020-W53'],
    ['2021-01-04', '2021-W01'],
    ['2023-01-01', '2022-W52'],
    ['2024-02-29', '2024-W09'],
    ['1970-01-01', '1970-W01'],
  ])('%s is in %s', (day, week) => {
    expect(weekOf(day)).toBe(week);
  });

  it.each(['2026-02-30', '2026-2-3', '20261130', 'monday', '2026-W49', ''])('refuses %j', (day) => {
    expect(() => weekOf(day)).toThrow(CalendarError);
  });

  it('gives all seven days of a week the same one, and sorts as days do', () => {
    fc.assert(
      fc.property(days, fc.integer({ min: -20, max: 20 }), (day, more) => {
        const monday = mondayOf(weekOf(day));
        expect(weekdayOf(monday)).toBe(1);
        expect(monday <= day && day <= addDays(monday, 6)).toBe(true);
        const other = addDays(day, more);
        if (weekOf(day) < weekOf(other)) expect(day < other).toBe(true);
      }),
    );
  });
});

describe('mondayOf', () => {
  it.each([
    ['2026-W49', '2026-11-30'],
    ['2026-W53', '2026-12-28'],
    ['2027-W01', '2027-01-04'],
    ['2025-W01', '2024-12-30'],
  ])('%s begins on %s', (week, monday) => {
    expect(mondayOf(week)).toBe(monday);
  });

  it.each(['2025-W53', '2027-W53', '9999-W53', '2026-W00', '2026-W54', '2026-W5', '2026W49', '2026-W049', ' 2026-W49', '2026-W49\n', ''])(
    'refuses %j',
    (week) => {
      expect(() => mondayOf(week)).toThrow(WeekError);
    },
  );

  it('knows exactly the years that have a week 53: those with a Thursday first or last', () => {
    for (let year = 1901; year < 2400; year += 1) {
      const long = weekdayOf(`${year}-01-01`) === 4 || weekdayOf(`${year}-12-31`) === 4;
      if (long) expect(weekOf(mondayOf(`${year}-W53`))).toBe(`${year}-W53`);
      else expect(() => mondayOf(`${year}-W53`)).toThrow(WeekError);
    }
  });
});

describe('nextWeek', () => {
  it.each([
    ['2026-W49', '2026-W50'],
    ['2026-W52', '2026-W53'],
    ['2026-W53', '2027-W01'],
    ['2025-W52', '2026-W01'],
  ])('%s is followed by %s', (week, next) => {
    expect(nextWeek(week)).toBe(next);
  });

  it('leaves no day out', () => {
    fc.assert(
      fc.property(days, (day) => {
        expect(nextWeek(weekOf(day))).toBe(weekOf(addDays(day, 7)));
      }),
    );
  });
});
