/** The texts that the scripts keep, as jobs and claims of the contract; see scripts/prelude.lua for their form. */
import type { Claim, ClaimedJob, Lane } from '../broker.ts';
import { laneNamed } from '../codes.ts';

export const separator = '\x1e';
export const groupSeparator = '\x1d';

/** Where the lane begins in a rank; see scripts/prelude.lua. */
const laneUnit = 2 ** 51;
export const laneOfRank = (rank: number): Lane => laneNamed(Math.floor(rank / laneUnit));

export interface JobRecord {
  readonly enqueuedAt: number;
  readonly readyAt: number;
  readonly expiresAt: number | undefined;
  readonly size: number;
  readonly priority: number;
  readonly past: string;
  readonly ids: readonly string[];
  readonly envelopes: readonly string[];
}

export function readRecord(raw: string): JobRecord {
  const [head, past, ids, envelopes] = raw.split(groupSeparator) as [string, string, string, string];
  const [enqueued, expires, size, priority, since] = head.split(',') as [string, string, string, string, string?];
  return {
    enqueuedAt: Number(enqueued),
    readyAt: Number(since ?? enqueued),
    expiresAt: expires === '' ? undefined : Number(expires),
    size: Number(size),
    priority: Number(priority),
    past,
    ids: ids.split(separator),
    envelopes: envelopes.split(separator),
  };
}

/** A claim as it was made: all of its jobs are open. */
export function freshClaim(id: string, lane: Lane, queue: string, now: string, runs: string, raws: readonly string[]): Claim {
  const claimedAt = Number(now);
  const jobs: ClaimedJob[] = [];
  for (const [index, run] of runs.split(separator).entries()) {
    const record = readRecord(raws[index] as string);
    const { enqueuedAt, readyAt, expiresAt } = record;
    const past = record.past === '' ? undefined : record.past;
    // The same text for all jobs of the run: settlements tell by it which belong together.
    const mark = `${index + 1},${jobs.length},${run.slice(0, run.indexOf(','))}`;
    for (let place = 0; place < record.size; place++) {
      jobs.push({
        claim: id,
        lane,
        claimedAt,
        position: jobs.length,
        id: record.ids[place] as string,
        queue,
        envelope: record.envelopes[place] as string,
        past,
        enqueuedAt,
        readyAt,
        rank: mark,
        expiresAt,
      });
    }
  }
  return { id, lane, claimedAt, jobs };
}

/** A claim as it stands now: the jobs that are not settled yet, and who lost it. */
export function storedClaim(id: string, raw: string, queue: string, raws: readonly string[]): Claim {
  const [head, lost, open, runs] = raw.split(groupSeparator) as [string, string, string, string];
  const [, lane, at] = head.split(',') as [string, string, string, string];
  // Of a record whose jobs have all been settled nothing is left.
  const sizes = runs.split(separator).map((run) => Number(run.slice(0, run.indexOf(','))));
  const whole = raws.map((record, index) => (record === '' ? gone(sizes[index] as number) : record));
  const claim = freshClaim(id, laneNamed(Number(lane)), queue, at, runs, whole);
  const jobs = claim.jobs.filter((job) => open[job.position] === '1');
  if (lost === '') return { ...claim, jobs };
  const { worker, at: lostAt, open: held } = JSON.parse(lost) as { worker: string; at: number; open: number };
  return { ...claim, jobs, lost: { worker, claimedAt: Number(at), lostAt, open: held } };
}

function gone(size: number): string {
  return `0,,${size},5${groupSeparator}${groupSeparator}${separator.repeat(size - 1)}${groupSeparator}${separator.repeat(size - 1)}`;
}

/** The run of a claimed job: its number in the claim from 1, the position of its first job, and how many it has. */
export function runOf(job: ClaimedJob): { readonly number: number; readonly start: number; readonly size: number } {
  const [number, start, size] = job.rank.split(',') as [string, string, string];
  return { number: Number(number), start: Number(start), size: Number(size) };
}

/**
 * What stands at the front of a dead letter; exchange.lua adds the priority. A dead letter is the last resort: what it says
 * must not keep it from being stored.
 */
export function letterHead(
  { task, code, message }: { readonly task: string; readonly code: string; readonly message: string },
  more: { readonly enqueued: number; readonly priority?: number },
): string {
  return JSON.stringify({ ...more, task: task.toWellFormed(), code: code.toWellFormed(), message: message.toWellFormed() });
}
