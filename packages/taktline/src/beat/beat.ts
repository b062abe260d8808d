/**
 * The scheduler. Of all beats one leads: about once a second it renews its lead, and enqueues what has become due. For each
 * tick there is one job, whatever is killed, frozen or wrong about the time:
 *
 *   1. the leader writes, under its fence, how far it has come and which ticks it is about to run (pending)
 *   2. it enqueues their jobs, whose ids name schedule and tick, so that a second enqueue makes none
 *   3. it writes that they are not pending any more
 *
 * Whoever takes over does 2 and 3 for what it finds pending. A leader that was frozen and comes back can write nothing under
 * its old fence; what it enqueues is there already. All times are the broker's.
 */
import { randomUUID } from 'node:crypto';
import type { Broker, NewJob } from '../broker/broker.ts';
import type { Lead, NewSchedule, StateChange, StoredSchedule, Timetable } from '../broker/timetable.ts';
import type { Health } from '../support/health-server.ts';
import type { Logger } from '../support/logger.ts';
import { messageOf } from '../support/message-of.ts';
import { Periodic } from '../support/periodic.ts';
import { TaktlineError } from '../support/taktline-error.ts';
import { dueTicks } from './due-ticks.ts';
import { type Progress, readDefinition, readProgress, type ScheduleDefinition, tickId, timingChanged } from './schedule.ts';
import { type Ticks, ticksOf } from './ticks.ts';

export interface BeatOptions {
  readonly broker: () => Promise<Broker>;
  readonly timetable: () => Promise<Timetable>;
  /** Schedules of the app's code, put when the beat starts. */
  readonly declared: () => Promise<readonly NewSchedule[]>;
  /** Those of the code that are not declared any more are removed. */
  readonly removeVanished: boolean;
  readonly leaseMs: number;
  readonly logger: Logger;
}

const turnMs = 1_000;
/** A tick's id is known for so long. What was pending before is given up: nobody could tell any more whether its job was made. */
const knownMs = 7 * 86_400_000;
const forgottenMs = 6 * 86_400_000;
const shownGiven = 20;
const refusals: ReadonlySet<string> = new Set(['UNKNOWN_QUEUE', 'INVALID_INPUT', 'INVALID_OPTION', 'PAYLOAD_TOO_LARGE']);
/** With `queue`: one that runs, and one that waits. */
const overlapOpen = 2;
/** What somebody put to run once stays in the list for so long after it has. */
const shownMs = 7 * 86_400_000;

interface Entry {
  readonly stored: StoredSchedule;
  readonly definition: ScheduleDefinition;
  readonly ticks: Ticks;
  progress: Progress;
  /** Undefined when none comes any more. */
  next: number | undefined;
}

export class Beat {
  readonly #options: BeatOptions;
  readonly #id = randomUUID();
  readonly #turns: Periodic;
  #entries = new Map<string, Entry>();
  #fence: string | undefined;
  #changes = -1;
  #wake: NodeJS.Timeout | undefined;
  #starting: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;
  #turnedAt = performance.now();

  constructor(options: BeatOptions) {
    this.#options = options;
    const failed = (error: unknown, inARow: number): void => {
      // What it knew may be outdated when it is answered again.
      this.#changes = -1;
      options.logger[inARow === 1 ? 'warn' : 'debug']('the beat could not look at its schedules; trying again', {
        error: messageOf(error),
      });
    };
    this.#turns = new Periodic({ everyMs: turnMs, run: () => this.#turn(), failed });
  }

