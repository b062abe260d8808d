/**
 * What beats ask of a broker: one of them leads at a time, and the schedules, with how far each has come, are kept where the
 * jobs are. Nobody else uses it but who puts, pauses and lists schedules. All times are milliseconds since the Unix epoch by
 * the broker's clock.
 */

export interface NewSchedule {
  readonly name: string;
  /** JSON; the broker does not look into it. */
  readonly definition: string;
  /** Who put it: the app's code, or a person at run time. */
  readonly source: ScheduleSource;
}

export type ScheduleSource = 'code' | 'person';

export interface StoredSchedule extends NewSchedule {
  readonly paused: boolean;
  /** When it was first put, or resumed. What would have been due before is not. */
  readonly since: number;
  /** How far the beat has come with it, as JSON; undefined before its first tick. */
  readonly state: string | undefined;
  /** Another one whenever it is put anew, paused or resumed. */
  readonly version: number;
}

export interface Lead {
  /** The number of this lead; undefined while another beat leads. Only under the newest one states are written. */
  readonly fence: string | undefined;
  readonly now: number;
  /** Another number whenever a schedule was put, paused, resumed or removed. */
  readonly changes: number;
}

export interface StateChange {
  readonly name: string;
  /** Of the schedule from which the state follows. */
  readonly version: number;
  readonly state: string;
}

export interface Timetable {
  /** Begins to lead when nobody does, or goes on: for so long from now. */
  lead(beat: string, leaseMs: number): Promise<Lead>;
  /** Leads no more. */
  resign(beat: string): Promise<void>;
  schedules(): Promise<readonly StoredSchedule[]>;
  /** Enters schedules, or replaces their definitions. How far each has come, and whether it is paused, stays. */
  put(schedules: readonly NewSchedule[]): Promise<void>;
  /** Of each whether it is there. */
  setPaused(names: readonly string[], paused: boolean): Promise<readonly boolean[]>;
  /** Of each whether it was there. */
  remove(names: readonly string[]): Promise<readonly boolean[]>;
  /** Writes states, each if the fence is the newest and the schedule has that version still. Tells of each whether it was written. */
  advance(fence: string, changes: readonly StateChange[]): Promise<readonly boolean[]>;
}
