/**
 * Measures Taktline beside its peers, on Postgres and on Redis. Contestants alternate: in each round every contestant runs once,
 * under each Node.js, in a process of its own and on a database of its own, and the next round begins with the next one.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { killChildren, runChild } from './child-process.mjs';
import { contestantsOn } from './contestants/contestants.mjs';
import { describe, findEntrants } from './entrants.mjs';
import { loadMeasurement } from './measurements/measurements.mjs';
import { readOptions, usage } from './options.mjs';
import { machine, serverTitles, summarize, table } from './report.mjs';
import { startDelay } from './server/delay.mjs';
import { startServer } from './server/servers.mjs';

/** No single process may take longer, whatever it is doing. */
const childLimitMs = 600_000;

const options = readOptions(process.argv.slice(2));
if (options.help) {
  console.log(usage);
  process.exit(0);
}

let interrupted = false;
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    interrupted = true;
    killChildren();
  });
}
await main();
if (interrupted) process.exitCode = 130;

async function main() {
  const about = { date: new Date().toISOString(), machine: machine(), servers: {} };
  const { cpu, cores, memoryGiB, loadAtStart } = about.machine;
  console.log(`${cpu}, ${cores} cores, ${memoryGiB} GiB; load ${loadAtStart.toFixed(2)}; ${options.runs} runs each`);
  const summaries = [];
  for (const on of options.servers) {
    const chosen = options.contestants.filter((name) => contestantsOn(on).includes(name));
    const measurements = (await Promise.all(options.measurements.map(loadMeasurement))).filter((one) => one.about.on?.includes(on) ?? true);
    if (chosen.length === 0 || measurements.length === 0 || interrupted) continue;
    const server = await startServer(on).catch((error) => {
      if (options.serversGiven) throw error;
      console.log(`\n${serverTitles[on]} does not run: ${error.message}`);
    });
    if (server === undefined) continue;
    try {
      about.servers[on] = await measureOn({ on, server, chosen, measurements, summaries });
    } finally {
      await server.stop();
    }
  }
  const file = resolve(options.json ?? `${import.meta.dirname}/results/${about.date.replaceAll(':', '-')}.json`);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, `${JSON.stringify({ about, summaries }, undefined, 2)}\n`);
  console.log(`\nFigures: ${file}`);
  if (summaries.some(({ rows }) => rows.some(({ errors }) => errors.length > 0))) process.exitCode = 1;
}

/** All that was chosen, on one server; gives what there is to say of the server and who took part. */
async function measureOn({ on, server, chosen, measurements, summaries }) {
  const { entrants, absent } = await findEntrants(on, chosen, options.nodes, options.scale === 'short');
  const about = { ...(await server.about()), contestants: await describe(entrants), absent };
  console.log(`\n${introduction(about)}`);
  for (const measurement of measurements) {
    if (interrupted) break;
    const { name } = measurement.about;
    const taking = entrants.filter((entrant) => entrant.about.skips?.[name] === undefined);
    for (const { contestant, skips } of uniqueContestants(entrants)) {
      if (skips?.[name] !== undefined) console.log(`\n${contestant} does not take part in ${name}: ${skips[name]}`);
    }
    if (taking.length === 0) continue;
    const place = { on, server, measurement, entrants: taking };
    let first;
    let templates = new Map();
    for (const params of casesOf(measurement, on)) {
      if (interrupted) break;
      templates = await prepare(place, templates, params);
      const summary = summarize(on, measurement, params, await measure(place, params, templates), first);
      if (interrupted) break;
      first ??= summary;
      summaries.push(summary);
      console.log(`\n${table(measurement, summary)}`);
    }
    for (const { database } of templates.values()) await database?.drop();
  }
  return about;
}

function introduction({ version, settings, contestants, absent }) {
  return [
    version,
    `  ${Object.entries(settings)
      .map(([name, value]) => `${name}=${value}`)
      .join(' ')}`,
    ...contestants.map(
      ({ name, version, engines, tuned, keepsResults }) =>
        `${name} ${version} (${engines}): ${tuned}${keepsResults ? '' : ' (keeps no results)'}`,
    ),
    ...absent.map(({ label, reason }) => `${label} does not run: ${reason.split('\n')[0]}`),
  ].join('\n');
}

function uniqueContestants(entrants) {
  return [...new Map(entrants.map(({ contestant, about }) => [contestant, { contestant, ...about }])).values()];
}

function casesOf(measurement, on) {
  return measurement
    .cases(options.scale, on)
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

/** The case as a contestant gets it that takes so long that it gets only a part of the jobs, or a thousand if that is more. */
function paramsFor({ share = 1 }, params) {
  const part = (count) => (count === undefined ? undefined : Math.min(count, Math.max(1_000, Math.ceil(count * share))));
  return { ...params, jobs: part(params.jobs), filled: part(params.filled) };
}

/**
 * A filled database of each contestant, to be copied for each run, when the case wants one. Kept while the next case wants
 * as many.
 */
async function prepare({ on, server, entrants }, templates, params) {
  const next = new Map();
  for (const { contestant, ...about } of uniqueContestants(entrants)) {
    if (interrupted) break;
    const { filled, scheduled } = paramsFor(about, params);
    const kept = templates.get(contestant);
    if (kept !== undefined && kept.filled === filled && kept.scheduled === scheduled && kept.database !== undefined) {
      next.set(contestant, kept);
      continue;
    }
    await kept?.database?.drop();
    if (filled === undefined) continue;
    const database = await server.createDatabase();
    const { node } = entrants.findLast((one) => one.contestant === contestant);
    const order = { order: 'fill', on, contestant, url: database.url, direct: database.url, params: { filled, scheduled } };
    const error = await runChild(node.path, order, { limitMs: childLimitMs }).then(
      () => undefined,
      (reason) => reason,
    );
    next.set(contestant, { filled, scheduled, database, error });
  }
  return next;
}

async function measure(place, params, templates) {
  const { on, measurement, entrants } = place;
  const runs = [];
  for (let round = 1; round <= options.runs; round++) {
    for (let turn = 0; turn < entrants.length && !interrupted; turn++) {
      const entrant = entrants[(turn + round - 1) % entrants.length];
      const template = templates.get(entrant.contestant);
      const own = paramsFor(entrant.about, params);
      const run = { entrant, round, jobs: own.jobs ?? own.filled };
      const what = `${measurement.about.name} on ${on} ${params.label} round ${round}: ${entrant.label}`;
      try {
        if (template?.error !== undefined) throw template.error;
        const values = await runOnce(place, own, entrant, template?.database);
        runs.push({ ...run, values });
        progress(`${what} ${JSON.stringify({ ...values, lines: undefined })}`);
      } catch (error) {
        runs.push({ ...run, error: error.message });
        if (!interrupted) progress(`${what} failed: ${error.message}`);
      }
    }
  }
  return runs;
}

async function runOnce({ on, server, measurement }, params, { contestant, node }, template) {
  const database = await server.createDatabase(template, params.settings);
  const execArgv = options.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${resolve(options.profile)}`];
  let delay;
  try {
    if (params.roundTripMs !== undefined) delay = await startDelay(database.url, params.roundTripMs);
    const url = delay?.url ?? database.url;
    const order = { order: 'measure', on, contestant, url, direct: database.url, measurement: measurement.about.name, params };
    return await runChild(node.path, order, { limitMs: childLimitMs, execArgv });
  } finally {
    await delay?.stop();
    await database.drop();
  }
}

function progress(text) {
  process.stderr.write(`${text}\n`);
}
