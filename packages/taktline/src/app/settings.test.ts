/** Settings: which broker is taken, what is refused, and by what name. docs/defaults.md is compared in test/docs. */
import { describe, expect, it } from 'vitest';
import type { Duration } from '../support/durations.ts';
import { silentLogger } from '../support/logger.ts';
import { type AppOptions, appSettings, attachSettings, brokerVariables, defaults, logLevel } from './settings.ts';

const queues = [{ name: 'work', priority: 5 }];
const url = (name: string) => `postgres://ann:hunter2@${name.toLowerCase().replaceAll('_', '-')}/app`;

describe('the broker', () => {
  it('is that of the option, else of the first variable that is set', () => {
    const env: Record<string, string> = {};
    expect(appSettings({ queues }, env).brokerUrl).toBe('embedded:.taktline');
    for (const name of brokerVariables.toReversed()) {
      env[name] = url(name);
      expect(appSettings({ queues }, env).brokerUrl).toBe(url(name));
    }
    expect(brokerVariables).toEqual(['BROKER_URL', 'CELERY_BROKER_URL', 'REDIS_URL', 'DATABASE_URL']);
    expect(appSettings({ queues, brokerUrl: 'embedded:here' }, env).brokerUrl).toBe('embedded:here');
  });

  it('an empty variable and an empty option count as not set', () => {
    expect(appSettings({ queues, brokerUrl: '' }, { BROKER_URL: '', DATABASE_URL: url('DATABASE_URL') }).brokerUrl).toBe(
      url('DATABASE_URL'),
    );
  });

  it('a first variable that cannot be used is refused by its name; no later one is taken instead', () => {
    const env = { REDIS_URL: 'redis://:hunter2@localhost:0', DATABASE_URL: url('DATABASE_URL') };
    let message = '';
    try {
      appSettings({ queues }, env);
    } catch (error) {
      expect(error).toMatchObject({ code: 'BROKER_URL' });
      message = (error as Error).message;
    }
    expect(message).toMatch(/^REDIS_URL: [^\n]*$/);
    expect(message).not.toContain('hunter2');
    expect(() => appSettings({ queues, brokerUrl: 'nonsense' }, {})).toThrow(/^brokerUrl: /);
  });

  it('is never embedded by accident in production', () => {
    const NODE_ENV = 'production';
    expect(() => appSettings({ queues }, { NODE_ENV })).toThrow(
      expect.objectContaining({ code: 'BROKER_URL', message: expect.stringContaining('BROKER_URL') as string }),
    );
    expect(appSettings({ queues }, { NODE_ENV, DATABASE_URL: url('x') }).brokerUrl).toBe(url('x'));
    expect(appSettings({ queues, brokerUrl: 'embedded:on-purpose' }, { NODE_ENV }).brokerUrl).toBe('embedded:on-purpose');
  });
});

it('results live with the jobs: a CELERY_RESULT_BACKEND elsewhere is refused by name', () => {
  const env = { REDIS_URL: 'redis://ann:hunter2@localhost' };
  for (const CELERY_RESULT_BACKEND of ['', env.REDIS_URL, 'redis://localhost:6379/0']) {
    expect(appSettings({ queues }, { ...env, CELERY_RESULT_BACKEND }).brokerUrl).toBe(env.REDIS_URL);
  }
  for (const CELERY_RESULT_BACKEND of ['redis://localhost:6379/1', 'redis://other', 'rpc://', 'db+postgresql://ann:hunter2@db/results']) {
    for (const settings of [
      () => appSettings({ queues }, { ...env, CELERY_RESULT_BACKEND }),
      () => attachSettings({}, { CELERY_RESULT_BACKEND }),
    ]) {
      expect(settings).toThrow(
        expect.objectContaining({ code: 'BROKER_URL', message: expect.stringMatching(/^CELERY_RESULT_BACKEND (?!.*hunter2)/) as string }),
      );
    }
  }
});

it('fills in the defaults', () => {
  const settings = appSettings({ queues }, {});
  expect(settings).toMatchObject({
    namespace: 'taktline',
    queues,
    payloadLimit: 1_048_576,
    deadLetterTtlMs: 30 * 86_400_000,
    deadLetterLimit: 100_000,
    endedLimit: 1_000_000,
    outbox: { databaseUrl: undefined, schema: 'taktline_outbox', effectsTtlMs: 90 * 86_400_000 },
    create: true,
  });
  expect(defaults).toEqual({
    namespace: 'taktline',
    payloadLimit: 1_048_576,
    deadLetterTtlMs: 2_592_000_000,
    deadLetterLimit: 100_000,
    endedLimit: 1_000_000,
    concurrency: 10,
    workerName: 'worker@%h',
    leaseMs: 30_000,
    shutdownGraceMs: 25_000,
    pollMs: 2_000,
    targetWaitMs: 5_000,
    slots: 1,
    startTimeoutMs: 30_000,
    beatLeaseMs: 10_000,
    unknownTaskGraceMs: 3_600_000,
    outboxSchema: 'taktline_outbox',
    effectsTtlMs: 90 * 86_400_000,
  });
});

