/**
 * The Redis implementation of the broker contract. Each verb is a script (scripts/), one call for all queues where they
 * share a server, one for each queue on a Cluster, where they do not.
 */

import { randomUUID } from 'node:crypto';
import { groupBy } from '../../support/group-by.ts';
import { madeHere, markOf, queueMark } from '../../support/ids.ts';
import { TaktlineError } from '../../support/taktline-error.ts';
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
} from '../broker.ts';
import { askedToStop, cancelReplies, endedStates, laneNumber, suspectLanes } from '../codes.ts';
import { checkText, checkTexts } from '../job-texts.ts';
import { dueOf, expiryOf, packJobs } from '../packs.ts';
import { Connection, type Script } from './connection.ts';
import { JobSearch } from './job-search.ts';
import { Keys } from './keys.ts';
import { requireLayout, requireServer } from './layout.ts';
import { packCounts } from './packed-counts.ts';
import { QueueNames } from './queue-names.ts';
import { freshClaim, separator, storedClaim } from './records.ts';
import { type Named, type Reservation, ReservedIds } from './reserved-ids.ts';
import { scripts } from './scripts.ts';
import { packSettlements } from './settling.ts';
import type { Argument, Reply } from './wire.ts';

/** A claim takes no more than this; one larger job still fits. */
const claimBytes = 4 * 1024 * 1024;
/** Entries of ended jobs, of which some are packs, that are told of a queue at once. */
const finishedAtOnce = '200';

export interface RedisBrokerOptions {
  readonly url: string;
  readonly namespace: string;
  readonly queues: readonly QueueDeclaration[];
  /** Dead letters older than this are removed. */
  readonly deadLetterTtlMs: number;
  /** Ended jobs, and dead letters, that a queue keeps at most. Default 1,000,000 and 100,000. */
  readonly endedLimit?: number;
  readonly deadLetterLimit?: number;
  /** False: the namespace has to be there. Default true. */
  readonly create?: boolean;
  /** Go on with a server that may evict keys. Default false. */
  readonly allowEviction?: boolean;
  /** How long a command may take. Default 10 s. */
  readonly timeoutMs?: number;
}

export class RedisBroker implements Broker {
  readonly #options: RedisBrokerOptions;
  readonly connection: Connection;
  readonly keys: Keys;
  readonly names: QueueNames;
  readonly reserved: ReservedIds;
  readonly search: JobSearch;
  /** By worker: how often it has asked what it misses. */
  readonly #epochs = new Map<string, number>();
  /** Workers that have joined by this broker: what they said then and that never changes, and the queues that they listen to. */
  readonly #joined = new Map<string, Omit<WorkerDescription, 'info'> & { readonly queues: readonly string[] }>();
  /** Names of queues of which ends are told. */
  readonly #kept: ReadonlySet<string>;
  #tidied = 0;
  #opening: Promise<void> | undefined;

