/** Reads the jobs of a broker page by page, first those that come first, as another broker can adopt them. */
import type { AdoptedJob } from '../broker/adopted-job.ts';
import type { Inspector, StoredDeadLetter, StoredJob } from '../broker/inspector.ts';
import { fingerprintOf } from '../task/codec.ts';

/** What is moved, in this order: what may run now waits the shortest. */
export const movedStates = ['queued', 'scheduled', 'dead'] as const;
export type MovedState = (typeof movedStates)[number];

const mostJobs = 500;
const mostBytes = 4 * 1024 * 1024;
/** Nobody knows before how large the jobs are: the first page is small. */
const firstJobs = 32;

export class JobPages {
  readonly #inspector: Inspector;
  #size = firstJobs;

  constructor(inspector: Inspector) {
    this.#inspector = inspector;
  }

  /** The jobs that are first now, without those to be passed over. Empty when there are no others. */
  async first(queue: string, state: MovedState, passed: ReadonlySet<string>): Promise<readonly AdoptedJob[]> {
    // A list has no cursor, since what was read is gone when the next page is asked for.
    const found = (await this.#read(queue, state, this.#size + passed.size)).filter(({ id }) => !passed.has(id));
    const page: AdoptedJob[] = [];
    let bytes = 0;
    for (const job of found.slice(0, this.#size)) {
      bytes += job.envelope.length + (job.past?.length ?? 0);
      if (page.length > 0 && bytes > mostBytes) break;
      page.push(job);
    }
    const fitting = Math.floor((mostBytes / Math.max(1, bytes)) * page.length);
    this.#size = Math.max(1, Math.min(mostJobs, 4 * this.#size, fitting));
    return page;
  }

  async #read(queue: string, state: MovedState, limit: number): Promise<readonly AdoptedJob[]> {
    if (state === 'dead') return (await this.#inspector.deadLetters({ queue }, limit, undefined)).items.map(adoptedLetter);
    return (await this.#inspector.jobs(state, { queue, limit })).map((job) => adopted(job, state));
  }
}

function adopted(job: StoredJob, state: 'queued' | 'scheduled'): AdoptedJob {
  const { id, queue, priority = 1, enqueuedAt, envelope = '', past, expiresAt, lane, dueAt = enqueuedAt } = job;
  const shared = {
    id,
    queue,
    priority,
    enqueuedAt,
    envelope,
    fingerprint: fingerprintOf(envelope),
    ...(past === undefined ? {} : { past }),
    ...(expiresAt === undefined ? {} : { expiresAt }),
  };
  return state === 'scheduled' ? { ...shared, state, dueAt } : { ...shared, state, ...(lane === undefined ? {} : { lane }) };
}

function adoptedLetter(letter: StoredDeadLetter): AdoptedJob {
  return { ...letter, state: 'dead', fingerprint: fingerprintOf(letter.envelope) };
}
