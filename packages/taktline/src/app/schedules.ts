/** Schedules for people: put, pause, run and list them, wherever the beat runs. */
import { type Overlap, type Progress, readDefinition, readProgress, type ScheduleDefinition } from '../beat/schedule.ts';
import { ticksOf } from '../beat/ticks.ts';
import type { ScheduleSource, StoredSchedule, Timetable } from '../broker/timetable.ts';
import type { Client } from '../client/client.ts';
import type { JobHandle } from '../client/handle.ts';
import { TaktlineError } from '../support/taktline-error.ts';
import { decodeEnvelope } from '../task/codec.ts';
import { allSensitive } from '../task/sensitive.ts';
import type { TaskDefinition } from '../task/task.ts';
import type { Catalogue } from './catalogue.ts';
import { newSchedule, type ScheduleOptions } from './schedule-options.ts';

/** A schedule as a person may see it. Times are ISO 8601. */
export interface ScheduleView {
  readonly name: string;
  /** Who put it: the app's code, or a person at run time. */
  readonly source: ScheduleSource;
  readonly task: string;
  /** With sensitive fields masked. */
  readonly input: unknown;
  readonly queue: string;
  readonly priority: number;
  readonly cron: string | undefined;
  readonly timeZone: string | undefined;
  readonly everyMs: number | undefined;
  readonly at: string | undefined;
  readonly catchUp: string;
  readonly overlap: Overlap;
  readonly paused: boolean;
  /** Undefined while it is paused, and when none comes any more. */
  readonly nextRun: string | undefined;
  /** The newest tick that was run, and the id of its job. */
  readonly lastRun: { readonly due: string; readonly job: string } | undefined;
  readonly runs: number;
  /** Ticks that were given up because nobody ran them in time, or their job was refused. */
  readonly missed: number;
  /** Ticks that were given up because an earlier job had not ended. */
  readonly skipped: number;
  /** The newest ticks that were given up, the newest first. */
  readonly given: readonly { readonly due: string; readonly why: string }[];
}

export interface SchedulesParts {
  readonly timetable: () => Promise<Timetable>;
  readonly catalogue: Catalogue;
  readonly client: Client;
  /** Finds a task of this app or of the catalogue. @throws TaktlineError `UNKNOWN_TASK` */
  readonly task: (name: string) => Promise<TaskDefinition>;
}

export class Schedules {
  readonly #parts: SchedulesParts;

  /** Made by the app. */
  constructor(parts: SchedulesParts) {
    this.#parts = parts;
  }

