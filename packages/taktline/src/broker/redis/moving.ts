/**
 * Jobs that come from another broker, or leave for one. Their ids are kept as those of callers are: reserved for a queue, and
 * put there idempotently. Ids of the engine's need no reservation, since they always name the same queue.
 */
import { groupBy } from '../../support/group-by.ts';
import { madeHere } from '../../support/ids.ts';
import { type AdoptedJob, type AdoptReply, adoptedForMs } from '../adopted-job.ts';
import { laneNumber } from '../codes.ts';
import { checkTexts } from '../job-texts.ts';
import { letterHead } from './records.ts';
import type { RedisBroker } from './redis-broker.ts';
import type { Reservation } from './reserved-ids.ts';
import { scripts } from './scripts.ts';

export class Moving {
  readonly #broker: RedisBroker;

  constructor(broker: RedisBroker) {
    this.#broker = broker;
  }

  async adopt(jobs: readonly AdoptedJob[]): Promise<readonly AdoptReply[]> {
    const { names, reserved, publishing: publish } = this.#broker;
    for (const job of jobs) checkTexts(job);
    await names.check(jobs.map(({ queue }) => queue));
    const places = [...jobs.keys()].filter((index) => !madeHere((jobs[index] as AdoptedJob).id));
    const reservations = await reserved.reserve(
      places.map((index) => {
        const { id, queue, fingerprint } = jobs[index] as AdoptedJob;
        return { id, queue, unique: { fingerprint, forMs: adoptedForMs } };
      }),
    );
    const replies: AdoptReply[] = jobs.map(() => 'there');
    const queues: (string | undefined)[] = jobs.map(({ queue }) => queue);
    for (const [at, index] of places.entries()) {
      const { queue, holder } = reservations[at] as Reservation;
      if (holder === 'other') replies[index] = 'conflict';
      queues[index] = holder === 'own' ? queue : undefined;
    }
    await Promise.all(
      [...groupBy(jobs.keys(), (index) => queues[index])].map(async ([queue, indices]) => {
        if (queue === undefined) return;
        const args = indices.flatMap((index) => argumentsOf(jobs[index] as AdoptedJob));
        const put = (await this.#broker.runIn(queue, scripts.adopt, [publish, String(adoptedForMs), ...args])) as readonly number[];
        for (const [at, index] of indices.entries()) if (put[at] === 1) replies[index] = 'adopted';
      }),
    );
    return replies;
  }

  async remove(ids: readonly string[]): Promise<readonly string[]> {
    const { reserved, search } = this.#broker;
    const gone: string[] = [];
    await search.each(ids, async (queue, indices) => {
      const asked = indices.map((index) => ids[index] as string);
      const went = (await this.#broker.runIn(queue, scripts.remove, asked)) as readonly number[];
      gone.push(...asked.filter((_, at) => went[at] === 1));
      return indices.filter((_, at) => went[at] === 1);
    });
    // After the jobs: a reservation that a crash leaves behind only keeps its id from other work until its time is over, while
    // a job without one could be made a second time in another queue.
    await reserved.free(gone.filter((id) => !madeHere(id)));
    return gone;
  }
}

/** As adopt.lua takes them. */
function argumentsOf(job: AdoptedJob): readonly string[] {
  const { id, state, priority, enqueuedAt, envelope, past = '' } = job;
  const row = (place: number, expiresAt: number | undefined, letter: string) => [
    id,
    state.charAt(0),
    String(place),
    String(priority),
    String(enqueuedAt),
    expiresAt === undefined ? '' : String(expiresAt),
    past,
    envelope,
    letter,
  ];
  if (state === 'queued') return row(laneNumber(job.lane ?? 'usual'), job.expiresAt, '');
  if (state === 'scheduled') return row(job.dueAt, job.expiresAt, '');
  return row(job.diedAt, undefined, letterHead(job, { priority, enqueued: enqueuedAt }));
}
