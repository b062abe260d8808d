import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from 'taktline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPostgres, type TestPostgres } from '../test/database.ts';
import { patience } from '../test/patience.ts';
import { Closers } from './closers.ts';
import { openResources } from './resources.ts';
import { readSettings } from './settings.ts';

let postgres: TestPostgres;
let folder: string;
beforeAll(async () => {
  postgres = await startPostgres();
  folder = await mkdtemp(join(tmpdir(), 'taktline-resources-'));
});
afterAll(async () => {
  await postgres.stop();
  await rm(folder, { recursive: true });
});

describe('Closers', () => {
  it('undo the newest step first, all of them, once', async () => {
    const done: number[] = [];
    const closers = new Closers();
    closers.add(() => done.push(1));
    closers.add(() => {
      throw new Error('second');
    });
    closers.add(async () => done.push(3));
    await expect(closers.close()).rejects.toThrow('second');
    expect(done).toEqual([3, 1]);
    await closers.close();
    expect(done).toEqual([3, 1]);
  });
});

describe('openResources', () => {
  const port = (at: string) => Number(/:(\d+)$/.exec(at)?.[1]);
  const listens = (at: number) =>
    new Promise<boolean>((resolve) => {
      const socket = connect(at, '127.0.0.1', () => resolve(true)).on('error', () => resolve(false));
      socket.unref();
      setTimeout(() => socket.destroy(), 100).unref();
    });

  it('opens a database that is given, makes the secret, and closes all again', async () => {
    const settings = readSettings({ DATABASE_URL: await postgres.newDatabaseUrl(), TAKTLINE_FOLDER: join(folder, 'one') });
    const resources = await openResources(settings, silentLogger, () => 'http://localhost:1');
    expect(resources.databaseAt).toMatch(/^127\.0\.0\.1:\d+\/test_/);
    expect(resources.paymentsAt).toMatch(/^sandbox at http:\/\/127\.0\.0\.1:\d+$/);
    expect(resources.mailAt).toMatch(/^local mailbox on 127\.0\.0\.1:\d+$/);
    expect(resources.deps.unsubscribe.urlFor('x')).toMatch(/^http:\/\/localhost:1\/unsubscribe\?/);
    expect(await resources.database.selectFrom('email_deliveries').selectAll().execute()).toEqual([]);
    expect(await listens(port(resources.mailAt))).toBe(true);
    await resources.close();
    expect(await listens(port(resources.mailAt))).toBe(false);
    await resources.close();
  });

  it('warns at each start where production is paid with test cards', async () => {
    const warnings: string[] = [];
    const logger = { ...silentLogger, warn: (message: string) => void warnings.push(message) };
    const env = {
      NODE_ENV: 'production',
      DATABASE_URL: await postgres.newDatabaseUrl(),
      SMTP_URL: 'smtp://127.0.0.1:1',
      MAIL_FROM: 'orders@example.com',
      PUBLIC_URL: 'https://staging.example.com',
      UNSUBSCRIBE_SECRET: 'x'.repeat(32),
      STRIPE_WEBHOOK_SECRET: 'whsec_1',
      STRIPE_TEST_MODE: 'on',
    };
    for (const key of ['sk_test_1', 'sk_live_1']) {
      const resources = await openResources(readSettings({ ...env, STRIPE_SECRET_KEY: key }), logger, () => 'https://staging.example.com');
      await resources.close();
    }
    expect(warnings).toEqual(['STRIPE_TEST_MODE is on: payments are made with test cards, and no money moves']);
  });

  it('leaves nothing open when something cannot be opened', async () => {
    const bad = join(folder, 'two');
    await mkdir(bad);
    await writeFile(join(bad, 'unsubscribe-secret'), 'short');
    const settings = readSettings({ DATABASE_URL: await postgres.newDatabaseUrl(), TAKTLINE_FOLDER: bad });
    const before = servers();
    await expect(openResources(settings, silentLogger, () => 'http://localhost:1')).rejects.toThrow('does not hold a secret');
    await expect.poll(servers, patience).toBe(before);
  });
});

/** Listening sockets of this process. */
function servers(): number {
  return process.getActiveResourcesInfo().filter((name) => name === 'TCPServerWrap').length;
}
