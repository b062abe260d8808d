/**
 * Why a job is not running: the first thing that stands in its way, by name, with what would remove it. Pure; inspection.ts
 * gathers what it looks at.
 */
import type { QueueCounts, StoredJob, WorkerRecord } from '../broker/inspector.ts';

export interface Reason {
  /** What a program can tell reasons apart by. */
  readonly reason:
    | 'running'
    | 'succeeded'
    | 'failed'
    | 'cancelled'
    | 'expired'
    | 'expires'
    | 'paused'
    | 'not-due'
    | 'no-worker'
    | 'unknown-task'
    | 'suspect'
    | 'waiting';
  /** For people. */
  readonly text: string;
  /** What would remove it. */
  readonly advice?: string;
}

export interface Circumstances {
  readonly job: StoredJob;
  /** Undefined when the envelope cannot be read, or is not kept any more. */
  readonly task: string | undefined;
  readonly queue: QueueCounts | undefined;
  /** Those that live. */
  readonly workers: readonly WorkerRecord[];
  /** Of one that is queued. */
  readonly place: { readonly before: number; readonly of: number } | undefined;
  /** By the broker's clock. */
  readonly now: number;
}

export function whyNot({ job, task, queue, workers, place, now }: Circumstances): Reason {
  const moment = (at: number) => new Date(at).toISOString();
  const { state } = job;
  if (state === 'running') {
    const since = job.claimedAt === undefined ? '' : ` since ${moment(job.claimedAt)}`;
    const who = job.worker === undefined ? 'on a worker that was lost: another one takes it over' : `on ${job.worker}`;
    const stop = job.cancelAsked === true ? '; it was asked to stop' : '';
    return { reason: 'running', text: `it runs, or is about to, ${who}${since}${stop}` };
  }
  if (state === 'failed')
    return { reason: state, text: 'it has failed for good, and is a dead letter', advice: `put it back: taktline dlq redrive ${job.id}` };
  if (state === 'succeeded' || state === 'cancelled' || state === 'expired') {
    const when = job.finishedAt === undefined ? '' : ` at ${moment(job.finishedAt)}`;
    return { reason: state, text: `it has ended: ${state}${when}` };
  }
  if (job.expiresAt !== undefined && job.expiresAt <= now) return { reason: 'expires', text: `it has expired at ${moment(job.expiresAt)}` };
  if (queue?.paused === true)
    return { reason: 'paused', text: `queue ${job.queue} is paused`, advice: `taktline control resume ${job.queue}` };
  if (job.dueAt !== undefined && job.dueAt > now) {
    const what = state === 'retrying' ? 'its next attempt is' : 'it is';
    return { reason: 'not-due', text: `${what} not due until ${moment(job.dueAt)}` };
  }
  const taking = workers.filter(({ info }) => names(info['queues']).includes(job.queue));
  if (taking.length === 0) {
    const text = workers.length === 0 ? 'no worker lives' : `none of the ${workers.length} living workers takes jobs of queue ${job.queue}`;
    return { reason: 'no-worker', text, advice: `start one: taktline worker --queues=${job.queue}` };
  }
  if (task !== undefined && !taking.some(({ info }) => names(info['tasks']).includes(task))) {
    const text = `no living worker of queue ${job.queue} knows the task ${task}`;
    return { reason: 'unknown-task', text, advice: 'start a worker of a release that has it' };
  }
  if (job.lane === 'suspects' || job.lane === 'alone') {
    const text = `its worker was lost while it held the job: it waits until a worker can run it ${job.lane === 'alone' ? 'alone' : 'with few others'}`;
    return { reason: 'suspect', text };
  }
  if (place === undefined) return { reason: 'waiting', text: 'it is about to be claimed' };
  const free = taking.every(({ running, info }) => running >= Number(info['concurrency'] ?? 1))
    ? '; every worker of the queue is busy'
    : '';
  return { reason: 'waiting', text: `it is number ${place.before + 1} of ${place.of} in queue ${job.queue}${free}` };
}

function names(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
