/** The Redis implementation of the inspector: what people ask, in bounded steps, queue by queue. */
import { groupBy } from '../../support/group-by.ts';
import { withoutUndefined } from '../../support/without-undefined.ts';
import { decodePast, encodePast, type JobState, redriven } from '../../task/job.ts';
import type { AdoptedJob, AdoptReply } from '../adopted-job.ts';
import type { JobCount, Lane } from '../broker.ts';
import { laneNamed } from '../codes.ts';
import { type Answered, clock, primary, reachable } from '../findings.ts';
import type { DeadLetterFilter, Finding, Inspector, Page, QueueCounts, StoredDeadLetter, StoredJob, WorkerRecord } from '../inspector.ts';
import { keepWatching, watchMs } from '../watching.ts';
import { layoutVersion } from './layout.ts';
import { Moving } from './moving.ts';
import { readCounts } from './packed-counts.ts';
import { groupSeparator, laneOfRank, readRecord } from './records.ts';
import { type RedisBroker, stateOf } from './redis-broker.ts';
import { scripts } from './scripts.ts';
import type { ServerFacts } from './server-facts.ts';

/** Dead letters that are read at once while a filter looks for some. */
const pageSize = 500;

export class RedisInspector implements Inspector {
  readonly #broker: RedisBroker;
  readonly #namespace: string;
  readonly #moving: Moving;

  constructor(broker: RedisBroker, namespace: string) {
    this.#broker = broker;
    this.#moving = new Moving(broker);
    this.#namespace = namespace;
  }

  async queues(): Promise<readonly QueueCounts[]> {
    await this.#broker.open();
    const priorities = await this.#broker.names.priorities();
    const now = await this.#now();
    const counts = await Promise.all(
      [...priorities].map(async ([name, priority]) => {
        const [[ready, scheduled, running, dead, oldest, paused]] = (await this.#broker.runIn(name, scripts.counts, [])) as readonly [
          readonly [string, number, string, number, string, number],
        ];
        return {
          name,
          priority,
          ready: Number(ready),
          scheduled,
          running: Number(running),
          dead,
          oldestWaitMs: oldest === '' ? undefined : Math.max(0, now - Number(oldest)),
          paused: paused === 1,
        };
      }),
    );
    return counts.toSorted((one, other) => other.priority - one.priority || (one.name < other.name ? -1 : 1));
  }

