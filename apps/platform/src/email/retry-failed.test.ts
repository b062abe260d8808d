import { describe, expect, it } from 'vitest';
import { withDatabase } from '../../test/database.ts';
import type { PlatformDatabase } from '../database/database.ts';
import { DeliveryRecords } from './delivery-records.ts';
import { retryFailed } from './retry-failed.ts';

let database: PlatformDatabase;
withDatabase((opened) => {
  database = opened;
});

const ctx = { heartbeat: async () => {} };

describe('retryFailed', () => {
  it('leaves a record to the other run that was faster', async () => {
    const records = new DeliveryRecords(database);
    const delivery = {
      id: 'race',
      kind: 'normal',
      template: 'welcome',
      recipient: 'a@example.com',
      recipientName: '',
      context: {},
      messageDomain: 'x.example',
    } as const;
    await records.noteQueued(delivery, 'email:race:1');
    const enqueued: string[] = [];
    const result = await retryFailed(
      {
        records,
        now: Date.now,
        jobState: async (jobId) => {
          const seen = await records.find('race');
          // The other run goes through between our look at the record and at its job.
          if (seen?.job_id === jobId) await records.handOver(seen, 'email:race:2');
          return 'failed';
        },
        enqueueAgain: async (_record, jobId) => enqueued.push(jobId),
      },
      10,
      ctx,
    );
    expect(result).toEqual({ retried: 0, closed: 0, exhausted: 0 });
    expect(enqueued).toEqual([]);
    expect(await records.find('race')).toMatchObject({ generation: 2, job_id: 'email:race:2' });
    await records.close((await records.find('race')) ?? raise(), 'done');
  });

  it('makes no second job once the broker may have forgotten the id of the first', async () => {
    const records = new DeliveryRecords(database);
    const delivery = {
      id: 'old',
      kind: 'normal',
      template: 'welcome',
      recipient: 'a@example.com',
      recipientName: '',
      context: {},
      messageDomain: 'x.example',
    } as const;
    await records.noteQueued(delivery, 'email:old:1');
    const enqueued: string[] = [];
    const run = (now: number) =>
      retryFailed(
        {
          records,
          now: () => now,
          jobState: async (jobId) => (enqueued.includes(jobId) ? 'queued' : undefined),
          enqueueAgain: async (_record, jobId) => enqueued.push(jobId),
        },
        10,
        ctx,
      );
    const day = 86_400_000;
    expect(await run(Date.now() + 6.1 * day)).toEqual({ retried: 0, closed: 1, exhausted: 0 });
    expect(enqueued).toEqual([]);
    expect(await records.find('old')).toMatchObject({ status: 'failed', job_id: null });
  });
});

function raise(): never {
  throw new Error('the record is gone');
}
