/** A claimed job as a broker hands it out, for tests of what a worker does with it. */
import type { ClaimedJob } from '../../src/broker/broker.ts';
import { encodeEnvelope, encodeHead, toJson } from '../../src/task/codec.ts';

let made = 0;

export function claimedJob(task: string, input: unknown = null, more: Partial<ClaimedJob> = {}): ClaimedJob {
  made += 1;
  return {
    claim: '1',
    lane: 'usual',
    position: 0,
    id: `job-${made}`,
    queue: 'work',
    envelope: encodeEnvelope(encodeHead({ task, inputVersion: 1 }), toJson(input, 'the input')),
    past: undefined,
    enqueuedAt: 1_000,
    readyAt: 1_000,
    claimedAt: 1_000,
    rank: '1',
    expiresAt: undefined,
    ...more,
  };
}
