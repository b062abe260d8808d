/** What is the Redis broker's own: what it refuses, what it keeps, and what it leaves. The contract is in test/conformance. */
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { queues } from '../../../test/conformance/subject.ts';
import { bury, end, ids, job, jobs, named, release, TestWorker } from '../../../test/conformance/test-worker.ts';
import { eventually } from '../../../test/support/eventually.ts';
import { describeOnRedis, describeWithRedisServers } from '../../../test/support/redis/needs-redis.ts';
import { OwnRedis } from '../../../test/support/redis/own-redis.ts';
import { RedisCluster } from '../../../test/support/redis/redis-cluster.ts';
import { keysOf, removeNamespace } from '../../../test/support/redis/redis-namespace.ts';
import { hash12, newId, queueMark } from '../../support/ids.ts';
import type { Claim, ClaimedJob } from '../broker.ts';
import { slotOf } from './cluster-nodes.ts';
import { buckets, Keys } from './keys.ts';
import { RedisBroker, type RedisBrokerOptions } from './redis-broker.ts';
import { RedisInspector } from './redis-inspector.ts';
import { scripts } from './scripts.ts';

describeOnRedis('the Redis broker', (url) => {
  let namespace: string;
  const open: RedisBroker[] = [];

  const make = (options: Partial<RedisBrokerOptions> = {}): RedisBroker => {
    const broker = new RedisBroker({ url, namespace, queues, deadLetterTtlMs: 86_400_000, ...options });
    open.push(broker);
    return broker;
  };

  beforeEach(() => {
    namespace = `b_${randomBytes(6).toString('hex')}`;
  });

  afterEach(async () => {
    await Promise.all(open.splice(0).map((broker) => broker.close()));
    await removeNamespace(url, namespace);
  });

  it('refuses a namespace that a newer release has laid out, and one that is not there when it is to make none', async () => {
    await expect(make({ create: false }).open()).rejects.toMatchObject({
      code: 'BROKER_SCHEMA',
      message: expect.stringContaining(namespace),
    });
    expect(await keysOf(url, namespace)).toEqual([]);
    const broker = make();
    await broker.open();
    const { layout } = new Keys(namespace);
    await broker.connection.command(layout, ['SET', layout, '2']);
    for (const create of [true, false]) {
      await expect(make({ create }).open()).rejects.toMatchObject({
        code: 'BROKER_SCHEMA',
        message: expect.stringMatching(/layout 2.*upgrade/),
      });
    }
  });

  it('knows the queues of a namespace that it has not made, from the first question on', async () => {
    await make().open();
    const attached = make({ create: false, queues: [] });
    await attached.open();
    // Of any age: it has never asked.
    expect((await attached.names.all(Number.MAX_SAFE_INTEGER)).toSorted()).toEqual(['high', 'low', 'usual']);
  });

  it('finds a job by its id alone, though the mark in the id is that of another queue', async () => {
    const broker = make();
    const inspector = new RedisInspector(broker, namespace);
    const marked = newId('high');
    expect(Number.parseInt(marked.slice(-3), 16)).toBe(queueMark('high'));
    await broker.enqueue([job(marked), job(newId())]);
    expect(await inspector.job(marked)).toMatchObject({ queue: 'usual', state: 'queued' });
    expect(await broker.cancel([marked])).toEqual(['done']);
  });

  it('leaves nothing of jobs that have ended and are not kept', async () => {
    const broker = make();
    const inspector = new RedisInspector(broker, namespace);
    const worker = await TestWorker.join(broker);
    const packed = (count: number) => Array.from({ length: count }, () => job(newId('usual')));
    await broker.enqueue(packed(300));
    await broker.enqueue([
      ...jobs(20, 'named', named('print', 1)),
      ...jobs(5, 'timed', { countdownMs: 1 }),
      ...jobs(3, 'late', { expiresInMs: 1 }),
    ]);
    const [first, second, ...rest] = packed(40);
    await broker.enqueue([first, second, ...rest] as never);
    await broker.cancel([first?.id ?? '', 'named-3']);
    const lost = await TestWorker.join(broker, { name: 'lost' });
    await lost.take({ limit: 50 });
    await lost.leave();
    await worker.broker.recover(worker.id);
    const held = (await broker.missing(worker.id, [])).flatMap((claim) => claim.jobs);
    await broker.pulse(worker.id, ['usual'], { progress: held.slice(0, 3).map((one) => ({ job: one, value: '1' })) });
    await worker.settle(
      ...held.slice(0, 10).map((one) => release(one, 'suspects')),
      ...held.slice(10).map((one) => end(one, { keepMs: 0 })),
    );
    await worker.done(...(await worker.takeAll({ lane: 'suspects' })).map((one) => bury(one)));
    await inspector.discard({}, 100);
    await eventually(async () => {
      await worker.settle(...(await worker.take({ limit: 7 })).map((one) => end(one, { keepMs: 1 })));
      const counts = await inspector.queues();
      return counts.every(({ ready, scheduled, running, dead }) => ready + scheduled + running + dead === 0);
    }, 'all have ended');
    await worker.leave();
    const { connection, keys } = broker;
    // What was cancelled or has expired is kept for an hour: as if that were over.
    for (const { name } of queues) {
      const ends = `${keys.queue(name)}:ends`;
      for (const key of (await connection.command(ends, ['ZRANGE', ends, '0', '-1'])) as string[])
        await connection.command(ends, ['ZADD', ends, '1', key]);
    }
    await eventually(async () => !(await broker.tidy()) && (await broker.states(['named-1']))[0] === undefined, 'all is tidied');
    const left = (await keysOf(url, namespace)).map((key) => key.replace(`taktline:{${namespace}`, ''));
    // Ids of callers are freed a minute after their time; a worker that has left is known for a week as such.
    expect(left.filter((key) => !key.startsWith(':ids:'))).toEqual(
      [':high}:marks', ':low}:marks', ':usual}:marks', ':usual}:meta', '}:layout', '}:queues', '}:workers', ':usual}:holders'].toSorted(),
    );
    const counted = (await connection.command(keys.queue('usual'), [
      'HMGET',
      `${keys.queue('usual')}:meta`,
      'ready',
      'running',
      'ended',
    ])) as string[];
    expect(counted).toEqual(['0', '0', '0']);
    // Of the workers nothing but how many there were.
    expect(await connection.command(keys.workers[1], ['HKEYS', keys.workers[1]])).toEqual(expect.arrayContaining(['last', 'contact']));
    expect(await connection.command(keys.workers[1], ['HLEN', keys.workers[1]])).toBe(2);
  });

  it('keeps nothing of a job whose result is not kept, from the moment it ends', async () => {
    const broker = make();
    const worker = await TestWorker.join(broker);
    await broker.enqueue(Array.from({ length: 20 }, () => job(newId('usual'))));
    const [one, ...others] = (await worker.take()) as [ClaimedJob, ...ClaimedJob[]];
    await worker.done(end(one, { keepMs: 0 }));
    await worker.done(...others.map((other) => end(other, { keepMs: 0 })));
    const base = broker.keys.queue('usual');
    expect((await keysOf(url, namespace)).filter((key) => key.startsWith(base))).toEqual([`${base}:holders`, `${base}:meta`]);
  });

  it('keeps nothing of a job that would have expired later', async () => {
    const broker = make();
    const worker = await TestWorker.join(broker);
    const expiring = { expiresInMs: 3_600_000 };
    await broker.enqueue(Array.from({ length: 20 }, () => job(newId('usual'), expiring)));
    await broker.enqueue([job('named', { ...expiring, ...named() })]);
    for (const limit of [3, 100]) await worker.done(...(await worker.take({ limit })).map((one) => end(one, { keepMs: 0 })));
    expect(await keysOf(url, namespace)).not.toContain(`${broker.keys.queue('usual')}:expiry`);
  });

  it('an id of its own that is sent again to another queue makes no second job, whenever the first arrives', async () => {
    const broker = make();
    const worker = await TestWorker.join(broker);
    const [before, after] = [newId('usual'), newId('usual')];
    await broker.enqueue([job(before)]);
    expect(await broker.enqueue([job(before, { ...named(), queue: 'low' }), job(after, { ...named(), queue: 'low' })])).toEqual([
      'duplicate',
      'created',
    ]);
    await expect(broker.enqueue([job(after)])).rejects.toMatchObject({ code: 'ID_CONFLICT' });
    expect((await worker.takeAll()).map(({ id, queue }) => [id, queue])).toEqual([
      [before, 'usual'],
      [after, 'low'],
    ]);
  });

  it('lists of large jobs are read in steps, and are whole', async () => {
    const broker = make();
    const inspector = new RedisInspector(broker, namespace);
    const worker = await TestWorker.join(broker);
    const large = jobs(12, 'large', { envelope: 'x'.repeat(1024 * 1024) });
    for (const one of large) await broker.enqueue([one]);
    expect(ids(await inspector.jobs('queued', { limit: 100 }))).toEqual(ids(large));
    expect(ids(await inspector.jobs('queued', { limit: 9 }))).toEqual(ids(large.slice(0, 9)));
    const { connection, keys } = broker;
    const base = keys.queue('usual');
    const [more, ...rows] = (await connection.run(scripts.list, base, [base], ['queued', '100', '0'])) as readonly [number, ...unknown[]];
    expect([more, rows.length]).toEqual([1, 4]);
    for (const one of await worker.takeAll({ limit: 2 })) await worker.done(bury(one));
    expect(ids((await inspector.deadLetters({}, 12, undefined)).items).toSorted()).toEqual(ids(large).toSorted());
    expect(ids((await inspector.deadLetters({ ids: ['large-3', 'large-9', 'nowhere'] }, 12, undefined)).items).toSorted()).toEqual([
      'large-3',
      'large-9',
    ]);
    expect(await inspector.redrive({ ids: ['large-3'] }, 10)).toEqual(['large-3']);
  });

  it('frees no id that was given again while upkeep was looking for its job', async () => {
    const broker = make();
    await broker.enqueue([job('again', named())]);
    const { connection, keys } = broker;
    const bucket = keys.bucket(hash12('again') % buckets);
    // Upkeep had found its time to be over a minute ago.
    await connection.run(scripts.free, bucket, [bucket], [String(Date.now() - 60_000), 'again']);
    expect(await connection.command(bucket, ['HEXISTS', bucket, 'again'])).toBe(1);
    await connection.run(scripts.free, bucket, [bucket], [String(Date.now() + 3_600_000), 'again']);
    expect(await connection.command(bucket, ['HEXISTS', bucket, 'again'])).toBe(0);
  });

  it('keeps no more ended jobs and dead letters than it should', async () => {
    const broker = make({ endedLimit: 100, deadLetterLimit: 5 });
    const inspector = new RedisInspector(broker, namespace);
    const worker = await TestWorker.join(broker);
    const batch = Array.from({ length: 400 }, () => job(newId('usual')));
    await broker.enqueue(batch);
    await broker.enqueue(jobs(8, 'bad', { queue: 'high' }));
    await worker.done(...(await worker.takeAll({ queues: ['usual'] })).map((one) => end(one, { result: '1' })));
    for (const one of await worker.takeAll()) await worker.done(bury(one));
    while (await broker.tidy());
    // By the record, which here is a pack.
    const kept = (await broker.ended(ids(batch))).length;
    expect(kept).toBeLessThanOrEqual(100);
    expect(kept).toBeGreaterThan(0);
    expect(ids((await inspector.deadLetters({}, 10, undefined)).items)).toEqual(['bad-7', 'bad-6', 'bad-5', 'bad-4', 'bad-3']);
  });

  it('finds the claims of a worker of which nothing else is known any more, and gives them to others', async () => {
    const broker = make();
    const gone = await TestWorker.join(broker);
    await broker.enqueue(jobs(3));
    await gone.take({ limit: 2 });
    const { connection, keys } = broker;
    // As after a failover that has lost its entry, a minute later.
    for (const key of keys.workers) await connection.command(key, ['UNLINK', key]);
    const holders = `${keys.queue('usual')}:holders`;
    await connection.command(holders, ['ZADD', holders, '1', gone.id]);
    const worker = await TestWorker.join(broker);
    expect(await broker.recover(worker.id)).toEqual([]);
    await broker.tidy();
    const claims = await broker.recover(worker.id);
    expect(claims.flatMap((claim) => ids(claim.jobs))).toEqual(['job-0', 'job-1']);
    expect(await broker.recover(worker.id)).toEqual([]);
  });

  it('wakes those who sleep once, not for each enqueue', async () => {
    const broker = make();
    const worker = await TestWorker.join(broker);
    let heard = 0;
    const stop = await broker.listen(['usual'], { jobs: () => void (heard += 1), attention: () => undefined });
    const before = heard;
    expect((await worker.exchange([], { queues: ['usual'], idle: true })).claims).toEqual([]);
    for (const one of jobs(10)) await broker.enqueue([one]);
    await eventually(async () => heard > before, 'it hears');
    await broker.enqueue(jobs(1, 'more'));
    expect(heard).toBe(before + 1);
    await stop();
  });

  describe('a worker that has nothing to do', () => {
    /** One that listens, and has asked in vain. */
    const idle = async (broker: RedisBroker, hand = 5) => {
      const worker = await TestWorker.join(broker);
      const heard = { claims: [] as Claim[], jobs: 0 };
      const listener = {
        jobs: () => void (heard.jobs += 1),
        handed: (claim: Claim) => void heard.claims.push(claim),
        attention: () => undefined,
      };
      const stop = await broker.listen(['usual'], listener, worker.id);
      expect(await worker.claim({ queues: ['usual'], idle: true, hand })).toBeUndefined();
      heard.jobs = 0;
      return { worker, heard, stop };
    };
    const handedOf = ({ claims }: { readonly claims: readonly Claim[] }) => claims.flatMap((claim) => ids(claim.jobs));
    const count = async (broker: RedisBroker) =>
      (await new RedisInspector(broker, namespace).queues()).find(({ name }) => name === 'usual');

    it('is handed what comes, as a claim of its own, and nobody is woken', async () => {
      const broker = make();
      const [{ worker, heard }, other] = [await idle(broker), await idle(broker, 0)];
      await make().enqueue(jobs(3));
      await eventually(async () => heard.claims.length > 0, 'it is handed the jobs');
      expect(handedOf(heard)).toEqual(['job-0', 'job-1', 'job-2']);
      expect(heard.claims[0]).toMatchObject({ lane: 'usual', claimedAt: expect.any(Number) as number });
      expect(await broker.missing(worker.id, [])).toEqual(heard.claims);
      expect(await count(broker)).toMatchObject({ ready: 0, running: 3 });
      await worker.done(...(heard.claims[0]?.jobs ?? []).map((one) => end(one, { result: '1' })));
      expect((await broker.ended(['job-1']))[0]).toMatchObject({ state: 'succeeded', result: '1' });
      expect([heard.jobs, other.heard.jobs]).toEqual([0, 0]);
    });

    it('is not passed over for another one each time', async () => {
      const broker = make();
      const both = [await idle(broker), await idle(broker)];
      const heard = () => both.reduce((sum, { heard }) => sum + heard.claims.length, 0);
      for (let n = 1; both.some(({ heard }) => heard.claims.length === 0); n++) {
        expect(n).toBeLessThan(100);
        await broker.enqueue([job(`job-${n}`)]);
        await eventually(async () => heard() === n, 'one of them is handed the job');
        const last = both.find(({ heard }) => heard.claims.at(-1)?.jobs[0]?.id === `job-${n}`);
        await last?.worker.done(...(last.heard.claims.at(-1)?.jobs ?? []).map((one) => end(one)));
        expect(await last?.worker.claim({ queues: ['usual'], idle: true, hand: 5 })).toBeUndefined();
      }
    });

    it('is handed all or nothing; when more waits than it can run all are woken', async () => {
      const broker = make();
      const [one, other] = [await idle(broker, 2), await idle(broker, 0)];
      await broker.enqueue(jobs(3));
      await eventually(async () => one.heard.jobs > 0 && other.heard.jobs > 0, 'both are woken');
      expect(one.heard.claims).toEqual([]);
      expect(ids(await other.worker.take({ limit: 2 }))).toEqual(['job-0', 'job-1']);
      expect(ids(await one.worker.takeAll())).toEqual(['job-2']);
    });

    it('is handed what comes though jobs are scheduled; one that is scheduled wakes all', async () => {
      const broker = make();
      await broker.enqueue([job('tomorrow', { countdownMs: 86_400_000 })]);
      const [one, other] = [await idle(broker), await idle(broker, 0)];
      await broker.enqueue([job('now')]);
      await eventually(async () => one.heard.claims.length > 0, 'it is handed the job');
      await broker.enqueue([job('soon', { countdownMs: 3_600_000 })]);
      await eventually(async () => other.heard.jobs > 0, 'the other one is woken');
      expect([handedOf(one.heard), other.heard.jobs]).toEqual([['now'], 1]);
    });

    it.each<[string, (broker: RedisBroker, it: Awaited<ReturnType<typeof idle>>) => Promise<unknown>]>([
      ['listens no more', (_, { stop }) => stop()],
      ['has left', (broker, { worker }) => broker.leave(worker.id)],
      ['has asked what it misses since', (broker, { worker }) => broker.missing(worker.id, [])],
      [
        'has found something itself',
        async (broker, { worker }) => {
          await broker.enqueue([job('found', { countdownMs: 100 })]);
          expect(await worker.claim({ queues: ['usual'], idle: true, hand: 5 })).toBeUndefined();
          await eventually(async () => (await worker.claim({ queues: ['usual'] })) !== undefined, 'it is due');
        },
      ],
      [
        'holds something yet',
        async (broker, { worker }) => {
          await broker.enqueue([job('found', { countdownMs: 1 })]);
          await eventually(async () => (await worker.claim({ queues: ['usual'] })) !== undefined, 'it is due');
          expect(await worker.claim({ queues: ['usual'], idle: true, hand: 5 })).toBeUndefined();
        },
      ],
      [
        'has taken suspects',
        async (broker, { worker }) => {
          await broker.missing(worker.id, []);
          const other = await TestWorker.join(broker);
          await other.done(release(await other.claimOfNew('suspect'), 'alone'));
          expect(await worker.claim({ queues: ['usual'], idle: true, hand: 5 })).toBeUndefined();
          expect(await worker.claim({ queues: ['usual'], lane: 'alone' })).toBeDefined();
        },
      ],
      [
        'has said so long ago',
        async (broker, { worker }) => {
          const { hands } = broker.keys;
          await broker.connection.command(hands, ['HSET', hands, worker.id, `${Date.now() - 3_500},0,5`]);
        },
      ],
    ])('is handed nothing when it %s', async (_, change) => {
      const broker = make();
      const one = await idle(broker);
      await change(broker, one);
      await broker.enqueue([job('it')]);
      const other = await TestWorker.join(broker);
      expect(ids(await other.takeAll()).at(-1)).toBe('it');
      expect(handedOf(one.heard)).toEqual([]);
    });

    it('keeps what it was handed and did not hear until it is asked about, or taken over', async () => {
      const broker = make();
      const { worker } = await idle(broker);
      await broker.enqueue(jobs(2));
      expect((await broker.pulse(worker.id, ['usual'], {})).held).toBe(1);
      const [claim] = await broker.missing(worker.id, []);
      expect(ids(claim?.jobs ?? [])).toEqual(['job-0', 'job-1']);
    });

    it('asks what it was handed when its subscription was broken', async () => {
      const broker = make();
      const worker = await TestWorker.join(broker);
      const doubt = vi.fn();
      await broker.listen(['usual'], { jobs: () => undefined, attention: () => undefined, doubt }, worker.id);
      const { connection, keys } = broker;
      const listed = (await connection.command(keys.layout, ['CLIENT', 'LIST', 'TYPE', 'PUBSUB'])) as string;
      const own = listed.split('\n').find((line) => line.includes(`name=taktline:${namespace}:subscriber`));
      expect(doubt).not.toHaveBeenCalled();
      await connection.command(keys.layout, ['CLIENT', 'KILL', 'ID', /id=(\d+)/.exec(own ?? '')?.[1] as string]);
      await eventually(async () => doubt.mock.calls.length > 0, 'it asks');
    });

    it('is handed nothing that is large, or not due', async () => {
      const broker = make();
      const { worker, heard } = await idle(broker);
      await broker.enqueue([job('later', { countdownMs: 3_600_000 })]);
      await broker.enqueue([job('large', { envelope: JSON.stringify('x'.repeat(100_000)) })]);
      expect(ids(await worker.takeAll())).toEqual(['large']);
      expect(heard.claims).toEqual([]);
    });
  });

  it('loses none of the jobs of which a worker wants more than a script can take', async () => {
    const broker = make();
    const inspector = new RedisInspector(broker, namespace);
    const worker = await TestWorker.join(broker);
    const most = 9_000;
    for (let from = 0; from < most; from += 1_000) await broker.enqueue(jobs(1_000, `of-${from}`, named('print', 1)));
    const taken = new Set<string>();
    for (let claims = 0; taken.size < most && claims < 20; claims++) {
      for (const { id } of await worker.take({ limit: 10_000 })) taken.add(id);
      const [usual] = (await inspector.queues()).filter(({ name }) => name === 'usual');
      expect(usual).toMatchObject({ ready: most - taken.size, running: taken.size });
    }
    expect(taken.size).toBe(most);
  });

  it('keeps ids of callers for their time, by the clock of the server', async () => {
    const broker = make();
    const worker = await TestWorker.join(broker);
    await broker.enqueue([job('once', named('print', 1_800_000))]);
    await worker.done(...(await worker.take()).map((one) => end(one, { keepMs: 0 })));
    const ahead = vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 3_600_000);
    try {
      for (let step = 0; step < 64; step++) await broker.tidy();
    } finally {
      ahead.mockRestore();
    }
    expect(await broker.enqueue([job('once', { queue: 'low', ...named('print', 1_800_000) })])).toEqual(['duplicate']);
    expect(await worker.take()).toEqual([]);
  });

  it('reads no more than some MiB of large jobs at once', async () => {
    const broker = make();
    const inspector = new RedisInspector(broker, namespace);
    const worker = await TestWorker.join(broker);
    const envelope = JSON.stringify('x'.repeat(500_000));
    const large = (count: number, more = {}) => Array.from({ length: count }, () => ({ ...job(newId('usual'), more), envelope }));
    for (let batch = 0; batch < 4; batch++) await broker.enqueue([...large(10, { countdownMs: 1 })]);
    await eventually(async () => (await worker.take({ limit: 1 })).length === 1, 'they are due');
    const counts = async () => (await inspector.queues()).find(({ name }) => name === 'usual');
    expect(await counts()).toMatchObject({ ready: expect.closeTo(8, -1), scheduled: expect.closeTo(31, -1) });
    await eventually(async () => (await worker.take({ limit: 1 })).length === 0, 'all become ready and are taken');
    for (let batch = 0; batch < 4; batch++) await broker.enqueue(large(10));
    expect(await inspector.purge('usual', 1_000)).toBe(40);
    expect(await counts()).toMatchObject({ ready: 0, scheduled: 0, running: 40 });
  });
});

