/**
 * Who takes part. A contestant is a module of this folder with
 *
 *   about                 { name, folder, keepsResults, tuned }: where its package.json is, from bench/; whether it can
 *                         keep results; in words, what was set
 *   open(url)             installs itself in the database, unless it is there already, and gives a session:
 *     bulkSize            how many jobs in one call of enqueueMany suit it best
 *     enqueue(input)      one job; resolves when the database has it
 *     enqueueMany(inputs) many jobs in one call
 *     work({ concurrency, run }) starts a worker that calls `await run(input)` for each job and, where it can, keeps
 *                         what comes back as the job's result; `concurrency` is how many of them run at once. Jobs may
 *                         be taken from the database ahead of those that run.
 *     sql                 { left, waiting, done, kept }: is anything unfinished (boolean), and the counts of jobs that wait, of
 *                         jobs that ended well and of results that were kept; done and kept only where there is such a thing
 *     close()
 */

export const contestantNames = ['taktline', 'graphile-worker', 'pg-boss', 'bullmq'];

export function loadContestant(name) {
  if (!contestantNames.includes(name)) throw new Error(`no contestant is named ${name}: there are ${contestantNames.join(', ')}`);
  return import(`./${name}.mjs`);
}
