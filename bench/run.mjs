/**
 * Measures Taktline beside its peers on one Postgres. Contestants alternate: in each round every contestant runs once,
 * under each Node.js, in a process of its own and on a database of its own, and the next round begins with the next one.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { killChildren, runChild } from './child-process.mjs';
import { describe, findEntrants } from './entrants.mjs';
import { loadMeasurement } from './measurements/measurements.mjs';
import { readOptions, usage } from './options.mjs';
import { machine, summarize, table } from './report.mjs';
import { startServer } from './server/server.mjs';

/** No single process may take longer, whatever it is doing. */
const childLimitMs = 600_000;

const options = readOptions(process.argv.slice(2));
if (options.help) {
  console.log(usage);
  process.exit(0);
}

const server = await startServer();
let interrupted = false;
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    interrupted = true;
    killChildren();
  });
}

try {
  await main();
} finally {
  await server.stop();
}
if (interrupted) process.exitCode = 130;

async function main() {
  const { entrants, absent } = await findEntrants(options.contestants, options.nodes, options.scale === 'short');
  const about = {
    date: new Date().toISOString(),
    machine: machine(),
    postgres: await server.about(),
    contestants: await describe(entrants),
    absent,
  };
  console.log(introduction(about));
  const summaries = [];
  for (const name of options.measurements) {
    const measurement = await loadMeasurement(name);
    let first;
    let templates = new Map();
    for (const params of casesOf(measurement)) {
      if (interrupted) break;
      templates = await prepare(templates, params, entrants);
      const summary = summarize(measurement, params, await measure(name, params, entrants, templates), first);
      if (interrupted) break;
      first ??= summary;
      summaries.push(summary);
      console.log(`\n${table(measurement, summary)}`);
    }
    for (const { database } of templates.values()) await database?.drop();
  }
  const file = resolve(options.json ?? `${import.meta.dirname}/results/${about.date.replaceAll(':', '-')}.json`);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, `${JSON.stringify({ about, summaries }, undefined, 2)}\n`);
  console.log(`\nFigures: ${file}`);
  if (summaries.some(({ rows }) => rows.some(({ errors }) => errors.length > 0))) process.exitCode = 1;
}

function introduction({ machine, postgres, contestants, absent }) {
  return [
    `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB; load ${machine.loadAtStart.toFixed(2)}; ${options.runs} runs each`,
    postgres.version.split(' on ')[0],
    `  ${Object.entries(postgres.settings)
      .map(([name, value]) => `${name}=${value}`)
      .join(' ')}`,
    ...contestants.map(
      ({ name, version, engines, tuned, keepsResults }) =>
        `${name} ${version} (Node ${engines}): ${tuned}${keepsResults ? '' : ' (keeps no results)'}`,
    ),
    ...absent.map(({ label, reason }) => `${label} does not run: ${reason.split('\n')[0]}`),
  ].join('\n');
}

function casesOf(measurement) {
  return measurement
    .cases(options.scale)
    .filter(({ label }) => options.label === undefined || label.includes(options.label))
    .map((params) => {
      if (options.jobs === undefined) return params;
      if (params.jobs !== undefined) {
        const more = params.filled === undefined ? {} : { filled: params.filled - params.jobs + options.jobs };
        return { ...params, jobs: options.jobs, ...more };
      }
      return params.filled === undefined ? params : { ...params, filled: options.jobs };
    });
}

/** A filled database of each contestant, to be copied for each run, when the case wants one. Kept while the next case wants as many. */
async function prepare(templates, { filled }, entrants) {
  const names = [...new Set(entrants.map(({ contestant }) => contestant))];
  const next = new Map();
  for (const name of names) {
    if (interrupted) break;
    const kept = templates.get(name);
    if (kept?.filled === filled && kept?.database !== undefined) {
      next.set(name, kept);
      continue;
    }
    await kept?.database?.drop();
    if (filled === undefined) continue;
    const database = await server.createDatabase();
    const { node } = entrants.findLast(({ contestant }) => contestant === name);
    const order = { order: 'fill', contestant: name, url: database.url, params: { filled } };
    const error = await runChild(node.path, order, { limitMs: childLimitMs }).then(
      () => undefined,
      (reason) => reason,
    );
    next.set(name, { filled, database, error });
  }
  return next;
}

async function measure(name, params, entrants, templates) {
  const runs = [];
  for (let round = 1; round <= options.runs; round++) {
    for (let turn = 0; turn < entrants.length && !interrupted; turn++) {
      const entrant = entrants[(turn + round - 1) % entrants.length];
      const template = templates.get(entrant.contestant);
      try {
        if (template?.error !== undefined) throw template.error;
        const values = await runOnce(name, params, entrant, template?.database);
        runs.push({ entrant, round, values });
        progress(`${name} ${params.label} round ${round}: ${entrant.label} ${JSON.stringify(values)}`);
      } catch (error) {
        runs.push({ entrant, round, error: error.message });
        if (!interrupted) progress(`${name} ${params.label} round ${round}: ${entrant.label} failed: ${error.message}`);
      }
    }
  }
  return runs;
}

async function runOnce(measurement, params, { contestant, node }, template) {
  const database = await server.createDatabase(template);
  const execArgv = options.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${resolve(options.profile)}`];
  try {
    const order = { order: 'measure', contestant, url: database.url, measurement, params };
    return await runChild(node.path, order, { limitMs: childLimitMs, execArgv });
  } finally {
    await database.drop();
  }
}

function progress(text) {
  process.stderr.write(`${text}\n`);
}