describeWithRedisServers('a Redis that may throw jobs away', () => {
  it('is refused in one line, unless that was allowed', async () => {
    const server = await OwnRedis.make({ config: ['maxmemory 100mb', 'maxmemory-policy allkeys-lru'] });
    const options = { url: server.url(), namespace: 'evicts', queues, deadLetterTtlMs: 1e9 };
    const [refused, allowed] = [new RedisBroker(options), new RedisBroker({ ...options, allowEviction: true })];
    try {
      await expect(refused.open()).rejects.toMatchObject({
        code: 'BROKER_URL',
        message: expect.stringMatching(/^Redis may evict jobs \(maxmemory-policy allkeys-lru\): [^\n]*TAKTLINE_ALLOW_EVICTION=true$/),
      });
      await allowed.open();
      const findings = await new RedisInspector(allowed, 'evicts').examine();
      expect(findings.filter(({ ok }) => !ok).map(({ check }) => check)).toEqual(expect.arrayContaining(['eviction', 'durability']));
    } finally {
      await Promise.all([refused.close(), allowed.close()]);
      await server.remove();
    }
  });
});

describeWithRedisServers('what the Redis broker does for five hundred jobs at once', () => {
  it('costs it little, though they are in one claim, or in packs', async () => {
    const server = await OwnRedis.make();
    const broker = new RedisBroker({ url: server.url(), namespace: 'blocks', queues, deadLetterTtlMs: 86_400_000 });
    const spent = async (): Promise<number> => {
      const cpu = String(await server.ask('INFO', 'cpu'));
      return ['sys', 'user'].reduce((sum, kind) => sum + Number(new RegExp(`used_cpu_${kind}:([\\d.]+)`).exec(cpu)?.[1]) * 1_000, 0);
    };
    /** Milliseconds of the server's CPU. What is measured takes 5 to 20, and took 300 and more when it read a claim or a pack for each job. */
    const costOf = async (work: () => Promise<unknown>): Promise<number> => {
      const before = await spent();
      await work();
      return (await spent()) - before;
    };
    const limitMs = 150;
    try {
      const worker = await TestWorker.join(broker);
      for (let from = 0; from < 3_000; from += 1_000) await broker.enqueue(jobs(1_000, `of-${from}`, named('print', 1)));
      const held = await worker.take({ limit: 2_000 });
      expect(held).toHaveLength(1_000);
      const running = held.slice(-500).map(({ id }) => id);
      expect(await costOf(() => broker.states(running))).toBeLessThan(limitMs);
      expect(await costOf(() => broker.cancel(running))).toBeLessThan(limitMs);
      expect((await broker.pulse(worker.id, ['usual'], {})).cancelled).toHaveLength(500);
      const inspector = new RedisInspector(broker, 'blocks');
      while ((await inspector.purge('usual', 1_000)) > 0);

      const envelope = JSON.stringify('x'.repeat(480));
      const packed = Array.from({ length: 20_000 }, () => ({ ...job(newId('usual')), envelope }));
      for (let from = 0; from < packed.length; from += 1_000) await broker.enqueue(packed.slice(from, from + 1_000));
      const together = packed.slice(0, 500).map(({ id }) => id);
      const apart = packed.filter((_, index) => index >= 500 && index % 39 === 0).map(({ id }) => id);
      expect(await broker.ended([...together, ...apart])).toEqual([]);
      let replies: readonly string[] = [];
      expect(await costOf(async () => (replies = await broker.cancel(together)))).toBeLessThan(limitMs);
      expect([...replies, ...(await broker.cancel(apart))]).toEqual(Array(together.length + apart.length).fill('done'));
      expect(new Set(await broker.states([...together, ...apart]))).toEqual(new Set(['cancelled']));
      expect(await broker.cancel([together[0] as string, 'none', newId('usual')])).toEqual(['ended', 'unknown', 'unknown']);
      const cancelled = new Set([...together, ...apart]);
      const left = packed.filter(({ id }) => !cancelled.has(id)).map(({ id }) => id);
      expect((await inspector.queues()).find(({ name }) => name === 'usual')).toMatchObject({ ready: left.length });
      const taken: string[] = [];
      while (taken.length < left.length) taken.push(...(await worker.take({ limit: 1_000 })).map(({ id }) => id));
      expect(taken).toEqual(left);
    } finally {
      await broker.close();
      await server.remove();
    }
  });
});

