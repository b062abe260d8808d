/** The README's shell blocks, typed as they stand: `npm start`, its curl command, Ctrl-C. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../', import.meta.url));
const patience = { timeout: 60_000, interval: 100 };

let folder: string;
let started: ChildProcess | undefined;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'taktline-readme-'));
  await chmod(folder, 0o711);
});

afterEach(async () => {
  if (started?.pid !== undefined && started.exitCode === null && started.signalCode === null) {
    const ended = once(started, 'exit');
    process.kill(-started.pid, 'SIGKILL');
    await ended;
  }
  await rm(folder, { recursive: true, force: true });
});

async function shellBlocks(): Promise<string[]> {
  const readme = await readFile(join(root, 'README.md'), 'utf8');
  return [...readme.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map((match) => (match[1] as string).trim());
}

it('has the three shell blocks that are tried here or by whoever runs this', async () => {
  const [start, curl, tests, ...more] = await shellBlocks();
  expect([start, tests, more]).toEqual(['npm ci && npm start', 'npm ci && npm test', []]);
  expect(curl).toMatch(/^curl -X POST http:\/\/127\.0\.0\.1:8080\/api\/emails /);
});

it('npm start becomes ready, the curl command ends in the mailbox, and Ctrl-C ends it with 0', async () => {
  const [start, curl] = (await shellBlocks()) as [string, string];
  const { PATH = '', HOME = '' } = process.env;
  const child = spawn('sh', ['-c', `exec ${start.replace('npm ci && ', '')}`], {
    cwd: root,
    env: { PATH, HOME, PORT: '0', DEMO: 'off', TAKTLINE_FOLDER: join(folder, 'data') },
    // A group of its own, which gets the signal as a terminal's foreground does.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  started = child;
  let out = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    out += chunk.toString();
  });
  child.stderr?.on('data', () => undefined);
  await expect.poll(() => out, patience).toMatch(/^ready: /m);
  const url = /^ready: (\S+)\/$/m.exec(out)?.[1] as string;

  const { stdout } = await promisify(execFile)('sh', ['-c', curl.replace('http://127.0.0.1:8080', url).replace('curl ', 'curl --silent ')]);
  expect(JSON.parse(stdout)).toMatchObject({ id: expect.any(String) as string });
  const subjects = async () =>
    ((await (await fetch(`${url}/mailbox.json`)).json()) as { messages: { subject: string }[] }).messages.map(({ subject }) => subject);
  await expect.poll(subjects, patience).toEqual(['Welcome to Taktline, Ann']);

  const ended = once(child, 'exit');
  process.kill(-(child.pid as number), 'SIGINT');
  expect(await ended).toEqual([0, null]);
});
