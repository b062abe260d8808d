/** The Postgres implementation of the inspector: what people ask, in bounded steps. */
import { TaktlineError } from '../../support/taktline-error.ts';
import { withoutUndefined } from '../../support/without-undefined.ts';
import { decodePast, encodePast, redriven } from '../../task/job.ts';
import { type AdoptedJob, type AdoptReply, adoptedForMs } from '../adopted-job.ts';
import type { JobCount } from '../broker.ts';
import { endedStates, laneNamed, laneNumber } from '../codes.ts';
import { type Answered, clock, primary, reachable } from '../findings.ts';
import type { DeadLetterFilter, Finding, Inspector, Page, QueueCounts, StoredDeadLetter, StoredJob, WorkerRecord } from '../inspector.ts';
import { checkTexts } from '../job-texts.ts';
import { keepWatching, watchMs } from '../watching.ts';
import { countOf } from './packed-counts.ts';
import type { PostgresBroker } from './postgres-broker.ts';
import { installedVersion } from './schema.ts';
import { array, storable } from './wire.ts';

type Row = Record<string, unknown>;

export class PostgresInspector implements Inspector {
  readonly #broker: PostgresBroker;
  readonly #namespace: string;
  /** What the operator would call this server, without a password. */
  readonly #where: string;

  constructor(broker: PostgresBroker, namespace: string, where: string) {
    this.#broker = broker;
    this.#namespace = namespace;
    this.#where = where;
  }

  async queues(): Promise<readonly QueueCounts[]> {
    await this.#broker.open();
    const rows = await this.#query(this.#broker.statements.counts);
    return rows.map((row) => ({
      name: String(row['name']),
      priority: Number(row['priority']),
      ready: Number(row['ready']),
      scheduled: Number(row['scheduled']),
      running: Number(row['running']),
      dead: Number(row['dead']),
      oldestWaitMs: row['wait'] === null ? undefined : Math.max(0, Number(row['wait'])),
      paused: row['paused'] === true,
    }));
  }

  async workers(): Promise<readonly WorkerRecord[]> {
    await this.#broker.open();
    const rows = await this.#query(this.#broker.statements.workers);
    return rows.map((row) => ({
      id: String(row['id']),
      name: String(row['name']),
      startedAt: Number(row['started_at']),
      leaseExpiresInMs: Number(row['lease']),
      running: Number(row['running']),
      info: JSON.parse(String(row['info'])) as Record<string, unknown>,
    }));
  }

  async job(id: string): Promise<StoredJob | undefined> {
    await this.#broker.open();
    const [row] = await this.#query(this.#broker.statements.job, [id]);
    return row === undefined ? undefined : (await this.#stored([row]))[0];
  }

  async jobs(
    state: 'queued' | 'scheduled' | 'running',
    options: { readonly queue?: string; readonly limit: number },
  ): Promise<readonly StoredJob[]> {
    await this.#broker.open();
    const { listQueued, listScheduled, listRunning } = this.#broker.statements;
    const statement = state === 'queued' ? listQueued : state === 'scheduled' ? listScheduled : listRunning;
    return this.#stored(await this.#query(statement, [await this.#number(options.queue), options.limit]));
  }

  async deadLetters(filter: DeadLetterFilter, limit: number, cursor: string | undefined): Promise<Page<StoredDeadLetter>> {
    await this.#broker.open();
    const [diedAt, ...id] = cursor?.split(' ') ?? [];
    const rows = await this.#query(this.#broker.statements.deadLetters, [
      ...(await this.#filter(filter)),
      diedAt ?? null,
      id.join(' '),
      limit + 1,
    ]);
    const names = await this.#broker.queues.names(rows.map((row) => String(row['queue'])));
    const items = rows.slice(0, limit).map((row, index) => ({
      id: String(row['id']),
      queue: names[index] as string,
      priority: Number(row['priority']),
      task: String(row['task']),
      code: String(row['code']),
      message: String(row['message']),
      enqueuedAt: Number(row['enqueued_at']),
      diedAt: Number(row['died_at']),
      envelope: String(row['envelope']),
      past: String(row['past']),
    }));
    const last = items.at(-1);
    return { items, cursor: rows.length > limit && last !== undefined ? `${last.diedAt} ${last.id}` : undefined };
  }

  async redrive(filter: DeadLetterFilter, limit: number): Promise<readonly string[]> {
    const { items } = await this.deadLetters(filter, limit, undefined);
    const pasts = items.map(({ past }) => encodePast(redriven(decodePast(past))));
    const rows = await this.#query(this.#broker.statements.redrive, [items.map((item) => item.id), pasts]);
    if (rows.length > 0) await this.#broker.wakeIdle();
    return rows.map((row) => String(row['id']));
  }

