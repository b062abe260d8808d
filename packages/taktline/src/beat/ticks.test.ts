/** When schedules are due: by cron in time zones with daylight saving, at intervals, once. And what is refused. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ticksOf } from './ticks.ts';

/** The next ticks as `MM-DDTHH:MM` in UTC. */
function following(cron: string, timeZone: string, after: string, most: number): readonly string[] {
  const ticks = ticksOf({ cron, timeZone });
  const found: number[] = [];
  for (let tick = ticks.next(Date.parse(after)); tick !== undefined && found.length < most; tick = ticks.next(tick)) found.push(tick);
  // Looking back from the last of them has to find the same.
  expect(ticks.newest(Date.parse(after), found.at(-1) ?? 0, most).toReversed()).toEqual(found);
  expect(ticks.count(Date.parse(after), found.at(-1) ?? 0)).toBe(found.length);
  return found.map((tick) => new Date(tick).toISOString().slice(5, 16));
}

describe('cron when the clocks are put forward', () => {
  it.each([
    ['Europe/Berlin', '30 2 * * *', '2026-03-28T00:00:00Z', ['03-28T01:30', '03-29T01:00', '03-30T00:30']],
    ['America/New_York', '30 2 * * *', '2026-03-07T00:00:00Z', ['03-07T07:30', '03-08T07:00', '03-09T06:30']],
    ['Australia/Lord_Howe', '15 2 * * *', '2026-10-02T00:00:00Z', ['10-02T15:45', '10-03T15:30', '10-04T15:15']],
  ])('in %s, a time that does not exist comes at the moment at which they are', (zone, cron, after, expected) => {
    expect(following(cron, zone, after, 3)).toEqual(expected);
  });

  it('each hour comes once', () => {
    const expected = ['03-28T23:00', '03-29T00:00', '03-29T01:00', '03-29T02:00'];
    expect(following('0 * * * *', 'Europe/Berlin', '2026-03-28T22:30:00Z', 4)).toEqual(expected);
  });

  it('steps of the minutes of an hour that does not exist do not come', () => {
    const expected = ['03-28T01:00', '03-28T01:30', '03-30T00:00', '03-30T00:30'];
    expect(following('*/30 2 * * *', 'Europe/Berlin', '2026-03-27T22:00:00Z', 6).slice(0, 4)).toEqual(expected);
  });

  it('a midnight that does not exist comes an hour later by the old clocks', () => {
    expect(following('0 0 * * *', 'America/Sao_Paulo', '2018-11-03T12:00:00Z', 2)).toEqual(['11-04T03:00', '11-05T02:00']);
  });
});

describe('cron when the clocks are put back', () => {
  it.each([
    ['Europe/Berlin', '30 2 * * *', '2026-10-24T12:00:00Z', ['10-25T00:30', '10-26T01:30']],
    ['America/New_York', '30 1 * * *', '2026-10-31T12:00:00Z', ['11-01T05:30', '11-02T06:30']],
    ['Australia/Lord_Howe', '45 1 * * *', '2026-04-03T20:00:00Z', ['04-04T14:45', '04-05T15:15']],
  ])('in %s, a time that comes twice is taken once, the first time', (zone, cron, after, expected) => {
    expect(following(cron, zone, after, 2)).toEqual(expected);
  });

  it('each hour comes, the doubled one twice', () => {
    const expected = ['10-24T23:00', '10-25T00:00', '10-25T01:00', '10-25T02:00'];
    expect(following('0 * * * *', 'Europe/Berlin', '2026-10-24T22:30:00Z', 4)).toEqual(expected);
  });
});