  /** Whether it comes round: about once a second. It is not live when it has not for as long as two leases. */
  health(): Health {
    const stalledMs = Math.max(0, Math.round(performance.now() - this.#turnedAt) - turnMs);
    return { live: stalledMs <= 2 * this.#options.leaseMs, stalledMs };
  }

  /** Whether this one enqueues, and not another. */
  get leads(): boolean {
    return this.#fence !== undefined;
  }

  /** Puts the schedules of the code, and begins. Safe to call twice. @throws TaktlineError when the broker cannot be reached */
  start(): Promise<void> {
    if (this.#stopping !== undefined) return Promise.reject(new TaktlineError('BROKER_CLOSED', 'the beat was stopped; make a new one'));
    this.#starting ??= this.#start().catch((error: unknown) => {
      this.#starting = undefined;
      throw error;
    });
    return this.#starting;
  }

  /** Ends, and lets another beat lead at once. Safe to call twice. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #start(): Promise<void> {
    const { removeVanished, logger } = this.#options;
    const declared = await this.#options.declared();
    const timetable = await this.#options.timetable();
    await timetable.put(declared);
    if (removeVanished) {
      const names = new Set(declared.map(({ name }) => name));
      const gone = (await timetable.schedules())
        .filter(({ name, source }) => source === 'code' && !names.has(name))
        .map(({ name }) => name);
      if (gone.length > 0) {
        await timetable.remove(gone);
        logger.info('schedules that the code does not have any more are removed', { schedules: gone });
      }
    }
    logger.info('beat started', { schedules: declared.length });
    this.#turns.start();
    this.#turns.now();
  }

  async #stop(): Promise<void> {
    await this.#starting?.catch(() => undefined);
    clearTimeout(this.#wake);
    await this.#turns.stop();
    if (this.#fence !== undefined) await (await this.#options.timetable()).resign(this.#id).catch(() => undefined);
    this.#fence = undefined;
    this.#options.logger.info('beat stopped');
  }

  async #turn(): Promise<void> {
    const timetable = await this.#options.timetable();
    const asked = performance.now();
    const lead = await timetable.lead(this.#id, this.#options.leaseMs);
    this.#turnedAt = performance.now();
    await this.#follow(timetable, lead);
    if (this.#fence === undefined) return;
    await this.#run(timetable, lead.now);
    // The next tick may come before the next turn.
    const next = Math.min(...[...this.#entries.values()].map((entry) => (entry.stored.paused ? Infinity : (entry.next ?? Infinity))));
    const inMs = next - lead.now - (performance.now() - asked);
    clearTimeout(this.#wake);
    if (inMs < turnMs) this.#wake = setTimeout(() => this.#turns.now(), Math.max(1, inMs));
  }

  /** Begins or ends to lead, and learns what was put since. */
  async #follow(timetable: Timetable, { fence, now, changes }: Lead): Promise<void> {
    if (fence !== this.#fence) {
      const { logger } = this.#options;
      if (fence === undefined) logger.warn('another beat leads now');
      else logger.info('this beat leads', { fence });
      this.#changes = -1;
    }
    this.#fence = fence;
    if (fence === undefined || changes === this.#changes) return;
    const entries = new Map<string, Entry>();
    for (const stored of await timetable.schedules()) {
      const definition = readDefinition(stored);
      try {
        if (definition === undefined) throw new TaktlineError('INVALID_OPTION', 'it was put by another release');
        const ticks = ticksOf(definition.timing);
        const progress = readProgress(stored, definition.timing, now);
        entries.set(stored.name, { stored, definition, ticks, progress, next: ticks.next(progress.after) });
      } catch (error) {
        this.#options.logger.error('a schedule cannot be read and does not run', {
          schedule: stored.name,
          error: messageOf(error),
        });
      }
    }
    this.#entries = entries;
    this.#changes = changes;
    // From now on by the new timing, also when this beat ends before the next tick.
    const changed = [...entries.values()].filter(({ stored, definition }) => timingChanged(stored, definition.timing));
    await this.#write(
      timetable,
      changed.map((entry) => [entry, entry.progress] as const),
    );
    const over = [...entries.values()].filter((entry) => isOver(entry, now)).map(({ stored }) => stored.name);
    if (over.length > 0) await timetable.remove(over);
  }

  /** Decides, writes, enqueues, and writes that it did. */
  async #run(timetable: Timetable, now: number): Promise<void> {
    const left = [...this.#entries.values()].filter(({ progress }) => progress.pending.length > 0);
    const due = [...this.#entries.values()].filter(
      ({ stored, next, progress }) => !stored.paused && progress.pending.length === 0 && next !== undefined && next <= now,
    );
    await this.#lookAfter(due);
    const decided = await this.#write(
      timetable,
      due.map((entry) => [entry, decide(entry, now)] as const),
    );
    const running = [...left, ...decided];
    if (running.length === 0) return;
    const refused = await this.#enqueue(running, now);
    await this.#write(
      timetable,
      running.map((entry) => [entry, enqueued(entry, refused, now)] as const),
    );
    for (const { stored, progress } of running) {
      this.#options.logger.debug('ran a schedule', { schedule: stored.name, due: progress.last?.due, job: progress.last?.job });
    }
  }

  /** Which jobs of earlier ticks have not ended, where that matters. */
  async #lookAfter(due: readonly Entry[]): Promise<void> {
    const ids = due.flatMap(({ progress }) => progress.open);
    if (ids.length === 0) return;
    const states = await (await this.#options.broker()).states(ids);
    const open = new Set(ids.filter((_, index) => ['queued', 'scheduled', 'retrying', 'running'].includes(states[index] ?? '')));
    for (const entry of due) entry.progress = { ...entry.progress, open: entry.progress.open.filter((id) => open.has(id)) };
  }

  /** @returns the entries that are written; the others were changed meanwhile, or another beat leads */
  async #write(timetable: Timetable, changes: readonly (readonly [Entry, Progress])[]): Promise<readonly Entry[]> {
    if (changes.length === 0 || this.#fence === undefined) return [];
    const rows = changes.map(
      ([{ stored }, progress]): StateChange => ({ name: stored.name, version: stored.version, state: JSON.stringify(progress) }),
    );
    const written = await timetable.advance(this.#fence, rows);
    if (written.includes(false)) this.#changes = -1;
    return changes.flatMap(([entry, progress], index) => {
      if (written[index] !== true) return [];
      entry.progress = progress;
      entry.next = entry.ticks.next(progress.after);
      return [entry];
    });
  }

  /** All in one batch; when the broker refuses one of them, one by one. @returns schedules whose jobs were refused */
  async #enqueue(entries: readonly Entry[], now: number): Promise<ReadonlySet<Entry>> {
    const broker = await this.#options.broker();
    const jobs = (entry: Entry) => entry.progress.pending.filter((due) => now - due < forgottenMs).map((due) => jobOf(entry, due));
    const refused = new Set<Entry>();
    try {
      const all = entries.flatMap(jobs);
      if (all.length > 0) await broker.enqueue(all);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      for (const entry of entries) {
        try {
          await broker.enqueue(jobs(entry));
        } catch (cause) {
          if (!isRefusal(cause)) throw cause;
          refused.add(entry);
          this.#options.logger.error('the job of a schedule was refused', {
            schedule: entry.stored.name,
            code: cause.code,
            error: cause.message,
          });
        }
      }
    }
    return refused;
  }
}

