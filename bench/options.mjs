/** The command line of the benchmark. */
import { parseArgs } from 'node:util';
import { contestantNames } from './contestants/contestants.mjs';
import { measurementNames } from './measurements/measurements.mjs';
import { serverNames } from './server/servers.mjs';

export const usage = `node run.mjs [measurement ...] [options]

measurements: ${measurementNames.join(' ')} (default: all)
  --on=postgres,redis  servers to measure on (default: those that are there)
  --only=a,b           contestants: ${contestantNames.join(' ')} (default: all)
  --node=20,24         major versions of Node.js (default: those that are there; with --short the newest)
  --runs=5             runs of each contestant (default: 5; with --short 1)
  --short              small counts
  --case=TEXT          only cases whose label holds this, such as --case="concurrency 100"
  --jobs=N             another number of jobs, where the measurement has one
  --json=FILE          where the figures go (default: results/<time>.json)
  --profile=DIR        write a CPU profile of each measured process there

BENCH_POSTGRES_BIN, BENCH_REDIS, BENCH_PYTHON name other binaries than those that are found, BENCH_TAKTLINE another
build of Taktline, BENCH_BEFORE one to compare with, BENCH_WATCHED=1 lets somebody listen to events, BENCH_BULLMQ_CLIENT BullMQ's client on Redis: redis (the default) or ioredis.`;

export function readOptions(args) {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      on: { type: 'string' },
      only: { type: 'string' },
      node: { type: 'string' },
      runs: { type: 'string' },
      short: { type: 'boolean', default: false },
      case: { type: 'string' },
      jobs: { type: 'string' },
      json: { type: 'string' },
      profile: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const list = (text) => text?.split(',').filter((item) => item !== '');
  return {
    help: values.help,
    measurements: chosen('measurement', positionals.length === 0 ? undefined : positionals, measurementNames),
    servers: chosen('server', list(values.on), serverNames),
    serversGiven: values.on !== undefined,
    contestants: chosen('contestant', list(values.only), contestantNames),
    nodes: list(values.node)?.map((text) => count('--node', text)),
    runs: values.runs === undefined ? (values.short ? 1 : 5) : count('--runs', values.runs),
    scale: values.short ? 'short' : 'full',
    label: values.case,
    jobs: values.jobs === undefined ? undefined : count('--jobs', values.jobs),
    json: values.json,
    profile: values.profile,
  };
}

function chosen(kind, given, known) {
  const stranger = given?.find((name) => !known.includes(name));
  if (stranger !== undefined) throw new Error(`no ${kind} is named ${stranger}: there are ${known.join(', ')}`);
  return known.filter((name) => given?.includes(name) ?? true);
}

function count(name, text) {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new Error(`${name} is ${text}: expected a whole number of 1 or more`);
  return value;
}