describeWithRedisServers('a Redis whose memory is used up', () => {
  it('takes no more jobs, and lets workers start and run what is there, and people see and remove it', async () => {
    const server = await OwnRedis.make({ config: ['maxmemory-policy noeviction'] });
    const make = () => new RedisBroker({ url: server.url(), namespace: 'full', queues, deadLetterTtlMs: 86_400_000 });
    const [broker, next] = [make(), make()];
    try {
      const stored = Array.from({ length: 100 }, () => job(newId('usual')));
      await broker.enqueue(stored);
      const before = await TestWorker.join(broker, { name: 'before' });
      const [dies, ends] = await before.take({ limit: 50 });
      await before.done(bury(dies as never));
      await server.ask('CONFIG', 'SET', 'maxmemory', '1mb');
      await expect(broker.enqueue([job(newId('usual'))])).rejects.toMatchObject({ code: 'BROKER_FULL' });

      await before.done(end(ends as never, { keepMs: 60_000 }));
      await before.leave();
      await next.open();
      const worker = await TestWorker.join(next);
      expect((await next.recover(worker.id)).flatMap((claim) => claim.jobs)).toHaveLength(48);
      expect(await worker.take({ limit: 10 })).toHaveLength(10);
      const inspector = new RedisInspector(next, 'full');
      expect((await inspector.queues()).find(({ name }) => name === 'usual')).toMatchObject({ ready: 40, running: 58, dead: 1 });
      expect(await inspector.workers()).toHaveLength(1);
      expect(await inspector.jobs('queued', { limit: 1 })).toHaveLength(1);
      expect(await next.states([stored[99]?.id as string])).toEqual(['queued']);
      expect(await next.ended([ends?.id as string])).toMatchObject([{ state: 'succeeded' }]);
      expect(await inspector.discard({}, 10)).toEqual([dies?.id]);
      await next.tidy();
      expect(await inspector.purge('usual', 100)).toBe(40);
    } finally {
      await Promise.all([broker.close(), next.close()]);
      await server.remove();
    }
  });
});

