/**
 * What becomes of jobs whose worker was lost (promise 3). Any of them may have killed it. So they are claimed again by
 * tens with nothing else in the process, and those of a ten that was lost too, one by one. Only a loss suffered alone
 * counts against a job, and the third one makes it a dead letter: the innocent never pay for the guilty.
 */
import type { Claim, ClaimedJob, Lane, Settlement } from '../broker/broker.ts';
import { decodePast, encodePast, withAttempt } from '../task/job.ts';

/** Losses alone that make a dead letter. */
export const poisonLosses = 3;

/** How many suspects are claimed at once. */
export const suspectBatch = 10;

const nextLane: Record<Lane, Lane> = { usual: 'suspects', suspects: 'alone', alone: 'alone' };

/** Settles the jobs of a claim that was taken over from a lost worker. */
export function settleLost(claim: Claim, taskOf: (job: ClaimedJob) => string): Settlement[] {
  const { lost } = claim;
  if (lost === undefined) return [];
  const who = 'the worker';
  return claim.jobs.map((job) =>
    settleLostJob(job, { who, worker: lost.worker, held: lost.open, from: lost.claimedAt, to: lost.lostAt }, taskOf),
  );
}

/** How a job was lost. */
export interface Loss {
  /** What was lost, in words: a worker, or a child of its pool. */
  readonly who: string;
  /** The worker's name. */
  readonly worker: string;
  /** How many jobs were lost at once. */
  readonly held: number;
  readonly from: number;
  readonly to: number;
}

/** Settles a job whose worker, or child, was lost while it ran, or may have. */
export function settleLostJob(job: ClaimedJob, { who, worker, held, from, to }: Loss, taskOf: (job: ClaimedJob) => string): Settlement {
  const alone = job.lane === 'alone';
  const past = decodePast(job.past);
  const lossesAlone = past.lossesAlone + (alone ? 1 : 0);
  const message = alone ? `${who} was lost while it ran this job alone` : `${who} was lost while it held ${held} jobs`;
  const attempt = past.failures + past.deferrals + past.losses + 1;
  const record = {
    attempt,
    outcome: 'lost' as const,
    startedAt: from,
    endedAt: to,
    worker,
    error: { type: 'TaktlineError', code: 'LEASE_LOST', message },
  };
  const next = encodePast(withAttempt(past, record, { losses: past.losses + 1, lossesAlone }));
  if (lossesAlone >= poisonLosses) {
    return {
      kind: 'bury',
      job,
      task: taskOf(job),
      code: 'POISON_JOB',
      message: `its worker was lost ${lossesAlone} times while it ran alone`,
      past: next,
    };
  }
  return { kind: 'release', job, lane: nextLane[job.lane], past: next };
}
