/** Taktline, by its public API only, with its defaults, from one build of it, on the server that the URL names. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { makeTask } from '../tasks.mjs';

/** A task takes input only through a schema; this one lets everything pass, as the others do. */
const anything = { '~standard': { version: 1, vendor: 'bench', validate: (value) => ({ value }) } };

export async function load(folder) {
  return import(pathToFileURL(resolve(folder, 'dist/index.js')).href);
}

/** The app, and its one task, which calls `run`. */
export function makeApp({ createApp, jsonLogger }, url, run, hooks = {}) {
  const app = createApp({ brokerUrl: url, queues: [{ name: 'bench', priority: 5 }], logger: jsonLogger('warn'), hooks });
  const task = app.task({ name: 'bench', queue: 'bench', input: anything, run: (input, { id }) => run(input, id) });
  return { app, task };
}

/** @param watched whether somebody listens to the workers' events meanwhile, in a process of its own */
export async function openBuild(folder, url, watched) {
  const engine = await load(folder);
  let run;
  let worker;
  const { app, task } = makeApp(engine, url, (input, id) => run(input, id));
  await app.ping();
  return {
    bulkSize: 10_000,
    enqueue: (input) => task.delay(input),
    enqueueMany: (inputs) => task.enqueueMany(inputs),
    scheduleMany: (inputs) => task.enqueueMany(inputs, { countdown: '1d' }),
    async work(options) {
      run = options.run;
      const { concurrency, pool } = options;
      if (watched) await listen(folder, url);
      if (pool === undefined) {
        await app.worker({ concurrency }).start();
        return;
      }
      Object.assign(process.env, { BENCH_POOL_URL: url, BENCH_POOL_FOLDER: folder, BENCH_POOL_TASK: JSON.stringify(options.task) });
      const module = new URL('./taktline-pool.mjs', import.meta.url);
      const { children, ...bounds } = pool;
      worker = app.worker({ pool: 'processes', concurrency: children, module, ...bounds });
      await worker.start();
    },
    pool: () => worker?.pool(),
    counts: url.startsWith('postgres:') ? tables : askApp(app),
    scripts: () => scriptNames(folder),
    close: () => app.close(),
  };
}

/** What a child of the pool performs. */
export const poolTask = () => makeTask(JSON.parse(process.env.BENCH_POOL_TASK));

/** Resolves when the listener hears of the worker, or would. It ends with this process. */
async function listen(folder, url) {
  const child = fork(new URL('./taktline-listener.mjs', import.meta.url), [folder, url], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  await once(child, 'message');
}

const tables = {
  left: 'select exists (select 1 from taktline.claims) or exists (select 1 from taktline.ready) or exists (select 1 from taktline.scheduled)',
  waiting: 'select coalesce(sum(size), 0) from taktline.ready',
  done: "select coalesce(sum(size), 0) from taktline.ended where state = 's'",
  kept: `select count(*) from taktline.ended, string_to_table(results, E'\\x1e') as r where r::jsonb = '{"ok": true}'`,
};

/** On any broker: the queues' counts, and the result of each job that ran, by its id. */
function askApp(app) {
  const atOnce = 10_000;
  const total = async (...names) =>
    (await app.inspector.queues()).reduce((sum, queue) => sum + names.reduce((all, name) => all + queue[name], 0), 0);
  const countResults = async (ids, wanted) => {
    const left = [...new Set(ids)];
    let found = 0;
    while (left.length > 0) {
      const results = await Promise.allSettled(left.splice(-atOnce).map((id) => app.handle(id).result({ timeout: '5s' })));
      found += results.filter(({ status, value }) => status === 'fulfilled' && wanted(value)).length;
    }
    return found;
  };
  return {
    left: async () => (await total('ready', 'scheduled', 'running')) > 0,
    waiting: () => total('ready'),
    done: (_client, { ids }) => countResults(ids, () => true),
    kept: (_client, { ids }) => countResults(ids, (value) => value?.ok === true),
  };
}

/** The Lua scripts of the build, by the digest under which the server knows them. */
async function scriptNames(folder) {
  const { scripts } = await import(pathToFileURL(resolve(folder, 'dist/broker/redis/scripts.js')).href);
  return new Map(Object.values(scripts).map(({ sha, name }) => [sha, name]));
}
