import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addBusinessDays, addDays, CalendarError, dayIn, isBusinessDay, startOfDay, zoneName } from './business-days.ts';

const berlin = 'Europe/Berlin';
const newYork = 'America/New_York';

const dayArbitrary = fc
  .integer({ min: Date.UTC(1970, 0, 2) / 86_400_000, max: Date.UTC(2037, 11, 31) / 86_400_000 })
  .map((number) => new Date(number * 86_400_000).toISOString().slice(0, 10));

const zoneArbitrary = fc.constantFrom(...Intl.supportedValuesOf('timeZone'));

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof CalendarError) return error.code;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('zoneName', () => {
  it('is one for all spellings of a zone, and the name of itself', () => {
    expect(['Europe/Berlin', 'europe/berlin', 'EUROPE/BERLIN'].map(zoneName)).toEqual([berlin, berlin, berlin]);
    for (const zone of Intl.supportedValuesOf('timeZone')) expect(zoneName(zoneName(zone))).toBe(zoneName(zone));
    expect(codeOf(() => zoneName('Mars/Olympus'))).toBe('INVALID_ZONE');
  });

  it('keeps no clock for each spelling', () => {
    setFlagsFromString('--expose-gc');
    const gc = runInNewContext('gc') as () => void;
    const spelling = (number: number) =>
      [...'johannesburg'].map((letter, place) => ((number >> place) & 1 ? letter.toUpperCase() : letter)).join('');
    const look = (from: number, to: number) => {
      for (let number = from; number < to; number += 1) {
        dayIn(`africa/${spelling(number)}`, new Date(0));
        if (number % 100 === 0) gc();
      }
      gc();
      return process.memoryUsage().rss;
    };
    // The first ones fill what Intl keeps by itself.
    const before = look(0, 500);
    expect(look(500, 4_000) - before).toBeLessThan(50 * 1_048_576);
  });
});

describe('dayIn', () => {
  it.each([
    [berlin, '2026-11-27T22:59:59.999Z', '2026-11-27'],
    [berlin, '2026-11-27T23:00:00.000Z', '2026-11-28'],
    [berlin, '2026-06-30T21:59:59.999Z', '2026-06-30'],
    [berlin, '2026-06-30T22:00:00.000Z', '2026-07-01'],
    [newYork, '2027-01-01T04:59:59.999Z', '2026-12-31'],
    [newYork, '2027-01-01T05:00:00.000Z', '2027-01-01'],
    // The day that Samoa left out.
    ['Pacific/Apia', '2011-12-30T09:59:59.999Z', '2011-12-29'],
    ['Pacific/Apia', '2011-12-30T10:00:00.000Z', '2011-12-31'],
    ['UTC', '1969-12-31T23:59:59.999Z', '1969-12-31'],
    ['UTC', '1900-01-01T00:00:00.000Z', '1900-01-01'],
    ['UTC', '9999-12-31T23:59:59.999Z', '9999-12-31'],
  ])('in %s %s is on %s', (zone, instant, day) => {
    expect(dayIn(zone, new Date(instant))).toBe(day);
  });

  it.each([new Date(Number.NaN), new Date('1899-12-31T23:59:59Z'), new Date('+010000-01-01T00:00:00Z'), new Date(-8.64e15)])(
    'refuses what is no date of four digits: %s',
    (date) => {
      expect(codeOf(() => dayIn('UTC', date))).toBe('INVALID_INSTANT');
    },
  );

  it.each(['', 'Mars/Olympus', 'Europe/Berlin '])('refuses %j as a zone, and does not repeat it', (zone) => {
    expect(codeOf(() => dayIn(zone, new Date(0)))).toBe('INVALID_ZONE');
    expect(codeOf(() => startOfDay(zone, '2026-01-01'))).toBe('INVALID_ZONE');
    expect(() => dayIn(zone, new Date(0))).not.toThrow(/Mars/);
  });
});

