/**
 * The process that owns the benchmark's Postgres: makes its data in a folder of its own, starts it, and when the
 * benchmark ends, however it ends, stops the server and removes the folder. It runs in a session of its own, so that a
 * Ctrl-C reaches the benchmark only.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import { findAccount, findBinaries } from './binaries.mjs';
import { settings } from './settings.mjs';

const startMs = 30_000;
const stopMs = 15_000;

let server;
let folder;
let over;

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => undefined);
process.on('disconnect', end);

const starting = start();
try {
  const url = await starting;
  if (process.connected) process.send({ url });
} catch (error) {
  if (process.connected) process.send({ error: error.message });
  await end();
}

async function start() {
  const account = await findAccount();
  folder = await mkdtemp(join(tmpdir(), 'taktline-bench-'));
  await chmod(folder, 0o755);
  const data = join(folder, 'data');
  await mkdir(data, { mode: 0o700 });
  if (account !== undefined) await chown(data, account.uid, account.gid);
  const bin = await findBinaries(account, folder);
  const how = { ...account, cwd: data, env: { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC' } };
  await promisify(execFile)(join(bin, 'initdb'), ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--no-locale'], how);
  if (over !== undefined) throw new Error('the benchmark ended meanwhile');
  const port = await freePort();
  const options = { ...settings, port, listen_addresses: '127.0.0.1', unix_socket_directories: '' };
  const args = Object.entries(options).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  let said = '';
  server = spawn(join(bin, 'postgres'), ['-D', data, ...args], { ...how, stdio: ['ignore', 'ignore', 'pipe'] });
  server.stderr.on('data', (text) => {
    said = (said + text).slice(-4_000);
  });
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`;
  for (const until = performance.now() + startMs; ; await sleep(50)) {
    if (server.exitCode !== null) throw new Error(`Postgres did not start: ${said}`);
    if (await answers(url)) return url;
    if (over !== undefined || performance.now() > until) throw new Error(`Postgres did not answer: ${said}`);
  }
}

/** Stops the server, removes its folder, ends this process. */
function end() {
  over ??= (async () => {
    await starting.catch(() => undefined);
    if (server !== undefined && server.exitCode === null && server.signalCode === null) {
      const exited = once(server, 'exit');
      server.kill('SIGINT');
      const hard = setTimeout(() => server.kill('SIGQUIT'), stopMs);
      await exited;
      clearTimeout(hard);
    }
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
    process.exit(0);
  })();
  return over;
}

async function answers(connectionString) {
  const client = new pg.Client({ connectionString, connectionTimeoutMillis: 2_000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}
