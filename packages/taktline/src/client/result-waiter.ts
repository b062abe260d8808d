/**
 * Waits for the ends of jobs: all that are waited for are asked about in one round trip, often at first and less often
 * the longer they take. Jobs that the broker knows nothing of are found out once in a while.
 */
import type { Broker, EndedJob } from '../broker/broker.ts';
import { TaktlineError } from '../support/taktline-error.ts';

interface Waiting {
  readonly deadline: number;
  /** The job may not be with the broker yet. */
  readonly patient: boolean;
  resolve(job: EndedJob): void;
  reject(error: unknown): void;
}

const firstPollMs = 2;
const slowestPollMs = 250;
const growth = 1.3;
/** Jobs asked about in one round trip. */
const mostAtOnce = 10_000;
/** After so many polls without an end, the jobs are looked up themselves. */
const lookUpEvery = 12;

export class ResultWaiter {
  readonly #broker: () => Promise<Broker>;
  readonly #waiting = new Map<string, Waiting[]>();
  #delayMs = firstPollMs;
  #polls = 0;
  #timer: NodeJS.Timeout | undefined;
  #polling = false;
  /** The timer is set to the shortest wait there is. */
  #soon = false;
  #closed = false;

  constructor(broker: () => Promise<Broker>) {
    this.#broker = broker;
  }

  /** @param patient goes on waiting for a job that the broker does not know */
  wait(id: string, timeoutMs: number, patient = false): Promise<EndedJob> {
    if (this.#closed) return Promise.reject(new TaktlineError('BROKER_CLOSED', 'the app was closed'));
    return new Promise((resolve, reject) => {
      const entry: Waiting = { deadline: performance.now() + timeoutMs, patient, resolve, reject };
      this.#waiting.set(id, [...(this.#waiting.get(id) ?? []), entry]);
      this.#delayMs = firstPollMs;
      this.#polls = 0;
      // Thousands may wait in one turn: the first of them has set the timer for all.
      if (!this.#soon) this.#schedule();
    });
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const id of this.#waiting.keys())
      this.#end(id, (entry) => entry.reject(new TaktlineError('BROKER_CLOSED', 'the app was closed', { jobId: id })));
  }

  #schedule(): void {
    if (this.#polling || this.#closed || this.#waiting.size === 0) return;
    clearTimeout(this.#timer);
    let nearest = Number.POSITIVE_INFINITY;
    for (const entries of this.#waiting.values()) for (const { deadline } of entries) nearest = Math.min(nearest, deadline);
    const waitMs = Math.max(0, Math.min(this.#delayMs, nearest - performance.now()));
    this.#timer = setTimeout(() => void this.#poll(), waitMs);
    this.#soon = waitMs <= firstPollMs;
  }

  async #poll(): Promise<void> {
    this.#polling = true;
    this.#soon = false;
    this.#delayMs = Math.min(slowestPollMs, this.#delayMs * growth);
    this.#polls += 1;
    try {
      const broker = await this.#broker();
      const ids = [...this.#waiting.keys()];
      for (let from = 0; from < ids.length; from += mostAtOnce)
        for (const job of await broker.ended(ids.slice(from, from + mostAtOnce))) this.#end(job.id, (entry) => entry.resolve(job));
      if (this.#polls % lookUpEvery === 0) await this.#lookUp(broker);
    } catch (error) {
      // The broker may come back before the caller's time is over.
      if (error instanceof TaktlineError && error.code !== 'BROKER_UNAVAILABLE') {
        for (const id of this.#waiting.keys()) this.#end(id, (entry) => entry.reject(error));
      }
    }
    this.#polling = false;
    this.#giveUp();
    this.#schedule();
  }

  async #lookUp(broker: Broker): Promise<void> {
    const ids = [...this.#waiting.keys()];
    const states = await broker.states(ids);
    const gone = ids.filter((_, index) => states[index] === undefined || states[index] === 'expired');
    if (gone.length === 0) return;
    // A job can end between the two questions.
    for (const job of await broker.ended(gone)) this.#end(job.id, (entry) => entry.resolve(job));
    for (const id of gone) {
      if (states[ids.indexOf(id)] === 'expired')
        this.#end(id, (entry) => entry.resolve({ id, state: 'expired', result: undefined, past: undefined }));
      else this.#endUnknown(id);
    }
  }

  #endUnknown(id: string): void {
    const patient = this.#waiting.get(id)?.filter((entry) => entry.patient) ?? [];
    const message = `no job ${id} is known: it ended and its result has expired, or it never was`;
    this.#end(id, (entry) => {
      if (!entry.patient) entry.reject(new TaktlineError('JOB_NOT_FOUND', message, { jobId: id }));
    });
    if (patient.length > 0) this.#waiting.set(id, patient);
  }

  #giveUp(): void {
    const now = performance.now();
    for (const [id, entries] of this.#waiting) {
      const late = entries.filter((entry) => entry.deadline <= now);
      if (late.length === 0) continue;
      const rest = entries.filter((entry) => entry.deadline > now);
      if (rest.length === 0) this.#waiting.delete(id);
      else this.#waiting.set(id, rest);
      for (const entry of late)
        entry.reject(new TaktlineError('RESULT_TIMEOUT', `job ${id} has not ended in time; it goes on`, { jobId: id }));
    }
  }

  #end(id: string, tell: (entry: Waiting) => void): void {
    const entries = this.#waiting.get(id);
    this.#waiting.delete(id);
    for (const entry of entries ?? []) tell(entry);
  }
}
