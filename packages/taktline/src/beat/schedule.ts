/** A schedule as it is kept: what it enqueues, when, and what to do about ticks that are late or overlap. And how far it has come. */
import type { StoredSchedule } from '../broker/timetable.ts';
import { TaktlineError } from '../support/taktline-error.ts';
import type { CatchUp } from './due-ticks.ts';
import type { Timing } from './ticks.ts';

/** What happens to a tick while the job of an earlier one has not ended. `skip`: it is given up. `queue`: one may wait, the next ones are. */
export type Overlap = 'allow' | 'skip' | 'queue';

export interface ScheduleDefinition {
  readonly timing: Timing;
  readonly catchUp: CatchUp;
  readonly overlap: Overlap;
  readonly queue: string;
  readonly priority: number;
  /** A job that still waits so long after it was enqueued expires. */
  readonly expiresInMs?: number;
  /** The job, ready to be enqueued. */
  readonly envelope: string;
  readonly fingerprint: string;
}

/** How far a beat has come with a schedule. */
export interface Progress {
  /** Of which timing, as JSON. */
  readonly timing: string;
  /** All ticks up to this were dealt with. */
  readonly after: number;
  readonly runs: number;
  readonly missed: number;
  /** Given up because an earlier job had not ended. */
  readonly skipped: number;
  /** The newest tick that was run, and its job. */
  readonly last?: { readonly due: number; readonly job: string };
  /** Ticks that were decided to run and whose jobs may not be enqueued yet. Whoever leads next enqueues them, under the same ids. */
  readonly pending: readonly number[];
  /** Jobs of the newest ticks that had not ended when they were last looked at. Only where ticks must not overlap. */
  readonly open: readonly string[];
  /** The newest ticks that were given up, the newest first. */
  readonly given: readonly { readonly due: number; readonly why: 'late' | 'overlap' | 'refused' }[];
}

/** A name enters ids of jobs, keys and terminals. */
const namePattern = /^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,99}$/;

/** @throws TaktlineError `INVALID_OPTION` */
export function checkScheduleName(name: string): string {
  if (namePattern.test(name)) return name;
  throw new TaktlineError(
    'INVALID_OPTION',
    `the name of a schedule is ${JSON.stringify(name.slice(0, 40))}: expected letters, digits and ._:- (at most 100)`,
  );
}

/** One job for each tick, however often it is enqueued: its id says which. */
export function tickId(schedule: string, due: number): string {
  return `tick:${schedule}:${new Date(due).toISOString()}`;
}

/** Undefined for what another release has written and this one cannot read. */
export function readDefinition({ definition }: Pick<StoredSchedule, 'definition'>): ScheduleDefinition | undefined {
  try {
    const read = JSON.parse(definition) as ScheduleDefinition;
    return typeof read.timing === 'object' && typeof read.envelope === 'string' ? read : undefined;
  } catch {
    return undefined;
  }
}

/**
 * How far a schedule has come. What would have been due before it was put or resumed is not due; nor, when its timing was
 * changed, what the new timing would have made due before `now`. One that comes once is due however late.
 */
export function readProgress({ state, since }: Pick<StoredSchedule, 'state' | 'since'>, timing: Timing, now: number): Progress {
  const key = JSON.stringify(timing);
  const first = (from: number) => ('at' in timing ? Math.min(from, timing.at - 1) : from);
  const read = state === undefined ? undefined : parsed(state);
  if (read === undefined) return { ...nothingYet, timing: key, after: first(since) };
  if (read.timing !== key) return { ...nothingYet, ...read, timing: key, after: first(now) };
  return { ...nothingYet, ...read, after: 'at' in timing ? read.after : Math.max(read.after, since) };
}

/** Its state speaks of another timing than it has now. */
export function timingChanged({ state }: Pick<StoredSchedule, 'state'>, timing: Timing): boolean {
  return state !== undefined && parsed(state)?.timing !== JSON.stringify(timing);
}

const nothingYet = { runs: 0, missed: 0, skipped: 0, pending: [], open: [], given: [] } as const;

function parsed(state: string): Progress | undefined {
  try {
    return JSON.parse(state) as Progress;
  } catch {
    return undefined;
  }
}