  /**
   * Puts a schedule at run time, or replaces one. How far it has come stays; with another timing it begins anew.
   *
   * @throws TaktlineError `INVALID_OPTION`, `INVALID_INPUT`, `UNKNOWN_TASK` or `UNKNOWN_QUEUE`; a schedule of the app's code
   * cannot be replaced
   */
  async add(options: ScheduleOptions): Promise<ScheduleView> {
    const { client, timetable } = this.#parts;
    const { task } = options;
    const schedule = await newSchedule(options, await this.#parts.task(typeof task === 'string' ? task : task.name), 'person', client);
    const kept = await timetable();
    const before = (await kept.schedules()).find(({ name }) => name === options.name);
    if (before?.source === 'code') {
      throw new TaktlineError(
        'INVALID_OPTION',
        `schedule ${JSON.stringify(options.name)} comes from the app's code: change it there, or choose another name`,
      );
    }
    await kept.put([schedule]);
    return this.show(options.name);
  }

  /** Sorted by name. */
  async list(): Promise<readonly ScheduleView[]> {
    const stored = await (await this.#parts.timetable()).schedules();
    return this.#views(stored);
  }

  /** @throws TaktlineError `SCHEDULE_NOT_FOUND` */
  async show(name: string): Promise<ScheduleView> {
    const [view] = await this.#views([await this.#stored(name)]);
    return view as ScheduleView;
  }

  /** Its ticks are not run any more, nor counted as missed. @throws TaktlineError `SCHEDULE_NOT_FOUND` */
  async pause(names: readonly string[]): Promise<void> {
    missing(names, await (await this.#parts.timetable()).setPaused(names, true));
  }

  /** Ticks from now on are run again. @throws TaktlineError `SCHEDULE_NOT_FOUND` */
  async resume(names: readonly string[]): Promise<void> {
    missing(names, await (await this.#parts.timetable()).setPaused(names, false));
  }

  /** A schedule of the app's code comes back when a beat with that code starts. @throws TaktlineError `SCHEDULE_NOT_FOUND` */
  async remove(names: readonly string[]): Promise<void> {
    missing(names, await (await this.#parts.timetable()).remove(names));
  }

  /** Enqueues its job now, beside its ticks, also while it is paused. @throws TaktlineError `SCHEDULE_NOT_FOUND` */
  async run(name: string): Promise<JobHandle<unknown>> {
    const { queue, priority, envelope, expiresInMs } = known(await this.#stored(name));
    return this.#parts.client.enqueuePrepared({ queue, priority, envelope, ...(expiresInMs === undefined ? {} : { expiresInMs }) });
  }

  async #stored(name: string): Promise<StoredSchedule> {
    const stored = (await (await this.#parts.timetable()).schedules()).find((one) => one.name === name);
    if (stored === undefined) missing([name], [false]);
    return stored as StoredSchedule;
  }

  async #views(schedules: readonly StoredSchedule[]): Promise<readonly ScheduleView[]> {
    const readable = schedules.flatMap((stored) => {
      const definition = readDefinition(stored);
      return definition === undefined ? [] : [{ stored, definition, envelope: decodeEnvelope(definition.envelope) }];
    });
    const find = await this.#parts.catalogue.finder(new Set(readable.map(({ envelope }) => envelope.task)));
    return readable.map(({ stored, definition, envelope }) => ({
      ...viewOf(stored, definition),
      task: envelope.task,
      input: (find(envelope.task)?.sensitivity ?? allSensitive).masked(envelope.input),
    }));
  }
}

function missing(names: readonly string[], there: readonly boolean[]): void {
  const gone = names.filter((_, index) => there[index] !== true);
  if (gone.length === 0) return;
  throw new TaktlineError(
    'SCHEDULE_NOT_FOUND',
    `no schedule is named ${gone.map((name) => JSON.stringify(name.slice(0, 100))).join(', ')}`,
  );
}

function known(stored: StoredSchedule): ScheduleDefinition {
  const definition = readDefinition(stored);
  if (definition !== undefined) return definition;
  throw new TaktlineError('INVALID_OPTION', `schedule ${JSON.stringify(stored.name)} was put by another release and cannot be read`);
}

function viewOf(stored: StoredSchedule, definition: ScheduleDefinition): Omit<ScheduleView, 'task' | 'input'> {
  const { timing, catchUp, overlap, queue, priority } = definition;
  const now = Date.now();
  const progress: Progress = readProgress(stored, timing, now);
  const next = stored.paused ? undefined : ticksOf(timing).next('at' in timing ? progress.after : Math.max(progress.after, now));
  const { last, runs, missed, skipped, given } = progress;
  return {
    name: stored.name,
    source: stored.source,
    queue,
    priority,
    cron: 'cron' in timing ? timing.cron : undefined,
    timeZone: 'cron' in timing ? timing.timeZone : undefined,
    everyMs: 'everyMs' in timing ? timing.everyMs : undefined,
    at: 'at' in timing ? iso(timing.at) : undefined,
    catchUp: catchUp.policy === 'all' ? `all, at most ${catchUp.most}` : catchUp.policy,
    overlap,
    paused: stored.paused,
    nextRun: next === undefined ? undefined : iso(next),
    lastRun: last === undefined ? undefined : { due: iso(last.due), job: last.job },
    runs,
    missed,
    skipped,
    given: given.map(({ due, why }) => ({ due: iso(due), why })),
  };
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