describeWithRedisServers('a user of Redis with the rights of docs/redis.md', () => {
  it('can do all that a broker does, and one with less is told so', async () => {
    const text = await readFile(new URL('../../../../../docs/redis.md', import.meta.url), 'utf8');
    const rights = /An ACL user needs `([^`]+)`, with a database other than 0 `([^`]+)`/.exec(text)?.slice(1).join(' ') as string;
    const server = await OwnRedis.make({
      config: [
        'user default off',
        `user app on >secret resetchannels -@all ${rights}`,
        `user less on >secret resetchannels -@all ${rights} -del`,
      ],
    });
    const make = (login: string) =>
      new RedisBroker({ url: server.url({ login, rest: '/1' }), namespace: 'rights', queues, deadLetterTtlMs: 86_400_000 });
    const [broker, less] = [make('app:secret'), make('less:secret')];
    try {
      await broker.open();
      const inspector = new RedisInspector(broker, 'rights');
      const worker = await TestWorker.join(broker);
      const heard: Claim[] = [];
      const listener = { jobs: () => undefined, handed: (claim: Claim) => void heard.push(claim), attention: () => undefined };
      const stop = await broker.listen(['usual'], listener, worker.id);
      await worker.claim({ queues: ['usual'], idle: true, hand: 5 });
      await broker.enqueue([job(newId('usual'))]);
      await eventually(async () => heard.length > 0, 'it is handed a job');
      await stop();
      await broker.enqueue([...jobs(20, 'named', named('print', 1)), ...Array.from({ length: 50 }, () => job(newId('usual')))]);
      const [dies, cancelled, ...rest] = await worker.take({ limit: 100, idle: true });
      await broker.cancel([cancelled?.id ?? '', newId('usual')]);
      await broker.pulse(worker.id, ['usual'], { progress: [{ job: cancelled as never, value: '1' }] });
      await worker.done(bury(dies as never), ...rest.map((one) => end(one, { keepMs: 1 })));
      await broker.missing(worker.id, []);
      await broker.states([dies?.id ?? '']);
      await inspector.redrive({}, 10);
      await inspector.remove([dies?.id ?? '']);
      await inspector.purge('usual', 10);
      await Promise.all([inspector.queues(), inspector.workers(), inspector.jobs('running', { limit: 1 }), inspector.examine()]);
      const next = await TestWorker.join(broker);
      await worker.leave();
      await broker.recover(next.id);
      await broker.tidy();
      await less.open();
      await expect(less.enqueue(jobs(1, 'less'))).rejects.toMatchObject({
        code: 'BROKER_URL',
        message: expect.stringContaining('forbids'),
      });
    } finally {
      await Promise.all([broker.close(), less.close()]);
      await server.remove();
    }
  });
});

