/**
 * When a schedule is due: by cron, at an interval, or once. A tick is one due time.
 *
 * Cron follows the clocks of its time zone. When they are put forward, a time that does not exist comes at the moment at which
 * they are; when they are put back, a time that comes twice is taken once, the first time. A field of minutes or hours that
 * is a wildcard or a step means elapsed time: `0 * * * *` comes every hour, also of such a night. Intervals are elapsed time, counted
 * from the epoch, so that `every: '15m'` comes at :00, :15, :30 and :45.
 */
import { Cron } from 'croner';
import { TaktlineError } from '../support/taktline-error.ts';

export type Timing =
  | { readonly cron: string; readonly timeZone: string }
  | { readonly everyMs: number }
  /** Milliseconds since the Unix epoch. */
  | { readonly at: number };

export interface Ticks {
  /** The first tick after a moment; undefined when none comes any more. */
  next(after: number): number | undefined;
  /** The newest ticks after `after` and not after `until`, at most `most`, the newest first. */
  newest(after: number, until: number, most: number): readonly number[];
  /** How many ticks there are after `after` and not after `until`; counted up to 10,000. */
  count(after: number, until: number): number;
}

const mostCounted = 10_000;
/** A second apart at least: a beat looks no more often. */
export const leastEveryMs = 1_000;

/** @throws TaktlineError `INVALID_OPTION` for what is no pattern, zone or interval, or never comes */
export function ticksOf(timing: Timing): Ticks {
  if ('at' in timing) return once(timing.at);
  if ('everyMs' in timing) return every(timing.everyMs);
  return cron(timing.cron, timing.timeZone);
}

function once(at: number): Ticks {
  const within = (after: number, until: number) => at > after && at <= until;
  return {
    next: (after) => (at > after ? at : undefined),
    newest: (after, until) => (within(after, until) ? [at] : []),
    count: (after, until) => (within(after, until) ? 1 : 0),
  };
}

function every(ms: number): Ticks {
  if (!Number.isInteger(ms) || ms < leastEveryMs) throw new TaktlineError('INVALID_OPTION', `every is ${ms} ms: expected 1 s at least`);
  const last = (until: number) => Math.floor(until / ms) * ms;
  const count = (after: number, until: number) => Math.max(0, Math.floor(until / ms) - Math.floor(after / ms));
  return {
    next: (after) => last(after) + ms,
    newest: (after, until, most) => Array.from({ length: Math.min(most, count(after, until)) }, (_, index) => last(until) - index * ms),
    count,
  };
}

function cron(pattern: string, timeZone: string): Ticks {
  if (pattern.length > 200 || (!pattern.startsWith('@') && !/^\S+( +\S+){4,5}$/.test(pattern.trim())))
    throw new TaktlineError(
      'INVALID_OPTION',
      `cron is ${JSON.stringify(pattern.slice(0, 60))}: expected five or six fields, such as 0 6 * * mon-fri`,
    );
  const job = made(pattern, timeZone);
  if (job.nextRun() === null) throw new TaktlineError('INVALID_OPTION', `cron ${JSON.stringify(pattern)} never comes`);
  const next = (after: number) => job.nextRun(new Date(after))?.getTime();
  const newest = (after: number, until: number, most: number): readonly number[] =>
    // A millisecond later, since a tick at that very moment counts.
    job
      .previousRuns(most, new Date(until + 1))
      .map((date) => date.getTime())
      .filter((tick) => tick > after && tick <= until);
  return {
    next,
    newest,
    count(after, until) {
      let count = 0;
      for (let tick = next(after); tick !== undefined && tick <= until && count < mostCounted; tick = next(tick)) count += 1;
      return count;
    },
  };
}

function made(pattern: string, timeZone: string): Cron {
  try {
    Intl.DateTimeFormat('en', { timeZone });
  } catch (cause) {
    throw new TaktlineError('INVALID_OPTION', `timeZone is ${JSON.stringify(timeZone)}: expected a name such as Europe/Berlin or UTC`, {
      cause,
    });
  }
  try {
    return new Cron(pattern.trim(), { timezone: timeZone, paused: true, mode: '5-or-6-parts' });
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.replace(/^CronPattern: /, '') : 'it cannot be read';
    throw new TaktlineError('INVALID_OPTION', `cron ${JSON.stringify(pattern)}: ${why}`, { cause });
  }
}
