/** `taktline outbox` and what other commands tell of it: relay, status, reconcile, `worker --relay`. */
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { AppDatabase } from '../../test/support/app-database.ts';
import { Shell } from '../../test/support/cli.ts';
import { eventually } from '../../test/support/eventually.ts';
import { TcpProxy } from '../../test/support/tcp-proxy.ts';
import { createApp, migrateOutbox, silentLogger } from '../index.ts';

const module = fileURLToPath(new URL('../../test/fixtures/outbox-app.mjs', import.meta.url));
let shell: Shell;
let database: AppDatabase;

beforeEach(async () => {
  shell = await Shell.open();
  database = await AppDatabase.make('apart');
});

afterEach(async () => {
  await shell.close();
  await database.drop();
});

const env = () => ({ TAKTLINE_APP: module, TEST_OUTBOX: database.schema, DATABASE_URL: database.url });
const run = (...args: readonly string[]) => shell.run(args, { env: env() });
const json = async (...args: readonly string[]): Promise<unknown> => {
  const { code, stdout, stderr } = await run(...args, '--json');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return JSON.parse(stdout);
};

/** Commits an order with two jobs, from another process's app. */
async function order(number: number): Promise<void> {
  const app = createApp({
    brokerUrl: shell.space.url,
    namespace: shell.space.name,
    queues: [
      { name: 'charge', priority: 9, keepUntilEnd: true },
      { name: 'mail', priority: 5 },
    ],
    outbox: database.settings,
    logger: silentLogger,
  });
  const input = z.object({ order: z.number() });
  const charge = app.task({ name: 'charge', queue: 'charge', input, effectKey: (one) => String(one.order), run: () => 'charged' });
  const mail = app.task({ name: 'mail', queue: 'mail', run: () => 'sent' });
  await database.transaction(async (transaction) => {
    await charge.enqueue({ order: number }, { transaction });
    await mail.delayIn(transaction);
  });
  await app.close();
}

const ready = async () => {
  const { queues } = (await json('status')) as { queues: { name: string; ready: number }[] };
  return Object.fromEntries(queues.map((queue) => [queue.name, queue.ready]));
};

it('status tells what waits, and so does the status of all', async () => {
  expect(await json('outbox', 'status')).toEqual({ waiting: 0, oldestMs: null, kept: 0 });
  await order(1);
  expect(await json('outbox', 'status')).toEqual({ waiting: 2, oldestMs: expect.any(Number), kept: 0 });
  const { host, pathname, password } = new URL(database.url);
  const { stdout } = await run('outbox', 'status');
  expect(stdout).toMatch(/^waiting +2$/m);
  expect(stdout).toContain(`postgres://${host}${pathname}, schema ${database.schema}\n`);
  expect(stdout).not.toContain(password);
  expect(await json('status')).toMatchObject({ outbox: { waiting: 2, kept: 0 } });
  expect((await run('status')).stdout).toMatch(/\n\noutbox: 2 jobs wait for a relay, the oldest for .*; 0 kept until they have ended\n$/);
});

it('status works by the URL of a broker and DATABASE_URL', async () => {
  await json('status');
  await migrateOutbox(database.pool);
  const byUrl = { TAKTLINE_APP: undefined, BROKER_URL: undefined, DATABASE_URL: database.url };
  const outbox = await shell.run([...shell.byUrl, 'outbox', 'status', '--json'], { env: byUrl });
  expect(outbox).toMatchObject({ code: 0, stdout: '{"waiting":0,"oldestMs":null,"kept":0}\n', stderr: '' });
  const all = await shell.run([...shell.byUrl, 'status'], { env: byUrl });
  expect(all).toMatchObject({ code: 0, stdout: expect.stringContaining('\noutbox: 0 jobs wait for a relay;') as string });
});

it('a relay moves them, says what it is, and ends by SIGTERM with 0', async () => {
  await order(1);
  const relay = shell.start(['outbox', 'relay', '--health-port', '0'], { env: env() });
  await relay.said(/^health /m);
  expect(relay.stderr).toMatch(/^kept +charge$/m);
  expect(relay.stderr).not.toContain(new URL(database.url).password);
  await eventually(async () => (await database.query('select 1 from $outbox.waiting')).length === 0, 'they are moved');
  const url = /^health +(\S+)$/m.exec(relay.stderr)?.[1] as string;
  expect(await (await fetch(url)).json()).toMatchObject({ status: 'live', relay: { live: true } });
  relay.process.kill('SIGTERM');
  expect(await relay.ended).toMatchObject({ code: 0, stdout: '' });
  expect(await ready()).toEqual({ charge: 1, mail: 1 });
  expect(await json('outbox', 'status')).toEqual({ waiting: 0, oldestMs: null, kept: 1 });
});

it('a worker can be a relay too, and tells of both under its supervisor', async () => {
  await order(1);
  const worker = shell.start(['worker', '--relay', '--health-port', '0'], { env: env() });
  await worker.said(/^health /m);
  await eventually(
    async () => (await database.query('select 1 from $outbox.kept union all select 1 from $outbox.waiting')).length === 0,
    'they end',
  );
  const url = /^health +(\S+)$/m.exec(worker.stderr)?.[1] as string;
  await eventually(async () => (await fetch(url)).status === 200, 'it is live');
  expect(Object.keys((await (await fetch(url)).json()) as object)).toEqual(['status', 'worker', 'relay']);
  worker.process.kill('SIGTERM');
  const { code, stderr } = await worker.ended;
  expect(code).toBe(0);
  expect(stderr).toContain('"relay stopped"');
});

