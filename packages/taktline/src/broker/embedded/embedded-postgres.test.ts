/**
 * The life of an embedded server: who starts it, who stops it, and what survives kill -9. Members are processes here, so
 * the tests run the built engine (`npm run build`).
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { chmod, chown, mkdtemp, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { type Logger, silentLogger } from '../../support/logger.ts';
import { currentUrl, type EmbeddedMember, joinEmbedded } from './embedded-postgres.ts';

const built = new URL('../../../dist/broker/embedded/embedded-postgres.js', import.meta.url);
const pgModule = createRequire(import.meta.url).resolve('pg');

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

/** Data as a first join makes them, to begin with: initdb takes most of a second. */
let made: string;
let root: string;
let folder: string;
let children: ChildProcess[];
let members: EmbeddedMember[];

/** Open to the server's account, so that the data are in it even for root. */
async function openFolder(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'taktline-embedded-'));
  await chmod(dir, 0o755);
  process.env['TAKTLINE_SERVER_FILES'] = join(dir, 'server-files');
  return dir;
}

beforeAll(async () => {
  if (!existsSync(fileURLToPath(built))) throw new Error('These tests run the built engine: npm run build');
  made = await openFolder();
  await (await joinEmbedded(made)).leave();
});

afterAll(() => rm(made, { recursive: true, force: true }));

beforeEach(async () => {
  root = await openFolder();
  folder = join(root, 'clone');
  execFileSync('cp', ['-a', made, folder]);
  children = [];
  members = [];
});

afterEach(async () => {
  for (const member of members) await member.leave();
  for (const child of children) if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
  const leftovers = postmasters().concat(await strayFiles());
  for (const pid of postmasters()) process.kill(pid, 'SIGQUIT');
  for (let i = 0; postmasters().length > 0 && i < 100; i++) await sleep(50);
  delete process.env['TAKTLINE_SERVER_FILES'];
  await rm(root, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  expect(leftovers).toEqual([]);
});

/** The pids of the postmasters on this test's files, by their own arguments. */
function postmasters(): number[] {
  if (!existsSync('/proc')) return [];
  return readdirSync('/proc').flatMap((pid) => {
    try {
      const args = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      return args[0]?.endsWith('/postgres') && args.includes('-D') && args.join(' ').includes(root) ? [Number(pid)] : [];
    } catch {
      return [];
    }
  });
}

async function strayFiles(): Promise<never[]> {
  if (!existsSync(folder)) return [];
  expect(readdirSync(folder).filter((name) => name !== 'postgres')).toEqual([]);
  return [];
}

/** A member in a process of its own, steered by messages. */
const memberScript = `
  import { joinEmbedded } from ${JSON.stringify(built.href)};
  let member;
  process.on('message', async (message) => {
    try {
      if (message === 'join') member = await joinEmbedded(process.env.FOLDER);
      else await member.leave();
      process.send({ value: member.url }, () => message === 'leave' && process.disconnect());
    } catch (error) {
      process.send({ error: String(error.stack) });
    }
  });
`;

function run(script: string): ChildProcess {
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    env: { ...process.env, FOLDER: folder },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    detached: true,
  });
  children.push(child);
  return child;
}

async function ask(child: ChildProcess, message: 'join' | 'leave'): Promise<string> {
  child.send(message);
  const [reply] = (await once(child, 'message')) as [{ value?: string; error?: string }];
  if (reply.error) throw new Error(reply.error);
  return reply.value ?? '';
}

async function joined(): Promise<{ child: ChildProcess; url: string }> {
  const child = run(memberScript);
  return { child, url: await ask(child, 'join') };
}

async function killed(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL');
  await once(child, 'exit');
}

async function joinHere(logger: Logger = silentLogger): Promise<EmbeddedMember> {
  const member = await joinEmbedded(folder, { logger });
  members.push(member);
  return member;
}

async function ask1(url: string, sql: string): Promise<unknown> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    const { rows } = await client.query({ text: sql, rowMode: 'array' });
    return (rows as unknown[][])[0]?.[0];
  } finally {
    await client.end();
  }
}

/** Fulfilled when the member says that it is back. */
function rejoining(): { logger: Logger; back: Promise<void>; said: string[] } {
  const said: string[] = [];
  let back: () => void = () => undefined;
  const done = new Promise<void>((resolve) => {
    back = resolve;
  });
  const note = (message: string) => {
    said.push(message);
    if (message === 'joined the embedded Postgres again') back();
  };
  return { logger: { ...silentLogger, info: note, warn: note }, back: done, said };
}