/** Somebody put it to run once, and it has, long ago. */
function isOver({ stored, next, progress, definition: { timing } }: Entry, now: number): boolean {
  return stored.source === 'person' && 'at' in timing && next === undefined && progress.pending.length === 0 && now - timing.at > shownMs;
}

/** The broker does not take this job, however often it is sent. All else is tried again with the next turn. */
function isRefusal(error: unknown): error is TaktlineError {
  return error instanceof TaktlineError && refusals.has(error.code);
}

function jobOf({ stored, definition }: Entry, due: number): NewJob {
  const { queue, priority, envelope, fingerprint, expiresInMs } = definition;
  const id = tickId(stored.name, due);
  return { id, queue, priority, envelope, unique: { fingerprint, forMs: knownMs }, ...(expiresInMs === undefined ? {} : { expiresInMs }) };
}

/** What is to be written before anything is enqueued. */
function decide({ ticks, definition, progress }: Entry, now: number): Progress {
  const { run, missed, newestMissed } = dueTicks(ticks, definition.catchUp, progress.after, now);
  const room =
    definition.overlap === 'allow' ? run.length : Math.max(0, (definition.overlap === 'skip' ? 1 : overlapOpen) - progress.open.length);
  const kept = run.slice(0, room);
  const skipped = run.slice(room);
  return {
    ...progress,
    after: now,
    missed: progress.missed + missed,
    skipped: progress.skipped + skipped.length,
    pending: kept,
    given: [
      ...skipped.toReversed().map((due) => ({ due, why: 'overlap' as const })),
      ...newestMissed.map((due) => ({ due, why: 'late' as const })),
      ...progress.given,
    ].slice(0, shownGiven),
  };
}

/** What is to be written when the pending jobs are enqueued. */
function enqueued(entry: Entry, refused: ReadonlySet<Entry>, now: number): Progress {
  const { stored, definition, progress } = entry;
  const gone = (due: number) => refused.has(entry) || now - due >= forgottenMs;
  const made = progress.pending.filter((due) => !gone(due));
  const lost = progress.pending.filter(gone);
  const newest = made.at(-1);
  return {
    ...progress,
    pending: [],
    runs: progress.runs + made.length,
    missed: progress.missed + lost.length,
    ...(newest === undefined ? {} : { last: { due: newest, job: tickId(stored.name, newest) } }),
    open: definition.overlap === 'allow' ? [] : [...progress.open, ...made.map((due) => tickId(stored.name, due))],
    given: [...lost.map((due) => ({ due, why: 'refused' as const })), ...progress.given].slice(0, shownGiven),
  };
}