describe('cron', () => {
  it.each([
    ['a zone that is off by a quarter of an hour', '0 6 * * *', 'Asia/Kathmandu', '2026-04-03T00:00:00Z', ['04-03T00:15', '04-04T00:15']],
    ['working days by name', '0 6 * * mon-fri', 'UTC', '2026-11-27T07:00:00Z', ['11-30T06:00', '12-01T06:00']],
    ['leap days', '0 0 29 2 *', 'UTC', '2026-01-01T00:00:00Z', ['02-29T00:00', '02-29T00:00']],
    ['the last day of a month', '0 0 L * *', 'UTC', '2026-04-03T00:00:00Z', ['04-30T00:00', '05-31T00:00']],
    ['a nickname', '@daily', 'UTC', '2026-04-03T10:00:00Z', ['04-04T00:00', '04-05T00:00']],
    ['blanks around', '  0 6 * * *  ', 'UTC', '2026-04-03T10:00:00Z', ['04-04T06:00', '04-05T06:00']],
  ])('takes %s', (_, cron, zone, after, expected) => {
    expect(following(cron, zone, after, 2)).toEqual(expected);
  });

  it('takes seconds as the first of six fields', () => {
    expect(ticksOf({ cron: '*/20 * * * * *', timeZone: 'UTC' }).next(Date.parse('2026-01-01T00:00:01Z'))).toBe(
      Date.parse('2026-01-01T00:00:20Z'),
    );
  });

  it.each([
    '',
    '* * * *',
    '* * * * * * *',
    '61 * * * *',
    '* * * * 8',
    '0 0 1 1 * 2020',
    'a b c d e',
    '*/0 * * * *',
    '1-0 * * * *',
    '1,,2 * * * *',
    '* * * * *\n*',
    '@reboot',
    '@',
    '0 0 31 2 *',
    `${'1,'.repeat(200)}1 * * * *`,
    '* * * * *; rm -rf /',
    '２ * * * *',
  ])('refuses %j', (cron) => {
    expect(() => ticksOf({ cron, timeZone: 'UTC' })).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }) as Error);
  });

  it.each(['Mars/Base', '', '../etc/passwd', 'Europe/Berlin\0'])('refuses the time zone %j', (timeZone) => {
    expect(() => ticksOf({ cron: '* * * * *', timeZone })).toThrow(/timeZone/);
  });

  it('refuses or takes any text in little time, and never throws anything else', () => {
    const field = fc.string({ unit: fc.constantFrom(...'0123456789*/,-?L#W abcdefgmonjan@'), maxLength: 12 });
    fc.assert(
      fc.property(fc.array(field, { minLength: 4, maxLength: 6 }), (fields) => {
        const began = performance.now();
        try {
          ticksOf({ cron: fields.join(' '), timeZone: 'UTC' }).next(0);
        } catch (error) {
          expect(error).toMatchObject({ name: 'TaktlineError', code: 'INVALID_OPTION' });
        }
        expect(performance.now() - began).toBeLessThan(2_000);
      }),
      { numRuns: 500 },
    );
  });
});

describe('an interval', () => {
  it('is counted from the epoch', () => {
    const ticks = ticksOf({ everyMs: 900_000 });
    expect(new Date(ticks.next(Date.parse('2026-01-01T10:07:00Z')) ?? 0).toISOString()).toBe('2026-01-01T10:15:00.000Z');
    expect(ticks.next(Date.parse('2026-01-01T10:15:00Z'))).toBe(Date.parse('2026-01-01T10:30:00Z'));
  });

  it.each([0, 999, 1_000.5, -1_000, Number.NaN])('of %d ms is refused', (everyMs) => {
    expect(() => ticksOf({ everyMs })).toThrow(/every/);
  });
});

describe('all kinds agree with themselves', () => {
  const start = Date.parse('2026-01-01T00:00:00Z');
  const timings = fc.oneof(
    fc
      .constantFrom('*/7 * * * *', '0 6 * * mon', '30 2 * * *', '0 */3 * * *', '15,45 1-5 1,15 * *')
      .chain((cron) =>
        fc.constantFrom('UTC', 'Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe').map((timeZone) => ({ cron, timeZone })),
      ),
    fc.integer({ min: 1_000, max: 10_000_000 }).map((everyMs) => ({ everyMs })),
    fc.integer({ min: 0, max: 86_400_000 }).map((ms) => ({ at: start + ms })),
  );

  it('newest and count find what next finds', () => {
    fc.assert(
      fc.property(timings, fc.nat(300 * 86_400_000), fc.nat(2 * 86_400_000), (timing, offset, length) => {
        const [after, until] = [start + offset, start + offset + length];
        const ticks = ticksOf(timing);
        const found: number[] = [];
        for (let tick = ticks.next(after); tick !== undefined && tick <= until && found.length < 200; tick = ticks.next(tick))
          found.push(tick);
        if (found.length === 200) return;
        expect(found).toEqual([...new Set(found)].toSorted((a, b) => a - b));
        for (const tick of found) expect(tick > after && tick <= until).toBe(true);
        expect(ticks.newest(after, until, 300)).toEqual(found.toReversed());
        expect(ticks.newest(after, until, 2)).toEqual(found.toReversed().slice(0, 2));
        expect(ticks.count(after, until)).toBe(found.length);
      }),
      { numRuns: 200 },
    );
  });
});