const pidFile = () => join(folder, 'postgres', 'data', 'postmaster.pid');
const serverPid = () => Number(readFileSync(pidFile(), 'utf8').split('\n')[0]);
const log = () => readFile(join(folder, 'postgres', 'log'), 'utf8');

test('a first join makes a durable server that only the password opens, on loopback only', async () => {
  await rm(folder, { recursive: true });
  const { url } = await joinHere();
  expect(url).toMatch(/^postgres:\/\/taktline:[\w-]{32}@127\.0\.0\.1:\d+\/taktline$/);
  const setting = (name: string) => ask1(url, `show ${name}`);
  expect(await Promise.all(['fsync', 'synchronous_commit', 'full_page_writes', 'data_checksums'].map(setting))).toEqual([
    'on',
    'on',
    'on',
    'on',
  ]);
  expect(await setting('listen_addresses')).toBe('127.0.0.1');
  expect(await setting('unix_socket_directories')).toBe('');
  expect(await Promise.all(['server_encoding', 'timezone', 'jit', 'max_connections'].map(setting))).toEqual(['UTF8', 'UTC', 'off', '200']);
  const wrong = new URL(url);
  wrong.password = 'guessed';
  await expect(ask1(wrong.href, 'select 1')).rejects.toThrow('password authentication failed');
  expect((await stat(join(folder, 'postgres', 'password'))).mode & 0o777).toBe(0o600);
});

test('members share one server, and the last one out stops it', async () => {
  const [first, second] = [await joined(), await joined()];
  expect(second.url).toBe(first.url);
  const [pid] = postmasters();
  await ask(first.child, 'leave');
  expect(postmasters()).toEqual([pid]);
  expect(await ask1(second.url, 'select 1')).toBe(1);
  const gone = once(second.child, 'exit');
  await ask(second.child, 'leave');
  expect(postmasters()).toEqual([]);
  expect(await gone).toEqual([0, null]);
  const again = await joined();
  expect(again.url, 'the port and the data are kept').toBe(first.url);
  await ask(again.child, 'leave');
});

test('two databases live on one server', async () => {
  const queue = await joinHere();
  const racing = await Promise.all([1, 2, 3].map(() => joinEmbedded(folder, { database: 'Größe "x"' })));
  members.push(...racing);
  expect(await ask1(racing[0]?.url ?? '', 'select current_database()')).toBe('Größe "x"');
  expect(new URL(racing[2]?.url ?? '').host).toBe(new URL(queue.url).host);
});

test('of members that leave at the same moment, one is the last', async () => {
  for (let round = 0; round < 5; round++) {
    const together = await Promise.all([1, 2, 3, 4].map(() => joinHere()));
    await Promise.all(together.map((member) => member.leave()));
    expect(postmasters()).toEqual([]);
  }
});

test('leave() twice, and after the server was killed, is in order', async () => {
  const member = await joinHere();
  process.kill(serverPid(), 'SIGKILL');
  await Promise.all([member.leave(), member.leave()]);
  await member.leave();
});

test('a server whose members were all killed is adopted, and stopped by the last to leave', async () => {
  const [first, second] = [await joined(), await joined()];
  const pid = serverPid();
  await Promise.all([killed(first.child), killed(second.child)]);
  expect(postmasters()).toEqual([pid]);
  const third = await joined();
  expect(serverPid()).toBe(pid);
  await ask(third.child, 'leave');
  expect(postmasters()).toEqual([]);
});

test.skipIf(process.platform === 'win32')('Ctrl-C in the terminal of the member that started it does not reach the server', async () => {
  const { child } = await joined();
  const end = once(child, 'exit');
  // The terminal sends SIGINT to the whole process group; each child here leads one.
  process.kill(-(child.pid as number), 'SIGINT');
  expect(await end).toEqual([null, 'SIGINT']);
  const pids = postmasters();
  const after = await joinHere();
  expect(pids).toEqual([serverPid()]);
  await after.leave();
});

test('a killed member does not keep the server from being stopped', async () => {
  const [first, second] = [await joined(), await joined()];
  await killed(first.child);
  await ask(second.child, 'leave');
  expect(postmasters()).toEqual([]);
});

