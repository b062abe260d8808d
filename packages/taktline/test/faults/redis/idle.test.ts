/** What a worker that has nothing to do costs its Redis. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { Keys } from '../../../src/broker/redis/keys.ts';
import { Child } from '../../support/child.ts';
import { eventually } from '../../support/eventually.ts';
import { describeWithRedisServers } from '../../support/redis/needs-redis.ts';
import { OwnRedis } from '../../support/redis/own-redis.ts';

const namespace = 'idle';
/** Its slowest chores come once in this: upkeep, and the renewal of a lease of 30 s. */
const watchedMs = 10_000;
/** Two a second: it pulses once a second and looks for jobs every two; upkeep, the lease, and signs of life of idle connections are the rest. */
const mostCommands = 20;

describeWithRedisServers('an idle worker', () => {
  it('has three connections, and sends two commands a second at most', { timeout: 60_000 }, async (test) => {
    const redis = await OwnRedis.make();
    test.onTestFinished(() => redis.remove());
    const child = new Child('fault-worker.mjs', { url: redis.url(), namespace, concurrency: 10, lease: '30s' });
    test.onTestFinished(() => child.end());
    await child.said('started');
    const idle = `${new Keys(namespace).queue('work')}:idle`;
    await eventually(async () => (await redis.ask('SCARD', idle)) === 1, 'it sleeps');
    // What it does once when it starts is over by then.
    await sleep(2_000);
    const sent = await redis.commandsDuring(() => sleep(watchedMs));
    const clients = String(await redis.ask('CLIENT', 'LIST')).match(/(?<= name=)taktline:\S+/g) ?? [];
    const counts: Record<string, number> = {};
    for (const name of sent) counts[name] = (counts[name] ?? 0) + 1;
    await test.annotate(JSON.stringify(counts));
    expect(clients.toSorted()).toEqual(['app', 'heartbeat', 'subscriber'].map((role) => `taktline:${namespace}:${role}`));
    // A script that this server meets for the first time is sent twice.
    expect(sent.filter((name) => name !== 'EVAL').length, JSON.stringify(counts)).toBeLessThanOrEqual(mostCommands);
  });
});