  async discard(filter: DeadLetterFilter, limit: number): Promise<readonly string[]> {
    await this.#broker.open();
    const rows = await this.#query(this.#broker.statements.discard, [...(await this.#filter(filter)), limit]);
    return rows.map((row) => String(row['id']));
  }

  async purge(queue: string, limit: number): Promise<number> {
    await this.#broker.open();
    const [row] = await this.#query(this.#broker.statements.purge, [await this.#number(queue), limit]);
    return Number(row?.['n'] ?? 0);
  }

  async pause(queue: string): Promise<void> {
    await this.#broker.open();
    await this.#query(this.#broker.statements.pause, [await this.#number(queue), true]);
  }

  async resume(queue: string): Promise<void> {
    await this.#broker.open();
    await this.#query(this.#broker.statements.pause, [await this.#number(queue), false]);
    await this.#broker.wakeIdle();
  }

  async ask(workers: readonly string[], body: string, keepMs: number): Promise<string> {
    await this.#broker.open();
    const [row] = await this.#broker.connection.query<{ id: string }>(this.#broker.statements.ask, [
      array(workers),
      storable(body),
      Math.round(keepMs),
    ]);
    await this.#broker.callAttention(workers);
    return row?.id ?? '0';
  }

  async answers(request: string): Promise<readonly { readonly worker: string; readonly body: string }[]> {
    const rows = await this.#query(this.#broker.statements.answers, [request]);
    return rows.map((row) => ({ worker: String(row['worker']), body: String(row['body']) }));
  }

  async watch(listener: (event: string) => void): Promise<() => Promise<void>> {
    await this.#broker.open();
    if (this.#broker.connection.pooled) {
      throw new TaktlineError('BROKER_URL', 'events cannot be heard through a pooler: give a URL that goes around it');
    }
    const renew = async () => void (await this.#query(this.#broker.statements.watch, [watchMs]));
    const deaf = await this.#broker.hear(this.#broker.eventChannel, { said: listener, connected: () => undefined });
    return keepWatching(renew, deaf);
  }

  async counts(fromMinute: number, toMinute: number): Promise<readonly (JobCount & { readonly minute: number })[]> {
    await this.#broker.open();
    return (await this.#query(this.#broker.statements.jobCounts, [fromMinute, toMinute])).map(countOf);
  }

  async catalogue(): Promise<readonly { readonly name: string; readonly description: string; readonly describedAt: number }[]> {
    await this.#broker.open();
    const rows = await this.#query(this.#broker.statements.catalogue);
    return rows.map((row) => ({
      name: String(row['name']),
      description: String(row['description']),
      describedAt: Number(row['described_at']),
    }));
  }

  async place(id: string): Promise<{ readonly before: number; readonly of: number } | undefined> {
    await this.#broker.open();
    const [row] = await this.#query(this.#broker.statements.place, [id]);
    return row === undefined ? undefined : { before: Number(row['before']), of: Number(row['of']) };
  }

  async adopt(jobs: readonly AdoptedJob[]): Promise<readonly AdoptReply[]> {
    await this.#broker.open();
    if (jobs.length === 0) return [];
    for (const job of jobs) checkTexts(job);
    const queues = await this.#broker.queues.numbers(jobs.map(({ queue }) => queue));
    const given = jobs.map((job, index) => adoptedRow(job, queues[index] as number));
    const [row] = await this.#query(this.#broker.statements.adopt, [JSON.stringify(given), adoptedForMs]);
    const answer = row as { readonly replies: readonly number[]; readonly idle: boolean };
    if (answer.idle) await this.#broker.wakeIdle();
    return answer.replies.map((reply) => replies[reply] as AdoptReply);
  }

  async remove(ids: readonly string[]): Promise<readonly string[]> {
    await this.#broker.open();
    const rows = await this.#query(this.#broker.statements.remove, [[...ids]]);
    return rows.map((row) => String(row['id']));
  }

  async examine(): Promise<readonly Finding[]> {
    await this.#broker.open();
    const askedAt = Date.now();
    const [row] = await this.#query(this.#broker.statements.examine, [this.#namespace]);
    const answered: Answered = { where: this.#where, askedAt, tookMs: Date.now() - askedAt };
    const version = await installedVersion(this.#broker.connection, this.#namespace);
    const held = row?.['held'] === null ? 0 : Number(row?.['held']);
    const durable = row?.['fsync'] === 'on' && row?.['synchronous_commit'] !== 'off';
    const used = Number(row?.['connections']) / Number(row?.['max_connections']);
    return [
      reachable(answered),
      { check: 'version', ok: true, detail: String(row?.['version']).split(' ').slice(0, 2).join(' ') },
      { check: 'schema', ok: true, detail: `${this.#namespace}, version ${version}, ${String(row?.['size'])}` },
      clock(answered, Number(row?.['now'])),
      {
        check: 'durability',
        ok: durable,
        detail: `fsync ${String(row?.['fsync'])}, synchronous_commit ${String(row?.['synchronous_commit'])}`,
        advice: 'acknowledged jobs can be lost in a crash: turn fsync and synchronous_commit on',
      },
      primary(row?.['replica'] === true),
      {
        check: 'wake-ups',
        ok: !this.#broker.connection.pooled,
        detail: this.#broker.connection.pooled ? 'behind a pooler: workers are not woken, they poll' : 'LISTEN/NOTIFY',
        advice: 'give workers a URL that goes around the pooler to be woken at once',
      },
      {
        check: 'connections',
        ok: used < 0.8,
        detail: `${String(row?.['connections'])} of ${String(row?.['max_connections'])} in use`,
        advice: 'raise max_connections, or put PgBouncer before the server',
      },
      {
        check: 'transactions',
        ok: held < 300,
        detail: held === 0 ? 'none is held open' : `one has been open for ${held} s`,
        advice: 'end it: vacuum cannot remove what was settled since it began',
      },
      {
        check: 'encryption',
        ok: true,
        detail: row?.['tls'] === true ? 'TLS' : 'none (add ?sslmode=verify-full to the URL beyond this machine)',
      },
    ];
  }

  #query(statement: { readonly name: string; readonly text: string }, values: readonly unknown[] = []): Promise<Row[]> {
    return this.#broker.connection.query(statement, values);
  }

  async #number(queue: string | undefined): Promise<number | null> {
    return queue === undefined ? null : ((await this.#broker.queues.numbers([queue]))[0] ?? null);
  }

  async #filter(filter: DeadLetterFilter): Promise<readonly unknown[]> {
    return [
      filter.ids === undefined ? null : [...filter.ids],
      await this.#number(filter.queue),
      filter.task ?? null,
      filter.code ?? null,
      filter.diedBefore ?? null,
    ];
  }

  async #stored(rows: readonly Row[]): Promise<StoredJob[]> {
    const names = await this.#broker.queues.names(rows.map((row) => String(row['queue'])));
    const number = (value: unknown) => (value === null || value === undefined ? undefined : Number(value));
    const text = (value: unknown) => (typeof value === 'string' ? value : undefined);
    return rows.map((row, index) =>
      withoutUndefined<StoredJob>({
        id: String(row['id']),
        state: states.get(String(row['state'])) ?? 'queued',
        queue: names[index],
        priority: number(row['priority']),
        enqueuedAt: Number(row['enqueued_at']),
        dueAt: number(row['due_at']),
        expiresAt: number(row['expires_at']),
        claimedAt: number(row['claimed_at']),
        finishedAt: number(row['finished_at']),
        worker: text(row['worker']),
        envelope: text(row['envelope']),
        past: text(row['past']),
        result: text(row['result']),
        progress: text(row['progress']),
        cancelAsked: row['cancel_asked'] === true ? true : undefined,
        lane: Number(row['lane'] ?? 0) === 0 ? undefined : laneNamed(Number(row['lane'])),
      }),
    );
  }
}

const replies: readonly AdoptReply[] = ['adopted', 'there', 'conflict'];

/** As moved_jobs() in migrations/0005-moving.sql reads it. */
function adoptedRow(job: AdoptedJob, queue: number): Record<string, unknown> {
  const { id, state, priority, enqueuedAt: enqueued, envelope, fingerprint: print, past } = job;
  const shared = { id, print, state, queue, priority, enqueued, envelope, past };
  if (state === 'dead') {
    const { task, code, message, diedAt: died } = job;
    return { ...shared, task: storable(task), code: storable(code), message: storable(message), died };
  }
  if (state === 'scheduled') return { ...shared, due: job.dueAt, expires: job.expiresAt };
  return { ...shared, lane: laneNumber(job.lane ?? 'usual'), expires: job.expiresAt };
}

const states = new Map<string, StoredJob['state']>([
  ...endedStates,
  ['failed', 'failed'],
  ['queued', 'queued'],
  ['scheduled', 'scheduled'],
  ['retrying', 'retrying'],
  ['running', 'running'],
]);
