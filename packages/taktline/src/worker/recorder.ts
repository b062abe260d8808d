/**
 * Counts what this worker's jobs came to, by task, queue and outcome, with histograms of how long they waited and ran. The
 * counts leave with the pulse, about once a second; what is on its way stays here under its number until it has arrived, so
 * that an outage loses none and a lost reply counts none twice.
 */
import type { JobCount, Settlement, Told } from '../broker/broker.ts';
import { bucketOf, buckets, type Histogram } from '../support/histogram.ts';
import { decodePast } from '../task/job.ts';
import type { Ran } from './pools/pool.ts';

/** What the attempts of jobs come to. `lost`: their worker was; told by the one that took them over. */
export const outcomes = ['succeeded', 'retried', 'failed', 'deferred', 'cancelled', 'handed-back', 'unknown-task', 'lost'] as const;
export type Outcome = (typeof outcomes)[number];

interface Tally {
  readonly task: string;
  readonly queue: string;
  readonly outcome: Outcome;
  count: number;
  readonly waited: Uint32Array;
  readonly ran: Uint32Array;
}

export class Recorder {
  /** By outcome, queue and task: maps and not one key of three parts, which each job would have to join. */
  #tallies = new Map<string, Map<string, Map<Outcome, Tally>>>();
  /** The one that counted last: most often it counts the next one too. */
  #last: Tally | undefined;
  /** Without those that the tallies have. */
  readonly #before = new Map<string, number>();
  #total = 0;
  #number = 0;
  #underway: Told['counted'];

  /** Attempts that have ended here, by task. */
  finished(): ReadonlyMap<string, number> {
    const finished = new Map(this.#before);
    for (const tally of this.#all()) count(finished, tally);
    return finished;
  }

  get total(): number {
    return this.#total;
  }

  settled(settlement: Settlement, ran: Ran): Outcome {
    const outcome = outcomeOf(settlement, ran.task);
    const { queue, readyAt } = settlement.job;
    const last = this.#last;
    const same = last !== undefined && last.task === ran.task && last.queue === queue && last.outcome === outcome;
    const tally = same ? last : this.#tally(ran.task, queue, outcome);
    this.#last = tally;
    tally.count += 1;
    add(tally.waited, ran.startedAt - readyAt);
    add(tally.ran, ran.ranMs);
    this.#total += 1;
    return outcome;
  }

  lost(task: string, queue: string): void {
    this.#tally(task, queue, 'lost').count += 1;
  }

  /** What is to be told now: what was told and has not arrived, else what has come since. */
  take(): Told['counted'] {
    if (this.#underway === undefined && this.#tallies.size > 0) {
      const tallies = [...this.#all()];
      for (const tally of tallies) count(this.#before, tally);
      const counts = tallies.map(
        ({ task, queue, outcome, count, waited, ran }): JobCount => ({
          task,
          queue,
          outcome,
          count,
          waited: sparse(waited),
          ran: sparse(ran),
        }),
      );
      this.#tallies = new Map();
      this.#last = undefined;
      this.#number += 1;
      this.#underway = { number: this.#number, counts };
    }
    return this.#underway;
  }

  arrived(told: Told['counted']): void {
    if (told !== undefined && told.number === this.#underway?.number) this.#underway = undefined;
  }

  #tally(task: string, queue: string, outcome: Outcome): Tally {
    let queues = this.#tallies.get(task);
    if (queues === undefined) this.#tallies.set(task, (queues = new Map()));
    let byOutcome = queues.get(queue);
    if (byOutcome === undefined) queues.set(queue, (byOutcome = new Map()));
    let tally = byOutcome.get(outcome);
    if (tally === undefined)
      byOutcome.set(outcome, (tally = { task, queue, outcome, count: 0, waited: new Uint32Array(buckets), ran: new Uint32Array(buckets) }));
    return tally;
  }

  *#all(): Generator<Tally> {
    for (const queues of this.#tallies.values()) for (const byOutcome of queues.values()) yield* byOutcome.values();
  }
}

function count(finished: Map<string, number>, { task, outcome, count }: Tally): void {
  // It ended elsewhere.
  if (outcome !== 'lost') finished.set(task, (finished.get(task) ?? 0) + count);
}

function add(histogram: Uint32Array, ms: number): void {
  const bucket = bucketOf(ms);
  histogram[bucket] = (histogram[bucket] as number) + 1;
}

function sparse(histogram: Uint32Array): Histogram {
  const filled: (readonly [number, number])[] = [];
  for (let bucket = 0; bucket < buckets; bucket++) {
    const values = histogram[bucket] as number;
    if (values > 0) filled.push([bucket, values]);
  }
  return filled;
}

function outcomeOf(settlement: Settlement, task: string): Outcome {
  switch (settlement.kind) {
    case 'end':
      return settlement.state;
    case 'bury':
      return 'failed';
    case 'release':
      return 'handed-back';
    case 'reschedule':
      if (task === '') return 'unknown-task';
      return decodePast(settlement.past).history.at(-1)?.outcome === 'deferred' ? 'deferred' : 'retried';
  }
}
