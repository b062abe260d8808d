/** Rows of claims, whose lists of jobs lie in one text a column, as claims of the contract. */
import type { Claim, ClaimedJob, Lane } from '../broker.ts';
import { laneNamed } from './queue-cursor.ts';
import type { QueueTable } from './queue-table.ts';
import { separator } from './wire.ts';

export interface ClaimRow {
  readonly claim: string;
  readonly now: string;
  readonly ids: string;
  readonly envelopes: string;
  readonly pasts: string | null;
  readonly queues: string;
  readonly ranks: string;
  readonly enqueued: string;
  readonly expires: string | null;
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
  const ranks = row.ranks.split(separator);
  const enqueued = row.enqueued.split(separator);
  const expires = row.expires?.split(separator);
  const names = await queues.names(row.queues.split(separator));
  const jobs: ClaimedJob[] = [];
  for (let position = 0; position < ids.length; position++) {
    jobs.push({
      claim: row.claim,
      lane,
      position,
      id: ids[position] as string,
      queue: names[position] as string,
      envelope: envelopes[position] as string,
      past: pasts?.[position] || undefined,
      enqueuedAt: Number(enqueued[position]),
      rank: ranks[position] as string,
      expiresAt: expires?.[position] ? Number(expires[position]) : undefined,
    });
  }
  return { id: row.claim, lane, claimedAt: Number(row.now), jobs };
}
