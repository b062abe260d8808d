/**
 * Who takes part, on which server. A contestant is a module with
 *
 *   about                 { name, folder, keepsResults, tuned }: where its package.json is, from bench/; whether it can
 *                         keep results; in words, what was set. And where it applies:
 *                         version, engines    instead of a package.json
 *                         runtime             what its tasks run in when that is not Node.js; it then runs once only
 *                         share               the part of the number of jobs that it gets, because it takes long
 *                         skips               { measurement: why it does not take part in it }
 *                         peer                false: no task system, and nobody is compared with it
 *   open(url)             installs itself in the database, unless it is there already, and gives a session:
 *     bulkSize            how many jobs in one call of enqueueMany suit it best
 *     enqueue(input)      one job; resolves when the database has it
 *     enqueueEach(inputs, callers) optional: one call for each, from so many callers; else enqueue() is called
 *     enqueueMany(inputs) many jobs in one call
 *     scheduleMany(inputs) the same, to run in a day; only on Redis, and not where `skips` names depth
 *     work({ concurrency, run, task, record, pool }) starts a worker that calls `await run(input, id)` for each job and, where it
 *                         can, keeps what comes back as the job's result; `concurrency` is how many of them run at once.
 *                         Jobs may be taken from the database ahead of those that run. The id is given where the counts
 *                         want it. Who cannot call run() does what `task` says (tasks.mjs) and calls record(n, at) with
 *                         the time of each start (clock.mjs). `pool` { children, slots }, in `pools` and `pools-cpu` only,
 *                         asks for child processes, in which the task is performed; they report to ../start-reports.mjs.
 *                         Resolves when the worker works.
 *     cpuMs()             optional: the CPU time of its workers, when they are in another process
 *     counts              { left, waiting, done, kept }: is anything unfinished (boolean), and the counts of jobs that wait, of
 *                         jobs that ended well and of results that were kept; done and kept only where there is such a
 *                         thing. Each is SQL, or a function of a client of the database and { jobs, ids }: how many jobs
 *                         there are in all, and the ids that run() was given
 *     scripts()           optional: the names of its Lua scripts by digest, a Map
 *     close()
 */

const modules = {
  postgres: {
    taktline: './taktline.mjs',
    before: './before.mjs',
    'graphile-worker': './postgres/graphile-worker.mjs',
    'pg-boss': './postgres/pg-boss.mjs',
    bullmq: './postgres/bullmq.mjs',
  },
  redis: {
    taktline: './taktline.mjs',
    before: './before.mjs',
    bullmq: './redis/bullmq.mjs',
    celery: './redis/celery.mjs',
    floor: './redis/floor.mjs',
  },
};

export const contestantNames = [...new Set(Object.values(modules).flatMap((named) => Object.keys(named)))];

export function contestantsOn(server) {
  return Object.keys(modules[server]).filter((name) => name !== 'before' || process.env.BENCH_BEFORE !== undefined);
}

export function loadContestant(server, name) {
  const file = modules[server][name];
  if (file === undefined) throw new Error(`no contestant on ${server} is named ${name}: there are ${contestantsOn(server).join(', ')}`);
  return import(file);
}
