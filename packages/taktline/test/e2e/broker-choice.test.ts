/** Which broker an app uses: the one it is given, else the first of the environment, and never one by accident. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createApp, silentLogger } from '../../src/index.ts';
import { harness } from '../support/harness.ts';
import { describeOnRedis, describeWithRedisServers } from '../support/redis/needs-redis.ts';
import { OwnRedis } from '../support/redis/own-redis.ts';
import { RedisStore } from '../support/redis/redis-store.ts';

const h = harness({ fresh: true });
const variables = ['BROKER_URL', 'CELERY_BROKER_URL', 'REDIS_URL', 'DATABASE_URL'] as const;
afterEach(() => {
  vi.unstubAllEnvs();
});

function environment(values: Partial<Record<(typeof variables)[number] | 'NODE_ENV', string>>): void {
  for (const name of [...variables, 'NODE_ENV'] as const) vi.stubEnv(name, values[name]);
}
/** Names the database after the variable, on the test server. */
const url = (name: string) => `${h.store.url.replace(/\/[^/]*$/, '')}/${name.toLowerCase()}`;
const app = (brokerUrl?: string) =>
  createApp({
    namespace: h.store.name,
    queues: [{ name: 'work', priority: 5 }],
    logger: silentLogger,
    ...(brokerUrl === undefined ? {} : { brokerUrl }),
  });

it('comes from BROKER_URL, CELERY_BROKER_URL, REDIS_URL, DATABASE_URL, in this order', async () => {
  for (const [index, name] of variables.entries()) {
    environment(Object.fromEntries(variables.slice(index).map((later) => [later, url(later)])));
    // No such database is there: the error says which one was asked for.
    await expect(app().ping()).rejects.toMatchObject({
      code: 'BROKER_URL',
      message: expect.stringContaining(name.toLowerCase()) as string,
    });
  }
});

it('the option comes before all of them, and works', async () => {
  environment(Object.fromEntries(variables.map((name) => [name, url(name)])));
  await using given = app(h.store.url);
  await given.ping();
  expect(await given.where()).toBe(`postgres://${new URL(h.store.url).host}${new URL(h.store.url).pathname}`);
});

it('DATABASE_URL alone is enough', async () => {
  environment({ DATABASE_URL: h.store.url, NODE_ENV: 'production' });
  await using found = app();
  await found.ping();
});

describeOnRedis('a Redis', (redis) => {
  let store: RedisStore;
  beforeEach(() => {
    store = new RedisStore(redis, h.store.name);
  });
  afterEach(() => store.drop());

  it.each(['BROKER_URL', 'CELERY_BROKER_URL', 'REDIS_URL'] as const)(
    'in %s is chosen, before a Postgres in a variable behind it, and its jobs are there',
    async (name) => {
      environment({
        [name]: redis,
        ...Object.fromEntries(variables.slice(variables.indexOf(name) + 1).map((later) => [later, h.store.url])),
      });
      await using found = app();
      const answer = found.task({ name: 'answer', queue: 'work', run: () => 42 });
      const handle = await answer.delay();
      expect(await found.where()).toMatch(new RegExp(`^redis://${new URL(redis).host}/\\d+$`));
      expect(await store.count('ready')).toBe(1);
      expect(await h.store.exists()).toBe(false);
      await found.worker({ pollInterval: '100ms' }).start();
      expect(await handle.result()).toBe(42);
    },
  );

  it.each(['BROKER_URL', 'CELERY_BROKER_URL'] as const)('in REDIS_URL gives way to a Postgres in %s', async (name) => {
    environment({ [name]: h.store.url, REDIS_URL: redis });
    await using found = app();
    await found.ping();
    expect(await found.where()).toMatch(/^postgres:/);
    expect(await store.exists()).toBe(false);
  });

  it('in the option comes before all of the variables', async () => {
    environment(Object.fromEntries(variables.map((name) => [name, h.store.url])));
    await using given = app(redis);
    await given.ping();
    expect(await given.where()).toMatch(/^redis:/);
  });
});

describeWithRedisServers('a Redis that is started late', () => {
  it('is found by the next call', async () => {
    environment({});
    const server = await OwnRedis.make();
    const late = app(server.url());
    try {
      await server.stop();
      await expect(late.ping()).rejects.toMatchObject({ code: 'BROKER_UNAVAILABLE' });
      await server.start();
      await late.ping();
    } finally {
      await late.close();
      await server.remove();
    }
  });
});

describe('is refused in one line', () => {
  it.each([
    ['CELERY_BROKER_URL', 'redis://ann:hunter2@localhost:0'],
    ['REDIS_URL', 'redis-cluster://:hunter2@a/1'],
    ['BROKER_URL', 'redis-sentinel://:hunter2@a,b'],
    ['REDIS_URL', 'amqp://ann:hunter2@rabbit'],
  ] as const)('%s=%s, by its name, and nothing behind it is taken instead', (name, redis) => {
    environment({ DATABASE_URL: h.store.url, [name]: redis });
    expect(() => app()).toThrow(
      expect.objectContaining({
        code: 'BROKER_URL',
        message: expect.stringMatching(new RegExp(`^${name}: the (?!.*hunter2)[^\\n]*$`)) as string,
      }),
    );
  });

  it('none at all in production: nobody gets an embedded one by mistake', () => {
    environment({ NODE_ENV: 'production' });
    expect(() => app()).toThrow(
      expect.objectContaining({
        code: 'BROKER_URL',
        message: expect.stringMatching(/^no broker is set: [^\n]*BROKER_URL[^\n]*$/) as string,
      }),
    );
  });
});

it('an app that could not open its broker tries again with the next call', async () => {
  environment({});
  const { pathname } = new URL(h.store.url);
  const late = createApp({
    brokerUrl: url('not_yet'),
    namespace: h.store.name,
    queues: [{ name: 'work', priority: 5 }],
    logger: silentLogger,
  });
  await expect(late.ping()).rejects.toMatchObject({ code: 'BROKER_URL' });
  await h.store.query('create database not_yet');
  try {
    await late.ping();
  } finally {
    await late.close();
    await h.store.query('drop database not_yet with (force)');
  }
  expect(pathname).not.toBe('/not_yet');
});
