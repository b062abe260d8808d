/**
 * Moves the jobs that wait, are scheduled or are dead from one broker to another: page by page they are read at the source,
 * adopted by the target and removed from the source. Each of these steps may be repeated, so whatever ends it, the next call
 * goes on: a job that stands in both for that time is found at the target by its id, and only removed.
 *
 * No worker may live at the source meanwhile, since it could run a job that the target has adopted.
 */
import type { AdoptedJob, AdoptReply } from '../broker/adopted-job.ts';
import type { Inspector, QueueCounts, WorkerRecord } from '../broker/inspector.ts';
import { type OpenedBroker, openBroker } from '../broker/open-broker.ts';
import { checkSchemaName } from '../support/schema-name.ts';
import { TaktlineError } from '../support/taktline-error.ts';
import { JobPages, type MovedState, movedStates } from './job-pages.ts';
import { checkedUrl, defaults } from './settings.ts';
import { livingWorkers, requireNoWorkers, Visit } from './visit.ts';

/** How long leases of lost workers are waited for. */
const patienceMs = 10 * 60_000;

export interface Place {
  readonly url: string;
  readonly namespace: string;
}

export interface MigrationSteps {
  /** Ends it after the page that is under way. */
  readonly signal?: AbortSignal;
  /** Told after each page, with the count so far. */
  readonly onProgress?: (done: number) => void;
  /** Told when leases of lost workers have to run out first: how many jobs they hold. */
  readonly onWait?: (jobs: number) => void;
}

/** What became of the jobs of a queue that stood so. */
export interface MovedCount {
  readonly queue: string;
  readonly state: MovedState;
  /** Put at the target, and removed from the source. */
  readonly moved: number;
  /** Only removed from the source: the target had them. */
  readonly there: number;
  /** Still at the source; `kept` has the reasons. */
  readonly kept: number;
}

/** A job that could not be moved. */
export interface KeptJob {
  readonly id: string;
  readonly queue: string;
  readonly state: MovedState;
  readonly reason: string;
}

export interface MigrationReport {
  readonly counts: readonly MovedCount[];
  readonly kept: readonly KeptJob[];
  /** Ids of jobs that a worker took at the source while they were moved, and another one at the target. */
  readonly twice: readonly string[];
  /** Jobs that run at the source still. */
  readonly running: number;
  /** The signal came before the end. */
  readonly interrupted: boolean;
}

interface Refusal {
  readonly refused: string;
}

interface Tally {
  readonly queue: string;
  readonly state: MovedState;
  moved: number;
  there: number;
}

export class Migration {
  readonly #source: OpenedBroker;
  readonly #to: Place;
  readonly #counts = new Map<string, Tally>();
  readonly #kept = new Map<string, KeptJob>();
  readonly #twice: string[] = [];
  #target: OpenedBroker | undefined;

  private constructor(source: OpenedBroker, to: Place) {
    this.#source = source;
    this.#to = to;
  }

  /**
   * Opens the source, which has to be there.
   *
   * @throws TaktlineError `BROKER_URL`, `INVALID_OPTION` when both are one place
   */
  static async open(from: Place, to: Place): Promise<Migration> {
    for (const [place, name] of [[from, '--from'] as const, [to, '--to'] as const]) {
      checkedUrl(place.url, name);
      checkSchemaName(place.namespace, 'namespace');
    }
    if (from.url === to.url && from.namespace === to.namespace) throw onePlace();
    return new Migration(await openBroker({ ...options(from), create: false }), to);
  }

  /** The source, without user and password. */
  get where(): string {
    return this.#source.where;
  }

  queues(): Promise<readonly QueueCounts[]> {
    return this.#source.inspector.queues();
  }

