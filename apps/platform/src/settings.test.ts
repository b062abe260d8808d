import { describe, expect, it } from 'vitest';
import { defaultWeights } from './matching/score.ts';
import { readSettings, SettingsError } from './settings.ts';

function problemsOf(env: Record<string, string>): readonly string[] {
  try {
    readSettings(env);
  } catch (error) {
    if (error instanceof SettingsError) return error.problems;
    throw error;
  }
  return [];
}

const production = {
  NODE_ENV: 'production',
  DATABASE_URL: 'postgres://app:pw@db.example/platform?sslmode=require',
  SMTP_URL: 'smtp://app:pw@mail.example:587',
  MAIL_FROM: 'Orders <orders@example.com>',
  PUBLIC_URL: 'https://mail.example.com',
  UNSUBSCRIBE_SECRET: 'x'.repeat(32),
  STRIPE_SECRET_KEY: 'sk_live_1',
  STRIPE_WEBHOOK_SECRET: 'whsec_1',
};

describe('readSettings', () => {
  it('needs nothing in development', () => {
    expect(readSettings({})).toEqual({
      production: false,
      folder: '.taktline',
      runFolder: '.taktline/run',
      logFolder: '.taktline/log',
      brokerUrl: undefined,
      databaseUrl: undefined,
      smtp: undefined,
      mailFrom: { name: 'Taktline', address: 'taktline@taktline.example' },
      publicUrl: undefined,
      host: '127.0.0.1',
      port: 8080,
      demo: true,
      demoSpeed: 2_880,
      logLevel: 'info',
      stripe: undefined,
      paysWithTestCards: false,
      apiRate: 50,
      sandboxUrl: undefined,
      timeZone: 'UTC',
      matchingWeights: defaultWeights,
      unsubscribeSecret: undefined,
    });
  });

  it('takes what counts how much in matching, and leaves the rest as it is', () => {
    expect(readSettings({ MATCHING_WEIGHTS: 'price=2, onTime=0' }).matchingWeights).toEqual({ ...defaultWeights, price: 2, onTime: 0 });
    const none = 'price=0,distance=0,lead=0,load=0,rating=0,onTime=0';
    for (const text of ['price', 'price=-1', 'price=1e3', 'price=NaN', 'toString=1', 'price=1;lead=1', none]) {
      expect(problemsOf({ MATCHING_WEIGHTS: text })).toEqual([expect.stringContaining('such as price=2,lead=1')]);
    }
  });

  it('names every wrong value at once, and what was expected', () => {
    const problems = problemsOf({
      PORT: '80000',
      DEMO: 'yes',
      HOST: '0.0.0.0',
      NODE_ENV: 'prod',
      SMTP_RATE: '0',
      TAKTLINE_LOG_LEVEL: 'loud',
    });
    expect(problems.map((problem) => problem.split(' ')[0])).toEqual([
      'NODE_ENV',
      'SMTP_RATE',
      'HOST',
      'PORT',
      'DEMO',
      'TAKTLINE_LOG_LEVEL',
    ]);
    expect(problems[3]).toBe('PORT is "80000": expected a whole number from 0 (any free port) to 65535');
    expect(problems[2]).toContain('have no login');
  });

  it.each([
    ['DATABASE_URL', 'mysql://app:hunter2@db/x'],
    ['BROKER_URL', 'amqp://app:hunter2@db/x'],
    ['REDIS_URL', 'postgres://app:hunter2@db/x'],
    ['SMTP_URL', 'smtp://app:hunter2@mail.example:587/?logger=true'],
    ['SMTP_URL', 'smtp://app:hunter2%ZZ@mail.example'],
    ['UNSUBSCRIBE_SECRET', 'hunter2'],
    ['STRIPE_SECRET_KEY', 'hunter2'],
    ['STRIPE_WEBHOOK_SECRET', 'hunter2'],
    ['MAIL_FROM', 'hunter2\r\nBcc: x@example.com'],
  ])('does not show the value of %s', (name, value) => {
    const problems = problemsOf({ [name]: value });
    expect(problems[0]).toMatch(new RegExp(`^${name}: expected `));
    expect(problems.join()).not.toContain('hunter2');
  });

  it('keeps the name of a time zone as Intl has it', () => {
    expect(readSettings({ PLATFORM_TZ: 'europe/berlin' }).timeZone).toBe('Europe/Berlin');
  });

  it.each(['Mars/Olympus', '+01:00', '2'])('takes no %s for a time zone', (zone) => {
    expect(problemsOf({ PLATFORM_TZ: zone })).toEqual([
      `PLATFORM_TZ is "${zone}": expected the IANA name of a time zone, such as Europe/Berlin`,
    ]);
  });

  it('takes a key of Stripe with the secret of its webhook only, and no sandbox that is elsewhere', () => {
    expect(readSettings({ STRIPE_SECRET_KEY: 'sk_test_1', STRIPE_WEBHOOK_SECRET: 'whsec_1' }).stripe).toEqual({
      secretKey: 'sk_test_1',
      webhookSecret: 'whsec_1',
    });
    expect(problemsOf({ STRIPE_SECRET_KEY: 'sk_test_1' })[0]).toContain('set both');
    expect(readSettings({ SANDBOX_GATEWAY_URL: 'http://127.0.0.1:12111' }).sandboxUrl).toBe('http://127.0.0.1:12111');
    for (const url of ['http://10.0.0.1:12111', 'https://127.0.0.1:1', 'http://127.0.0.1', 'http://127.0.0.1:1/path']) {
      expect(problemsOf({ SANDBOX_GATEWAY_URL: url })[0]).toMatch(/^SANDBOX_GATEWAY_URL/);
    }
  });

  it('takes the first broker URL that is set', () => {
    const urls = {
      BROKER_URL: 'postgres://a/1',
      CELERY_BROKER_URL: 'redis://b/2',
      REDIS_URL: 'redis://c/3',
      DATABASE_URL: 'postgres://d/4',
    };
    expect(readSettings(urls).brokerUrl).toBe('postgres://a/1');
    expect(readSettings({ ...urls, BROKER_URL: '' }).brokerUrl).toBe('redis://b/2');
    expect(readSettings({ REDIS_URL: 'redis://c/3', DATABASE_URL: 'postgres://d/4' }).brokerUrl).toBe('redis://c/3');
    expect(readSettings({ DATABASE_URL: 'postgres://d/4' }).brokerUrl).toBe('postgres://d/4');
  });

  it('takes a result backend only where the broker is', () => {
    expect(problemsOf({ CELERY_BROKER_URL: 'redis://b/2', CELERY_RESULT_BACKEND: 'redis://b/2' })).toEqual([]);
    expect(problemsOf({ CELERY_BROKER_URL: 'redis://b/2', CELERY_RESULT_BACKEND: 'redis://b/3' })[0]).toMatch(/^CELERY_RESULT_BACKEND: /);
  });

  it('asks for TLS of a mail server, unless it is on this machine or told otherwise', () => {
    const mail = { MAIL_FROM: 'a@example.com' };
    expect(readSettings({ ...mail, SMTP_URL: 'smtp://mail.example' }).smtp).toMatchObject({
      port: 587,
      secure: false,
      tls: 'required',
      user: undefined,
    });
    expect(readSettings({ ...mail, SMTP_URL: 'smtps://u:p%40w@mail.example' }).smtp).toMatchObject({
      port: 465,
      secure: true,
      user: 'u',
      password: 'p@w',
    });
    expect(readSettings({ ...mail, SMTP_URL: 'smtp://127.0.0.1:25' }).smtp).toMatchObject({ port: 25, tls: 'off' });
    expect(readSettings({ ...mail, SMTP_URL: 'smtp://[::1]:25' }).smtp).toMatchObject({ host: '::1', tls: 'off' });
    expect(readSettings({ ...mail, SMTP_URL: 'smtp://mail.example', SMTP_TLS: 'optional' }).smtp).toMatchObject({ tls: 'optional' });
  });

  it('takes nothing for granted in production', () => {
    expect(problemsOf({ NODE_ENV: 'production' }).map((problem) => problem.split(' ')[0])).toEqual([
      'BROKER_URL',
      'DATABASE_URL',
      'SMTP_URL',
      'MAIL_FROM',
      'PUBLIC_URL',
      'UNSUBSCRIBE_SECRET',
      'STRIPE_SECRET_KEY',
      'STRIPE_WEBHOOK_SECRET',
    ]);
    expect(readSettings(production)).toMatchObject({ production: true, demo: false, brokerUrl: production.DATABASE_URL });
    expect(problemsOf({ ...production, BROKER_URL: 'embedded:.taktline' })).toHaveLength(1);
    expect(problemsOf({ ...production, PUBLIC_URL: 'http://mail.example.com' })).toHaveLength(1);
    expect(problemsOf({ ...production, DEMO: 'on' })).toHaveLength(1);
    expect(problemsOf({ ...production, SANDBOX_GATEWAY_URL: 'http://127.0.0.1:1' })[0]).toContain('moves no money');
  });

  it.each(['sk_test_1', 'rk_test_1'])('takes %s in production only where that is meant', (key) => {
    expect(problemsOf({ ...production, STRIPE_SECRET_KEY: key })).toEqual([
      expect.stringMatching(/^STRIPE_SECRET_KEY is one of the test mode/),
    ]);
    expect(problemsOf({ ...production, STRIPE_SECRET_KEY: key, STRIPE_TEST_MODE: 'off' })).toHaveLength(1);
    expect(readSettings({ ...production, STRIPE_SECRET_KEY: key, STRIPE_TEST_MODE: 'on' }).paysWithTestCards).toBe(true);
    expect(readSettings({ ...production, STRIPE_TEST_MODE: 'on' }).paysWithTestCards).toBe(false);
    expect(readSettings({ STRIPE_SECRET_KEY: key, STRIPE_WEBHOOK_SECRET: 'whsec_1' }).paysWithTestCards).toBe(false);
  });

  it('plays with samples only where no money is', () => {
    const stripe = { STRIPE_SECRET_KEY: 'sk_test_1', STRIPE_WEBHOOK_SECRET: 'whsec_1' };
    expect(readSettings(stripe).demo).toBe(false);
    expect(problemsOf({ ...stripe, DEMO: 'on' })).toHaveLength(1);
  });

  it('sends sample mail to the local mailbox only', () => {
    const real = { SMTP_URL: 'smtp://mail.example', MAIL_FROM: 'a@example.com' };
    expect(readSettings(real).demo).toBe(false);
    expect(problemsOf({ ...real, DEMO: 'on' })).toHaveLength(1);
    expect(problemsOf({ SMTP_URL: 'smtp://mail.example' })[0]).toMatch(/^MAIL_FROM is missing/);
  });

  it('reads the names that Celery gives to log levels', () => {
    expect(readSettings({ CELERY_LOG_LEVEL: 'DEBUG' }).logLevel).toBe('debug');
    expect(readSettings({ CELERY_LOG_LEVEL: 'WARNING' }).logLevel).toBe('warn');
    expect(readSettings({ CELERY_LOG_LEVEL: 'DEBUG', TAKTLINE_LOG_LEVEL: 'error' }).logLevel).toBe('error');
  });

  it.each(['https://mail.example.com/path', 'ftp://x', 'https://u:p@mail.example.com', 'mail.example.com'])(
    'refuses the public URL %s',
    (url) => {
      expect(problemsOf({ PUBLIC_URL: url })).toHaveLength(1);
    },
  );
});
