/** What a handle says of the end of its job, on the real broker. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type TestNamespace, testNamespace } from '../../test/support/namespace.ts';
import type { Settlement } from '../broker/broker.ts';
import { type OpenedBroker, openBroker } from '../broker/open-broker.ts';
import { newId } from '../support/ids.ts';
import { encodePast, noPast } from '../task/job.ts';
import { JobHandle } from './handle.ts';
import { ResultWaiter } from './result-waiter.ts';

let space: TestNamespace;
let opened: OpenedBroker;
let waiter: ResultWaiter;
let worker: string;

beforeAll(async () => {
  space = await testNamespace();
  opened = await openBroker({ url: space.url, namespace: space.name, queues: [{ name: 'work', priority: 5 }], deadLetterTtlMs: 1e9 });
  waiter = new ResultWaiter(async () => opened.broker);
  worker = await opened.broker.join({ name: 'w', leaseMs: 60_000, info: {} });
});

afterAll(async () => {
  waiter.close();
  await opened.close();
  await space.drop();
});

const handleOf = (id: string, resultKept = true) => new JobHandle<unknown>(id, { resultKept, waiter, broker: async () => opened.broker });

async function enqueued(): Promise<string> {
  const id = newId();
  await opened.broker.enqueue([{ id, queue: 'work', priority: 5, envelope: '{"v":1,"task":"x","input":null}' }]);
  return id;
}

async function claimed() {
  const [claim] = (
    await opened.broker.exchange(worker, [], {
      queues: ['work'],
      limit: 1,
      lane: 'usual',
      lowestFirst: false,
      idle: false,
      hand: 0,
    })
  ).claims;
  const [job] = claim?.jobs ?? [];
  if (job === undefined) throw new Error('nothing was claimed');
  return job;
}

/** A job that was settled so. */
async function settled(settle: (job: Awaited<ReturnType<typeof claimed>>) => Settlement): Promise<JobHandle<unknown>> {
  await enqueued();
  const job = await claimed();
  const { accepted } = await opened.broker.exchange(worker, [settle(job)], undefined);
  expect(accepted).toEqual([true]);
  return handleOf(job.id);
}

describe('result()', () => {
  it.each<[string, string | undefined, unknown]>([
    ['an object', '{"messageId":"a","n":[1,null]}', { messageId: 'a', n: [1, null] }],
    ['null', 'null', null],
    ['an empty string', '""', ''],
    ['false', 'false', false],
    ['nothing', undefined, null],
  ])('is %s as JSON has it', async (_, result, value) => {
    const handle = await settled((job) => ({
      kind: 'end',
      job,
      state: 'succeeded',
      keepMs: 60_000,
      ...(result === undefined ? {} : { result }),
    }));
    expect(await handle.result()).toEqual(value);
    expect(await handle.status()).toBe('succeeded');
  });

  it('of a job that failed for good is JOB_FAILED, with the last error as cause', async () => {
    const attempt = (number: number, message: string) => ({
      attempt: number,
      outcome: 'failed' as const,
      startedAt: 1,
      endedAt: 2,
      worker: 'w',
      error: { type: 'SmtpError', code: 'E550', message },
    });
    const past = encodePast({
      ...noPast,
      failures: 2,
      history: [
        attempt(1, 'first'),
        attempt(2, 'no such user'),
        { attempt: 3, outcome: 'handed-back', startedAt: 1, endedAt: 2, worker: 'w' },
      ],
    });
    const handle = await settled((job) => ({ kind: 'bury', job, task: 'x', code: 'E550', message: 'no such user', past }));
    await expect(handle.result()).rejects.toMatchObject({
      code: 'JOB_FAILED',
      jobId: handle.id,
      message: expect.stringContaining('SmtpError: no such user') as string,
      cause: { name: 'SmtpError', code: 'E550', message: 'no such user' },
    });
    expect(await handle.status()).toBe('failed');
    expect(await handle.cancel()).toBe('ended');
  });

  it('of a dead letter without any error says so all the same', async () => {
    const handle = await settled((job) => ({ kind: 'bury', job, task: 'x', code: 'POISON_JOB', message: 'lost', past: 'damaged' }));
    const error: unknown = await handle.result().catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'JOB_FAILED', jobId: handle.id });
    expect((error as Error).cause).toBeUndefined();
  });

  it('of a cancelled job is JOB_CANCELLED', async () => {
    const handle = handleOf(await enqueued());
    expect(await handle.cancel()).toBe('done');
    await expect(handle.result()).rejects.toMatchObject({ code: 'JOB_CANCELLED', jobId: handle.id });
    expect(await handle.status()).toBe('cancelled');
    expect(await handle.cancel()).toBe('ended');
  });

  it('of an expired job is JOB_EXPIRED', async () => {
    const id = newId();
    await opened.broker.enqueue([{ id, queue: 'work', priority: 5, envelope: '{"v":1,"task":"x","input":null}', expiresInMs: 1 }]);
    await expect(handleOf(id).result()).rejects.toMatchObject({ code: 'JOB_EXPIRED', jobId: id });
  });

  it('of a task that keeps none is RESULT_NOT_KEPT, at once', async () => {
    await expect(handleOf(await enqueued(), false).result()).rejects.toMatchObject({ code: 'RESULT_NOT_KEPT' });
    await opened.inspector.purge('work', 100);
  });

  it('takes a timeout, and checks it', async () => {
    const handle = handleOf(await enqueued());
    await expect(handle.result({ timeout: '30ms' })).rejects.toMatchObject({ code: 'RESULT_TIMEOUT', jobId: handle.id });
    await expect(handle.result({ timeout: -1 })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      message: expect.stringContaining('timeout') as string,
    });
    await handle.cancel();
  });
});

it('a job that never was has no status, and cannot be cancelled', async () => {
  const handle = handleOf('nobody-knows');
  expect(await handle.status()).toBeUndefined();
  expect(await handle.cancel()).toBe('unknown');
  await expect(handle.result()).rejects.toMatchObject({ code: 'JOB_NOT_FOUND' });
});

it('a job that runs is asked to stop', async () => {
  await enqueued();
  const job = await claimed();
  expect(await handleOf(job.id).status()).toBe('running');
  expect(await handleOf(job.id).cancel()).toBe('asked');
  await opened.broker.exchange(worker, [{ kind: 'end', job, state: 'cancelled', keepMs: 1_000 }], undefined);
});
