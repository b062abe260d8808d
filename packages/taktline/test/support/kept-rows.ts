/** The rows of jobs that stay in an outbox until the jobs have ended, as a test looks at them. */
import type { AppDatabase } from './app-database.ts';
import { polled } from './polled.ts';

export class KeptRows {
  readonly #database: AppDatabase;

  constructor(database: AppDatabase) {
    this.#database = database;
  }

  /** Of which jobs there are some. */
  async ids(): Promise<readonly string[]> {
    return (await this.#database.query<{ id: string }>('select id from $outbox.kept order by id')).map(({ id }) => id);
  }

  /** What relays do every now and then they have done for all that had happened when this was called. */
  async upkeep(): Promise<void> {
    const turn = async () => (await this.#database.query<{ at: string }>('select at from $outbox.seen'))[0]?.at;
    // The one that is under way may have begun before.
    for (let n = 0; n < 2; n++) {
      const before = await turn();
      await polled(turn).not.toBe(before);
    }
  }
}
