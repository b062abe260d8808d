/**
 * Durations at the public edge: a number of milliseconds, or a string such as `'60s'`.
 * Inside the engine a duration is always a number whose name ends in `Ms`.
 */
import { TaktlineError } from './taktline-error.ts';

/** Milliseconds, or a number with a unit: `'250ms'`, `'60s'`, `'5m'`, `'1.5h'`, `'7d'`. */
export type Duration = number | `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`;

const unitMs = new Map([
  ['ms', 1],
  ['s', 1_000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
]);

/** Ten years. Longer durations are taken for a mistake of units. */
const longestMs = 3_650 * 86_400_000;

/**
 * Turns a duration into whole milliseconds.
 *
 * @param name what the duration is for; it stands in the error
 * @throws TaktlineError `INVALID_OPTION` when it is negative, not finite, longer than ten years or has no known unit
 */
export function toMs(duration: Duration, name: string): number {
  const ms = typeof duration === 'number' ? duration : parse(duration);
  if (!Number.isFinite(ms) || ms < 0 || ms > longestMs) {
    throw new TaktlineError(
      'INVALID_OPTION',
      `${name} is ${JSON.stringify(duration)}: expected milliseconds, or a string such as '250ms', '60s', '5m', '1h' or '7d' (at most 3650d)`,
    );
  }
  return Math.round(ms);
}

function parse(text: unknown): number {
  const match = typeof text === 'string' ? /^(\d{1,12}(?:\.\d{1,6})?)\s?(ms|s|m|h|d)$/.exec(text) : null;
  return match ? Number(match[1]) * (unitMs.get(match[2] as string) as number) : Number.NaN;
}
