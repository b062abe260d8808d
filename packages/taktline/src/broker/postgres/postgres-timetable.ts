/** The Postgres implementation of the timetable: one row says who leads, and its lock keeps two leads apart. */
import type { Lead, NewSchedule, ScheduleSource, StateChange, StoredSchedule, Timetable } from '../timetable.ts';
import type { PostgresBroker } from './postgres-broker.ts';
import { array, storable } from './wire.ts';

export class PostgresTimetable implements Timetable {
  readonly #broker: PostgresBroker;

  constructor(broker: PostgresBroker) {
    this.#broker = broker;
  }

  async lead(beat: string, leaseMs: number): Promise<Lead> {
    const [row] = await this.#query<{ fence: string | null; now: string; changes: string }>('lead', [beat, Math.round(leaseMs)]);
    return { fence: row?.fence ?? undefined, now: Number(row?.now), changes: Number(row?.changes) };
  }

  async resign(beat: string): Promise<void> {
    await this.#query('resign', [beat]);
  }

  async schedules(): Promise<readonly StoredSchedule[]> {
    const rows = await this.#query<ScheduleRow>('schedules', []);
    return rows.map(({ name, definition, source, paused, since, state, version }) => ({
      name,
      definition,
      source,
      paused,
      since: Number(since),
      state: state ?? undefined,
      version: Number(version),
    }));
  }

  async put(schedules: readonly NewSchedule[]): Promise<void> {
    if (schedules.length === 0) return;
    // The last of a name, since a statement may write a row only once.
    const byName = [...new Map(schedules.map((schedule) => [schedule.name, schedule])).values()];
    await this.#query('putSchedules', [
      byName.map(({ name }) => name),
      byName.map(({ definition }) => storable(definition)),
      byName.map(({ source }) => source),
    ]);
  }

  async setPaused(names: readonly string[], paused: boolean): Promise<readonly boolean[]> {
    const [row] = await this.#query<{ names: readonly string[] | null }>('pauseSchedules', [[...names], paused]);
    return names.map((name) => row?.names?.includes(name) === true);
  }

  async remove(names: readonly string[]): Promise<readonly boolean[]> {
    const gone = new Set((await this.#query<{ name: string }>('removeSchedules', [[...names]])).map(({ name }) => name));
    return names.map((name) => gone.has(name));
  }

  async advance(fence: string, changes: readonly StateChange[]): Promise<readonly boolean[]> {
    if (changes.length === 0) return [];
    const rows = await this.#query<{ name: string }>('advance', [
      fence,
      changes.map(({ name }) => name),
      array(changes.map(({ version }) => version)),
      changes.map(({ state }) => storable(state)),
    ]);
    const written = new Set(rows.map(({ name }) => name));
    return changes.map(({ name }) => written.has(name));
  }

  async #query<Row extends Record<string, unknown>>(
    statement: 'lead' | 'resign' | 'schedules' | 'putSchedules' | 'pauseSchedules' | 'removeSchedules' | 'advance',
    values: readonly unknown[],
  ): Promise<Row[]> {
    await this.#broker.open();
    return this.#broker.connection.query<Row>(this.#broker.statements[statement], values);
  }
}

type ScheduleRow = Record<string, unknown> & {
  readonly name: string;
  readonly definition: string;
  readonly source: ScheduleSource;
  readonly paused: boolean;
  readonly since: string;
  readonly state: string | null;
  readonly version: string;
};
