/**
 * What email.retryFailed does: finds records that were not sent although their job is dead, and gives each to a new job.
 *
 * Two jobs must never send one record. So a record is touched only when its job is a dead letter; it is handed over by a
 * compare-and-set, and the new job's id follows from the record and its generation (`email:<record>:<generation>`): when
 * two of these tasks run at once, or one is run again after a crash, the same ids come out and the broker makes one job.
 * The old job may still be put back from the dead letters by a person: it then finds that the record is not its own.
 */
import { TaktlineError, type TaskContext } from 'taktline';
import type { DeliveryRecord, DeliveryRecords } from './delivery-records.ts';
import { batchJobId } from './email-batches.ts';

export interface RetryFailedDeps {
  readonly records: DeliveryRecords;
  /** The job's state, undefined when the broker keeps nothing of it. */
  readonly jobState: (jobId: string) => Promise<string | undefined>;
  /** Enqueues the job that sends this record (or its batch), under the given id. */
  readonly enqueueAgain: (record: DeliveryRecord, jobId: string) => Promise<unknown>;
  readonly now: () => number;
}

export interface RetryFailedResult {
  /** Records given to a new job. */
  readonly retried: number;
  /** Records that no job will send any more: cancelled, expired, discarded by a person. */
  readonly closed: number;
  /** Records that have been through as many generations as there are. */
  readonly exhausted: number;
}

/** Each generation is a full set of attempts; five take more than an hour of asking a server that keeps refusing. */
export const lastGeneration = 5;

/** As long as the broker remembers an id: after that, enqueueing it again would make a second job. */
const repairableMs = 6 * 86_400_000;

const aliveStates = new Set(['scheduled', 'queued', 'running', 'retrying']);

export function isAliveState(state: string | undefined): boolean {
  return state !== undefined && aliveStates.has(state);
}

/** The id of the job that sends a record in a generation. */
export function sendJobId(record: string, generation: number): string {
  return `email:${record}:${generation}`;
}

export async function retryFailed(deps: RetryFailedDeps, limit: number, ctx: Pick<TaskContext, 'heartbeat'>): Promise<RetryFailedResult> {
  const count = { retried: 0, closed: 0, exhausted: 0 };
  // A batch's records share a job: its state is asked for once.
  const states = new Map<string, Promise<string | undefined>>();
  const stateOf = (jobId: string) => {
    const known = states.get(jobId) ?? deps.jobState(jobId);
    states.set(jobId, known);
    return known;
  };
  const enqueued = new Map<string, Promise<unknown>>();
  const enqueueOnce = async (record: DeliveryRecord, jobId: string) => {
    const known = enqueued.get(jobId) ?? deps.enqueueAgain(record, jobId);
    enqueued.set(jobId, known);
    await known;
  };

  /** Enqueues under the id that the record names. @returns false when the broker remembers the id, so that the job was there and is gone */
  const repair = async (record: DeliveryRecord) => {
    const jobId = record.job_id ?? '';
    try {
      await enqueueOnce(record, jobId);
    } catch (error) {
      if (error instanceof TaktlineError && error.code === 'ID_CONFLICT') return false;
      throw error;
    }
    return (await deps.jobState(jobId)) !== undefined;
  };

  for (let after = ''; count.retried < limit; ) {
    await ctx.heartbeat();
    const page = await deps.records.open(after, 200);
    for (const record of page) {
      if (count.retried >= limit) break;
      const verdict = judge(record, await stateOf(record.job_id ?? ''), deps.now());
      if (verdict === 'enqueue again' && (await repair(record))) continue;
      if (verdict === 'hand over') {
        const jobId =
          record.batch_id === null ? sendJobId(record.id, record.generation + 1) : batchJobId(record.batch_id, record.generation + 1);
        if (!(await deps.records.handOver(record, jobId))) continue;
        await enqueueOnce(record, jobId);
        count.retried += 1;
      } else if (verdict === 'exhausted') {
        count.exhausted += 1;
      } else if (verdict !== 'leave' && (await deps.records.close(record, 'its job was cancelled, expired or discarded'))) {
        count.closed += 1;
      }
    }
    const end = page.at(-1);
    if (end === undefined) break;
    after = end.id;
  }
  return count;
}

type Verdict = 'leave' | 'hand over' | 'enqueue again' | 'exhausted' | 'close';

function judge(record: DeliveryRecord, state: string | undefined, now: number): Verdict {
  if (isAliveState(state)) return 'leave';
  if (state === 'failed') return record.generation < lastGeneration ? 'hand over' : 'exhausted';
  // Noted for a job that was never enqueued: whoever wanted to, crashed in between. The same id makes one job.
  if (state === undefined && record.status === 'queued' && now - record.updated_at.getTime() < repairableMs) return 'enqueue again';
  return 'close';
}
