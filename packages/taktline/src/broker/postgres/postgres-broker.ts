/**
 * The Postgres implementation of the broker contract. Each hot verb is one function in the database (migrations/), so
 * one statement and one round trip; how batches become its arguments is in wire.ts and packed-settlements.ts.
 */

import { TaktlineError } from '../../support/taktline-error.ts';
import type { RunStatement } from '../../support/transaction.ts';
import type {
  Backlog,
  Broker,
  CancelReply,
  Claim,
  ClaimRequest,
  EndedJob,
  EnqueueReply,
  ExchangeReply,
  FinishedJobs,
  HeartbeatSpec,
  NewJob,
  Producer,
  Pulse,
  QueueDeclaration,
  Settlement,
  Told,
  WakeListener,
  WorkerDescription,
  WorkerRequest,
} from '../broker.ts';
import { askedToStop, cancelReplies, endedStates, laneNumber, suspectLanes } from '../codes.ts';
import { dueOf, expiryOf, packJobs } from '../packs.ts';
import { type ClaimRow, freshClaim, type StoredClaimRow, storedClaim } from './claim-rows.ts';
import { CommitWatch } from './commit-watch.ts';
import { Connection } from './connection.ts';
import { Listener, type ListenerOptions } from './listener.ts';
import { packCounts } from './packed-counts.ts';
import { packSettlements } from './packed-settlements.ts';
import { QueueCursor } from './queue-cursor.ts';
import { QueueTable } from './queue-table.ts';
import { migrate, requireSchema } from './schema.ts';
import { type Statements, statements } from './statements.ts';
import { array, join, joinPacks, separator, storable } from './wire.ts';

/** A claim takes no more than this; one larger job still fits. */
const claimBytes = 4 * 1024 * 1024;
/** Rows of ended jobs, of which some are packs, that are told at once. */
const finishedAtOnce = 200;
/** A statement that cancels more would keep claims from the packs that it takes apart. */
const cancelsAtOnce = 1_000;

export interface PostgresBrokerOptions {
  /** Asked again when a connection cannot be made. */
  readonly url: () => Promise<string>;
  /** Where the heartbeat thread finds the server: a URL, or the folder of an embedded one. */
  readonly heartbeat: { readonly url: string } | { readonly embedded: string };
  /** Name of the schema. */
  readonly namespace: string;
  readonly queues: readonly QueueDeclaration[];
  /** Dead letters older than this are removed. */
  readonly deadLetterTtlMs: number;
  /** False: the schema has to be there, in this release's version. Default true. */
  readonly create?: boolean;
  /** How long a statement may take. Default 10 s. */
  readonly timeoutMs?: number;
}

export class PostgresBroker implements Broker {
  readonly #options: PostgresBrokerOptions;
  readonly connection: Connection;
  readonly statements: Statements;
  readonly queues: QueueTable;
  readonly #cursor = new QueueCursor();
  /** By worker: how often it has asked what it misses; exchanges sent before the last time do nothing. */
  readonly #epochs = new Map<string, number>();
  readonly #listeners = new Set<Listener>();
  readonly #commits: CommitWatch;
  #origin: string | undefined;
  #opening: Promise<void> | undefined;
  #notifying: Promise<void> | undefined;
  #notifyAgain = false;