describe('startOfDay', () => {
  it.each([
    // The days of both changes, and those after them.
    [berlin, '2026-03-29', '2026-03-28T23:00:00.000Z'],
    [berlin, '2026-03-30', '2026-03-29T22:00:00.000Z'],
    [berlin, '2026-10-25', '2026-10-24T22:00:00.000Z'],
    [berlin, '2026-10-26', '2026-10-25T23:00:00.000Z'],
    [newYork, '2026-03-08', '2026-03-08T05:00:00.000Z'],
    [newYork, '2026-03-09', '2026-03-09T04:00:00.000Z'],
    [newYork, '2026-11-01', '2026-11-01T04:00:00.000Z'],
    [newYork, '2026-11-02', '2026-11-02T05:00:00.000Z'],
    ['Pacific/Apia', '2011-12-29', '2011-12-29T10:00:00.000Z'],
    ['Pacific/Apia', '2011-12-31', '2011-12-30T10:00:00.000Z'],
    // The clocks skipped midnight: the day began at one o'clock.
    ['America/Sao_Paulo', '2018-11-04', '2018-11-04T03:00:00.000Z'],
    // The clocks went back from one minute past midnight: midnight came twice.
    ['America/St_Johns', '2006-10-29', '2006-10-29T02:30:00.000Z'],
    ['Asia/Kathmandu', '2026-01-01', '2025-12-31T18:15:00.000Z'],
    ['Pacific/Kiritimati', '2026-01-01', '2025-12-31T10:00:00.000Z'],
    ['UTC', '9999-12-31', '9999-12-31T00:00:00.000Z'],
  ])('in %s %s begins at %s', (zone, day, instant) => {
    expect(startOfDay(zone, day).toISOString()).toBe(instant);
  });

  it('gives the next instant that there is for a day that a zone left out', () => {
    expect(startOfDay('Pacific/Apia', '2011-12-30')).toEqual(startOfDay('Pacific/Apia', '2011-12-31'));
  });

  it('is the first instant of that day, in every zone', () => {
    fc.assert(
      fc.property(zoneArbitrary, dayArbitrary, (zone, day) => {
        const start = startOfDay(zone, day);
        const shown = dayIn(zone, start);
        // Later only where the zone has no such day.
        expect(shown >= day).toBe(true);
        if (shown > day) expect(shown).toBe(addDays(day, 1));
        expect(dayIn(zone, new Date(start.getTime() - 1)) < day).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it('lays the days end to end: each instant lies between the start of its day and that of the next', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(berlin, newYork, 'Australia/Lord_Howe', 'Asia/Kolkata'),
        fc.date({ min: new Date(0), max: new Date('2037-12-31'), noInvalidDate: true }),
        (zone, instant) => {
          const day = dayIn(zone, instant);
          expect(startOfDay(zone, day).getTime()).toBeLessThanOrEqual(instant.getTime());
          expect(startOfDay(zone, addDays(day, 1)).getTime()).toBeGreaterThan(instant.getTime());
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('days', () => {
  it.each([
    ['2026-11-28', 0, '2026-11-28'],
    ['2026-12-31', 1, '2027-01-01'],
    ['2028-02-28', 1, '2028-02-29'],
    ['2026-03-01', -1, '2026-02-28'],
    ['2026-01-01', 365, '2027-01-01'],
  ])('%s and %i days are %s', (day, days, result) => {
    expect(addDays(day, days)).toBe(result);
  });

  it.each(['2026-02-30', '2026-13-01', '2026-1-1', '1899-12-31', '20261128', '2026-11-28T00:00', '', '0026-01-01'])(
    '%j is no day',
    (day) => {
      for (const run of [() => addDays(day, 1), () => isBusinessDay(day), () => addBusinessDays(day, 0), () => startOfDay('UTC', day)]) {
        expect(codeOf(run)).toBe('INVALID_DAY');
      }
    },
  );

  it.each([0.5, Number.NaN, Number.POSITIVE_INFINITY])('%d is no count of days', (days) => {
    expect(codeOf(() => addDays('2026-11-28', days))).toBe('INVALID_COUNT');
    expect(codeOf(() => addBusinessDays('2026-11-28', days))).toBe('INVALID_COUNT');
  });

  it('does not leave the years that it knows', () => {
    expect(codeOf(() => addDays('9999-12-31', 1))).toBe('INVALID_COUNT');
    expect(codeOf(() => addDays('1900-01-01', -1))).toBe('INVALID_COUNT');
    expect(codeOf(() => addDays('2026-01-01', 1e300))).toBe('INVALID_COUNT');
    expect(codeOf(() => addBusinessDays('9999-12-31', 1))).toBe('INVALID_COUNT');
    expect(codeOf(() => addBusinessDays('2026-01-01', 10_001))).toBe('INVALID_COUNT');
  });
});

describe('business days', () => {
  // Christmas on a Friday, and a closed Monday.
  const closures = new Set(['2026-12-25', '2026-12-28']);

  it.each([
    ['2026-12-24', true],
    ['2026-12-25', false],
    ['2026-12-26', false],
    ['2026-12-27', false],
    ['2026-12-28', false],
    ['2026-12-29', true],
  ])('%s: %s', (day, is) => {
    expect(isBusinessDay(day, closures)).toBe(is);
  });

  it.each([
    ['2026-12-24', 1, '2026-12-29'],
    ['2026-12-24', 2, '2026-12-30'],
    ['2026-12-29', -1, '2026-12-24'],
    ['2026-12-26', -1, '2026-12-24'],
    ['2026-12-24', 0, '2026-12-24'],
    ['2026-12-25', 0, '2026-12-29'],
    ['2026-12-26', 1, '2026-12-29'],
  ])('%s and %i business days are %s', (day, n, result) => {
    expect(addBusinessDays(day, n, closures)).toBe(result);
  });

  it('counts what a walk over the calendar counts', () => {
    fc.assert(
      fc.property(dayArbitrary, fc.integer({ min: 1, max: 60 }), fc.array(fc.integer({ min: -80, max: 120 })), (day, n, closed) => {
        const closures = new Set(closed.map((offset) => addDays(day, offset)));
        const end = addBusinessDays(day, n, closures);
        let walked = 0;
        for (let current = addDays(day, 1); current <= end; current = addDays(current, 1))
          walked += isBusinessDay(current, closures) ? 1 : 0;
        expect(walked).toBe(n);
        expect(isBusinessDay(end, closures)).toBe(true);
        // And back again, from a business day.
        expect(addBusinessDays(addBusinessDays(end, n, closures), -n, closures)).toBe(end);
      }),
    );
  });
});
