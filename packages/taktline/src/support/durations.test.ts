/** Durations: what is taken, what is refused, and that the refusal names the option. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Duration, toMs } from './durations.ts';

describe('toMs', () => {
  it('takes milliseconds, and strings with a unit', () => {
    expect(toMs(250, 'x')).toBe(250);
    expect(toMs('250ms', 'x')).toBe(250);
    expect(toMs('60s', 'x')).toBe(60_000);
    expect(toMs('5m', 'x')).toBe(300_000);
    expect(toMs('1.5h', 'x')).toBe(5_400_000);
    expect(toMs('7d', 'x')).toBe(604_800_000);
    expect(toMs(0, 'x')).toBe(0);
  });

  it('reads a number of any unit as that many of it', () => {
    const unitMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 3_650 }), fc.constantFrom('ms', 's', 'm', 'h', 'd'), (count, unit) => {
        expect(toMs(`${count}${unit}`, 'x')).toBe(count * unitMs[unit]);
      }),
    );
  });

  it('rounds to whole milliseconds', () => {
    expect(toMs(0.4, 'x')).toBe(0);
    expect(toMs('0.0015s', 'x')).toBe(2);
  });

  it.each([
    -1,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    3_651 * 86_400_000,
    '',
    '5',
    '5 minutes',
    '-5s',
    '1e3s',
    '0x10s',
    '3651d',
    ' 5s',
    '5S',
    null,
  ])('refuses %j, and names what it was for', (duration) => {
    expect(() => toMs(duration as Duration, 'countdown')).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTION', message: expect.stringContaining('countdown') as string }),
    );
  });

  it('gives a time in range or an error that says so, whatever it is handed', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.double(), fc.anything()), (given) => {
        try {
          const ms = toMs(given as Duration, 'x');
          expect(Number.isInteger(ms) && ms >= 0 && ms <= 3_650 * 86_400_000).toBe(true);
        } catch (error) {
          expect(error).toMatchObject({ code: 'INVALID_OPTION' });
        }
      }),
    );
  });
});
