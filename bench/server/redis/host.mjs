/**
 * Runs the benchmark's Redis, in the guard's process: a `redis-server` for each run, on a free port of the loopback, its
 * append-only file in a folder of its own. The binary is BENCH_REDIS, else `redis-server` or `valkey-server` of the PATH.
 */
import { execFile, spawn } from 'node:child_process';
import { cp, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { createClient } from 'redis';
import { freePort } from '../free-port.mjs';
import { stopProcess } from '../stop-process.mjs';
import { settings } from './settings.mjs';

const startMs = 120_000;
const tries = 3;

export async function start(folder, isOver) {
  const { binary, version } = await findBinary();
  const instances = new Map();

  async function create(name, template, more) {
    const home = join(folder, name);
    await mkdir(home);
    if (template !== undefined && template !== null) {
      await stop(instances.get(template));
      await cp(join(folder, template), home, { recursive: true });
    }
    for (let left = tries; ; left--) {
      if (isOver()) throw new Error('the benchmark ended meanwhile');
      const port = await freePort();
      const instance = launch(binary, home, { ...settings, ...more, port });
      instances.set(name, instance);
      if (await answers(instance, port, isOver)) return `redis://127.0.0.1:${port}`;
      await stop(instance);
      if (left === 1) throw new Error(`Redis did not start: ${instance.said()}`);
    }
  }

  async function drop(name) {
    await stop(instances.get(name));
    instances.delete(name);
    await rm(join(folder, name), { recursive: true, force: true });
  }

  return {
    ready: { version },
    create,
    drop,
    close: () => Promise.all([...instances.values()].map(stop)),
  };
}

/** Nothing is worth a graceful end: what a template holds was written to its append-only file before. */
function stop(instance) {
  return stopProcess(instance.server, 'SIGKILL', 'SIGKILL');
}

function launch(binary, home, options) {
  const all = { ...options, bind: '127.0.0.1', dir: home, daemonize: 'no', logfile: '' };
  const args = Object.entries(all).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const server = spawn(binary, args, { cwd: home, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [server.stdout, server.stderr]) {
    stream.on('data', (text) => {
      said = (said + text).slice(-4_000);
    });
  }
  server.on('error', (error) => {
    said += error.message;
  });
  return { server, said: () => said };
}

/** Waits until this very process answers and has loaded its file; false when it ended, as when its port was taken meanwhile. */
async function answers({ server }, port, isOver) {
  for (const until = performance.now() + startMs; performance.now() < until && !isOver(); await sleep(10)) {
    if (server.exitCode !== null || server.signalCode !== null) return false;
    const client = createClient({ url: `redis://127.0.0.1:${port}`, socket: { reconnectStrategy: false } });
    client.on('error', () => undefined);
    try {
      await client.connect();
      const about = await client.info();
      if (about.includes(`process_id:${server.pid}\r`) && about.includes('\nloading:0\r')) return true;
    } catch {
      // Not yet.
    } finally {
      if (client.isOpen) client.destroy();
    }
  }
  return false;
}

async function findBinary() {
  const given = process.env.BENCH_REDIS;
  for (const binary of given ? [given] : ['redis-server', 'valkey-server']) {
    try {
      const { stdout } = await promisify(execFile)(binary, ['--version']);
      return { binary, version: stdout.trim() };
    } catch {
      // The next one, or the error below.
    }
  }
  throw new Error(
    given
      ? `BENCH_REDIS is ${given}: it does not run`
      : 'there is no redis-server and no valkey-server on the PATH (Debian: apt-get install redis-server), and BENCH_REDIS names none',
  );
}
