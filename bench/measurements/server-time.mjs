/**
 * What one job costs Redis, which runs all commands on one core: CPU time of the server while jobs are enqueued in bulk and while
 * they are processed, and below the table how much of it each command took, or each script. The time of a command includes that of the
 * commands that a script calls, which are listed too; what is listed does not include reading, writing and the file.
 *
 * Scripts are told apart by the slow log with a threshold of 0, which costs time: those CPU times are no figures.
 */

export const about = {
  name: 'server-time',
  title: "Redis's own CPU time for a job, microseconds",
  on: ['redis'],
  metrics: [
    { key: 'total', label: 'in all', better: 'less', digits: 2 },
    { key: 'enqueue', label: 'enqueue', better: 'less', digits: 2 },
    { key: 'process', label: 'process', better: 'less', digits: 2 },
    { key: 'full', label: 'jobs/s of a full core', better: 'more' },
  ],
};

export const cases = (scale) => [
  { label: 'by command', scripts: false, jobs: scale === 'short' ? 30_000 : 100_000, limitMs: 20_000 },
  { label: 'by script, with the slow log on', scripts: true, jobs: scale === 'short' ? 5_000 : 20_000, limitMs: 20_000 },
];

/** Steps that take less of a job's time are left out. */
const leastMicros = 0.02;

export async function run({ session, store, fill, verifyWaiting, drain }, { jobs, scripts, limitMs }) {
  const names = scripts ? ((await session.scripts?.()) ?? new Map()) : undefined;
  const watch = async (phase) => {
    await store.watchCommands(scripts);
    const before = await store.cpuMicros();
    return async () => {
      const cpu = ((await store.cpuMicros()) - before) / jobs;
      return { cpu, lines: await describe(store, phase, jobs, names) };
    };
  };
  const enqueued = await watch('enqueue');
  await fill(jobs);
  const enqueue = await enqueued();
  await verifyWaiting(jobs);
  const processed = await watch('process');
  let process;
  const atEnd = async () => {
    process = await processed();
  };
  const { done } = await drain({ jobs, concurrency: 100, limitMs, atEnd });
  const total = enqueue.cpu + process.cpu;
  return {
    total,
    enqueue: enqueue.cpu,
    process: process.cpu,
    full: 1e6 / total,
    lines: [...enqueue.lines, ...process.lines],
    ...(done < jobs ? { note: `${done} of ${jobs} in time` } : {}),
  };
}

async function describe(store, phase, jobs, names) {
  const steps =
    names === undefined
      ? await store.commands()
      : (await store.scripts()).map(({ digest, ...step }) => ({ ...step, name: names.get(digest) ?? `script ${digest.slice(0, 8)}` }));
  return steps
    .filter(({ micros }) => micros / jobs >= leastMicros)
    .sort((a, b) => b.micros - a.micros)
    .map(({ name, calls, micros }) => `${phase}: ${name} ${(micros / jobs).toFixed(2)} µs, ${(calls / jobs).toFixed(3)} calls`);
}
