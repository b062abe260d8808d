/**
 * A broker in memory, as simple as the contract allows: a map from id to the one place where the job is. The property test
 * in life-of-a-job.ts does the same to it and to a real broker, and compares. Promises 1 to 3 of DESIGN.md hold in it by
 * construction: a job is in one place, only its holder settles it, and it is handed out once for each time it went back.
 */
import type { ClaimedJob, ClaimRequest, EnqueueReply, Lane, NewJob, Settlement } from '../../src/broker/broker.ts';
import type { JobState } from '../../src/task/job.ts';

type Place =
  | { readonly at: 'ready'; readonly lane: Lane; readonly arrival: number }
  | { readonly at: 'scheduled'; readonly retry: boolean }
  | { readonly at: 'held'; readonly worker: string; readonly as: ClaimedJob; readonly cancelAsked: boolean; readonly arrival: number }
  | { readonly at: 'ended'; readonly state: 'succeeded' | 'cancelled' }
  | { readonly at: 'dead' }
  /** It ended, and nothing was kept. */
  | { readonly at: 'forgotten' };

interface ModelJob {
  readonly id: string;
  readonly queue: string;
  readonly priority: number;
  readonly envelope: string;
  readonly fingerprint: string | undefined;
  place: Place;
  /** Final states since it was made, or put back from the dead letters. */
  finals: number;
}

export class Model {
  readonly jobs = new Map<string, ModelJob>();
  readonly #dead = new Set<string>();
  #arrivals = 0;

  enqueue(batch: readonly NewJob[]): EnqueueReply[] {
    return batch.map(({ id, queue, priority, envelope, unique, countdownMs }) => {
      const there = this.jobs.get(id);
      if (there !== undefined) return there.fingerprint === unique?.fingerprint ? 'duplicate' : 'conflict';
      this.#arrivals += 1;
      const place: Place =
        countdownMs === undefined ? { at: 'ready', lane: 'usual', arrival: this.#arrivals } : { at: 'scheduled', retry: false };
      this.jobs.set(id, { id, queue, priority, envelope, fingerprint: unique?.fingerprint, place, finals: 0 });
      return 'created';
    });
  }

  /** What a claim could give: each job with the key by which it has to come. Equal keys may come in either order. */
  claimable({ queues, lane, lowestFirst }: Pick<ClaimRequest, 'queues' | 'lane' | 'lowestFirst'>): { id: string; key: number[] }[] {
    const turned = lowestFirst && lane === 'usual';
    const order = turned ? queues.toReversed() : queues;
    return [...this.jobs.values()]
      .flatMap(({ id, queue, priority, place }) =>
        place.at === 'ready' && place.lane === lane && queues.includes(queue)
          ? [{ id, key: [order.indexOf(queue), turned ? priority : -priority, place.arrival] }]
          : [],
      )
      .toSorted((one, other) => compare(one.key, other.key));
  }

  claimed(worker: string, job: ClaimedJob): void {
    const { place } = this.#job(job.id);
    if (place.at !== 'ready') throw new Error(`${job.id} was claimed, and it is ${place.at}`);
    this.#job(job.id).place = { at: 'held', worker, as: job, cancelAsked: false, arrival: place.arrival };
  }

  /** What one exchange settles. @returns whether each is accepted */
  settle(worker: string, settlements: readonly Settlement[]): boolean[] {
    // Those that go back to the end of the line in the same moment stand there in any order.
    this.#arrivals += 1;
    return settlements.map((settlement) => this.#settle(worker, settlement));
  }

  #settle(worker: string, settlement: Settlement): boolean {
    const { job } = settlement;
    const known = this.#job(job.id);
    const { place } = known;
    if (place.at !== 'held' || place.worker !== worker || this.#dead.has(worker) || place.as.claim !== job.claim) return false;
    if (settlement.kind === 'bury') this.#end(known, { at: 'dead' });
    else if (settlement.kind === 'end')
      this.#end(known, settlement.keepMs === 0 ? { at: 'forgotten' } : { at: 'ended', state: settlement.state });
    else if (place.cancelAsked) this.#end(known, { at: 'ended', state: 'cancelled' });
    else if (settlement.kind === 'release') known.place = { at: 'ready', lane: settlement.lane, arrival: place.arrival };
    else known.place = settlement.delayMs > 0 ? { at: 'scheduled', retry: true } : { at: 'ready', lane: 'usual', arrival: this.#arrivals };
    return true;
  }

  lose(worker: string): void {
    this.#dead.add(worker);
  }

  /** The jobs that dead workers hold. */
  lost(): string[] {
    return [...this.jobs.values()].flatMap(({ id, place }) => (place.at === 'held' && this.#dead.has(place.worker) ? [id] : []));
  }

  recovered(worker: string, job: ClaimedJob): void {
    const { place } = this.#job(job.id);
    if (place.at !== 'held' || !this.#dead.has(place.worker)) throw new Error(`${job.id} was recovered, and it is ${place.at}, not lost`);
    this.#job(job.id).place = { ...place, worker, as: job };
  }

  cancel(ids: readonly string[]): string[] {
    return ids.map((id) => {
      const job = this.jobs.get(id);
      if (job === undefined || job.place.at === 'forgotten') return 'unknown';
      if (job.place.at === 'ended' || job.place.at === 'dead') return 'ended';
      if (job.place.at === 'held') {
        job.place = { ...job.place, cancelAsked: true };
        return 'asked';
      }
      this.#end(job, { at: 'ended', state: 'cancelled' });
      return 'done';
    });
  }

  redriven(ids: readonly string[]): void {
    this.#arrivals += 1;
    for (const id of ids) {
      this.#job(id).finals = 0;
      // Those that died in the same moment go back in any order.
      this.#job(id).place = { at: 'ready', lane: 'usual', arrival: this.#arrivals };
    }
  }

  discarded(ids: readonly string[]): void {
    for (const id of ids) this.#job(id).place = { at: 'forgotten' };
  }

  state(id: string): JobState | undefined {
    const place = this.jobs.get(id)?.place;
    if (place === undefined || place.at === 'forgotten') return undefined;
    if (place.at === 'ended') return place.state;
    if (place.at === 'dead') return 'failed';
    if (place.at === 'held') return 'running';
    return place.at === 'ready' ? 'queued' : place.retry ? 'retrying' : 'scheduled';
  }

  idsAt(at: Place['at']): string[] {
    return [...this.jobs.values()].filter(({ place }) => place.at === at).map(({ id }) => id);
  }

  heldBy(worker: string): { readonly as: ClaimedJob; readonly cancelAsked: boolean }[] {
    return [...this.jobs.values()].flatMap(({ place }) => (place.at === 'held' && place.worker === worker ? [place] : []));
  }

  #job(id: string): ModelJob {
    const job = this.jobs.get(id);
    if (job === undefined) throw new Error(`${id} was never enqueued`);
    return job;
  }

  #end(job: ModelJob, place: Place): void {
    job.place = place;
    job.finals += 1;
  }
}

export function compare(one: readonly number[], other: readonly number[]): number {
  for (const [index, value] of one.entries()) if (value !== other[index]) return value - (other[index] ?? 0);
  return 0;
}