it('takes for the database of the outbox what is named, DATABASE_URL, or the broker', () => {
  const databaseUrl = (options: AppOptions['outbox'], env: Record<string, string>) =>
    appSettings({ queues, outbox: options ?? {} }, env).outbox.databaseUrl?.();
  const [named, set, broker] = [url('named'), url('set'), url('broker')];
  expect(databaseUrl({ databaseUrl: named }, { DATABASE_URL: set, BROKER_URL: broker })).toBe(named);
  expect(databaseUrl({}, { DATABASE_URL: set, BROKER_URL: broker })).toBe(set);
  expect(databaseUrl({}, { BROKER_URL: broker })).toBe(broker);
  expect(databaseUrl({ databaseUrl: () => named }, { DATABASE_URL: set })).toBe(named);
  expect(databaseUrl({}, { REDIS_URL: 'redis://localhost' })).toBeUndefined();
});

it('keeps of a queue what it knows, and a logger as it is', () => {
  const settings = appSettings({ queues: [{ name: 'a', priority: 1, color: 'red' } as never], logger: silentLogger }, {});
  expect(settings.queues).toEqual([{ name: 'a', priority: 1 }]);
  expect(settings.logger).toBe(silentLogger);
});

it('an attached app has no queues and creates nothing', () => {
  expect(attachSettings({ namespace: 'other' }, {})).toMatchObject({ queues: [], create: false, namespace: 'other' });
});

describe('refuses', () => {
  it.each<[string, Partial<AppOptions>]>([
    ['queues', { queues: [] }],
    ['queues', { queues: undefined as never }],
    ['queues', { queues: Array.from({ length: 1_001 }, (_, n) => ({ name: `q${n}`, priority: 5 })) }],
    ['queue', { queues: [{ name: 'a b', priority: 5 }] }],
    ['queue', { queues: [{ name: '{a}', priority: 5 }] }],
    ['queue', { queues: [{ name: 'a\r\nb', priority: 5 }] }],
    ['queue', { queues: [{ name: 'x'.repeat(10_000), priority: 5 }] }],
    ['twice', { queues: [...queues, ...queues] }],
    ['priority', { queues: [{ name: 'a', priority: 0 }] }],
    ['priority', { queues: [{ name: 'a', priority: 11 }] }],
    ['priority', { queues: [{ name: 'a', priority: 1.5 }] }],
    ['namespace', { namespace: '' }],
    ['namespace', { namespace: 'Prod' }],
    ['namespace', { namespace: '1st' }],
    ['namespace', { namespace: 'a"; drop schema public' }],
    ['namespace', { namespace: 'pg_toast' }],
    ['namespace', { namespace: 'x'.repeat(32) }],
    ['payloadLimit', { payloadLimit: 1_023 }],
    ['payloadLimit', { payloadLimit: 64 * 1024 * 1024 + 1 }],
    ['payloadLimit', { payloadLimit: Number.NaN }],
    ['deadLetterTtl', { deadLetterTtl: 'long' as Duration }],
    ['keepUntilEnd', { queues: [{ name: 'a', priority: 5, keepUntilEnd: 'yes' as never }] }],
    ['outbox.databaseUrl', { outbox: { databaseUrl: 'redis://localhost' } }],
    ['outbox.schema', { outbox: { schema: 'a"; drop schema public' } }],
    ['outbox.effectsTtl', { outbox: { effectsTtl: 'long' as Duration } }],
  ])('a wrong %s', (name, options) => {
    expect(() => appSettings({ queues, ...options }, {})).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTION', message: expect.stringContaining(name) as string }),
    );
  });
});

describe('the log level', () => {
  it.each([
    [{}, 'info'],
    [{ TAKTLINE_LOG_LEVEL: '' }, 'info'],
    [{ TAKTLINE_LOG_LEVEL: 'debug' }, 'debug'],
    [{ TAKTLINE_LOG_LEVEL: 'ERROR' }, 'error'],
    [{ CELERY_LOG_LEVEL: 'WARNING' }, 'warn'],
    [{ CELERY_LOG_LEVEL: 'CRITICAL' }, 'error'],
    [{ CELERY_LOG_LEVEL: 'FATAL' }, 'error'],
    [{ TAKTLINE_LOG_LEVEL: 'silent', CELERY_LOG_LEVEL: 'DEBUG' }, 'silent'],
  ])('of %j is %s', (env, level) => {
    expect(logLevel(env)).toBe(level);
  });

  it.each([{ TAKTLINE_LOG_LEVEL: 'loud' }, { CELERY_LOG_LEVEL: 'NOTSET' }])('refuses %j, and says by which name', (env) => {
    expect(() => logLevel(env)).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTION', message: expect.stringContaining(Object.keys(env)[0] as string) as string }),
    );
  });
});
