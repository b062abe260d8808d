/** Which broker an app uses: the one it is given, else the first of the environment, and never one by accident. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { createApp, silentLogger } from '../../src/index.ts';
import { harness } from '../support/harness.ts';

const h = harness();
const variables = ['BROKER_URL', 'CELERY_BROKER_URL', 'REDIS_URL', 'DATABASE_URL'] as const;
afterEach(() => {
  vi.unstubAllEnvs();
});

function environment(values: Partial<Record<(typeof variables)[number] | 'NODE_ENV', string>>): void {
  for (const name of [...variables, 'NODE_ENV'] as const) vi.stubEnv(name, values[name]);
}
/** Names the database after the variable, on the test server. */
const url = (name: string) => `${h.space.url.replace(/\/[^/]*$/, '')}/${name.toLowerCase()}`;
const app = (brokerUrl?: string) =>
  createApp({
    namespace: h.space.name,
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
  await using given = app(h.space.url);
  await given.ping();
  expect(await given.where()).toBe(`postgres://${new URL(h.space.url).host}${new URL(h.space.url).pathname}`);
});

it('DATABASE_URL alone is enough', async () => {
  environment({ DATABASE_URL: h.space.url, NODE_ENV: 'production' });
  await using found = app();
  await found.ping();
});

describe('is refused in one line', () => {
  it.each(['redis://localhost:6379/0', 'rediss://:hunter2@cache:6380', 'redis-sentinel://a,b/main', 'redis-cluster://a'])('%s', (redis) => {
    environment({ CELERY_BROKER_URL: redis, DATABASE_URL: h.space.url });
    expect(() => app()).toThrow(
      expect.objectContaining({
        code: 'BROKER_URL',
        message: expect.stringMatching(/^CELERY_BROKER_URL: this release has no Redis broker yet(?!.*hunter2)[^\n]*$/) as string,
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
  const { pathname } = new URL(h.space.url);
  const late = createApp({
    brokerUrl: url('not_yet'),
    namespace: h.space.name,
    queues: [{ name: 'work', priority: 5 }],
    logger: silentLogger,
  });
  await expect(late.ping()).rejects.toMatchObject({ code: 'BROKER_URL' });
  await h.space.query('create database not_yet');
  try {
    await late.ping();
  } finally {
    await late.close();
    await h.space.query('drop database not_yet with (force)');
  }
  expect(pathname).not.toBe('/not_yet');
});