test('a member starts a killed server again, and what was committed is there', async () => {
  const { logger, back } = rejoining();
  const member = await joinHere(logger);
  await ask1(member.url, 'create table kept as select 7 as n');
  const pid = serverPid();
  process.kill(pid, 'SIGKILL');
  await back;
  expect(serverPid()).not.toBe(pid);
  expect(await ask1(member.url, 'select n from kept')).toBe(7);
  expect(await currentUrl(folder)).toBe(member.url);
  await member.leave();
  expect(postmasters()).toEqual([]);
});

test('a start waits until the children of a killed server let go of its memory', async () => {
  const { logger, back, said } = rejoining();
  const member = await joinHere(logger);
  // A query that computes sees the death of the postmaster only when it ends.
  const busy = ask1(member.url, 'select count(*) from generate_series(1, 3000000) a where a::text::numeric < 0').catch(() => undefined);
  await sleep(300);
  process.kill(serverPid(), 'SIGKILL');
  await back;
  await busy;
  expect(await log()).toContain('pre-existing shared memory block');
  expect(said).not.toContain('the embedded Postgres cannot be joined');
  expect(await ask1(member.url, 'select 1')).toBe(1);
});

test('a member whose connection alone was cut comes back, and still stops the server', async () => {
  const { logger, back } = rejoining();
  const member = await joinHere(logger);
  await ask1(member.url, "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'taktline member'");
  await back;
  await member.leave();
  expect(postmasters()).toEqual([]);
});

test('leave() during a rejoin leaves no server behind', async () => {
  for (let delayMs = 0; delayMs <= 60; delayMs += 10) {
    const member = await joinHere();
    process.kill(serverPid(), 'SIGKILL');
    await sleep(delayMs);
    await member.leave();
    expect(postmasters(), `${delayMs} ms after the kill`).toEqual([]);
  }
});

test.each([
  ['names a living process that is something else', (text: string, pid: number) => text.replace(/^\d+/, String(pid)), 0],
  ['is empty', () => '', 5_000],
  ['is full of zeros', () => '\0'.repeat(90), 5_000],
  ['was emptied this moment', () => '', 0],
  ['was filled with zeros this moment', () => '\0'.repeat(90), 0],
])('a start goes through when postmaster.pid %s', async (_name, change, ageMs) => {
  await (await joinHere()).leave();
  const owner = await stat(join(folder, 'postgres'));
  // Of the same user as the server: Postgres takes anybody else's process for no postmaster by itself.
  const other = spawn('sleep', ['60'], { stdio: 'ignore', ...(process.getuid?.() === 0 && { uid: owner.uid, gid: owner.gid }) });
  await once(other, 'spawn');
  const whole = `99999\n${join(folder, 'postgres', 'data')}\n1700000000\n5432\n\n127.0.0.1\n   12345     98304\nready   \n`;
  await writeFile(pidFile(), change(whole, other.pid as number), { mode: 0o600 });
  await chown(pidFile(), owner.uid, owner.gid);
  const then = Date.now() / 1_000 - ageMs / 1_000;
  await utimes(pidFile(), then, then);
  const { url } = await joinHere();
  expect(await ask1(url, 'select 1')).toBe(1);
  expect(other.exitCode ?? other.signalCode).toBeNull();
  other.kill();
  await once(other, 'exit');
});

test('a port that somebody else took meanwhile is replaced', async () => {
  const before = await joinHere();
  await before.leave();
  const port = Number(new URL(before.url).port);
  const squatter = createServer().listen(port, '127.0.0.1');
  await once(squatter, 'listening');
  const after = await joinHere();
  expect(new URL(after.url).port).not.toBe(String(port));
  expect(await ask1(after.url, 'select 1')).toBe(1);
  squatter.close();
});

test('processes that join and leave at random never fail, and leave no server behind', { timeout: 120_000 }, async () => {
  await rm(folder, { recursive: true });
  const script = `
    import { setTimeout as sleep } from 'node:timers/promises';
    import { joinEmbedded } from ${JSON.stringify(built.href)};
    import pg from ${JSON.stringify(pgModule)};
    for (let round = 0; round < 20; round++) {
      const member = await joinEmbedded(process.env.FOLDER);
      const client = new pg.Client({ connectionString: member.url });
      await client.connect();
      await client.query('select 1');
      await client.end();
      await sleep(Math.random() * 40);
      await member.leave();
      await sleep(Math.random() * 60);
    }
    process.disconnect();
  `;
  const ends = [1, 2, 3, 4, 5].map(() => once(run(script), 'exit'));
  expect(await Promise.all(ends)).toEqual(Array.from({ length: 5 }, () => [0, null]));
  expect(postmasters()).toEqual([]);
});