  constructor(options: RedisBrokerOptions) {
    this.#options = options;
    this.keys = new Keys(options.namespace);
    this.connection = new Connection({
      url: options.url,
      namespace: options.namespace,
      role: 'app',
      ...(options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }),
    });
    this.names = new QueueNames(this.connection, this.keys);
    this.#kept = new Set(options.queues.filter(({ keepUntilEnd }) => keepUntilEnd === true).map(({ name }) => name));
    this.reserved = new ReservedIds(this.connection, this.keys, (ids) => this.search.there(ids));
    this.search = new JobSearch({
      run: (queue, script, args) => this.runIn(queue, script, args),
      names: this.names,
      reserved: (ids) => this.reserved.queuesOf(ids),
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
    const { namespace, create = true, allowEviction = false, queues } = this.#options;
    for (const facts of await this.connection.facts()) requireServer(facts, allowEviction);
    await requireLayout(this.connection, this.keys, namespace, create);
    if (create) await this.names.declare(queues);
  }

  async ping(): Promise<void> {
    // A node of a Cluster that is down answers to PING.
    await this.connection.command(this.keys.layout, ['EXISTS', this.keys.layout]);
  }

  async enqueue(jobs: readonly NewJob[], producer?: Producer): Promise<readonly EnqueueReply[]> {
    await this.open();
    // Before anything is sent: a batch of which one job is refused makes none.
    for (const job of jobs) checkTexts(job);
    await this.names.check(jobs.map((job) => job.queue));
    const places = jobs.flatMap((job, index) => (job.unique === undefined ? [] : [index]));
    const reservations = places.length === 0 ? [] : await this.reserved.reserve(places.map((index) => jobs[index] as Named));
    const replies: EnqueueReply[] = jobs.map(() => 'created');
    const queues: (string | undefined)[] = jobs.map(({ queue }) => queue);
    for (const [at, index] of places.entries()) {
      const { queue, holder } = reservations[at] as Reservation;
      replies[index] = holder === 'other' ? 'conflict' : 'duplicate';
      queues[index] = holder === 'own' ? queue : undefined;
    }
    for (const index of await this.#elsewhere(jobs, queues)) queues[index] = undefined;
    await Promise.all(
      [...groupBy(jobs.keys(), (index) => queues[index])].map(async ([queue, indices]) => {
        if (queue === undefined) return;
        const made = await this.#enqueueIn(
          queue,
          indices.map((index) => jobs[index] as NewJob),
          producer,
        );
        for (const [at, index] of indices.entries()) replies[index] = made[at] === true ? 'created' : 'duplicate';
      }),
    );
    return replies;
  }

  /**
   * Jobs that are sent again under an id of the engine's, to another queue than the id was made for: the places of those that
   * are in some queue already. A first enqueue that is on its way to that one yet makes no job any more.
   */
  async #elsewhere(jobs: readonly NewJob[], queues: readonly (string | undefined)[]): Promise<readonly number[]> {
    if (jobs.every(({ id, unique, queue }) => unique === undefined || !madeHere(id) || markOf(id) === queueMark(queue))) return [];
    const names = await this.names.all();
    const strays = [...jobs.keys()].flatMap((index) => {
      const { id, unique } = jobs[index] as NewJob;
      const homes = unique === undefined || queues[index] === undefined ? [] : names.filter((name) => queueMark(name) === markOf(id));
      return homes.includes(queues[index] as string) ? [] : homes.map((home) => ({ index, home, id, forMs: unique?.forMs ?? 0 }));
    });
    await Promise.all(
      [...groupBy(strays, ({ home }) => home)].map(([home, own]) =>
        this.runIn(
          home,
          scripts.resent,
          own.flatMap(({ id, forMs }) => [id, String(forMs)]),
        ),
      ),
    );
    const there = await this.search.there(strays.map(({ id }) => id));
    return strays.flatMap(({ index, id }) => (there.has(id) ? [index] : []));
  }

  /** In one step, so that the jobs keep their order. Tells of each whether it was added. */
  async #enqueueIn(queue: string, jobs: readonly NewJob[], producer: Producer | undefined): Promise<readonly boolean[]> {
    const records = packJobs(jobs);
    const kept = producer !== undefined && this.#kept.has(queue) ? '1' : '';
    const args: Argument[] = [this.publishing, kept, producer?.id ?? '', String(producer?.sequence ?? '')];
    for (const { items, first, last } of records) {
      const head = items[0] as NewJob;
      const { id, priority, unique } = head;
      args.push(
        items.length === 1 ? id : `\x1f${last},${first}`,
        String(items.length),
        String(priority),
        String(dueOf(head) ?? ''),
        String(expiryOf(head) ?? ''),
        items.map((job) => job.id).join(separator),
        items.map((job) => job.envelope).join(separator),
        unique === undefined ? '' : String(unique.forMs),
      );
    }
    const reply = (await this.runIn(queue, scripts.enqueue, args, this.#hands)) as readonly number[] | string;
    if (reply === 'known') return jobs.map(() => false);
    if (typeof reply === 'string') throw new TaktlineError('ID_CONFLICT', 'the job was enqueued again under its id');
    return records.flatMap(({ items }, index) => items.map(() => reply[index] === 1));
  }

  /** Made with the first question: what was emptied has another name then, and is declared anew. */
  async origin(): Promise<string> {
    await this.open();
    const own = randomUUID();
    const before = (await this.connection.command(this.keys.origin, ['SET', this.keys.origin, own, 'NX', 'GET'])) as string | null;
    if (before === null) await this.names.all(0);
    return before ?? own;
  }

  async finished(queues: readonly string[]): Promise<FinishedJobs> {
    await this.open();
    const groups = this.connection.together(queues.map((name) => this.keys.queue(name)));
    const told = await Promise.all(
      groups.map(async (keys) => {
        const replies = await this.connection.run(scripts.finished, keys[0] as string, keys, [finishedAtOnce]);
        return (replies as readonly (readonly string[])[]).map((found, index) => ({
          base: keys[index] as string,
          entries: pairsOf(found),
        }));
      }),
    );
    const entries = told.flat().filter((one) => one.entries.length > 0);
    return {
      ids: entries.flatMap((one) => one.entries.flatMap(([, ids]) => ids.split(separator))),
      forget: async () => {
        await Promise.all(
          entries.map(({ base, entries }) => {
            const key = `${base}:finished`;
            return this.connection.command(key, ['XDEL', key, ...entries.map(([entry]) => entry)]);
          }),
        );
      },
    };
  }

  async join(worker: WorkerDescription): Promise<string> {
    await this.open();
    // A worker that joins again may have lost its place because the server was emptied.
    await this.names.all(0);
    const { workers } = this.keys;
    const { name, leaseMs, info } = worker;
    const description = JSON.stringify({ name, leaseMs, info });
    const id = (await this.connection.run(scripts.join, workers[0], workers, [description, String(leaseMs)])) as string;
    this.#joined.set(id, { name, leaseMs, queues: [] });
    return id;
  }

  async leave(worker: string): Promise<void> {
    await this.#depart(worker, '');
    const held = await Promise.all((await this.names.all(0)).map((name) => this.runIn(name, scripts.leave, [worker])));
    if (held.every((count) => count === 0)) await this.#depart(worker, '1');
    this.#epochs.delete(worker);
    this.#joined.delete(worker);
  }

  /** @param forget `1` when it holds nothing any more */
  async #depart(worker: string, forget: '' | '1'): Promise<void> {
    const { workers, hands } = this.keys;
    await this.connection.run(scripts.depart, workers[0], [...workers, hands], [worker, forget]);
  }

