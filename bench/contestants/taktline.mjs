/**
 * Taktline, by its public API only, with its defaults, on the server that the URL names. BENCH_TAKTLINE names the folder of
 * another build of it, to compare two, or to measure one while this checkout is being worked on.
 */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const folder = process.env.BENCH_TAKTLINE ?? resolve(import.meta.dirname, '../../packages/taktline');
const { createApp, jsonLogger } = await import(pathToFileURL(resolve(folder, 'dist/index.js')).href);

export const about = {
  name: 'taktline',
  folder,
  keepsResults: true,
  tuned: 'defaults; enqueueMany of 10,000',
};

/** A task takes input only through a schema; this one lets everything pass, as the others do. */
const anything = { '~standard': { version: 1, vendor: 'bench', validate: (value) => ({ value }) } };

export async function open(url) {
  const app = createApp({ brokerUrl: url, queues: [{ name: 'bench', priority: 5 }], logger: jsonLogger('warn') });
  let run;
  const task = app.task({ name: 'bench', queue: 'bench', input: anything, run: (input, { id }) => run(input, id) });
  await app.ping();
  return {
    bulkSize: 10_000,
    enqueue: (input) => task.delay(input),
    enqueueMany: (inputs) => task.enqueueMany(inputs),
    scheduleMany: (inputs) => task.enqueueMany(inputs, { countdown: '1d' }),
    async work(options) {
      run = options.run;
      await app.worker({ concurrency: options.concurrency }).start();
    },
    counts: url.startsWith('postgres:') ? tables : askApp(app),
    scripts: scriptNames,
    close: () => app.close(),
  };
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
async function scriptNames() {
  const { scripts } = await import(pathToFileURL(resolve(folder, 'dist/broker/redis/scripts.js')).href);
  return new Map(Object.values(scripts).map(({ sha, name }) => [sha, name]));
}
