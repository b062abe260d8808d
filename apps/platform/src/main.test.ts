import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync } from 'node:fs';
import { chmod, mkdtemp, rm, stat } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { newOrder, profile } from '../test/api.ts';
import { patience } from '../test/patience.ts';
import { startSmtpServer } from '../test/smtp-server.ts';

const main = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const accountsMain = fileURLToPath(new URL('../dist/accounts-main.js', import.meta.url));

let folder: string;
const children: ChildProcess[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'taktline-main-'));
  // Else the server's account could not reach it, and the data would stay behind in a place for root.
  await chmod(folder, 0o711);
});
afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
  }
  await rm(folder, { recursive: true, force: true });
});

/** Starts the platform as `npm start` does, without sample mail. */
function run(env: Record<string, string> = {}) {
  const { PATH = '', HOME = '' } = process.env;
  const child = spawn(process.execPath, [main], { cwd: folder, env: { PATH, HOME, PORT: '0', DEMO: 'off', ...env }, stdio: 'pipe' });
  children.push(child);
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk: Buffer) => {
    out += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    err += chunk.toString();
  });
  const ended = once(child, 'close').then(([code]) => code as number | null);
  const says = (pattern: RegExp) =>
    expect.poll(() => (child.exitCode === null ? pattern.test(out) : `ended with ${child.exitCode}: ${err}`), patience).toBe(true);
  return {
    child,
    ended,
    says,
    out: () => out,
    err: () => err,
    async ready() {
      await says(/^ready: /m);
      return /^ready: (\S+)\/$/m.exec(out)?.[1] ?? '';
    },
  };
}

