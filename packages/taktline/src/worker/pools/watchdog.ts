/**
 * The main thread's side of a child's watchdog: notes in shared memory what runs and until when, at the cost of some writes
 * a job, so that a thread beside the loop can stop code that does not return. What the thread does is in watchdog-thread.ts.
 *
 * When the loop is blocked by a job's first stretch of code, that job is known; it alone is judged then, since the others
 * cannot go on however short their limits are.
 */
import { Worker as Thread } from 'node:worker_threads';
import type { JobNumber } from './child-messages.ts';

/** Shared with the thread: [time of the loop's last turn, last job begun, job whose first code runs or -1], then for each slot [deadline or 0, job]. */
export const heads = { turned: 0, begun: 1, current: 2, slots: 3 } as const;

const turnMs = 100;

export class Watchdog {
  readonly #shared: Float64Array;
  readonly #free: number[];
  readonly #turns: NodeJS.Timeout;
  readonly #thread: Thread;

  /** @param slots jobs that run at once, at most */
  constructor(slots: number) {
    const memory = new SharedArrayBuffer(8 * (heads.slots + 2 * slots));
    this.#shared = new Float64Array(memory);
    this.#shared[heads.current] = -1;
    this.#free = Array.from({ length: slots }, (_, slot) => heads.slots + 2 * slot);
    this.#turned();
    this.#turns = setInterval(() => this.#turned(), turnMs);
    this.#thread = new Thread(new URL('./watchdog-thread.js', import.meta.url), { workerData: memory, name: 'taktline-watchdog' });
    this.#thread.unref();
  }

  /** The job's code is entered now. @returns its place, for limited() and ended() */
  entered(job: JobNumber): number {
    this.#shared[heads.begun] = job;
    this.#shared[heads.current] = job;
    return this.#free.pop() as number;
  }

  /** Its task is known: it has to be over in time. */
  limited(place: number, job: JobNumber, timeLimitMs: number): void {
    this.#shared[place + 1] = job;
    this.#shared[place] = Date.now() + timeLimitMs;
  }

  /** Its first code has returned to the loop. */
  left(): void {
    this.#shared[heads.current] = -1;
  }

  ended(place: number): void {
    this.#shared[place] = 0;
    this.#free.push(place);
  }

  async stop(): Promise<void> {
    clearInterval(this.#turns);
    await this.#thread.terminate();
  }

  #turned(): void {
    this.#shared[heads.turned] = Date.now();
  }
}
