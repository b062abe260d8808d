/**
 * What measurements are made with, in the child process: fill the queue, run it empty, time it, and look into the
 * database whether all of it is true.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { now } from './clock.mjs';
import { inputs } from './payload.mjs';
import { hearStarts } from './start-reports.mjs';
import { watchStarts } from './starts.mjs';
import { makeTask, nothing } from './tasks.mjs';
import { startWorkers } from './worker-processes.mjs';

/**
 * Makes the tools for a contestant's session.
 *
 * @param store the look into its database, of server/<name>/store.mjs
 * @param order { on, contestant, url }, for workers in processes of their own
 */
export function makeTools(store, session, order) {
  const { counts } = session;
  const count = async (query, context) => Number(await store.value(query, context));

  /** Enqueues so many jobs in bulk, with so many calls at once; `make` gives those from one number up to another. */
  async function fill(jobs, callers = 2, make = inputs, enqueue = session.enqueueMany) {
    const size = session.bulkSize;
    let next = 0;
    const caller = async () => {
      while (next < jobs) {
        const from = next;
        next = Math.min(jobs, from + size);
        await enqueue(make(from, next));
      }
    };
    await Promise.all(Array.from({ length: callers }, caller));
  }

  /** Enqueues jobs with one call each, from so many callers that each await their own. */
  async function enqueueEach(list, callers) {
    if (session.enqueueEach !== undefined) return session.enqueueEach(list, callers);
    let next = 0;
    const caller = async () => {
      while (next < list.length) await session.enqueue(list[next++]);
    };
    await Promise.all(Array.from({ length: callers }, caller));
  }

  async function verifyWaiting(jobs) {
    const found = await count(counts.waiting, { jobs });
    if (found !== jobs) throw new Error(`${found} jobs wait, not ${jobs}`);
  }

  /**
   * Starts a worker in this process, or as many as `processes` in processes of their own; each start goes to `starts`. With `pool`
   * the worker is in this process, and its tasks in child processes.
   */
  async function work(starts, { concurrency, task = nothing, processes, pool }) {
    if (processes !== undefined) return startWorkers(order, { concurrency, task, processes }, starts.record);
    const perform = makeTask(task);
    const deaf = pool === undefined ? undefined : await hearStarts(starts.record);
    await session.work({
      concurrency,
      task,
      pool,
      record: starts.record,
      async run({ n }, id) {
        starts.record(n, now(), id);
        return perform();
      },
    });
    return { stop: async () => deaf?.() };
  }

  /**
   * Runs `jobs` waiting jobs to their ends, or as many as end in time. Gives how many the database says are done, the
   * time from the first start, the worker's CPU time, and the rate of starts in each tenth. `atEnd` is awaited when the last
   * completion is there, before anything is verified.
   */
  async function drain({ jobs, concurrency, limitMs, task, processes, pool, atEnd }) {
    const starts = watchStarts(jobs, jobs);
    const workers = await work(starts, { concurrency, task, processes, pool });
    if (!(await starts.reached(1, limitMs))) throw new Error(`no job started within ${limitMs} ms`);
    const cpu = await workerCpu();
    const began = starts.at(1);
    const inTime = await starts.reached(jobs, limitMs);
    if (inTime) await recorded(starts, jobs, began + 2 * limitMs);
    const ms = now() - began;
    const cpuMs = (await workerCpu()) - cpu;
    await atEnd?.();
    const context = { jobs, ids: starts.ids };
    const done = counts.done === undefined ? jobs - (await count(counts.waiting, context)) : await count(counts.done, context);
    if (inTime) await verifyDone(jobs, done, starts);
    await workers.stop();
    return { done, ms, cpuMs, tenths: starts.tenths() };
  }

  /** Waits until nothing is left. */
  async function recorded(starts, jobs, until) {
    while (await store.value(counts.left, { jobs, ids: starts.ids })) {
      if (now() > until) throw new Error(`all ${jobs} jobs ran, and not all were recorded in time`);
      await sleep(2);
    }
  }

  async function verifyDone(jobs, done, starts) {
    const kept = counts.kept === undefined ? jobs : await count(counts.kept, { jobs, ids: starts.ids });
    if (done !== jobs || kept !== jobs || starts.twice > 0) {
      throw new Error(`of ${jobs} jobs ${done} are done, ${kept} kept their result, ${starts.twice} ran twice`);
    }
  }

  /** Waits for the end of all jobs, which have started, and looks whether each is done once, its result kept. */
  async function verifyAllDone(jobs, starts, limitMs) {
    await recorded(starts, jobs, now() + limitMs);
    await verifyDone(jobs, counts.done === undefined ? jobs : await count(counts.done, { jobs, ids: starts.ids }), starts);
  }

  /** How many jobs start, and in which time, between the start of job number `from` and that of `until`. */
  async function pace({ filled, from, until, concurrency, limitMs }) {
    const starts = watchStarts(until, filled);
    await work(starts, { concurrency });
    await starts.reached(until, limitMs);
    const ran = Math.min(starts.count, until);
    if (ran <= from) throw new Error(`only ${ran} jobs started within ${limitMs} ms`);
    return { ran: ran - from, ms: starts.at(ran) - starts.at(from) };
  }

  /** Milliseconds of CPU, of this process where the contestant does not know better. */
  async function workerCpu() {
    if (session.cpuMs !== undefined) return session.cpuMs();
    const { user, system } = process.cpuUsage();
    return (user + system) / 1_000;
  }

  return { session, store, fill, enqueueEach, work, verifyWaiting, verifyAllDone, drain, pace };
}
