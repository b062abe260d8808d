/**
 * Through PgBouncer in transaction mode: no statement may count on the connection that the last one had. Workers are not
 * woken there, and poll.
 */
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { createApp } from '../../src/app/app.ts';
import type { ClaimedJob, Settlement } from '../../src/broker/broker.ts';
import { type OpenedBroker, openBroker } from '../../src/broker/open-broker.ts';
import { silentLogger } from '../../src/support/logger.ts';
import { eventually } from '../support/eventually.ts';
import { OwnServer } from '../support/own-server.ts';
import { PgBouncer, pgBouncerVersion } from '../support/pg-bouncer.ts';

const version = pgBouncerVersion();
const missing = 'PgBouncer is not on the PATH, so nothing was tried behind it; to mend that: apt-get install pgbouncer';
if (version === undefined) console.warn(`\n${missing}\n`);

const queues = [{ name: 'usual', priority: 5 }];

it.runIf(version === undefined && process.env['CI'] === 'true')('PgBouncer is there for the tests that need it', () => {
  throw new Error(missing);
});

describe.skipIf(version === undefined)(version === undefined ? missing : `behind ${version}`, () => {
  let server: OwnServer;
  let bouncer: PgBouncer;

  beforeAll(async () => {
    server = await OwnServer.make();
    bouncer = await PgBouncer.before(server, 3);
  });

  afterAll(async () => {
    await bouncer?.remove();
    await server?.remove();
  });

  const open = (namespace: string): Promise<OpenedBroker> =>
    openBroker({ url: bouncer.url, namespace, queues, deadLetterTtlMs: 86_400_000 });
  const end = (job: ClaimedJob): Settlement => ({ kind: 'end', job, state: 'succeeded', result: '1', keepMs: 600_000 });

  it('it is noticed, and said to whoever examines the broker', async () => {
    const { inspector, broker, close } = await open('noticed');
    const wakeUps = (await inspector.examine()).find(({ check }) => check === 'wake-ups');
    expect(wakeUps).toMatchObject({ ok: false, detail: expect.stringContaining('pooler') });
    const stop = await broker.listen([], { jobs: () => undefined, attention: () => undefined });
    await stop();
    await close();
    const direct = await openBroker({ url: server.url(), namespace: 'noticed', queues, deadLetterTtlMs: 86_400_000 });
    expect((await direct.inspector.examine()).find(({ check }) => check === 'wake-ups')).toMatchObject({ ok: true });
    await direct.close();
  });

  it('eight brokers open, enqueue, claim, settle and cancel on three server connections', async () => {
    const opened = await Promise.all(Array.from({ length: 8 }, () => open('shared')));
    const settled: string[] = [];
    const cancelled: string[] = [];
    await Promise.all(
      opened.map(async ({ broker }, number) => {
        const worker = await broker.join({ name: `worker-${number}`, leaseMs: 60_000, info: {} });
        for (let round = 0; round < 15; round++) {
          const mine = Array.from({ length: 4 }, (_, index) => `job-${number}-${round}-${index}`);
          await broker.enqueue(mine.slice(0, 3).map((id) => ({ id, queue: 'usual', priority: 5, envelope: '{}' })));
          await broker.enqueue([
            {
              id: mine[3] as string,
              queue: 'usual',
              priority: 5,
              envelope: '{}',
              unique: { fingerprint: 'f', forMs: 60_000 },
              countdownMs: 3_600_000,
            },
          ]);
          expect(await broker.cancel([mine[3] as string, 'unknown'])).toEqual(['done', 'unknown']);
          cancelled.push(mine[3] as string);
          const request = { queues: ['usual'], limit: 5, lane: 'usual', lowestFirst: false, idle: true, hand: 0 } as const;
          const [claim] = (await broker.exchange(worker, [], request)).claims;
          expect(await broker.pulse(worker, ['usual'], {})).toMatchObject({ alive: true, cancelled: [] });
          const jobs = claim?.jobs ?? [];
          const { accepted } = await broker.exchange(worker, jobs.map(end), undefined);
          expect(accepted).toEqual(jobs.map(() => true));
          settled.push(...jobs.map(({ id }) => id));
        }
        expect(await broker.tidy().then((more) => typeof more)).toBe('boolean');
        expect(await broker.recover(worker)).toEqual([]);
        expect(await broker.missing(worker, [])).toEqual([]);
      }),
    );
    const [{ broker, inspector }] = opened as [OpenedBroker];
    const [usual] = await inspector.queues();
    expect(settled.length + (usual?.ready ?? 0)).toBe(8 * 15 * 3);
    expect(new Set(settled).size).toBe(settled.length);
    expect(new Set(await broker.states(settled))).toEqual(new Set(['succeeded']));
    expect(new Set(await broker.states(cancelled))).toEqual(new Set(['cancelled']));
    await Promise.all(opened.map(({ close }) => close()));
  });

  it('an idle worker finds jobs by polling, stops one that is cancelled, and goes on after the pooler was away', async () => {
    const app = createApp({ brokerUrl: bouncer.url, namespace: 'polling', queues, logger: silentLogger });
    const begun: number[] = [];
    const double = app.task({
      name: 'double',
      queue: 'usual',
      input: z.object({ n: z.number() }),
      run: async ({ n }, ctx) => {
        begun.push(n);
        if (n === 13 && !ctx.signal.aborted) await once(ctx.signal, 'abort');
        ctx.signal.throwIfAborted();
        return n * 2;
      },
    });
    const worker = app.worker({ concurrency: 4, pollInterval: 50 });
    await worker.start();
    try {
      for (const n of [1, 2, 3]) expect(await (await double.delay({ n })).result({ timeout: '20s' })).toBe(n * 2);
      const stuck = await double.delay({ n: 13 });
      await eventually(async () => begun.includes(13), 'the job runs');
      expect(await stuck.cancel()).toBe('asked');
      await expect(stuck.result({ timeout: '20s' })).rejects.toMatchObject({ code: 'JOB_CANCELLED' });
      await bouncer.stop();
      await expect(double.delay({ n: 4 })).rejects.toMatchObject({ code: 'BROKER_UNAVAILABLE' });
      await bouncer.start();
      const again = await eventually(async () => double.delay({ n: 5 }).catch(() => undefined), 'the pooler is back');
      expect(await again.result({ timeout: '20s' })).toBe(10);
    } finally {
      await app.close();
    }
  });
});
