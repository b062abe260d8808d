/** A namespace on the Postgres of the test run, as rows of its tables. */
import type pg from 'pg';
import { type TestNamespace, testNamespace } from './namespace.ts';
import type { EndedRow, ScheduledRow, Store } from './store.ts';

export class PostgresStore implements Store {
  readonly #space: TestNamespace;

  private constructor(space: TestNamespace) {
    this.#space = space;
  }

  static async make(): Promise<PostgresStore> {
    return new PostgresStore(await testNamespace());
  }

  get url(): string {
    return this.#space.url;
  }

  get name(): string {
    return this.#space.name;
  }

  /** See namespace.ts. */
  query<Row extends pg.QueryResultRow>(text: string, values?: readonly unknown[]): Promise<Row[]> {
    return this.#space.query(text, values);
  }

  count(what: Parameters<Store['count']>[0]): Promise<number> {
    if (what === 'idle') return this.#number('select count(*) as n from $ns.workers where idle');
    return this.#number(`select ${what === 'ready' || what === 'ended' ? 'coalesce(sum(size), 0)' : 'count(*)'} as n from $ns.${what}`);
  }

  claims(worker?: string): Promise<number> {
    return this.#number('select count(*) as n from $ns.claims where $1::bigint is null or worker = $1::bigint', [worker ?? null]);
  }

  async scheduled(): Promise<readonly ScheduledRow[]> {
    const rows = await this.query<{ id: string; due: string; past: string | null }>(
      'select id, due_at - $ns.now_ms() as due, past from $ns.scheduled',
    );
    return rows.map(({ id, due, past }) => ({ id, dueInMs: Number(due), past: past ?? undefined }));
  }

  async letTimePass(): Promise<void> {
    await this.query('update $ns.scheduled set due_at = 1');
  }

  async ended(): Promise<readonly EndedRow[]> {
    const rows = await this.query<Record<'id' | 'state' | 'at', string> & Record<'result' | 'past', string | null>>(
      'select id, state, result, past, finished_at as at from $ended order by id',
    );
    return rows.map(({ id, state, result, past, at }) => ({ id, state, result: result ?? '', past: past ?? '', finishedAt: Number(at) }));
  }

  async remarks(): Promise<readonly string[]> {
    const rows = await this.query<Record<'past' | 'message' | 'code' | 'task', string | null>>(
      'select past, message, code, task from $ns.dead union all select past, null, null, null from $ended',
    );
    return rows.flatMap((row) => Object.values(row).filter((text) => text !== null));
  }

  async forge(id: string, envelope: string): Promise<void> {
    await this.query(
      `insert into $ns.ready (queue, rank, id, enqueued_at, envelopes) select id, nextval('$ns.arrivals'), $1, 1, $2 from $ns.queues where name = 'work'`,
      [id, envelope],
    );
  }

  async releaseId(id: string): Promise<void> {
    await this.query('update $ns.ids set expires_at = 1 where id = $1', [id]);
  }

  async putEarlier(schedule: string, ms: number): Promise<void> {
    await this.query('update $ns.schedules set since = since - $2 where name = $1', [schedule, ms]);
  }

  connections(): Promise<number> {
    return this.#number('select count(*) as n from pg_stat_activity where application_name = $1', [`taktline ${this.name}`]);
  }

  async exists(): Promise<boolean> {
    return (await this.query('select 1 from pg_namespace where nspname = $1', [this.name])).length > 0;
  }

  /** Takes a tenth of the time of making a new one. */
  async clear(): Promise<void> {
    const [made] = await this.query<{ there: boolean }>(`select to_regclass('$ns.queues') is not null as there`);
    if (made?.there !== true) return;
    await this.query(
      'truncate $ns.queues, $ns.ready, $ns.scheduled, $ns.workers, $ns.claims, $ns.ended, $ns.dead, $ns.ids, $ns.requests, $ns.counts, $ns.catalogue, $ns.schedules restart identity',
    );
    await this.query('update $ns.beat set leader = null, fence = 0, until = 0, changes = 0');
  }

  drop(): Promise<void> {
    return this.#space.drop();
  }

  async #number(text: string, values?: readonly unknown[]): Promise<number> {
    return Number((await this.query<{ n: string }>(text, values))[0]?.n);
  }
}
