/** Runs the benchmark's Postgres, in the guard's process: makes its data in the folder and starts it there. */
import { execFile, spawn } from 'node:child_process';
import { chown, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import { freePort } from '../free-port.mjs';
import { stopProcess } from '../stop-process.mjs';
import { findAccount, findBinaries } from './binaries.mjs';
import { settings } from './settings.mjs';

const startMs = 30_000;

export async function start(folder, isOver) {
  const account = await findAccount();
  const data = join(folder, 'data');
  await mkdir(data, { mode: 0o700 });
  if (account !== undefined) await chown(data, account.uid, account.gid);
  const bin = await findBinaries(account, folder);
  const how = { ...account, cwd: data, env: { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC' } };
  await promisify(execFile)(join(bin, 'initdb'), ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--no-locale'], how);
  if (isOver()) throw new Error('the benchmark ended meanwhile');
  const port = await freePort();
  const options = { ...settings, port, listen_addresses: '127.0.0.1', unix_socket_directories: '' };
  const args = Object.entries(options).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  let said = '';
  const server = spawn(join(bin, 'postgres'), ['-D', data, ...args], { ...how, stdio: ['ignore', 'ignore', 'pipe'] });
  server.stderr.on('data', (text) => {
    said = (said + text).slice(-4_000);
  });
  const close = () => stopProcess(server, 'SIGINT', 'SIGQUIT');
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`;
  for (const until = performance.now() + startMs; ; await sleep(50)) {
    if (server.exitCode !== null) throw new Error(`Postgres did not start: ${said}`);
    if (await answers(url)) return { ready: { url }, close };
    if (isOver() || performance.now() > until) {
      await close();
      throw new Error(`Postgres did not answer: ${said}`);
    }
  }
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
