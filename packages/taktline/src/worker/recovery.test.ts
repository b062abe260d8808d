/** The poison rule: any job of a lost worker is a suspect, only a loss suffered alone counts, and three of them are enough. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { claimedJob } from '../../test/support/claimed-job.ts';
import type { Claim, ClaimedJob, Lane } from '../broker/broker.ts';
import { decodePast, encodePast, noPast } from '../task/job.ts';
import { poisonLosses, settleLost, suspectBatch } from './recovery.ts';

function lostClaim(lane: Lane, jobs: readonly ClaimedJob[], open = jobs.length): Claim {
  const held = jobs.map((job) => ({ ...job, lane }));
  return { id: '9', lane, claimedAt: 9_000, jobs: held, lost: { worker: 'w@gone', claimedAt: 1_000, lostAt: 2_000, open } };
}
const taskOf = () => 'work';

it('tens, then one by one, then three times', () => {
  expect([suspectBatch, poisonLosses]).toEqual([10, 3]);
});

describe('the lane of a lost job', () => {
  it.each<[Lane, Lane]>([
    ['usual', 'suspects'],
    ['suspects', 'alone'],
    ['alone', 'alone'],
  ])('after %s it waits in %s', (from, to) => {
    expect(settleLost(lostClaim(from, [claimedJob('work')]), taskOf)).toMatchObject([{ kind: 'release', lane: to }]);
  });
});

it('the loss is on the record, and is no failure', () => {
  const past = encodePast({ ...noPast, failures: 2, deferrals: 1 });
  const [settlement] = settleLost(lostClaim('usual', [claimedJob('work', null, { past })], 734), taskOf);
  expect(decodePast(settlement?.past)).toEqual({
    failures: 2,
    deferrals: 1,
    losses: 1,
    lossesAlone: 0,
    history: [
      {
        attempt: 4,
        outcome: 'lost',
        startedAt: 1_000,
        endedAt: 2_000,
        worker: 'w@gone',
        error: { type: 'TaktlineError', code: 'LEASE_LOST', message: expect.stringContaining('734 jobs') as string },
      },
    ],
  });
});

it('losses in company never make a dead letter, however many', () => {
  fc.assert(
    fc.property(fc.nat({ max: 1_000 }), fc.nat({ max: 2 }), fc.constantFrom<Lane>('usual', 'suspects'), (losses, lossesAlone, lane) => {
      const past = encodePast({ ...noPast, losses, lossesAlone });
      const [settlement] = settleLost(lostClaim(lane, [claimedJob('work', null, { past })]), taskOf);
      expect(settlement?.kind).toBe('release');
      expect(decodePast(settlement?.past)).toMatchObject({ losses: losses + 1, lossesAlone });
    }),
  );
});

it('the third loss alone makes one', () => {
  let past: string | undefined;
  const kinds: string[] = [];
  for (let loss = 1; loss <= poisonLosses; loss++) {
    const [settlement] = settleLost(lostClaim('alone', [claimedJob('work', null, { past })]), taskOf);
    kinds.push(settlement?.kind as string);
    past = settlement?.past;
    if (loss === poisonLosses) expect(settlement).toMatchObject({ task: 'work', code: 'POISON_JOB' });
  }
  expect(kinds).toEqual(['release', 'release', 'bury']);
});

it('each job of a claim is settled once, and a claim that was not lost not at all', () => {
  const jobs = Array.from({ length: 25 }, (_, position) => claimedJob('work', null, { position }));
  const settlements = settleLost(lostClaim('usual', jobs), taskOf);
  expect(settlements.map(({ job }) => job)).toEqual(jobs.map((job) => ({ ...job, lane: 'usual' })));
  expect(settleLost({ id: '9', lane: 'usual', claimedAt: 0, jobs }, taskOf)).toEqual([]);
});