describe('reconcile', () => {
  /** What was moved to the broker is gone from it. */
  async function loss(): Promise<void> {
    for (const number of [1, 2, 3]) await order(number);
    const relay = shell.start(['outbox', 'relay'], { env: env() });
    await eventually(async () => {
      const [seen] = await database.query<{ jobs: string }>('select sum(jobs) as jobs from $outbox.standing');
      return seen?.jobs === '6';
    }, 'they are moved, and were looked at');
    relay.process.kill('SIGTERM');
    await relay.ended;
    await shell.space.query(`drop schema "${shell.space.name}" cascade`);
  }

  it('says what it would do, asks, and enqueues again what is lost', async () => {
    await loss();
    const plan = { queues: [{ queue: 'charge', compared: 3, there: 0, ended: 0, lost: 3 }], lostElsewhere: [{ queue: 'mail', atMost: 3 }] };
    expect(await json('outbox', 'reconcile', '--dry-run')).toEqual({ ...plan, dryRun: true });
    const { stdout } = await run('outbox', 'reconcile', '--dry-run');
    expect(stdout).toMatch(/^charge +3 +0 +0 +3\n3 jobs would be enqueued again; .*\ngone for good: mail, 3 jobs at most; /m);
    expect(await run('outbox', 'reconcile')).toMatchObject({
      code: 2,
      stdout: '',
      stderr: expect.stringContaining('--yes (-y)') as string,
    });
    expect(await json('outbox', 'status')).toMatchObject({ waiting: 0, kept: 3 });
    expect(await json('outbox', 'reconcile', '--yes')).toEqual({ ...plan, dryRun: false });
    expect(await json('outbox', 'status')).toMatchObject({ waiting: 3, kept: 0 });
    // Relays that move them again later find nothing else to say.
    const again = await run('outbox', 'reconcile', '--yes');
    expect(again).toMatchObject({ code: 0, stdout: expect.stringMatching(/of these nothing is lost\n$/) as string });
  });

  it('takes note of what it has told where it has nothing to enqueue again, and only tells in a dry run', async () => {
    await loss();
    await database.query('delete from $outbox.kept');
    const plan = { queues: [{ queue: 'charge', compared: 0, there: 0, ended: 0, lost: 0 }], lostElsewhere: [{ queue: 'mail', atMost: 3 }] };
    for (const args of [['--dry-run'], ['--dry-run'], ['--yes']]) expect(await json('outbox', 'reconcile', ...args)).toMatchObject(plan);
    expect(await json('outbox', 'reconcile', '--yes')).toEqual({ ...plan, lostElsewhere: [], dryRun: false });
  });
});

it.each([
  [['outbox', 'relay'], 2, { DATABASE_URL: undefined, BROKER_URL: 'redis://127.0.0.1:1' }, /the outbox has no database: set DATABASE_URL/],
  [['outbox', 'status'], 3, { TEST_OUTBOX: 'not_there' }, /call migrateOutbox\(\) from a migration of the app/],
  [['outbox', 'relay'], 3, { TEST_OUTBOX: 'not_there' }, /call migrateOutbox\(\) from a migration of the app/],
  [['worker', '--relay', '--no-supervise'], 3, { TEST_OUTBOX: 'not_there' }, /call migrateOutbox\(\) from a migration of the app/],
  [['worker', '--relay'], 3, { TEST_OUTBOX: 'not_there' }, /call migrateOutbox\(\) from a migration of the app/],
  [
    ['outbox', 'relay'],
    3,
    { DATABASE_URL: 'postgres://ann:hunter2@127.0.0.1:1/app' },
    /^taktline: the database of the outbox: (?!.*hunter2)/m,
  ],
  [
    ['outbox', 'status'],
    3,
    { DATABASE_URL: 'postgres://ann:hunter2@127.0.0.1:1/app' },
    /^taktline: the database of the outbox: (?!.*hunter2)/m,
  ],
  [['outbox', 'relay'], 2, { TAKTLINE_APP: undefined }, /relay needs the app/],
])('%j that cannot ends with %i', async (args, code, other, message) => {
  const ended = await shell.run(args, { env: { ...env(), ...other } });
  expect(ended.stderr).toMatch(message);
  expect(ended).toMatchObject({ code, stdout: '' });
});

it('status goes on without an outbox, and without its database', async () => {
  for (const [other, outbox] of [
    [{ TEST_OUTBOX: 'not_there' }, ''],
    [{ DATABASE_URL: 'postgres://ann:hunter2@127.0.0.1:1/app' }, '\noutbox: its database does not answer\n'],
  ] as const) {
    const { code, stdout, stderr } = await shell.run(['status'], { env: { ...env(), ...other } });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout.split('no worker runs\n')[1]).toBe(outbox);
    const document = await shell.run(['status', '--json'], { env: { ...env(), ...other } });
    expect(JSON.parse(document.stdout)).toMatchObject({ outbox: null });
  }
});

it('status does not wait for a database that is silent', async () => {
  const url = new URL(database.url);
  const proxy = await TcpProxy.before(Number(url.port));
  proxy.goSilent();
  url.port = String(proxy.port);
  const begun = performance.now();
  const { code, stdout } = await shell.run(['status'], { env: { ...env(), DATABASE_URL: url.href } });
  const tookMs = performance.now() - begun;
  await proxy.close();
  expect({ code, outbox: stdout.split('no worker runs\n')[1] }).toEqual({ code: 0, outbox: '\noutbox: its database does not answer\n' });
  // Connecting alone is given up after 5 s.
  expect(tookMs).toBeLessThan(5_000);
});