  /** Workers that have to be stopped first. */
  async workers(): Promise<readonly WorkerRecord[]> {
    return livingWorkers(await this.#source.inspector.workers());
  }

  /**
   * Moves until nothing is left to move. What has been moved when it throws is in `report()`; called again, it goes on.
   *
   * @throws TaktlineError `BROKER_IN_USE` when workers live at the source, `INVALID_OPTION` when both are one place
   */
  async run(steps: MigrationSteps = {}): Promise<MigrationReport> {
    await requireNoWorkers(this.#source.inspector);
    this.#target ??= await openBroker(options(this.#to));
    for (let done = -1; done < this.#done && steps.signal?.aborted !== true; ) {
      done = this.#done;
      await this.#visit(steps);
      await this.#pass(steps);
    }
    return this.report(steps.signal?.aborted === true);
  }

  async report(interrupted = false): Promise<MigrationReport> {
    const queues = await this.queues();
    return {
      counts: [...this.#counts.values()].map(({ queue, state, moved, there }) => {
        const kept = [...this.#kept.values()].filter((job) => job.queue === queue && job.state === state).length;
        return { queue, state, moved, there, kept };
      }),
      kept: [...this.#kept.values()],
      twice: this.#twice,
      running: queues.reduce((sum, { running }) => sum + running, 0),
      interrupted,
    };
  }

  async close(): Promise<void> {
    await Promise.all([this.#source.close(), this.#target?.close()]);
  }

  get #done(): number {
    return [...this.#counts.values()].reduce((sum, { moved, there }) => sum + moved + there, 0);
  }

  get #adopter(): Inspector {
    if (this.#target === undefined) throw new TaktlineError('BROKER_CLOSED', 'the target is not open');
    return this.#target.inspector;
  }

  async #visit({ signal, onWait }: MigrationSteps): Promise<void> {
    const visit = await Visit.begin(this.#source);
    try {
      if (await visit.seenFrom(this.#adopter)) throw onePlace();
      await visit.takeOver({ signal, onWait, patienceMs });
    } finally {
      await visit.end();
    }
  }

  /** Everything that is there now, once. */
  async #pass({ signal, onProgress }: MigrationSteps): Promise<void> {
    const { inspector } = this.#source;
    const pages = new JobPages(inspector);
    // Kept jobs, and those that did not go: they are looked at again in the next pass, if there is one.
    const passed = new Set<string>();
    for (const { name, priority, ready, scheduled, dead } of await inspector.queues()) {
      if (ready + scheduled + dead === 0) continue;
      await this.#declare(name, priority);
      for (const state of movedStates) {
        for (;;) {
          if (signal?.aborted === true) return;
          await requireNoWorkers(inspector);
          const page = await pages.first(name, state, passed);
          if (page.length === 0) break;
          for (const id of await this.#move(page, name, state)) passed.add(id);
          onProgress?.(this.#done);
        }
      }
    }
  }

  /** Makes the queue known at the target, where no app has declared it yet. */
  async #declare(name: string, priority: number): Promise<void> {
    if ((await this.#adopter.queues()).some((queue) => queue.name === name)) return;
    const declaring = await openBroker({ ...options(this.#to), queues: [{ name, priority }] });
    await declaring.close();
  }

  /** @returns the ids of those that are still at the source */
  async #move(page: readonly AdoptedJob[], queue: string, state: MovedState): Promise<readonly string[]> {
    const replies = await this.#adopt(page);
    const accepted = page.filter(({ id }) => replies.get(id) === 'adopted' || replies.get(id) === 'there').map(({ id }) => id);
    const gone = new Set(accepted.length === 0 ? [] : await this.#source.inspector.remove(accepted));
    const tally = this.#tally(queue, state);
    for (const id of gone) {
      if (replies.get(id) === 'adopted') tally.moved += 1;
      else tally.there += 1;
      this.#kept.delete(id);
    }
    for (const [id, reply] of replies) {
      if (reply === 'adopted' || reply === 'there') continue;
      this.#kept.set(id, { id, queue, state, reason: reply === 'conflict' ? 'its id belongs to other work at the target' : reply.refused });
    }
    const stayed = accepted.filter((id) => !gone.has(id));
    await this.#takeBack(stayed.filter((id) => replies.get(id) === 'adopted'));
    return page.map(({ id }) => id).filter((id) => !gone.has(id));
  }

  /** What the target said of each, or why it refused it. One job that it refuses does not keep the others here. */
  async #adopt(jobs: readonly AdoptedJob[]): Promise<ReadonlyMap<string, AdoptReply | Refusal>> {
    try {
      const replies = await this.#adopter.adopt(jobs);
      return new Map(jobs.map(({ id }, index) => [id, replies[index] as AdoptReply]));
    } catch (error) {
      if (!(error instanceof TaktlineError) || error.code !== 'INVALID_INPUT') throw error;
      const [first] = jobs as readonly [AdoptedJob, ...AdoptedJob[]];
      if (jobs.length === 1) return new Map([[first.id, { refused: error.message }]]);
      const half = Math.ceil(jobs.length / 2);
      return new Map([...(await this.#adopt(jobs.slice(0, half))), ...(await this.#adopt(jobs.slice(half)))]);
    }
  }

  /**
   * Jobs that could not be removed here after the target had adopted them: a worker has come and taken them, or somebody has
   * cancelled them. They are what they are here, so they leave the target again. Those that another migration removed stay.
   */
  async #takeBack(ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return;
    const states = await this.#source.broker.states(ids);
    const here = ids.filter((_, index) => ['running', 'succeeded', 'cancelled', 'expired'].includes(states[index] ?? ''));
    if (here.length === 0) return;
    const back = new Set(await this.#adopter.remove(here));
    this.#twice.push(...here.filter((id) => !back.has(id)));
  }

  #tally(queue: string, state: MovedState): Tally {
    const key = `${queue} ${state}`;
    const tally = this.#counts.get(key) ?? { queue, state, moved: 0, there: 0 };
    this.#counts.set(key, tally);
    return tally;
  }
}

function options({ url, namespace }: Place) {
  return { url, namespace, queues: [], deadLetterTtlMs: defaults.deadLetterTtlMs };
}

function onePlace(): TaktlineError {
  return new TaktlineError('INVALID_OPTION', 'source and target are one place: give another --to, or --to-namespace');
}
