/** A schedule as it is asked for, and what is kept of it. */
import type { CatchUp } from '../beat/due-ticks.ts';
import { checkScheduleName, type Overlap, type ScheduleDefinition } from '../beat/schedule.ts';
import { type Timing, ticksOf } from '../beat/ticks.ts';
import type { NewSchedule, ScheduleSource } from '../broker/timetable.ts';
import type { Client } from '../client/client.ts';
import { type Duration, toMs } from '../support/durations.ts';
import { TaktlineError } from '../support/taktline-error.ts';
import type { TaskDefinition } from '../task/task.ts';

/** When a schedule is due: exactly one of `cron`, `every` and `at`. */
export interface ScheduleTiming {
  /** Five fields, or six with seconds first, such as `'0 6 * * mon-fri'`; by the clocks of `timeZone`. */
  readonly cron?: string;
  /** For `cron`. Default `UTC`. */
  readonly timeZone?: string;
  /** Counted from the epoch, so that `'15m'` comes at :00, :15, :30 and :45. At least 1 s. */
  readonly every?: Duration;
  /** Once: a date, or milliseconds since the epoch. */
  readonly at?: Date | number;
}

export interface ScheduleOptions extends ScheduleTiming {
  /** Letters, digits and `._:-`; one schedule of that name. */
  readonly name: string;
  readonly task: string | { readonly name: string };
  readonly input?: unknown;
  /**
   * What becomes of ticks that nobody ran in time (30 s), because no beat ran: `skip` gives them up, `latest` runs the newest
   * of them, `{ all: n }` runs the newest `n`. Default: `skip`; of a schedule with `at`, `latest`.
   */
  readonly catchUp?: 'skip' | 'latest' | { readonly all: number };
  /**
   * What becomes of a tick while the job of an earlier one has not ended: `allow` runs it too, `skip` gives it up, `queue` lets
   * one wait and gives up the next ones. Default `allow`.
   */
  readonly overlap?: Overlap;
  /** Default: the task's. */
  readonly queue?: string;
  /** Default: the task's. */
  readonly priority?: number;
  /** A job that still waits so long after its tick was run is not run any more. */
  readonly expires?: Duration;
  readonly headers?: Readonly<Record<string, string>>;
}

const overlaps: readonly Overlap[] = ['allow', 'skip', 'queue'];
const mostCaughtUp = 1_000;

/** What can be checked without the broker. @throws TaktlineError `INVALID_OPTION` */
export function checkSchedule(options: ScheduleOptions): Pick<ScheduleDefinition, 'timing' | 'catchUp' | 'overlap'> {
  const named = <Checked>(check: () => Checked): Checked => {
    try {
      return check();
    } catch (error) {
      throw error instanceof TaktlineError
        ? new TaktlineError(error.code, `schedule ${JSON.stringify(options.name)}: ${error.message}`, { cause: error.cause })
        : error;
    }
  };
  checkScheduleName(options.name);
  return named(() => {
    const timing = timingOf(options);
    ticksOf(timing);
    const { overlap = 'allow' } = options;
    if (!overlaps.includes(overlap))
      throw new TaktlineError('INVALID_OPTION', `overlap is ${JSON.stringify(overlap)}: expected ${overlaps.join(', ')}`);
    return { timing, catchUp: catchUpOf(options.catchUp ?? ('at' in timing ? 'latest' : 'skip')), overlap };
  });
}

/** @throws TaktlineError `INVALID_OPTION`, `INVALID_INPUT` or `UNKNOWN_QUEUE` */
export async function newSchedule(
  options: ScheduleOptions,
  task: TaskDefinition,
  source: ScheduleSource,
  client: Client,
): Promise<NewSchedule> {
  const { queue, priority, headers, expires } = options;
  const prepared = await client.prepare(task, options.input, {
    ...(queue === undefined ? {} : { queue }),
    ...(priority === undefined ? {} : { priority }),
    ...(headers === undefined ? {} : { headers }),
    ...(expires === undefined ? {} : { expires }),
  });
  const definition: ScheduleDefinition = { ...checkSchedule(options), ...prepared };
  return { name: options.name, source, definition: JSON.stringify(definition) };
}

function timingOf({ cron, timeZone, every, at }: ScheduleTiming): Timing {
  if ([cron, every, at].filter((given) => given !== undefined).length !== 1)
    throw new TaktlineError('INVALID_OPTION', 'give one of cron, every and at');
  if (timeZone !== undefined && cron === undefined) throw new TaktlineError('INVALID_OPTION', 'timeZone goes with cron');
  if (cron !== undefined) return { cron, timeZone: timeZone ?? 'UTC' };
  if (every !== undefined) return { everyMs: toMs(every, 'every') };
  const ms = typeof at === 'number' ? at : (at as Date).getTime();
  if (!Number.isFinite(ms) || ms <= 0 || ms > 8.64e15) throw new TaktlineError('INVALID_OPTION', 'at is not a valid time');
  return { at: Math.round(ms) };
}

function catchUpOf(given: NonNullable<ScheduleOptions['catchUp']>): CatchUp {
  if (given === 'skip' || given === 'latest') return { policy: given };
  const most: unknown = typeof given === 'object' ? given.all : undefined;
  if (typeof most === 'number' && Number.isInteger(most) && most >= 1 && most <= mostCaughtUp) return { policy: 'all', most };
  throw new TaktlineError('INVALID_OPTION', `catchUp is ${JSON.stringify(given)}: expected skip, latest or { all: 1 to ${mostCaughtUp} }`);
}