const post = (url: string, body: object) =>
  fetch(`${url}/api/emails`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
const welcome = { id: 'email_123', to: 'ann@example.com', template: 'welcome', context: { user_name: 'Ann' } };

/** The Redis of the run, in a database of this test's; undefined where there is none. */
const redis = process.env['TAKTLINE_TEST_REDIS']?.replace(/(^redis:\/\/[^/]*).*$/, '$1/9');
const notRun = process.env['TAKTLINE_TEST_NOT_RUN'];
if (redis === undefined && notRun !== undefined) appendFileSync(notRun, 'npm start on Redis\n');
const brokers: readonly [string, Record<string, string>][] = [
  ['in its own Postgres', {}],
  ...(redis === undefined ? [] : [['on Redis', { REDIS_URL: redis }] as [string, Record<string, string>]]),
];

describe('npm start', () => {
  it.each(brokers)('%s delivers a mail to its mailbox, drains on SIGTERM, and finds its data again', async (_, env) => {
    const first = run(env);
    const url = await first.ready();
    if (env['REDIS_URL'] !== undefined) expect(first.out()).toMatch(/broker .*redis:/);
    for (const line of [/web .*127\.0\.0\.1/, /mailbox .*\/mailbox$/m, /database .*embedded/, /worker .*15 queues/, /demo .*off/])
      expect(first.out()).toMatch(line);
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    expect((await fetch(`${url}/metrics`)).status).toBe(200);
    expect(await (await fetch(`${url}/readyz`)).json()).toEqual({ status: 'ok', checks: { broker: 'ok', database: 'ok' } });

    // A Redis remembers the ids of an earlier run.
    const id = `email_${Date.now()}`;
    const mail = { ...welcome, id };
    const response = await post(url, mail);
    expect(response.status).toBe(202);
    expect(await response.json()).toEqual({ id: `email:${id}:1`, record: id });
    const mails = async (at: string) =>
      ((await (await fetch(`${at}/mailbox.json`)).json()) as { messages: { to: string; subject: string }[] }).messages;
    await expect.poll(() => mails(url), patience).toMatchObject([{ to: 'ann@example.com', subject: 'Welcome to Taktline, Ann' }]);
    expect(first.err()).not.toMatch(/ann@example|"Ann"/);
    expect((await stat(join(folder, '.taktline', 'unsubscribe-secret'))).mode & 0o777).toBe(0o600);

    first.child.kill('SIGTERM');
    expect(await first.ended).toBe(0);

    const second = run(env);
    const again = await second.ready();
    expect((await post(again, mail)).status).toBe(202);
    expect((await post(again, { ...mail, to: 'bob@example.com' })).status).toBe(409);
    // Whatever the repetition started has ended before this one arrives.
    await post(again, { ...mail, id: `${id}_2` });
    await expect.poll(() => mails(again), patience).toHaveLength(1);
    second.child.kill('SIGINT');
    expect(await second.ended).toBe(0);
  });

  it('leaves a database that has users of its own in real time, and plays nothing in it', async () => {
    const accounts = async (...args: readonly string[]) => {
      const { PATH = '', HOME = '' } = process.env;
      const { stdout } = await promisify(execFile)(process.execPath, [accountsMain, ...args], { cwd: folder, env: { PATH, HOME } });
      return stdout.trim();
    };
    const keyOf = async (role: string) => {
      await accounts(
        'add-user',
        '--role',
        role,
        '--name',
        'Ann Baker',
        '--email',
        `${role}@example.com`,
        '--country',
        'GB',
        '--address',
        '1 High Street',
      );
      return accounts('add-key', `${role}@example.com`, '--label', 'test');
    };
    const [maker, buyer] = [await keyOf('manufacturer'), await keyOf('buyer')];
    const platform = run({ DEMO: '' });
    const url = await platform.ready();
    expect(platform.out()).toMatch(/demo .*off: the database has users of its own/);
    expect(platform.err().match(/users of its own/g)).toHaveLength(1);
    expect((await fetch(`${url}/story`)).status).toBe(404);

    const call = async (key: string, method: string, path: string, body?: object) => {
      const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
      const response = await fetch(`${url}/api/v1${path}`, { method, headers, ...(body && { body: JSON.stringify(body) }) });
      return (await response.json()) as { items: { expires_at: string }[]; state_since: string };
    };
    await call(maker, 'PUT', '/manufacturers/me', profile);
    const asked = Date.now();
    const order = await call(buyer, 'POST', '/orders', { ...newOrder, submit: true });
    expect(Date.parse(order.state_since)).toBeLessThan(Date.now() + 1_000);
    const offers = async () => (await call(maker, 'GET', '/offers')).items;
    await expect.poll(offers, patience).toHaveLength(1);
    const [offer] = await offers();
    expect(Date.parse(offer?.expires_at ?? '') - asked).toBeGreaterThan(23 * 3_600_000);
    expect(Date.parse(offer?.expires_at ?? '') - Date.now()).toBeLessThanOrEqual(24 * 3_600_000);
    expect((await call(buyer, 'GET', '/orders')).items).toHaveLength(1);
  });

  it('lets a mail that is on its way arrive when it is stopped', async () => {
    let answer = () => {};
    let arrived = () => {};
    const there = new Promise<void>((resolve) => {
      arrived = resolve;
    });
    const smtp = await startSmtpServer({
      data: () => {
        arrived();
        return new Promise((resolve) => {
          answer = () => resolve(undefined);
        });
      },
    });
    try {
      const platform = run({ SMTP_URL: `smtp://127.0.0.1:${smtp.settings().port}`, MAIL_FROM: 'orders@plant.example' });
      const url = await platform.ready();
      expect((await fetch(`${url}/mailbox`)).status).toBe(404);
      await post(url, welcome);
      await there;
      platform.child.kill('SIGTERM');
      await platform.says(/^stopping/m);
      answer();
      expect(await platform.ended).toBe(0);
      // It was there to hear the answer, and to note it.
      expect(platform.err()).toContain('"message":"email sent"');
      expect(smtp.mails).toMatchObject([{ from: 'orders@plant.example', to: ['ann@example.com'] }]);
    } finally {
      await smtp.stop();
    }
  });

  it('ends at once on a second signal, and loses nothing', async () => {
    let arrived = () => {};
    let silent = true;
    const there = new Promise<void>((resolve) => {
      arrived = resolve;
    });
    const smtp = await startSmtpServer({
      data: () => {
        arrived();
        return silent ? new Promise(() => {}) : undefined;
      },
    });
    const env = { SMTP_URL: `smtp://127.0.0.1:${smtp.settings().port}`, MAIL_FROM: 'orders@plant.example' };
    try {
      const platform = run(env);
      await post(await platform.ready(), welcome);
      await there;
      platform.child.kill('SIGTERM');
      await platform.says(/^stopping/m);
      const began = performance.now();
      platform.child.kill('SIGTERM');
      await platform.ended;
      expect(performance.now() - began).toBeLessThan(5_000);

      silent = false;
      const next = run(env);
      await next.ready();
      await expect.poll(() => smtp.mails.length, patience).toBe(1);
      next.child.kill('SIGTERM');
      expect(await next.ended).toBe(0);
    } finally {
      await smtp.stop();
    }
  });

  it('says in one line that its port is in use', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const platform = run({ PORT: String(port) });
    expect(await platform.ended).toBe(1);
    expect(platform.err()).toBe(`Port ${port} on 127.0.0.1 is in use. Set PORT to a free one, or to 0 for any.\n`);
    server.close();
  });

  it('says everything that is wrong with the settings', async () => {
    const platform = run({ PORT: 'x', DEMO: 'maybe', HOST: '0.0.0.0' });
    expect(await platform.ended).toBe(1);
    expect(platform.err().split('\n')).toHaveLength(5);
    expect(platform.err()).toMatch(/PORT is "x"[\s\S]*DEMO is "maybe"|DEMO is "maybe"[\s\S]*PORT is "x"/);
    expect(platform.out()).toBe('');
  });

  it.each([
    { NODE_ENV: 'production' },
    { BROKER_URL: 'redis://127.0.0.1:6379/0' },
    { DATABASE_URL: 'postgres://app:hunter2@127.0.0.1:1/none' },
  ])('says without a stack, and without a password, why it cannot start with %j', async (env) => {
    const platform = run(env);
    expect(await platform.ended).toBe(1);
    expect(platform.err()).not.toMatch(/ {4}at |hunter2/);
    expect(platform.err()).toMatch(/BROKER_URL|DATABASE_URL|ECONNREFUSED/);
  });
});
