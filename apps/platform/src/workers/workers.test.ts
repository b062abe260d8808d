/** `npm run workers` as processes, on a real Postgres and a real mail server: started, watched, killed, stopped. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startPostgres, type TestPostgres } from '../../test/database.ts';
import { patience } from '../../test/patience.ts';
import { startSmtpServer } from '../../test/smtp-server.ts';
import { type SandboxGateway, startSandboxGateway } from '../payments/sandbox-gateway.ts';
import { PidFile, type PidRecord } from './pid-file.ts';
import { identityOf } from './process-identity.ts';
import { queuesOf, typesOf, workerTypeNames } from './worker-types.ts';

const main = fileURLToPath(new URL('../../dist/workers/main.js', import.meta.url));

let postgres: TestPostgres;
let smtp: Awaited<ReturnType<typeof startSmtpServer>>;
let sandbox: SandboxGateway;
let folder: string;
let env: Record<string, string>;
const children: ChildProcess[] = [];

beforeAll(async () => {
  postgres = await startPostgres();
  smtp = await startSmtpServer();
  sandbox = await startSandboxGateway();
});
afterAll(async () => {
  await smtp.stop();
  await sandbox.stop();
  await postgres.stop();
});
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'taktline-workers-'));
  await chmod(folder, 0o711);
  const { PATH = '', HOME = '' } = process.env;
  const url = await postgres.newDatabaseUrl();
  env = {
    PATH,
    HOME,
    DATABASE_URL: url,
    SMTP_URL: `smtp://127.0.0.1:${smtp.settings().port}`,
    SMTP_TLS: 'off',
    MAIL_FROM: 'a@example.com',
    SANDBOX_GATEWAY_URL: sandbox.url,
  };
});
afterEach(async () => {
  await run('stop', '--grace', '10').ended;
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  await rm(folder, { recursive: true, force: true });
});

function run(...args: readonly string[]) {
  const child = spawn(process.execPath, [main, ...args], { cwd: folder, env, stdio: 'pipe' });
  children.push(child);
  const said = { out: '', err: '' };
  child.stdout.on('data', (chunk: Buffer) => {
    said.out += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    said.err += chunk.toString();
  });
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, ...said }));
  const says = (pattern: RegExp) =>
    expect.poll(() => (child.exitCode === null ? pattern.test(said.out) : `ended: ${said.out}${said.err}`), patience).toBe(true);
  return { child, ended, says, said };
}

const recordOf = async (name: string) => JSON.parse(await readFile(join(folder, '.taktline/run', `${name}.pid`), 'utf8')) as PidRecord;

async function statusOf() {
  const { out } = await run('status', '--json').ended;
  const { processes } = JSON.parse(out) as {
    readonly processes: readonly { readonly name: string; readonly state: string; readonly pid?: number; readonly waiting?: number }[];
  };
  return new Map(processes.map((one) => [one.name, one]));
}

it('each queue has one type, by its priority as the specification has it', () => {
  expect(queuesOf('critical')).toEqual(['payment.critical', 'order.critical', 'monitoring.critical']);
  expect(queuesOf('high')).toEqual(['email.urgent', 'analytics.realtime']);
  expect(queuesOf('normal')).toEqual(['payment.normal', 'order.normal', 'email.normal', 'sync.normal', 'monitoring.normal']);
  expect(workerTypeNames.flatMap(queuesOf)).toHaveLength(15);
  expect(typesOf('all')).toEqual(workerTypeNames);
  expect(typesOf('toString')).toBeUndefined();
});

it('starts in the background, says so, starts nothing twice, and stops', { timeout: 120_000 }, async () => {
  const first = await run('start', '--worker-type', 'normal').ended;
  expect(first).toMatchObject({ code: 0, err: '' });
  const { pid } = await recordOf('normal');
  expect(first.out).toBe(`normal: started (pid ${pid}), logs to ${folder}/.taktline/log/normal.log\n`);
  expect(await run('start', '--worker-type', 'normal').ended).toMatchObject({
    code: 0,
    out: `normal: runs already (pid ${pid}); nothing was started\n`,
  });
  expect(await run('start', '--worker-type', 'normal', '--foreground').ended).toMatchObject({ code: 1 });
  expect((await recordOf('normal')).pid).toBe(pid);
  const log = await readFile(join(folder, '.taktline/log/normal.log'), 'utf8');
  expect(log).toMatch(/^worker +normal_worker@/m);
  expect(log).toMatch(/^concurrency +8$/m);
  expect((await stat(join(folder, '.taktline/log/normal.log'))).mode & 0o077).toBe(0);
  const status = await statusOf();
  expect(status.get('normal')).toMatchObject({ state: 'running', pid, waiting: 0 });
  expect(status.get('critical')).toMatchObject({ state: 'stopped' });
  expect((await run('status').ended).out).toMatch(/^normal +running +\d+ .* payment.normal, order.normal/m);
  expect(await run('stop').ended).toMatchObject({ code: 0, out: expect.stringContaining('normal: has drained and ended\n') as string });
  expect(await identityOf(pid)).toBeUndefined();
  expect(await readdir(join(folder, '.taktline/run'))).toEqual([]);
});

it('two starts at once start one', { timeout: 120_000 }, async () => {
  const results = await Promise.all([run('beat').ended, run('beat').ended, run('beat').ended]);
  expect(results.map(({ out }) => /started \(pid/.test(out)).filter(Boolean)).toHaveLength(1);
  expect(results.filter(({ out }) => out.includes('runs already'))).toHaveLength(2);
});

it('a mail that is enqueued from elsewhere is sent by the worker, and tasks are looked after by name', { timeout: 120_000 }, async () => {
  await run('start', '--worker-type', 'normal').ended;
  const script = `
    import { taskManager, taskScheduler } from ${JSON.stringify(new URL('../../dist/index.js', import.meta.url).href)};
    const input = { email: { id: 'email_123', to: 'user@example.com', name: 'User Name' }, template: 'welcome', context: { user_name: 'User Name' } };
    const { id } = await taskScheduler.scheduleTask({ task: 'email.send', input });
    const later = await taskScheduler.scheduleTask({ task: 'email.send', input: { ...input, email: { ...input.email, id: 'later' } }, countdown: 300 });
    let status;
    do status = await taskManager.getTaskStatus(id); while (status?.state !== 'succeeded');
    const { dueAt, state } = await taskManager.getTaskStatus(later.id);
    const queues = await taskManager.getQueueStatus();
    const cancelled = await taskManager.cancelTask(later.id);
    const wrong = await taskScheduler.scheduleTask({ task: 'email.send', input: { email: {} } }).catch(({ code }) => code);
    console.log(JSON.stringify({ state, inMs: Date.parse(dueAt) - Date.now(), scheduled: queues.find(({ name }) => name === 'email.normal').scheduled, cancelled, wrong, shown: JSON.stringify(status) }));
    await taskManager.close();
  `;
  await writeFile(join(folder, 'script.mjs'), script);
  const child = spawn(process.execPath, [join(folder, 'script.mjs')], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  let out = '';
  child.stdout.on('data', (chunk: Buffer) => {
    out += chunk.toString();
  });
  await once(child, 'close');
  const told = JSON.parse(out) as { readonly inMs: number; readonly shown: string };
  expect(told).toMatchObject({ state: 'scheduled', scheduled: 1, cancelled: 'done', wrong: 'INVALID_INPUT' });
  expect(told.inMs).toBeGreaterThan(280_000);
  expect(told.inMs).toBeLessThanOrEqual(300_000);
  expect(told.shown).not.toContain('user@example.com');
  expect(smtp.mails.map(({ to }) => to)).toContainEqual(['user@example.com']);
});

it('the monitor starts what does not run, starts again what dies, and leaves alone what was stopped', { timeout: 120_000 }, async () => {
  const monitor = run('monitor', '--worker-type', 'high');
  await monitor.says(/ high: started \(pid \d+\)$/m);
  const { pid } = await recordOf('high');
  process.kill(pid, 'SIGKILL');
  await monitor.says(/ high: has died; it is started again in 1 s$/m);
  await expect.poll(() => monitor.said.out.match(/started \(pid/g)?.length, patience).toBe(2);
  expect((await recordOf('high')).pid).not.toBe(pid);
  monitor.child.kill('SIGINT');
  expect((await monitor.ended).out).toContain('the workers go on');
  expect((await statusOf()).get('high')).toMatchObject({ state: 'running' });

  const second = run('monitor', '--worker-type', 'high');
  await second.says(/ high: runs$/m);
  await run('stop', '--worker-type', 'high').ended;
  const { code, out } = await second.ended;
  expect(out).toContain('high: was stopped, and is not watched any more');
  expect(code).toBe(0);
});

it('in the foreground signals reach it, and its exit code comes back', { timeout: 120_000 }, async () => {
  const beat = run('beat', '--foreground');
  await expect.poll(() => beat.said.err, patience).toMatch(/^schedules +.*email\.retryFailed/m);
  expect((await statusOf()).get('beat')).toMatchObject({ state: 'running' });
  beat.child.kill('SIGTERM');
  expect(await beat.ended).toMatchObject({ code: 0 });
  expect((await statusOf()).get('beat')).toMatchObject({ state: 'stopped' });
});

it('what cannot start says why, and leaves nothing behind', { timeout: 120_000 }, async () => {
  const { SMTP_URL: _, ...withoutMail } = env;
  env = withoutMail;
  const { code, out } = await run('start', '--worker-type', 'low').ended;
  expect(code).toBe(1);
  expect(out).toContain('SMTP_URL is missing: workers of their own need a mail server');
  const { SANDBOX_GATEWAY_URL: __, ...withoutPayments } = withoutMail;
  env = { ...withoutPayments, SMTP_URL: 'smtp://127.0.0.1:1' };
  expect((await run('start', '--worker-type', 'low').ended).out).toContain('STRIPE_SECRET_KEY is missing');
  expect(await readdir(join(folder, '.taktline/run'))).toEqual([]);
});

it.each([
  [['start', '--worker-type', 'urgent'], /Expected critical, high, normal, low or all/, 2],
  [['start', '--foreground'], /--foreground goes with one worker type/, 2],
  [['stop', '--grace', '-1'], /Expected a whole number/, 2],
  [['flower'], /dashboard is not there yet/, 1],
  [['nope'], /unknown command/, 2],
])('%j is refused in words', async (args, message, code) => {
  const ended = await run(...args).ended;
  expect(ended.err).toMatch(message);
  expect(ended.code).toBe(code);
});

describe('a pid file', () => {
  const file = () => new PidFile(join(folder, 'one.pid'));

  it('of a process that has gone, or whose number another one has now, is of a dead one: nobody else is killed', async () => {
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
    children.push(child);
    await once(child, 'spawn');
    await file().write(child.pid as number, false);
    expect(await file().state()).toMatchObject({ state: 'running' });
    const record = JSON.parse(await readFile(file().path, 'utf8')) as PidRecord;
    await writeFile(file().path, JSON.stringify({ ...record, identity: `${record.identity}0` }));
    expect(await file().state()).toMatchObject({ state: 'dead' });
    expect(await identityOf(child.pid as number)).toBe(record.identity);
    expect(await file().take()).toBeUndefined();
    expect(await file().state()).toMatchObject({ state: 'running', record: { pid: process.pid } });
  });

  it('that holds something else is an error, not a process', async () => {
    for (const text of ['', '{', '{"pid":1}', '{"pid":-5,"identity":"x","startedAt":"y"}', '{"pid":0,"identity":"x","startedAt":"y"}']) {
      await writeFile(file().path, text);
      await expect(file().state()).rejects.toThrow(/does not say which process runs/);
    }
  });
});
