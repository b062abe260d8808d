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
  count: number;
  readonly waited: Uint32Array;
  readonly ran: Uint32Array;
}

export class Recorder {
  /** By outcome, queue and task: maps and not one key of three parts, which each job would have to join. */
  #tallies = new Map<string, Map<string, Map<Outcome, Tally>>>();
  readonly #finished = new Map<string, number>();
  #total = 0;
  #number = 0;
  #underway: Told['counted'];

  /** Attempts that have ended here, by task. */
  get finished(): ReadonlyMap<string, number> {
    return this.#finished;
  }

  get total(): number {
    return this.#total;
  }

  settled(settlement: Settlement, ran: Ran): Outcome {
    const outcome = outcomeOf(settlement, ran.task);
    const tally = this.#tally(ran.task, settlement.job.queue, outcome);
    tally.count += 1;
    add(tally.waited, ran.startedAt - settlement.job.readyAt);
    add(tally.ran, ran.ranMs);
    this.#finished.set(ran.task, (this.#finished.get(ran.task) ?? 0) + 1);
    this.#total += 1;
    return outcome;
  }

  lost(task: string, queue: string): void {
    this.#tally(task, queue, 'lost').count += 1;
  }

  /** What is to be told now: what was told and has not arrived, else what has come since. */
  take(): Told['counted'] {
    if (this.#underway === undefined && this.#tallies.size > 0) {
      const counts = [...this.#counts()];
      this.#tallies = new Map();
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
      byOutcome.set(outcome, (tally = { count: 0, waited: new Uint32Array(buckets), ran: new Uint32Array(buckets) }));
    return tally;
  }

  *#counts(): Generator<JobCount> {
    for (const [task, queues] of this.#tallies) {
      for (const [queue, byOutcome] of queues) {
        for (const [outcome, { count, waited, ran }] of byOutcome) {
          yield { task, queue, outcome, count, waited: sparse(waited), ran: sparse(ran) };
        }
      }
    }
  }
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
