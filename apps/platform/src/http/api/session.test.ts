/** The session of docs/api.md, typed as it stands, with the platform that `npm start` runs. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { patience } from '../../../test/patience.ts';

const root = fileURLToPath(new URL('../../../../../', import.meta.url));
const main = fileURLToPath(new URL('../../../dist/main.js', import.meta.url));

let folder: string;
let platform: ChildProcess;
let env: Record<string, string>;
let out = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'taktline-session-'));
  // Else the server's account could not reach it, and the data would stay behind in a place for root.
  await chmod(folder, 0o711);
  const { PATH = '', HOME = '' } = process.env;
  env = { PATH, HOME, TAKTLINE_FOLDER: join(folder, 'data') };
  platform = spawn(process.execPath, [main], { cwd: folder, env: { ...env, PORT: '0', DEMO: 'off' }, stdio: ['ignore', 'pipe', 'ignore'] });
  platform.stdout?.on('data', (chunk: Buffer) => {
    out += chunk.toString();
  });
});
afterAll(async () => {
  if (platform.exitCode === null && platform.signalCode === null) {
    platform.kill('SIGTERM');
    await once(platform, 'exit');
  }
  await rm(folder, { recursive: true, force: true });
});

it('the session of docs/api.md ends with a rated order', { timeout: 120_000 }, async () => {
  const page = await readFile(join(root, 'docs/api.md'), 'utf8');
  const [, session = ''] = /^```sh\n([\s\S]*?)^```/m.exec(page) ?? [];
  expect(session).toContain('http://127.0.0.1:8080');
  await expect.poll(() => out, patience).toMatch(/^ready: /m);
  const url = /^ready: (\S+)\/$/m.exec(out)?.[1] ?? '';
  const script = session.replace('http://127.0.0.1:8080', url);
  const { stdout } = await promisify(execFile)('sh', ['-eu', '-c', script], { cwd: root, env, timeout: 110_000 });
  expect(stdout).toContain('190.00');
  for (const state of ['in_production', 'inspection', 'shipped', 'delivered', 'closed']) expect(stdout).toContain(`\n${state}\n`);
  expect(stdout).toContain('"stars":5');
});