describeWithRedisServers('the Redis broker on a Cluster', () => {
  it('does nothing in a queue whose slot is on its way from node to node, and has all of it afterwards', { timeout: 60_000 }, async () => {
    const cluster = await RedisCluster.make();
    const broker = new RedisBroker({ url: cluster.url(), namespace: 'moves', queues, deadLetterTtlMs: 86_400_000 });
    try {
      await broker.open();
      const worker = await TestWorker.join(broker);
      await broker.enqueue([...jobs(10, 'single', named('print', 1)), ...Array.from({ length: 50 }, () => job(newId('usual')))]);
      await worker.take({ limit: 5 });
      const slot = slotOf(broker.keys.queue('usual'));
      const source = (await cluster.owner(slot, cluster.nodes[0] as OwnRedis)) as OwnRedis;
      const destination = cluster.nodes.find((node) => node !== source) as OwnRedis;
      const finish = await cluster.migrate(slot, source, destination);
      const keys = (await source.ask('CLUSTER', 'GETKEYSINSLOT', String(slot), '100')) as string[];
      expect(keys.length).toBeGreaterThan(5);
      for (const key of ['', ...keys]) {
        if (key !== '') await source.ask('MIGRATE', '127.0.0.1', String(destination.port), key, '0', '5000');
        const tried = [broker.enqueue([job(newId('usual'))]), worker.take({ limit: 5 }), broker.missing(worker.id, [])];
        for (const verb of tried) await expect(verb).rejects.toMatchObject({ code: 'BROKER_UNAVAILABLE' });
      }
      await finish();
      await eventually(() => broker.enqueue([job(newId('usual'))]).then(Boolean, () => false), 'the queue is there again');
      expect(await worker.take({ limit: 100 })).toHaveLength(56);
      expect((await broker.missing(worker.id, [])).flatMap((claim) => claim.jobs)).toHaveLength(61);
    } finally {
      await broker.close();
      await cluster.remove();
    }
  });
});
