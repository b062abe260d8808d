/** Rows of claims, whose jobs lie in lists, one text a column, as claims of the contract. */
import type { Claim, ClaimedJob, Lane } from '../broker.ts';
import { laneNamed } from '../codes.ts';
import type { QueueTable } from './queue-table.ts';
import { separator } from './wire.ts';

export interface ClaimRow {
  readonly claim: string;
  readonly now: string;
  readonly runs: string;
  readonly ids: string;
  readonly envelopes: string;
  readonly pasts: string | null;
}

export type StoredClaimRow = Record<string, unknown> &
  Omit<ClaimRow, 'claim' | 'now'> & {
    readonly id: string;
    readonly claimed_at: string;
    readonly lane: number;
    readonly open: string;
    readonly lost: string | null;
  };

/** A claim as its row stands now: the jobs that are not settled yet, and who lost it. */
export async function storedClaim(row: StoredClaimRow, queues: QueueTable): Promise<Claim> {
  const claim = await freshClaim({ ...row, claim: row.id, now: row.claimed_at }, laneNamed(row.lane), queues);
  const lost = row.lost === null ? undefined : (JSON.parse(row.lost) as { worker: string; at: number; open: number });
  return {
    ...claim,
    jobs: claim.jobs.filter((job) => row.open[job.position] === '1'),
    ...(lost === undefined ? {} : { lost: { worker: lost.worker, claimedAt: Number(row.claimed_at), lostAt: lost.at, open: lost.open } }),
  };
}

/** A claim as an exchange returns it. */
export async function freshClaim(row: ClaimRow, lane: Lane, queues: QueueTable): Promise<Claim> {
  const ids = row.ids.split(separator);
  const envelopes = row.envelopes.split(separator);
  const pasts = row.pasts?.split(separator);
  const runs = row.runs
    .split(';')
    .map((run) => run.split(',') as [size: string, queue: string, rank: string, enqueued: string, expires?: string, ready?: string]);
  const names = await queues.names(runs.map(([, queue]) => queue));
  const claimedAt = Number(row.now);
  const jobs: ClaimedJob[] = [];
  for (const [index, [size, , rank, enqueued, expires, ready]] of runs.entries()) {
    const queue = names[index] as string;
    const enqueuedAt = Number(enqueued);
    const readyAt = ready === undefined ? enqueuedAt : Number(ready);
    const expiresAt = expires === undefined || expires === '' ? undefined : Number(expires);
    // One text for all jobs of the run: only the few that go back to their queue have it read, by rankOf().
    const mark = `${rank},${jobs.length}`;
    for (let left = Number(size); left > 0; left--) {
      const position = jobs.length;
      jobs.push({
        claim: row.claim,
        lane,
        claimedAt,
        position,
        id: ids[position] as string,
        queue,
        envelope: envelopes[position] as string,
        past: pasts?.[position] || undefined,
        enqueuedAt,
        readyAt,
        rank: mark,
        expiresAt,
      });
    }
  }
  return { id: row.claim, lane, claimedAt, jobs };
}

/** The rank of a claimed job. */
export function rankOf(job: ClaimedJob): bigint {
  const [rank, start] = job.rank.split(',') as [string, string];
  return BigInt(rank) + BigInt(job.position - Number(start));
}
