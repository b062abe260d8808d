/**
 * Where a test run has its Redis from, on machines that have one, can install one, or have none: the search itself, and test
 * runs of their own that see nothing but a folder of made-up programs. Nothing is asked of the network.
 */
import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, type TestContext } from 'vitest';
import { describeWithRedisServers } from './needs-redis.ts';
import { findRedis, installCommand, type RedisBinary } from './redis-binary.ts';

const config = fileURLToPath(new URL('../../fixtures/needs-redis/vitest.config.ts', import.meta.url));
const vitest = join(createRequire(import.meta.url).resolve('vitest/package.json'), '..', 'vitest.mjs');

/** A folder of programs that is all of the PATH. */
async function programs({ onTestFinished }: TestContext, scripts: Readonly<Record<string, string>> = {}): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'taktline-path-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(scripts)) {
    await writeFile(join(folder, name), `#!/bin/sh\n${text}\n`);
    await chmod(join(folder, name), 0o755);
  }
  return folder;
}

const says = (version: string) => `echo "Redis server v=${version} sha=00000000:0 malloc=jemalloc bits=64"`;

describe('a server on the PATH', () => {
  it.for(['redis-server', 'valkey-server'] as const)('is found as %s', async (name, test) => {
    const [empty, folder] = [await programs(test), await programs(test, { [name]: says('7.0.15') })];
    expect(findRedis([empty, folder].join(delimiter))).toEqual({ file: join(folder, name), argv0: name });
  });

  it('that goes by the name redis-check-rdb is called as a server', async (test) => {
    const folder = await programs(test, { 'redis-check-rdb': says('7.0.15') });
    expect(findRedis(folder)).toEqual({ file: join(folder, 'redis-check-rdb'), argv0: 'redis-server' });
  });

  it.for([
    ['is too old', says('6.2.14')],
    ['does not start', 'exit 127'],
    ['is something else', 'echo "usage: redis-server"'],
  ] as const)('that %s is passed over for the next', async ([, text], test) => {
    const [bad, good] = [await programs(test, { 'redis-server': text }), await programs(test, { 'valkey-server': says('8.0.1') })];
    expect(findRedis(bad)).toBeUndefined();
    expect(findRedis([bad, good].join(delimiter))?.file).toBe(join(good, 'valkey-server'));
  });
});

interface Run {
  readonly code: number;
  readonly output: string;
}

/** A run of the suites in fixtures/needs-redis. */
function run(path: string, env: Readonly<Record<string, string>> = {}): Promise<Run> {
  const clean = { HOME: tmpdir(), TMPDIR: tmpdir(), NO_COLOR: '1', PATH: path, ...env };
  return new Promise((resolve) => {
    execFile(process.execPath, [vitest, 'run', '--config', config], { env: clean, timeout: 60_000 }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : -1, output: stdout + stderr }),
    );
  });
}

const suites = { shared: '  - on the Redis of the run', own: '  - with servers of its own' };
/** Debian's tool, without a network. */
const aptFails = { 'apt-get': 'exit 100' };

describe.concurrent('a test run', { timeout: 90_000 }, () => {
  it.for([
    ['passes, and lists what did not run', {}, 0],
    ['fails with CI=true', { CI: 'true' }, 1],
  ] as const)('that finds none %s', async ([, env, code], test) => {
    const done = await run(await programs(test, aptFails), env);
    expect(done.output).toMatch(/Tests .*1 passed/);
    expect(done.output).toContain('NOT RUN for want of a Redis 7.0 or later (2)');
    for (const suite of Object.values(suites)) expect(done.output).toContain(suite);
    expect(done.output).toContain(`install it:  ${installCommand}`);
    expect(done.code).toBe(code);
  });
});

describeWithRedisServers('a test run where there is a Redis', () => {
  const { file } = JSON.parse(process.env['TAKTLINE_TEST_REDIS_BINARY'] ?? '{}') as RedisBinary;
  const tools = ['sh', 'cat', 'rm', 'kill'];

  /** What the guard of a server needs is there too. */
  async function machine(test: TestContext, scripts: Readonly<Record<string, string>> = {}): Promise<string> {
    const folder = await programs(test, scripts);
    for (const tool of tools) await symlink(`/bin/${tool}`, join(folder, tool));
    return folder;
  }

  function expectAllRun({ code, output }: Run): void {
    expect(output).toMatch(/Tests .*3 passed/);
    expect(output).not.toContain('NOT RUN');
    expect(code).toBe(0);
  }

  describe.concurrent('runs everything', { timeout: 90_000 }, () => {
    it('on one of the PATH', async (test) => {
      const folder = await machine(test, aptFails);
      await symlink(file, join(folder, 'valkey-server'));
      expectAllRun(await run(folder, { CI: 'true' }));
    });

    it.runIf(process.getuid?.() === 0)('on one that apt-get brings, after its lists are refreshed', async (test) => {
      const folder = await machine(test);
      const apt = [
        `cd "${folder}" && echo "$*" >> asked`,
        'case "$*" in',
        '  *update*) echo > lists ;;',
        `  *install*redis-tools*) cat lists > lists.seen && /bin/ln -s "${file}" redis-check-rdb ;;`,
        '  *) exit 100 ;;',
        'esac',
      ];
      await writeFile(join(folder, 'apt-get'), `#!/bin/sh\n${apt.join('\n')}\n`, { mode: 0o755 });
      expectAllRun(await run(folder, { CI: 'true' }));
      const asked = (await readFile(join(folder, 'asked'), 'utf8')).trim().split('\n');
      expect(asked.map((line) => / (install|update)\b/.exec(line)?.[1])).toEqual(['install', 'update', 'install']);
    });

    it('on the one of TEST_REDIS_URL what needs no other, and lists the rest', async (test) => {
      const { code, output } = await run(await programs(test, aptFails), { TEST_REDIS_URL: process.env['TAKTLINE_TEST_REDIS'] as string });
      expect(output).toMatch(/Tests .*2 passed/);
      expect(output).toContain('NOT RUN for want of a Redis 7.0 or later (1)');
      expect(output).toContain(suites.own);
      expect(output).not.toContain(suites.shared);
      expect(code).toBe(0);
    });
  });
});