  async workers(): Promise<readonly WorkerRecord[]> {
    await this.#broker.open();
    const { connection, keys, names } = this.#broker;
    const [leases, descriptions] = keys.workers;
    const [now, till, stored] = await Promise.all([
      this.#now(),
      connection.command(leases, ['ZRANGE', leases, '0', '-1', 'WITHSCORES']) as Promise<readonly (string | readonly [string, string])[]>,
      connection.command(descriptions, ['HGETALL', descriptions]) as Promise<Readonly<Record<string, string>>>,
    ]);
    const queues = await names.all();
    const workers = await Promise.all(
      pairs(till).map(async ([id, expires]) => {
        const description = JSON.parse(stored[id] ?? '{}') as { name?: string; info?: Record<string, unknown> };
        const held = await Promise.all(queues.map((queue) => this.#broker.runIn(queue, scripts.holding, [id]) as Promise<number>));
        return {
          id,
          name: description.name ?? '',
          startedAt: Number(stored[`started:${id}`] ?? 0),
          leaseExpiresInMs: Number(expires) > 0 ? Number(expires) - now : 0,
          running: held.reduce((sum, jobs) => sum + jobs, 0),
          info: description.info ?? {},
        };
      }),
    );
    return workers.toSorted((one, other) => (one.name === other.name ? one.startedAt - other.startedAt : one.name < other.name ? -1 : 1));
  }

  async job(id: string): Promise<StoredJob | undefined> {
    await this.#broker.open();
    const [found] = await this.#broker.search.find('b', [id]);
    if (found === undefined) return undefined;
    const [code, enqueued, priority, envelope, past, result, finished, due, expires, claimed, worker, cancel, progress, lane] =
      found.fields;
    const state = stateOf(code as string) as JobState;
    const letter = state === 'failed' ? (JSON.parse(enqueued as string) as { enqueued: number; priority: number }) : undefined;
    const number = (text: string | undefined) => (text === undefined || text === '' ? undefined : Number(text));
    const text = (value: string | undefined) => (value === '' ? undefined : value);
    return withoutUndefined<StoredJob>({
      id,
      state,
      queue: found.queue,
      priority: letter?.priority ?? number(priority),
      enqueuedAt: letter?.enqueued ?? Number(enqueued),
      dueAt: number(due),
      expiresAt: number(expires),
      claimedAt: number(claimed),
      finishedAt: number(finished),
      worker: worker === '' || worker === undefined ? undefined : await this.#nameOf(worker),
      envelope: text(envelope),
      past: text(past),
      result: text(result),
      progress: text(progress),
      cancelAsked: cancel === '1' ? true : undefined,
      lane: unusual(laneNamed(Number(lane || 0))),
    });
  }

  async jobs(
    state: 'queued' | 'scheduled' | 'running',
    options: { readonly queue?: string; readonly limit: number },
  ): Promise<readonly StoredJob[]> {
    await this.#broker.open();
    const { names } = this.#broker;
    if (options.queue !== undefined) await names.check([options.queue]);
    const queues = options.queue === undefined ? await names.all() : [options.queue];
    const lists = await Promise.all(
      queues.map(async (queue) => {
        const listed: StoredJob[] = [];
        for (let skip = 0, more = 1; more === 1; ) {
          const args = [state, String(options.limit - listed.length), String(skip)];
          const [next, ...rows] = (await this.#broker.runIn(queue, scripts.list, args)) as ListAnswer;
          listed.push(...rows.flatMap(([score, worker, open, raw]) => jobsOf(state, queue, score, worker, open, raw)));
          more = next;
          skip += rows.length;
        }
        return listed;
      }),
    );
    const workers = new Map<string, string>();
    const all = lists
      .flat()
      .toSorted((one, other) => (state === 'queued' ? 0 : (one.dueAt ?? one.claimedAt ?? 0) - (other.dueAt ?? other.claimedAt ?? 0)));
    const first = all.slice(0, options.limit);
    for (const { worker } of first)
      if (worker !== undefined && !workers.has(worker)) workers.set(worker, (await this.#nameOf(worker)) ?? '');
    return first.map((job) => (job.worker === undefined ? job : { ...job, worker: workers.get(job.worker) ?? job.worker }));
  }

  async deadLetters(filter: DeadLetterFilter, limit: number, cursor: string | undefined): Promise<Page<StoredDeadLetter>> {
    const items = await this.#letters(filter, limit + 1, cursor);
    const page = items.slice(0, limit);
    const last = page.at(-1);
    return { items: page, cursor: items.length > limit && last !== undefined ? `${last.diedAt} ${last.id}` : undefined };
  }

  async redrive(filter: DeadLetterFilter, limit: number): Promise<readonly string[]> {
    return this.#move(filter, limit, ({ priority, past }) => [String(priority), encodePast(redriven(decodePast(past)))]);
  }

  async discard(filter: DeadLetterFilter, limit: number): Promise<readonly string[]> {
    return this.#move(filter, limit, () => ['', '']);
  }

  async purge(queue: string, limit: number): Promise<number> {
    await this.#broker.open();
    await this.#broker.names.check([queue]);
    // A script of a thousand, or of less when they are large, is over in a few milliseconds; who wants more asks again.
    const most = Math.min(limit, 1_000);
    for (let gone = 0; ; ) {
      const went = (await this.#broker.runIn(queue, scripts.purge, [String(most - gone)])) as number;
      gone += went;
      if (went === 0 || gone >= most) return gone;
    }
  }

  pause(queue: string): Promise<void> {
    return this.#setPaused(queue, '1');
  }

  resume(queue: string): Promise<void> {
    return this.#setPaused(queue, '');
  }

  async #setPaused(queue: string, paused: '1' | ''): Promise<void> {
    await this.#broker.open();
    await this.#broker.names.check([queue]);
    await this.#broker.runIn(queue, scripts.pause, [this.#broker.publishing, paused]);
  }

  async ask(workers: readonly string[], body: string, keepMs: number): Promise<string> {
    await this.#broker.open();
    const { connection, keys, publishing } = this.#broker;
    const [, descriptions] = keys.workers;
    const args = [publishing, String(Math.round(keepMs)), body, keys.hand(''), ...workers];
    return (await connection.run(scripts.ask, descriptions, [descriptions, keys.requests], args)) as string;
  }

  async answers(request: string): Promise<readonly { readonly worker: string; readonly body: string }[]> {
    const { connection, keys } = this.#broker;
    const stored = (await connection.command(keys.requests, ['HGETALL', `${keys.requests}:${request}`])) as Readonly<
      Record<string, string>
    >;
    return Object.entries(stored).flatMap(([field, body]) => (field.startsWith('by:') ? [{ worker: field.slice(3), body }] : []));
  }

  async watch(listener: (event: string) => void): Promise<() => Promise<void>> {
    await this.#broker.open();
    const { connection, keys } = this.#broker;
    const { watched, events } = keys;
    const deaf = await connection.subscribe({ channels: [events], message: (_, text) => listener(text), missed: () => undefined });
    return keepWatching(async () => void (await connection.command(watched, ['SET', watched, '1', 'PX', String(watchMs)])), deaf);
  }

  async counts(fromMinute: number, toMinute: number): Promise<readonly (JobCount & { readonly minute: number })[]> {
    await this.#broker.open();
    const { connection, keys } = this.#broker;
    const minutes = Array.from({ length: Math.max(0, toMinute - fromMinute + 1) }, (_, index) => fromMinute + index);
    // Asked in one turn, they travel together.
    const hashes = (await Promise.all(
      minutes.map((minute) => connection.command(keys.counts, ['HGETALL', `${keys.counts}:${minute}`])),
    )) as readonly Readonly<Record<string, string>>[];
    return hashes.flatMap((fields, index) => readCounts(minutes[index] as number, fields));
  }

  async catalogue(): Promise<readonly { readonly name: string; readonly description: string; readonly describedAt: number }[]> {
    await this.#broker.open();
    const { connection, keys } = this.#broker;
    const stored = (await connection.command(keys.catalogue, ['HGETALL', keys.catalogue])) as Readonly<Record<string, string>>;
    return Object.entries(stored).map(([name, text]) => {
      const at = text.indexOf(groupSeparator);
      return { name, description: text.slice(at + 1), describedAt: Number(text.slice(0, at)) };
    });
  }

  async place(id: string): Promise<{ readonly before: number; readonly of: number } | undefined> {
    await this.#broker.open();
    const [found] = await this.#broker.search.find('s', [id]);
    if (found === undefined) return undefined;
    const [before, of] = (await this.#broker.runIn(found.queue, scripts.place, [id])) as readonly [number?, number?];
    return before === undefined || of === undefined ? undefined : { before, of };
  }

  async adopt(jobs: readonly AdoptedJob[]): Promise<readonly AdoptReply[]> {
    await this.#broker.open();
    return this.#moving.adopt(jobs);
  }

  async remove(ids: readonly string[]): Promise<readonly string[]> {
    await this.#broker.open();
    return this.#moving.remove(ids);
  }

  async examine(): Promise<readonly Finding[]> {
    await this.#broker.open();
    const askedAt = Date.now();
    const servers = await this.#broker.connection.facts();
    const answered: Answered = { where: this.#broker.connection.where, askedAt, tookMs: Date.now() - askedAt };
    return [
      reachable(answered),
      { check: 'schema', ok: true, detail: `${this.#namespace}, layout ${layoutVersion}` },
      clock(answered, ...servers.flatMap(({ time }) => time ?? [])),
      ...together(servers.map(findings)),
    ];
  }

  /** The newest dead letters that match, at most so many. */
  async #letters(filter: DeadLetterFilter, limit: number, cursor: string | undefined): Promise<readonly StoredDeadLetter[]> {
    await this.#broker.open();
    const { names } = this.#broker;
    if (filter.queue !== undefined) await names.check([filter.queue]);
    const queues = filter.queue === undefined ? await names.all() : [filter.queue];
    const [diedAt, ...rest] = cursor?.split(' ') ?? [];
    const before = diedAt === undefined ? undefined : { diedAt: Number(diedAt), id: rest.join(' ') };
    const found =
      filter.ids === undefined
        ? (await Promise.all(queues.map((queue) => this.#lettersOf(queue, filter, limit, before)))).flat()
        : (await this.#lettersById(filter.ids)).filter((letter) => matches(letter, filter) && !passed(letter, before));
    return found.toSorted((one, other) => other.diedAt - one.diedAt || (one.id < other.id ? 1 : -1)).slice(0, limit);
  }

  async #lettersOf(
    queue: string,
    filter: DeadLetterFilter,
    limit: number,
    before: Before | undefined,
  ): Promise<readonly StoredDeadLetter[]> {
    const matching: StoredDeadLetter[] = [];
    const latest = Math.min(
      before?.diedAt ?? Number.POSITIVE_INFINITY,
      filter.diedBefore === undefined ? Number.POSITIVE_INFINITY : filter.diedBefore - 1,
    );
    const from = Number.isFinite(latest) ? String(latest) : '+inf';
    for (let skip = 0; matching.length < limit; ) {
      const [more, ...rows] = (await this.#broker.runIn(queue, scripts.dead, [from, String(pageSize), String(skip)])) as readonly [
        number,
        ...(readonly [string, string, string])[],
      ];
      for (const [id, died, raw] of rows) {
        const letter = letterOf(queue, id, Number(died), raw);
        if (!passed(letter, before) && matches(letter, filter)) matching.push(letter);
      }
      if (more === 0) break;
      skip += rows.length;
    }
    return matching.toSorted((one, other) => other.diedAt - one.diedAt || (one.id < other.id ? 1 : -1)).slice(0, limit);
  }

  async #lettersById(ids: readonly string[]): Promise<readonly StoredDeadLetter[]> {
    const found = await this.#broker.search.find('b', [...new Set(ids)]);
    return found.flatMap(({ id, queue, fields }) => {
      const [code, head = '', , envelope = '', past = '', , died] = fields;
      return code === 'failed' ? [letterOf(queue, id, Number(died), [head, died, past, envelope].join(groupSeparator))] : [];
    });
  }

  async #move(
    filter: DeadLetterFilter,
    limit: number,
    how: (letter: StoredDeadLetter) => readonly [priority: string, past: string],
  ): Promise<readonly string[]> {
    const letters = await this.#letters(filter, limit, undefined);
    const done = await Promise.all(
      [...groupBy(letters, ({ queue }) => queue)].map(([queue, own]) => {
        const args = own.toReversed().flatMap((letter) => [letter.id, ...how(letter)]);
        return this.#broker.runIn(queue, scripts.redrive, [this.#broker.publishing, ...args]) as Promise<readonly string[]>;
      }),
    );
    return done.flat();
  }

  async #now(): Promise<number> {
    const [leases] = this.#broker.keys.workers;
    const [seconds, micros] = (await this.#broker.connection.command(leases, ['TIME'])) as readonly [string, string];
    return Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000);
  }

  async #nameOf(worker: string): Promise<string | undefined> {
    const [, descriptions] = this.#broker.keys.workers;
    const stored = (await this.#broker.connection.command(descriptions, ['HGET', descriptions, worker])) as string | null;
    return stored === null ? undefined : (JSON.parse(stored) as { name: string }).name;
  }
}

/** What WITHSCORES gives: pairs with RESP 3, a flat list before. */
function pairs(list: readonly (string | readonly [string, string])[]): (readonly [string, string])[] {
  if (list.every((entry) => typeof entry !== 'string')) return list as (readonly [string, string])[];
  const flat = list as readonly string[];
  return Array.from({ length: flat.length / 2 }, (_, index) => [flat[2 * index] as string, flat[2 * index + 1] as string]);
}

function jobsOf(
  state: 'queued' | 'scheduled' | 'running',
  queue: string,
  score: string,
  worker: string,
  open: string,
  raw: string,
): StoredJob[] {
  if (raw === '') return [];
  const record = readRecord(raw);
  return record.ids.flatMap((id, place) =>
    state === 'running' && open[place] !== '1'
      ? []
      : [
          withoutUndefined<StoredJob>({
            id,
            state: state === 'scheduled' && record.past !== '' ? 'retrying' : state,
            queue,
            priority: record.priority,
            enqueuedAt: record.enqueuedAt,
            dueAt: state === 'scheduled' ? Number(score) : undefined,
            expiresAt: state === 'running' ? undefined : record.expiresAt,
            claimedAt: state === 'running' ? Number(score) : undefined,
            finishedAt: undefined,
            worker: state === 'running' ? worker : undefined,
            envelope: record.envelopes[place],
            past: record.past === '' ? undefined : record.past,
            result: undefined,
            progress: undefined,
            cancelAsked: undefined,
            lane: state === 'queued' ? unusual(laneOfRank(Number(score))) : undefined,
          }),
        ],
  );
}

function unusual(lane: Lane): Lane | undefined {
  return lane === 'usual' ? undefined : lane;
}

function letterOf(queue: string, id: string, diedAt: number, raw: string): StoredDeadLetter {
  const [head, , past, envelope] = raw.split(groupSeparator) as [string, string, string, string];
  const { task, code, message, enqueued, priority } = JSON.parse(head) as Record<'task' | 'code' | 'message', string> &
    Record<'enqueued' | 'priority', number>;
  return { id, queue, task, code, message, enqueuedAt: enqueued, diedAt, envelope, past, priority };
}

type ListAnswer = readonly [more: number, ...(readonly [score: string, worker: string, open: string, raw: string])[]];

/** The last letter of a page. */
interface Before {
  readonly diedAt: number;
  readonly id: string;
}

/** Whether a letter stood on that page, or one before. */
function passed({ diedAt, id }: StoredDeadLetter, before: Before | undefined): boolean {
  return before !== undefined && (diedAt > before.diedAt || (diedAt === before.diedAt && id >= before.id));
}

function matches(letter: StoredDeadLetter, { ids, task, code, diedBefore }: DeadLetterFilter): boolean {
  return (
    (ids === undefined || ids.includes(letter.id)) &&
    (task === undefined || task === letter.task) &&
    (code === undefined || code === letter.code) &&
    (diedBefore === undefined || letter.diedAt < diedBefore)
  );
}

function findings({ appendonly, appendfsync, appendonlyStale, save, maxmemoryPolicy, role, product, version }: ServerFacts): Finding[] {
  return [
    { check: 'version', ok: true, detail: `${product === 'valkey' ? 'Valkey' : 'Redis'} ${version ?? 'unknown'}` },
    {
      check: 'durability',
      ok: appendonly !== false,
      detail: durability(appendonly, appendfsync, save),
      advice:
        'a crash of the server costs acknowledged jobs: set appendonly yes, and appendfsync always where a power loss may cost nothing',
    },
    {
      check: 'append-only file',
      ok: appendonlyStale !== true,
      detail:
        appendonlyStale === true
          ? 'not written anew since the server was started: if it was killed, its next start may run half a script'
          : 'written anew since the server was started, or not used',
      advice: 'let the user do that by himself (ACL +bgrewriteaof), or run BGREWRITEAOF after each start of the server',
    },
    {
      check: 'eviction',
      ok: maxmemoryPolicy === undefined || maxmemoryPolicy === 'noeviction',
      detail: `maxmemory-policy ${maxmemoryPolicy ?? 'unknown'}`,
      advice: 'jobs can vanish when the memory is full: set maxmemory-policy noeviction',
    },
    primary(role === 'slave'),
  ];
}

/** What docs/durability.md says at more length. */
function durability(appendonly: boolean | undefined, appendfsync: string | undefined, save: string | undefined): string {
  if (appendonly === undefined) return 'not known: the server does not say whether it writes an AOF';
  if (appendonly) {
    if (appendfsync === 'always') return 'AOF, fsync always: what was acknowledged is on the disk';
    if (appendfsync === 'no') return 'AOF, fsync no: a power loss can cost about the last half minute, a crash of Redis nothing';
    return `AOF, fsync ${appendfsync ?? 'unknown'}: a power loss can cost about the last second, a crash of Redis nothing`;
  }
  if (save === '') return 'nothing is written to disk: a crash or a restart costs everything';
  return `snapshots only (save ${save ?? 'unknown'}): a crash costs what came since the last one`;
}

/** The findings of several servers, each check once; what differs is listed, and the worst says whether it is ok. */
function together(servers: readonly Finding[][]): Finding[] {
  return [...groupBy(servers.flat(), ({ check }) => check).values()].map((same) => ({
    ...(same.find(({ ok }) => !ok) ?? (same[0] as Finding)),
    detail: [...groupBy(same, ({ detail }) => detail)]
      .map(([detail, { length }]) => (length === servers.length ? detail : `${detail} (${length} of ${servers.length} nodes)`))
      .join('; '),
  }));
}