  async exchange(worker: string, settlements: readonly Settlement[], request: ClaimRequest | undefined): Promise<ExchangeReply> {
    // As it is when the worker calls: what it asks later with missing() outdates this exchange.
    const epoch = String(this.#epochs.get(worker) ?? 0);
    const settling = packSettlements(settlements);
    const order =
      request === undefined ? [] : request.lowestFirst && request.lane === 'usual' ? request.queues.toReversed() : request.queues;
    await this.names.check(order);
    const accepted: boolean[] = settlements.map(() => false);
    const reply = { claims: [] as Claim[], nextDue: Number.POSITIVE_INFINITY, more: false };
    let bytes = claimBytes;
    let full = false;
    /** Settles, and claims, or with a limit of 0 says whether there is anything to claim. */
    const ask = async (queues: readonly string[], own: typeof settling, limit: number): Promise<boolean> => {
      const names = [...new Set([...queues, ...own.map(({ queue }) => queue)])];
      const numbers = new Map(names.map((name, index) => [name, String(index + 1)]));
      const hands = request === undefined ? [] : this.#hands;
      const keys = [...names.map((name) => this.keys.queue(name)), ...hands];
      const args: Argument[] = [
        worker,
        epoch,
        this.publishing,
        String(queues.length),
        String(limit),
        String(bytes),
        reply.claims.length === 0 ? '1' : '',
        String(laneNumber(request?.lane ?? 'usual')),
        request?.lowestFirst === true ? '1' : '',
        request?.idle === true ? '1' : '',
        hands.length > 0 ? String(request?.hand) : '',
        String(own.length),
      ];
      for (const group of own) {
        args.push(numbers.get(group.queue) as string);
        for (const value of group.values) args.push(value);
      }
      const [now, due, more, stopped, waiting, masks, claims] = (await this.connection.run(
        scripts.exchange,
        keys[0] as string,
        keys,
        args,
      )) as ExchangeAnswer;
      for (const [index, group] of own.entries()) {
        for (const [at, ok] of group.accepted(masks[index] as string).entries()) accepted[group.places[at] as number] = ok;
      }
      for (const [number, id, at, runs, ...raws] of claims) {
        reply.claims.push(freshClaim(id, request?.lane ?? 'usual', names[number - 1] as string, at, runs, raws));
        for (const raw of raws) bytes -= raw.length;
      }
      if (due !== '') reply.nextDue = Math.min(reply.nextDue, Number(due) - Number(now));
      if (more === 1) reply.more = true;
      full = full || stopped === 1 || bytes <= 0;
      return waiting === 1;
    };
    const limit = request?.limit ?? 0;
    if (this.connection.clustered) {
      // Looks at all queues at once, and claims from the first. From the others that have something it claims one after the
      // other, for a claim must not be larger than wanted.
      const [first] = order;
      const bySettled = groupBy(settling, ({ queue }) => queue);
      const names = [...new Set([...order, ...bySettled.keys()])];
      const waits = await Promise.all(
        names.map((queue, index) => ask(index < order.length ? [queue] : [], bySettled.get(queue) ?? [], queue === first ? limit : 0)),
      );
      for (const queue of order.filter((_, index) => waits[index])) {
        const left = limit - reply.claims.reduce((sum, { jobs }) => sum + jobs.length, 0);
        if (left <= 0 || full) break;
        await ask([queue], [], left);
      }
    } else if (order.length > 0 || settling.length > 0) await ask(order, settling, limit);
    return {
      accepted,
      claims: reply.claims,
      nextDueInMs: Number.isFinite(reply.nextDue) ? Math.max(0, reply.nextDue) : undefined,
      more: reply.more && reply.claims.length === 0,
    };
  }

  async pulse(worker: string, queues: readonly string[], { progress = [], counted }: Told): Promise<Pulse> {
    const told = new Map<string, { readonly queue: string; readonly claim: string; readonly values: Record<string, string> }>();
    for (const { job, value } of progress) {
      const key = `${job.queue} ${job.claim}`;
      const entry = told.get(key) ?? { queue: job.queue, claim: job.claim, values: {} };
      told.set(key, entry);
      checkText(value, 'a progress');
      entry.values[job.position] = value;
    }
    const names = [...new Set([...queues, ...[...told.values()].map(({ queue }) => queue)])];
    await this.names.check(names);
    // Everything in one call, where it shares a server.
    const groups = this.connection.clustered ? [[], ...names.map((name) => [name])] : [names];
    const answers = await Promise.all(
      groups.map((group, index) => {
        const { workers, requests, watched, counts } = this.keys;
        const keys = [...group.map((name) => this.keys.queue(name)), ...(index === 0 ? [...workers, requests, watched, counts] : [])];
        const counting = index === 0 && counted !== undefined ? [String(counted.number), packCounts(counted.counts)] : ['', ''];
        const args = [...told.values()]
          .filter(({ queue }) => group.includes(queue))
          .flatMap(({ queue, claim, values }) => [String(group.indexOf(queue) + 1), claim, JSON.stringify(values)]);
        return this.connection.run(scripts.pulse, keys[0] as string, keys, [
          worker,
          String(group.length),
          ...counting,
          ...args,
        ]) as Promise<PulseAnswer>;
      }),
    );
    const lanes = answers.reduce((bits, [, more]) => bits | more, 0);
    return {
      alive: answers.every(([gone]) => gone === 0),
      cancelled: answers.flatMap(([, , , , , , ...asked]) => askedToStop(asked)),
      suspects: suspectLanes(lanes),
      lostWorkers: answers.some(([, , lost]) => lost === 1),
      held: answers.reduce((sum, [, , , held]) => sum + held, 0),
      requests: answers.flatMap(([, , , , asked]) => pairsOf(asked).map(([id, body]) => ({ id, body }))),
      watched: answers.some(([, , , , , watched]) => watched === 1),
    };
  }

  async announce(worker: string, info: WorkerDescription['info']): Promise<void> {
    const joined = this.#joined.get(worker);
    if (joined === undefined) return;
    const [, descriptions] = this.keys.workers;
    await this.connection.run(
      scripts.announce,
      descriptions,
      [descriptions],
      [worker, JSON.stringify({ name: joined.name, leaseMs: joined.leaseMs, info })],
    );
  }

  async backlog(queues: readonly string[]): Promise<Backlog> {
    const answers = await Promise.all(
      this.connection
        .together(queues.map((name) => this.keys.queue(name)))
        .map((keys) => this.connection.run(scripts.backlog, keys[0] as string, keys, []) as Promise<readonly [number, string]>),
    );
    const waits = answers.flatMap(([, longest]) => (longest === '' ? [] : [Number(longest)]));
    return {
      waiting: answers.reduce((sum, [waiting]) => sum + waiting, 0),
      oldestWaitMs: waits.length === 0 ? undefined : Math.max(...waits),
    };
  }

  async answer(worker: string, request: string, body: string): Promise<void> {
    const [, descriptions] = this.keys.workers;
    await this.connection.run(scripts.answer, descriptions, [descriptions, this.keys.requests], [worker, request, body]);
  }

  async publish(events: readonly string[]): Promise<void> {
    // Sent in one turn, they travel together.
    await Promise.all(events.map((text) => this.connection.command(this.keys.events, [this.publishing, this.keys.events, text])));
  }

  async describe(tasks: readonly { readonly name: string; readonly description: string }[]): Promise<void> {
    if (tasks.length === 0) return;
    await this.open();
    const { catalogue } = this.keys;
    await this.connection.run(
      scripts.describe,
      catalogue,
      [catalogue],
      tasks.flatMap(({ name, description }) => [name, description]),
    );
  }

  async missing(worker: string, known: readonly string[]): Promise<readonly Claim[]> {
    const epoch = (this.#epochs.get(worker) ?? 0) + 1;
    this.#epochs.set(worker, epoch);
    const names = await this.names.all();
    const replies = await Promise.all(
      names.map((name) => this.runIn(name, scripts.missing, [worker, String(epoch), ...known]) as Promise<readonly StoredAnswer[]>),
    );
    return replies.flatMap((claims, index) => claims.map(([id, raw, ...raws]) => storedClaim(id, raw, names[index] as string, raws)));
  }

  async recover(worker: string): Promise<readonly Claim[]> {
    const { workers } = this.keys;
    const lost = (await this.connection.run(scripts.lost, workers[0], workers, [worker])) as readonly (readonly [string, string])[];
    if (lost.length === 0) return [];
    // A queue that is left out would keep for good what the lost worker held of it.
    const names = await this.names.all(0);
    const claims: Claim[] = [];
    for (const [id, description] of lost) {
      const { name = '' } = JSON.parse(description) as { name?: string };
      let left = 0;
      const steps = await Promise.allSettled(
        names.map(async (queue) => {
          const [more, ...found] = (await this.runIn(queue, scripts.recover, [id, name, worker])) as readonly [number, ...StoredAnswer[]];
          left += more;
          for (const [claim, raw, ...raws] of found) claims.push(storedClaim(claim, raw, queue, raws));
        }),
      );
      // Not before the last of them is over: who failed asks what it holds, and has to find all of it.
      for (const step of steps) if (step.status === 'rejected') throw step.reason;
      if (left === 0) await this.#depart(id, '1');
    }
    return claims;
  }

  async tidy(): Promise<boolean> {
    const { deadLetterTtlMs, endedLimit = 1_000_000, deadLetterLimit = 100_000 } = this.#options;
    // A queue that an app has declared since is looked after by that app's workers.
    const queues = (await this.names.all(60_000)).map((name) => this.keys.queue(name));
    const first = this.#tidied++ % Math.max(1, queues.length);
    const limits = [deadLetterTtlMs, endedLimit, deadLetterLimit].map(String);
    const tidied = await Promise.all(
      this.connection
        .together([...queues.slice(first), ...queues.slice(0, first)])
        .map((keys) => this.connection.run(scripts.tidy, keys[0] as string, keys, limits) as Promise<TidyAnswer>),
    );
    const holders = new Set(tidied.flatMap(([, ...workers]) => workers));
    if (holders.size > 0) await this.connection.run(scripts.orphans, this.keys.workers[0], this.keys.workers, [...holders]);
    return (await this.reserved.tidy()) || tidied.some(([more]) => more === 1);
  }

  heartbeat(worker: string, leaseMs: number): HeartbeatSpec {
    return {
      module: new URL('./redis-heartbeat.js', import.meta.url).href,
      options: { url: this.#options.url, namespace: this.#options.namespace, worker, leaseMs },
    };
  }

  async listen(queues: readonly string[], listener: WakeListener, worker?: string): Promise<() => Promise<void>> {
    await this.ping();
    const doubt = () => listener.doubt?.();
    const own = worker === undefined ? undefined : this.keys.hand(worker);
    const stop = await this.connection.subscribe({
      channels: [...queues.map((name) => this.keys.channel(name)), ...(own === undefined ? [] : [own])],
      message: (channel, payload) => {
        if (channel === own && payload !== 'w') listener.handed?.(this.#handed(payload));
        else if (channel === own) listener.attention(worker as string);
        else if (payload.startsWith('w')) listener.attention(payload.slice(1));
        else listener.jobs();
      },
      missed: () => listener.jobs(),
    });
    if (worker !== undefined) await this.#listens(worker, queues);
    // Also when the connection that listens was: what it was handed meanwhile it has not heard.
    this.connection.replaced.add(doubt);
    return async () => {
      this.connection.replaced.delete(doubt);
      await stop();
    };
  }

  /** What a worker is handed; see hand() in scripts/prelude.lua. */
  #handed(payload: string): Claim {
    const [base, id, at, runs, ...raws] = JSON.parse(payload) as [string, string, string, string, ...string[]];
    return freshClaim(id, 'usual', this.keys.queueNamed(base), at, runs, raws);
  }

  /** A worker that takes no more jobs of a queue must not sleep there: it would be handed some. */
  async #listens(worker: string, queues: readonly string[]): Promise<void> {
    const joined = this.#joined.get(worker);
    const left = (joined?.queues ?? []).filter((name) => !queues.includes(name)).map((name) => `${this.keys.queue(name)}:idle`);
    if (joined !== undefined) this.#joined.set(worker, { ...joined, queues });
    await Promise.all(left.map((key) => this.connection.command(key, ['SREM', key, worker])));
  }

  async cancel(ids: readonly string[]): Promise<readonly CancelReply[]> {
    await this.open();
    const replies: CancelReply[] = ids.map(() => 'unknown');
    await this.search.each(ids, async (queue, indices) => {
      const known: number[] = [];
      for (let left = indices; left.length > 0; ) {
        const asked = left.map((index) => ids[index] as string);
        const answers = (await this.runIn(queue, scripts.cancel, [this.publishing, ...asked])) as readonly string[];
        for (const [at, index] of left.entries()) {
          const reply = cancelReplies.get(answers[at] as string);
          if (reply === undefined) continue;
          replies[index] = reply;
          known.push(index);
        }
        left = left.filter((_, at) => answers[at] === 'l');
      }
      return known;
    });
    return replies;
  }

  async ended(ids: readonly string[]): Promise<readonly EndedJob[]> {
    await this.open();
    return (await this.search.find('e', ids)).map(({ id, fields }) => ({
      id,
      state: stateOf(fields[0] as string) as EndedJob['state'],
      result: fields[5] === '' ? undefined : fields[5],
      past: fields[4] === '' ? undefined : fields[4],
    }));
  }

  async states(ids: readonly string[]): ReturnType<Broker['states']> {
    await this.open();
    const found = new Map((await this.search.find('s', ids)).map(({ id, fields }) => [id, stateOf(fields[0] as string)]));
    return ids.map((id) => found.get(id)) as Awaited<ReturnType<Broker['states']>>;
  }

  close(): Promise<void> {
    return this.connection.close();
  }

  /** Runs a script on one queue. @param also other keys that it is given */
  runIn(queue: string, script: Script, args: readonly Argument[], also: readonly string[] = []): Promise<Reply> {
    const base = this.keys.queue(queue);
    return this.connection.run(script, base, [base, ...also], args);
  }

  /**
   * The key of the hands, for scripts that hand jobs over. Not on a Cluster: no script could see there that who is handed jobs of
   * one queue has not got any of another.
   */
  get #hands(): readonly string[] {
    return this.connection.clustered ? [] : [this.keys.hands];
  }

  /** The command that publishes: scripts wake workers by it. */
  get publishing(): string {
    return this.connection.clustered ? 'SPUBLISH' : 'PUBLISH';
  }
}

type ExchangeAnswer = readonly [
  now: string,
  due: string,
  more: number,
  stopped: number,
  waiting: number,
  masks: readonly string[],
  claims: readonly (readonly [number: number, id: string, now: string, runs: string, ...raws: string[]])[],
];
type PulseAnswer = readonly [
  gone: number,
  lanes: number,
  lost: number,
  held: number,
  asked: readonly string[],
  watched: number,
  ...cancels: string[],
];
type TidyAnswer = readonly [more: number, ...holders: string[]];
type StoredAnswer = readonly [id: string, claim: string, ...raws: string[]];

function pairsOf(flat: readonly string[]): (readonly [string, string])[] {
  return Array.from({ length: flat.length / 2 }, (_, index) => [flat[2 * index] as string, flat[2 * index + 1] as string]);
}

export function stateOf(code: string): string {
  return endedStates.get(code) ?? code;
}