  constructor(options: PostgresBrokerOptions) {
    this.#options = options;
    this.connection = new Connection({
      url: options.url,
      name: `taktline ${options.namespace}`,
      max: 8,
      ...(options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }),
    });
    this.statements = statements(options.namespace);
    this.queues = new QueueTable(this.connection, this.statements);
    this.#commits = new CommitWatch({
      look: async (xids) => {
        const [row] = await this.connection.query<{ over: readonly string[]; idle: boolean }>(this.statements.settled, [xids]);
        return { over: row?.over ?? [], idle: row?.idle === true };
      },
      wake: () => this.wakeIdle(),
    });
  }

  open(): Promise<void> {
    this.#opening ??= this.#open().catch((error: unknown) => {
      this.#opening = undefined;
      throw error;
    });
    return this.#opening;
  }

  async #open(): Promise<void> {
    if (this.#options.create === false) await requireSchema(this.connection, this.#options.namespace);
    else await migrate(this.connection, this.#options.namespace);
    await this.queues.declare(this.#options.queues);
  }

  async ping(): Promise<void> {
    await this.connection.query(this.statements.ping);
  }

  async enqueue(jobs: readonly NewJob[], producer?: Producer): Promise<readonly EnqueueReply[]> {
    await this.open();
    // In one statement, so that the jobs of a batch keep their order.
    const [row] = await this.connection.query<EnqueueRow>(this.statements.enqueue, [
      ...(await this.#packed(jobs)),
      producer?.id ?? null,
      producer?.sequence ?? null,
    ]);
    if (row?.idle === true) this.#wake('j');
    return repliesOf(row, jobs);
  }

  async enqueueIn(run: RunStatement, jobs: readonly NewJob[]): Promise<readonly EnqueueReply[]> {
    if (this.#origin === undefined) await this.origin();
    const [row] = await run<{ readonly xid: string; readonly replies?: readonly number[] | null }>(
      ...(await this.#statementIn(jobs)),
    ).catch(async (error: unknown) => {
      // It may have been made anew: the next call knows.
      if ((error as { readonly code?: unknown }).code === '55000') await this.origin().catch(() => undefined);
      throw refusedIn(error);
    });
    // NOTIFY would take a lock of the whole server in the caller's commit.
    if (row !== undefined) this.#commits.wakeAfter(row.xid);
    return repliesOf(row, jobs);
  }

  async #statementIn(jobs: readonly NewJob[]): Promise<readonly [text: string, values: readonly unknown[]]> {
    const [job] = jobs;
    const alone = jobs.length === 1 && job !== undefined && job.unique === undefined;
    if (!alone || dueOf(job) !== undefined || expiryOf(job) !== undefined)
      return [this.statements.enqueueIn.text, [this.#origin, ...(await this.#packed(jobs))]];
    const [queue] = await this.queues.numbers([job.queue]);
    return [this.statements.enqueueOneIn.text, [this.#origin, job.id, job.envelope, queue, job.priority]];
  }

  async isDatabaseOf(run: RunStatement): Promise<boolean> {
    await this.open();
    const [[theirs], [ours]] = [
      await run<{ id: string }>(this.statements.database.text, []),
      await this.connection.query<{ id: string }>(this.statements.database),
    ];
    return theirs?.id === ours?.id;
  }

  async origin(): Promise<string> {
    await this.open();
    const [row] = await this.connection.query<{ name: string }>(this.statements.origin);
    const { name } = row as { name: string };
    // Made anew: the queues may have other numbers, and nobody has asked for their ends there.
    if (this.#origin !== undefined && this.#origin !== name) await this.queues.load();
    this.#origin = name;
    return name;
  }

  async finished(queues: readonly string[]): Promise<FinishedJobs> {
    await this.open();
    await this.queues.keepEnds(queues);
    const rows = await this.connection.query<{ id: string; ids: string }>(this.statements.finished, [
      await this.queues.numbers(queues),
      finishedAtOnce,
    ]);
    return {
      ids: rows.flatMap((row) => row.ids.split(separator)),
      forget: async () => {
        if (rows.length > 0) await this.connection.query(this.statements.forgetFinished, [rows.map((row) => row.id)]);
      },
    };
  }

  /** The first eleven arguments of enqueue(). */
  async #packed(jobs: readonly NewJob[]): Promise<readonly unknown[]> {
    const records = packJobs(jobs);
    const heads = records.map(({ items }) => items[0] as NewJob);
    const timed = heads.some((job) => dueOf(job) !== undefined);
    const expiring = heads.some((job) => expiryOf(job) !== undefined);
    const unique = heads.some((job) => job.unique !== undefined);
    return [
      joinPacks(records, (job) => job.id),
      joinPacks(records, (job) => job.envelope),
      array(records.map(({ items }) => items.length)),
      join(records, ({ first }) => first),
      join(records, ({ items, last }) => (items.length === 1 ? '' : last)),
      array(await this.queues.numbers(heads.map((job) => job.queue))),
      array(heads.map((job) => job.priority)),
      timed ? array(heads.map(dueOf)) : null,
      expiring ? array(heads.map(expiryOf)) : null,
      unique ? join(heads, (job) => job.unique?.fingerprint ?? '') : null,
      unique ? array(heads.map((job) => job.unique?.forMs ?? 0)) : null,
    ];
  }

  async join(worker: WorkerDescription): Promise<string> {
    await this.open();
    const [row] = await this.connection.query<{ id: string }>(this.statements.join, [
      worker.name,
      JSON.stringify(worker.info),
      worker.leaseMs,
    ]);
    return (row as { id: string }).id;
  }

  async leave(worker: string): Promise<void> {
    await this.connection.query(this.statements.leave, [worker]);
    this.#epochs.delete(worker);
  }

  async exchange(worker: string, settlements: readonly Settlement[], request: ClaimRequest | undefined): Promise<ExchangeReply> {
    // As it is when the worker calls: what it asks later with missing() outdates this exchange.
    const epoch = this.#epochs.get(worker) ?? 0;
    const settling = await packSettlements(settlements, this.queues);
    for (const { queue, rank } of settling.handedBack) this.#cursor.handedBack(queue, rank);
    const look =
      request === undefined ? undefined : this.#cursor.look(await this.queues.numbers(request.queues), request.lane, request.lowestFirst);
    const ranges = look?.ranges ?? [];
    const [row] = await this.connection.query<ExchangeRow>(this.statements.exchange, [
      worker,
      epoch,
      ...settling.values,
      array(ranges.map((range) => range.queue)),
      array(ranges.map((range) => range.from)),
      array(ranges.map((range) => range.to)),
      look?.again === true ? array(ranges.map((range) => range.start)) : null,
      request?.limit ?? 0,
      claimBytes,
      laneNumber(request?.lane ?? 'usual'),
      look?.dueFloor ?? 0,
      request?.idle === true ? true : null,
    ]);
    const reply = row as ExchangeRow;
    for (const { queue, rank } of settling.handedBack) this.#cursor.handedBack(queue, rank);
    if (look !== undefined) this.#cursor.learn(look, { tops: reply.floors, dueFloor: Number(reply.due_floor), lookedMs: reply.looked });
    for (const [index, rank] of (reply.rests ?? []).entries()) {
      const queue = ranges[index]?.queue;
      if (rank !== null && queue !== undefined) this.#cursor.leftOver(queue, rank);
    }
    if (reply.idle === true) this.#wake('j');
    return {
      accepted: settling.accepted(reply.accepted ?? []),
      claims: reply.claim === null ? [] : [await freshClaim(reply as ClaimRow, request?.lane ?? 'usual', this.queues)],
      nextDueInMs: reply.next_due === null ? undefined : Math.max(0, Number(reply.next_due) - Number(reply.now)),
      more: reply.taken > 0 && reply.claim === null,
    };
  }

  async pulse(worker: string, queues: readonly string[], { progress = [], counted }: Told): Promise<Pulse> {
    const byClaim: Record<string, Record<string, string>> = {};
    for (const { job, value } of progress) {
      byClaim[job.claim] ??= {};
      (byClaim[job.claim] as Record<string, string>)[job.position] = value;
    }
    const [row] = await this.connection.query<PulseRow>(this.statements.pulse, [
      worker,
      array(await this.queues.numbers(queues)),
      progress.length === 0 ? null : JSON.stringify(byClaim),
      ...(await packCounts(counted, this.queues)),
    ]);
    const { alive, cancelled, lanes, lost, held, requests, watched } = row as PulseRow;
    return {
      alive,
      cancelled: askedToStop(cancelled?.split(',') ?? []),
      suspects: suspectLanes(lanes),
      lostWorkers: lost,
      held,
      requests: requests ?? [],
      watched,
    };
  }

  async announce(worker: string, info: WorkerDescription['info']): Promise<void> {
    await this.connection.query(this.statements.announce, [worker, JSON.stringify(info)]);
  }

  async backlog(queues: readonly string[]): Promise<Backlog> {
    const [row] = await this.connection.query<{ waiting: string; wait: string | null }>(this.statements.backlog, [
      array(await this.queues.numbers(queues)),
    ]);
    const wait = row?.wait ?? null;
    return { waiting: Number(row?.waiting ?? 0), oldestWaitMs: wait === null ? undefined : Math.max(0, Number(wait)) };
  }

  async answer(worker: string, request: string, body: string): Promise<void> {
    await this.connection.query(this.statements.answer, [worker, request, storable(body)]);
  }

  async publish(events: readonly string[]): Promise<void> {
    if (events.length > 0) await this.connection.query(this.statements.publish, [this.eventChannel, [...events]]);
  }

  async describe(tasks: readonly { readonly name: string; readonly description: string }[]): Promise<void> {
    if (tasks.length === 0) return;
    await this.open();
    // The last of a name, since a statement may write a row only once.
    const byName = new Map(tasks.map(({ name, description }) => [name, storable(description)]));
    await this.connection.query(this.statements.describe, [[...byName.keys()], [...byName.values()]]);
  }

  async missing(worker: string, known: readonly string[]): Promise<readonly Claim[]> {
    const epoch = (this.#epochs.get(worker) ?? 0) + 1;
    this.#epochs.set(worker, epoch);
    const rows = await this.connection.query<StoredClaimRow>(this.statements.missing, [worker, array(known), epoch]);
    return Promise.all(rows.map((row) => storedClaim(row, this.queues)));
  }

  async recover(worker: string): Promise<readonly Claim[]> {
    const rows = await this.connection.query<StoredClaimRow>(this.statements.recover, [worker]);
    return Promise.all(rows.map((row) => storedClaim(row, this.queues)));
  }

  async tidy(): Promise<boolean> {
    const [row] = await this.connection.query<{ tidy: boolean }>(this.statements.tidy, [this.#options.deadLetterTtlMs]);
    return row?.tidy === true;
  }

  heartbeat(worker: string, leaseMs: number): HeartbeatSpec {
    return {
      module: new URL('./postgres-heartbeat.js', import.meta.url).href,
      options: { ...this.#options.heartbeat, namespace: this.#options.namespace, worker, leaseMs },
    };
  }

  async listen(_queues: readonly string[], wake: WakeListener): Promise<() => Promise<void>> {
    await this.ping();
    // Behind a pooler nothing would arrive: the workers' slow poll has to do.
    if (this.connection.pooled) return async () => undefined;
    return this.hear(this.#channel, {
      said: (payload) => (payload.startsWith('w') ? wake.attention(payload.slice(1)) : wake.jobs()),
      connected: () => wake.jobs(),
    });
  }

  /** Hears a channel, until the function that it gives is called or the broker is closed. */
  async hear(channel: string, heard: Pick<ListenerOptions, 'said' | 'connected'>): Promise<() => Promise<void>> {
    const listener = new Listener({ url: this.#options.url, channel, ...heard });
    this.#listeners.add(listener);
    await listener.start();
    return async () => {
      this.#listeners.delete(listener);
      await listener.stop();
    };
  }

  async cancel(ids: readonly string[]): Promise<readonly CancelReply[]> {
    await this.open();
    const answers: CancelReply[] = [];
    const workers = new Set<string>();
    for (let from = 0; from < ids.length; from += cancelsAtOnce) {
      const [row] = await this.connection.query<{ replies: string[] | null; workers: string[] | null }>(this.statements.cancel, [
        ids.slice(from, from + cancelsAtOnce),
      ]);
      for (const reply of row?.replies ?? []) answers.push(cancelReplies.get(reply) ?? 'unknown');
      for (const worker of row?.workers ?? []) workers.add(worker);
    }
    await this.callAttention([...workers]);
    return answers;
  }

  async ended(ids: readonly string[]): Promise<readonly EndedJob[]> {
    await this.open();
    const rows = await this.connection.query<{ id: string; state: string; result: string | null; past: string | null }>(
      this.statements.ended,
      [[...ids]],
    );
    return rows.map((row) => ({
      id: row.id,
      state: endedStates.get(row.state) ?? 'failed',
      result: row.result ?? undefined,
      past: row.past ?? undefined,
    }));
  }

  async states(ids: readonly string[]): ReturnType<Broker['states']> {
    await this.open();
    const rows = await this.connection.query<{ id: string; state: NonNullable<Awaited<ReturnType<Broker['states']>>[number]> }>(
      this.statements.find,
      [[...ids]],
    );
    const found = new Map(rows.map((row) => [row.id, row.state]));
    return ids.map((id) => found.get(id));
  }

  async close(): Promise<void> {
    this.#commits.close();
    await this.#notifying;
    await Promise.all([...this.#listeners].map((listener) => listener.stop()));
    await this.connection.close();
  }

  /** Wakes sleeping workers, if there are any: for jobs that came by another way than enqueue. */
  async wakeIdle(): Promise<void> {
    const [row] = await this.connection.query<{ idle: boolean }>(this.statements.wakes);
    if (row?.idle === true) this.#wake('j');
  }

  /** Lets workers pulse now. Done already, what they are to hear of, and heard with their next pulse at the latest: it may get lost. */
  async callAttention(workers: readonly string[]): Promise<void> {
    for (const worker of workers) await this.connection.query(this.statements.notify, [this.#channel, `w${worker}`]).catch(() => undefined);
  }

  get eventChannel(): string {
    return `${this.#options.namespace}_events`;
  }

  get #channel(): string {
    return `${this.#options.namespace}_wake`;
  }

  /**
   * NOTIFY takes a lock of the whole server when it commits, so it is sent after the enqueue has committed, only when
   * somebody sleeps, and one at a time: what comes while one is on its way shares the next.
   */
  #wake(payload: string): void {
    if (this.#notifying !== undefined) {
      this.#notifyAgain = true;
      return;
    }
    this.#notifying = this.connection
      .query(this.statements.notify, [this.#channel, payload])
      // A lost wake-up costs one poll; the enqueue itself has succeeded.
      .then(
        () => undefined,
        () => undefined,
      )
      .finally(() => {
        this.#notifying = undefined;
        if (!this.#notifyAgain) return;
        this.#notifyAgain = false;
        this.#wake(payload);
      });
  }
}

type PulseRow = Record<string, unknown> & {
  readonly alive: boolean;
  readonly cancelled: string | null;
  readonly lanes: number;
  readonly lost: boolean;
  readonly held: number;
  readonly requests: readonly WorkerRequest[] | null;
  readonly watched: boolean;
};

type ExchangeRow = Record<string, unknown> &
  Omit<ClaimRow, 'claim'> & {
    readonly accepted: readonly string[] | null;
    readonly claim: string | null;
    readonly floors: readonly (string | null)[] | null;
    readonly rests: readonly (string | null)[] | null;
    readonly taken: number;
    readonly due_floor: string;
    readonly next_due: string | null;
    readonly looked: number | null;
    readonly idle: boolean | null;
  };

type EnqueueRow = Record<string, unknown> & { readonly replies: readonly number[] | null; readonly idle: boolean };

const replies: readonly EnqueueReply[] = ['created', 'duplicate', 'conflict'];

function repliesOf(row: Partial<Pick<EnqueueRow, 'replies'>> | undefined, jobs: readonly NewJob[]): readonly EnqueueReply[] {
  return row?.replies?.map((reply) => replies[reply] as EnqueueReply) ?? jobs.map(() => 'created');
}

/** What the caller's connection says of an enqueue in its transaction. */
function refusedIn(error: unknown): unknown {
  const { code, message } = error as { readonly code?: unknown; readonly message?: string };
  const said = (why: string) => new TaktlineError('OUTBOX_TRANSACTION', `nothing was enqueued: ${why}`, { cause: error });
  const elsewhere = 'name its database in createApp({ outbox: { databaseUrl } })';
  if (code === '25P01') return said('no transaction is open on this connection');
  if (code === '55000') return said(`${message ?? 'it is in another database than the broker'}: ${elsewhere}`);
  // No such schema, function or right there.
  if (code === '3F000' || code === '42883' || code === '42P01')
    return said(`the broker is not in the database of the transaction: ${elsewhere}`);
  if (code === '25P02') return said('the transaction has failed before');
  return error;
}
