/** A handle of one job: what its enqueuer, or anybody who knows its id, can ask and do. */
import type { Broker, CancelReply, EndedJob } from '../broker/broker.ts';
import { type Duration, toMs } from '../support/durations.ts';
import { TaktlineError } from '../support/taktline-error.ts';
import { decodePast, type JobState } from '../task/job.ts';
import type { ResultWaiter } from './result-waiter.ts';

export interface HandleParts {
  readonly resultKept: boolean;
  /** The job comes to the broker some time after its transaction has committed, if it does. */
  readonly later?: boolean;
  readonly waiter: ResultWaiter;
  readonly broker: () => Promise<Broker>;
}

export class JobHandle<Result> {
  readonly id: string;
  readonly #parts: HandleParts;

  constructor(id: string, parts: HandleParts) {
    this.id = id;
    this.#parts = parts;
  }

  /**
   * Waits for the job to end and gives its result, as JSON made it.
   *
   * @param options.timeout default 60 s; the job goes on whatever happens here
   * @throws TaktlineError `JOB_FAILED` (its `cause` has the last error's class and message), `JOB_CANCELLED`,
   * `JOB_EXPIRED`, `RESULT_TIMEOUT`, `RESULT_NOT_KEPT`, or `JOB_NOT_FOUND` when nothing is known of the id; a job that was
   * enqueued in a transaction is waited for, since it comes some time after the commit
   */
  async result(options: { readonly timeout?: Duration } = {}): Promise<Result> {
    if (!this.#parts.resultKept)
      throw new TaktlineError('RESULT_NOT_KEPT', 'the task keeps no results (resultTtl: false)', { jobId: this.id });
    const timeoutMs = toMs(options.timeout ?? 60_000, 'timeout');
    return valueOf(await this.#parts.waiter.wait(this.id, timeoutMs, this.#parts.later === true)) as Result;
  }

  /** Where the job stands; undefined when it ended and its result has expired, or when it never was. */
  async status(): Promise<JobState | undefined> {
    const [state] = await (await this.#parts.broker()).states([this.id]);
    return state;
  }

  /**
   * Cancels the job if it waits. If it runs, its `ctx.signal` aborts, and it ends as cancelled once the task throws;
   * a task that finishes all the same has succeeded.
   */
  async cancel(): Promise<CancelReply> {
    const [reply] = await (await this.#parts.broker()).cancel([this.id]);
    return reply ?? 'unknown';
  }
}

function valueOf(job: EndedJob): unknown {
  const about = { jobId: job.id };
  switch (job.state) {
    case 'succeeded':
      return job.result === undefined ? null : JSON.parse(job.result);
    case 'cancelled':
      throw new TaktlineError('JOB_CANCELLED', `job ${job.id} was cancelled`, about);
    case 'expired':
      throw new TaktlineError('JOB_EXPIRED', `job ${job.id} expired before a worker took it`, about);
    case 'failed': {
      const last = decodePast(job.past).history.findLast((attempt) => attempt.error !== undefined)?.error;
      const cause =
        last === undefined
          ? undefined
          : Object.assign(new Error(last.message), { name: last.type, ...(last.code === undefined ? {} : { code: last.code }) });
      throw new TaktlineError('JOB_FAILED', `job ${job.id} failed for good${last === undefined ? '' : `: ${last.type}: ${last.message}`}`, {
        ...about,
        cause,
      });
    }
  }
}
