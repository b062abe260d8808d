/**
 * Taktline, by its public API only, with its defaults. BENCH_TAKTLINE names the folder of another build of it, to compare
 * two, or to measure one while this checkout is being worked on.
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
  const task = app.task({ name: 'bench', queue: 'bench', input: anything, run: (input) => run(input) });
  await app.ping();
  return {
    bulkSize: 10_000,
    enqueue: (input) => task.delay(input),
    enqueueMany: (inputs) => task.enqueueMany(inputs),
    async work(options) {
      run = options.run;
      await app.worker({ concurrency: options.concurrency }).start();
    },
    sql: {
      left: 'select exists (select 1 from taktline.claims) or exists (select 1 from taktline.ready) or exists (select 1 from taktline.scheduled)',
      waiting: 'select coalesce(sum(size), 0) from taktline.ready',
      done: "select coalesce(sum(size), 0) from taktline.ended where state = 's'",
      kept: `select count(*) from taktline.ended, string_to_table(results, E'\\x1e') as r where r::jsonb = '{"ok": true}'`,
    },
    close: () => app.close(),
  };
}
