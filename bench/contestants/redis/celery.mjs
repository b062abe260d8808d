/**
 * Celery with Redis as its broker and its result backend, from Debian (python3-celery, python3-redis). Its caller and its
 * workers are processes of Python, in celery/; BENCH_PYTHON names another Python than /usr/bin/python3 or that of the PATH.
 *
 * Tried at concurrency 100 on a machine that did other work too, jobs of nothing a second (CPU of the worker for a job): threads
 * 800 to 900 (1.1 ms), solo, which runs one job at once, 940 (0.8 ms), prefork 360 to 740 (1.5 ms and more), gevent 200 to 240
 * (4 ms). A prefetch multiplier of 1, 4, 100 or none made a difference for prefork only. Early acks lose what a killed worker
 * had; late ones cost more. A caller without a result backend does not subscribe to each job's result.
 * Waits for the start hold the way of a call through a pipe to the caller, about 0.05 ms.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

const code = resolve(import.meta.dirname, 'celery');
const readyMs = 30_000;
const tickMs = 10;
/** More threads than this only wait for each other. */
const callersAtMost = 4;

const python = await findPython();

export const about = {
  name: 'celery',
  version: python.celery,
  engines: `none, Python ${python.version}`,
  runtime: `Python ${python.version}`,
  keepsResults: true,
  tuned:
    'pool solo at concurrency 1, else threads; prefetch multiplier 4, early acks, no events, results for a day; apply_async with one producer, without a backend',
  share: 0.02,
  skips: {
    depth: 'a million jobs would take it six minutes to enqueue',
    pools: 'its workers are always processes: see processes',
    'pools-cpu': 'its workers are always processes: see processes',
    recycling: 'its workers are always processes: see processes',
  },
};

export async function open(url) {
  const env = { PATH: process.env.PATH, LC_ALL: 'C.UTF-8', PYTHONDONTWRITEBYTECODE: '1', BENCH_URL: url };
  const caller = startCaller(env);
  await caller.enqueue([], 1);
  const workers = new Set();
  process.on('exit', () => {
    for (const worker of workers) worker.kill('SIGKILL');
  });
  return {
    bulkSize: 500,
    enqueue: (input) => caller.enqueue([input], 1),
    enqueueEach: (inputs, callers) => caller.enqueue(inputs, Math.min(callers, callersAtMost)),
    enqueueMany: (inputs) => caller.enqueue(inputs, 1),
    async work({ concurrency, task, record }) {
      workers.add(await startWorker(env, concurrency, task, record));
    },
    cpuMs: async () => (await Promise.all([...workers].map(({ pid }) => cpuOf(pid)))).reduce((sum, ms) => sum + ms, 0),
    counts: {
      left: async (redis, { jobs }) => (await countResults(redis)) < jobs,
      waiting: (redis) => redis.lLen('bench'),
      done: countResults,
      kept: countKept,
    },
    async close() {
      await caller.close();
      for (const worker of workers) worker.kill('SIGKILL');
    },
  };
}

function startCaller(env) {
  const child = spawn(python.path, ['enqueue.py'], { cwd: code, env, stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  const asked = new Map();
  let count = 0;
  createInterface({ input: child.stdout }).on('line', (line) => {
    const { id } = JSON.parse(line);
    asked.get(id).resolve();
    asked.delete(id);
  });
  child.on('exit', () => {
    for (const { reject } of asked.values()) reject(new Error("Celery's caller ended"));
  });
  return {
    enqueue(jobs, callers) {
      count += 1;
      const id = count;
      return new Promise((resolve, reject) => {
        asked.set(id, { resolve, reject });
        child.stdin.write(`${JSON.stringify({ id, jobs, callers })}\n`);
      });
    },
    async close() {
      child.stdin.end();
      await ended;
    },
  };
}

/** Resolves with its process when it takes jobs. */
async function startWorker(env, concurrency, task, record) {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const args = [
    '-A',
    'bench_app',
    'worker',
    ...pool(concurrency),
    '--without-gossip',
    '--without-mingle',
    '--without-heartbeat',
    '-l',
    'ERROR',
  ];
  const child = spawn(python.path, ['-m', 'celery', ...args, '-n', `bench${process.pid}@%h`], {
    cwd: code,
    env: { ...env, BENCH_TASK: JSON.stringify(task), BENCH_PORT: server.address().port, C_FORCE_ROOT: '1' },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const ready = new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`Celery's worker was not ready within ${readyMs} ms`)), readyMs);
    child.on('exit', (status, signal) => reject(new Error(`Celery's worker ended with ${signal ?? status}`)));
    server.on('connection', (socket) => {
      socket.on('error', () => undefined);
      createInterface({ input: socket }).on('line', (line) => {
        const message = JSON.parse(line);
        for (const [n, at] of message.starts ?? []) record(n, at);
        if (message.ready !== true) return;
        clearTimeout(timer);
        resolve();
      });
    });
  });
  await ready;
  return child;
}

function pool(concurrency) {
  return concurrency === 1 ? ['-P', 'solo'] : ['-P', 'threads', '-c', concurrency];
}

/** Of a process and of those that it forked. */
async function cpuOf(pid) {
  const all = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const stats = await Promise.all(all.map((name) => readFile(`/proc/${name}/stat`, 'utf8').catch(() => '')));
  let ticks = 0;
  for (const text of stats) {
    // After the name, which is in brackets: state, parent, and from the twelfth on the ticks of user and system.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const own = text.startsWith(`${pid} `);
    if (own || Number(fields[1]) === pid) ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks * tickMs;
}

async function countResults(redis) {
  const keyspace = await redis.info('keyspace');
  return Number(/^db1:keys=(\d+)/m.exec(keyspace)?.[1] ?? 0);
}

async function countKept(redis) {
  const results = redis.duplicate({ database: 1 });
  await results.connect();
  let kept = 0;
  for await (const keys of results.scanIterator({ MATCH: 'celery-task-meta-*', COUNT: 1_000 })) {
    if (keys.length === 0) continue;
    const texts = await results.mGet(keys);
    kept += texts.map((text) => JSON.parse(text)).filter(({ status, result }) => status === 'SUCCESS' && result.ok === true).length;
  }
  results.destroy();
  return kept;
}

async function findPython() {
  const ask = 'import json, sys, celery, redis; print(json.dumps({"version": sys.version.split()[0], "celery": celery.__version__}))';
  const given = process.env.BENCH_PYTHON;
  for (const path of given ? [given] : ['/usr/bin/python3', 'python3']) {
    try {
      const { stdout } = await promisify(execFile)(path, ['-c', ask]);
      return { path, ...JSON.parse(stdout) };
    } catch {
      // The next one, or the error below.
    }
  }
  throw new Error(`no Celery: ${given ?? 'python3'} has no celery and redis (Debian: apt-get install python3-celery python3-redis)`);
}
