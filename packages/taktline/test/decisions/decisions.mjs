/**
 * Shows that the tests hold the engine's decisions: each decision of reversals.mjs is reversed in a copy of what is built,
 * and the tests that are named there must then fail. Without any reversal they must pass.
 *
 *     npm run build && node packages/taktline/test/decisions/decisions.mjs [part of a decision's text]
 *
 * It takes some minutes and is no part of `npm test`. Exit code 0: every decision is held.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { joinEmbedded } from '../../dist/broker/embedded/embedded-postgres.js';
import { reversals } from './reversals.mjs';

const repository = fileURLToPath(new URL('../../../../', import.meta.url));
/** A run that takes longer has not passed. */
const patienceMs = 120_000;

const wanted = reversals.filter(({ decision }) => decision.includes(process.argv[2] ?? ''));
const root = await mkdtemp(join(tmpdir(), 'taktline-decisions-'));
// Postgres runs as another user when this runs as root; it has to get through.
await chmod(root, 0o711);
process.env.TAKTLINE_SERVER_FILES = join(root, 'server-files');
let failed = 0;
let server;
let redis;
try {
  const copy = await copyPackage();
  server = await joinEmbedded(join(root, 'postgres'));
  process.env.TAKTLINE_TEST_POSTGRES = server.url;
  redis = await startRedis(join(root, 'redis'));

  // As they are, each file with the tests that are named for it.
  const files = [...new Set(wanted.map(({ tests }) => tests))];
  for (const file of files) {
    const named = wanted.filter(({ tests }) => tests === file).map(({ only }) => only);
    const before = await run(copy, [file], named.includes(undefined) ? undefined : [...new Set(named)].join('|'));
    if (before.outcome === 'passed') continue;
    console.log(before.output);
    throw new Error(`the tests of ${file} do not pass as they are (${before.outcome})`);
  }
  console.log(`${files.length} test files pass as they are; now with each of ${wanted.length} decisions reversed:\n`);
  for (const reversal of wanted) {
    const started = performance.now();
    const verdict = await reverse(copy, reversal);
    const held = verdict === 'failed' || verdict === 'too slow';
    if (!held) failed += 1;
    const seconds = ((performance.now() - started) / 1_000).toFixed(1).padStart(5);
    console.log(`${held ? 'held    ' : 'NOT HELD'} ${seconds} s  ${reversal.decision}${held ? '' : ` (${verdict}: ${reversal.tests})`}`);
  }
} finally {
  await server?.leave();
  redis?.kill('SIGKILL');
  await rm(root, { recursive: true, force: true });
}
console.log(`\n${wanted.length - failed} of ${wanted.length} decisions are held by their tests`);
process.exitCode = failed === 0 ? 0 : 1;

/** One for all runs, and what tells the tests of it. */
async function startRedis(folder) {
  await mkdir(folder);
  const port = await new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--appendonly', 'yes'];
  const child = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((resolve, reject) => {
    child.once('error', reject).once('exit', () => reject(new Error('redis-server ended')));
    child.stdout.on('data', (text) => String(text).includes('Ready to accept connections') && resolve());
  });
  // Whatever ends this process.
  process.on('exit', () => child.kill('SIGKILL'));
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));
  process.env.TAKTLINE_TEST_REDIS = `redis://127.0.0.1:${port}`;
  // Some tests start one of their own.
  process.env.TAKTLINE_TEST_REDIS_BINARY = JSON.stringify({ file: child.spawnargs[0], argv0: 'redis-server' });
  return child;
}

/** The package as it is built, with the dependencies of the repository; returns its folder. */
async function copyPackage() {
  const copy = join(root, 'packages', 'taktline');
  await mkdir(copy, { recursive: true });
  for (const part of ['dist', 'src', 'test', 'package.json']) {
    await cp(join(repository, 'packages', 'taktline', part), join(copy, part), { recursive: true });
  }
  await symlink(join(repository, 'node_modules'), join(root, 'node_modules'));
  await cp(join(repository, 'package.json'), join(root, 'package.json'));
  const config = (await readFile(join(repository, 'vitest.config.ts'), 'utf8'))
    // The server is there already, and a test that hangs has failed soon enough.
    .replace(/globalSetup: \[[^\]]*\],/, '')
    .replace(/testTimeout: [\d_]+/, 'testTimeout: 15_000');
  await writeFile(join(root, 'vitest.config.ts'), config);
  return copy;
}

/** What the tests say with the decision reversed. */
async function reverse(copy, { file, search, replace, tests, only }) {
  const path = join(copy, file);
  const code = await readFile(path, 'utf8');
  if (code.split(search).length !== 2) return `${file} holds the text to replace ${code.split(search).length - 1} times`;
  await writeFile(
    path,
    code.replace(search, () => replace),
  );
  try {
    return (await run(copy, [tests], only)).outcome;
  } finally {
    await writeFile(path, code);
  }
}

/** Runs test files of the copy: passed, failed, too slow, or nothing ran. */
async function run(copy, files, only) {
  const report = join(root, 'report.json');
  await rm(report, { force: true });
  const vitest = join(repository, 'node_modules', 'vitest', 'vitest.mjs');
  const names = only === undefined ? [] : ['-t', only];
  const args = [vitest, 'run', ...files.map((file) => join(copy, file)), ...names, '--reporter=json', `--outputFile=${report}`];
  const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
  let slow = false;
  const timer = setTimeout(() => {
    slow = true;
    // The group: the runner has children of its own.
    process.kill(-(child.pid ?? 0), 'SIGKILL');
  }, patienceMs);
  await once(child, 'close');
  clearTimeout(timer);
  if (slow) return { outcome: 'too slow', output };
  const result = await readFile(report, 'utf8').then(JSON.parse, () => undefined);
  if (result === undefined) return { outcome: 'nothing ran', output };
  const failures = result.testResults.flatMap(({ assertionResults }) => assertionResults.filter(({ status }) => status === 'failed'));
  const passes = result.numPassedTests;
  if (failures.length > 0 || (!result.success && passes > 0)) {
    return {
      outcome: 'failed',
      output: failures.map(({ fullName, failureMessages }) => `${fullName}\n${failureMessages[0]}`).join('\n') || output,
    };
  }
  return { outcome: passes > 0 ? 'passed' : 'nothing ran', output };
}
