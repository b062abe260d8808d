/** The Redis implementation of the timetable: two keys in one slot, and a script in which two leads cannot meet. */
import { checkText } from '../job-texts.ts';
import type { Lead, NewSchedule, StateChange, StoredSchedule, Timetable } from '../timetable.ts';
import { groupSeparator } from './records.ts';
import type { RedisBroker } from './redis-broker.ts';
import { scripts } from './scripts.ts';
import type { Reply } from './wire.ts';

/** No more arguments than a script can unpack. */
const atOnce = 1_000;

export class RedisTimetable implements Timetable {
  readonly #broker: RedisBroker;

  constructor(broker: RedisBroker) {
    this.#broker = broker;
  }

  async lead(beat: string, leaseMs: number): Promise<Lead> {
    const [fence, now, changes] = (await this.#run('lead', [beat, String(Math.round(leaseMs))])) as readonly [string, string, string];
    return { fence: fence === '' ? undefined : fence, now: Number(now), changes: Number(changes) };
  }

  async resign(beat: string): Promise<void> {
    await this.#run('resign', [beat]);
  }

  async schedules(): Promise<readonly StoredSchedule[]> {
    await this.#broker.open();
    const { connection, keys } = this.#broker;
    const stored = (await connection.command(keys.schedules, ['HGETALL', keys.schedules])) as Readonly<Record<string, string>>;
    return Object.entries(stored)
      .map(([name, raw]) => {
        const [head, definition, state] = raw.split(groupSeparator) as [string, string, string];
        const { source, paused, since, version } = JSON.parse(head) as Pick<StoredSchedule, 'source' | 'paused' | 'since' | 'version'>;
        return { name, definition, source, paused, since, version, state: state === '' ? undefined : state };
      })
      .sort((one, other) => (one.name < other.name ? -1 : 1));
  }

  async put(schedules: readonly NewSchedule[]): Promise<void> {
    for (const { definition } of schedules) checkText(definition, 'a schedule');
    await this.#inParts(schedules, 'put', ({ name, definition, source }) => [name, definition, source]);
  }

  async setPaused(names: readonly string[], paused: boolean): Promise<readonly boolean[]> {
    return this.#inParts(names, 'pause', (name) => [name], [paused ? '1' : '']);
  }

  async remove(names: readonly string[]): Promise<readonly boolean[]> {
    return this.#inParts(names, 'remove', (name) => [name]);
  }

  async advance(fence: string, changes: readonly StateChange[]): Promise<readonly boolean[]> {
    for (const { state } of changes) checkText(state, 'the state of a schedule');
    return this.#inParts(changes, 'advance', ({ name, version, state }) => [name, String(version), state], [fence]);
  }

  async #inParts<Item>(
    items: readonly Item[],
    verb: string,
    args: (item: Item) => readonly string[],
    before: readonly string[] = [],
  ): Promise<readonly boolean[]> {
    const done: boolean[] = [];
    for (let from = 0; from < items.length; from += atOnce) {
      const reply = await this.#run(verb, [...before, ...items.slice(from, from + atOnce).flatMap(args)]);
      if (Array.isArray(reply)) for (const one of reply as readonly number[]) done.push(one === 1);
    }
    return done;
  }

  async #run(verb: string, args: readonly string[]): Promise<Reply> {
    await this.#broker.open();
    const { connection, keys } = this.#broker;
    return connection.run(scripts.timetable, keys.schedules, [keys.schedules, keys.beat], [verb, ...args]);
  }
}
