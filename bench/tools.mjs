/**
 * What measurements are made with, in the child process: fill the queue, run it empty, time it, and look into the
 * database whether all of it is true.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { inputs } from './payload.mjs';

const result = Object.freeze({ ok: true });

/** Makes the tools for a contestant's session on the database of a URL. */
export async function makeTools(url, session) {
  const client = await connect(url);
  const value = async (sql) => Object.values((await client.query(sql)).rows[0])[0];
  const waiting = async () => Number(await value(session.sql.waiting));

  /** Enqueues so many jobs in bulk, with so many calls at once; `make` gives those from one number up to another. */
  async function fill(jobs, callers = 2, make = inputs) {
    const size = session.bulkSize;
    let next = 0;
    const caller = async () => {
      while (next < jobs) {
        const from = next;
        next = Math.min(jobs, from + size);
        await session.enqueueMany(make(from, next));
      }
    };
    await Promise.all(Array.from({ length: callers }, caller));
  }

  async function verifyWaiting(jobs) {
    const found = await waiting();
    if (found !== jobs) throw new Error(`${found} jobs wait, not ${jobs}`);
  }

  /**
   * Runs `jobs` waiting jobs to their ends, or as many as end in time. Gives how many the database says are done, the
   * time from the first start, the process's CPU time, and the rate of starts in each tenth.
   */
  async function drain({ jobs, concurrency, limitMs }) {
    const starts = watchStarts(jobs, jobs);
    await session.work({ concurrency, run: starts.run });
    if (!(await starts.reached(1, limitMs))) throw new Error(`no job started within ${limitMs} ms`);
    const cpu = process.cpuUsage();
    const began = starts.at(1);
    const inTime = await starts.reached(jobs, limitMs);
    while (inTime && (await value(session.sql.left))) {
      if (performance.now() - began > 2 * limitMs) throw new Error(`all ${jobs} jobs ran, and not all were recorded in time`);
      await sleep(2);
    }
    const ms = performance.now() - began;
    const { user, system } = process.cpuUsage(cpu);
    const done = session.sql.done === undefined ? jobs - Number(await value(session.sql.waiting)) : Number(await value(session.sql.done));
    if (inTime) await verifyDone(jobs, done, starts);
    return { done, ms, cpuMs: (user + system) / 1_000, tenths: starts.tenths() };
  }

  async function verifyDone(jobs, done, starts) {
    const kept = session.sql.kept === undefined ? jobs : Number(await value(session.sql.kept));
    if (done !== jobs || kept !== jobs || starts.twice > 0) {
      throw new Error(`of ${jobs} jobs ${done} are done, ${kept} kept their result, ${starts.twice} ran twice`);
    }
  }

  /** How many jobs start, and in which time, between the start of job number `from` and that of `until`. */
  async function pace({ filled, from, until, concurrency, limitMs }) {
    const starts = watchStarts(until, filled);
    await session.work({ concurrency, run: starts.run });
    await starts.reached(until, limitMs);
    const ran = Math.min(starts.count, until);
    if (ran <= from) throw new Error(`only ${ran} jobs started within ${limitMs} ms`);
    return { ran: ran - from, ms: starts.at(ran) - starts.at(from) };
  }

  /** Opens a transaction that runs a statement and is then left idle; gives what ends it. */
  async function hold(sql) {
    const holder = await connect(url);
    await holder.query('begin isolation level repeatable read');
    await holder.query(sql);
    return () => holder.end();
  }

  /** Brings the database to rest: planner's statistics, visibility, nothing dirty. */
  async function settle() {
    await client.query('vacuum (analyze)');
    await client.query('checkpoint');
  }

  return { session, value, fill, verifyWaiting, drain, pace, hold, settle };
}

/** Counts the starts of jobs, whose numbers are below `numbers`, and remembers when the first `jobs` of them came. */
function watchStarts(jobs, numbers) {
  const times = new Float64Array(jobs + 1);
  const seen = new Uint8Array(numbers);
  const waiters = [];
  const starts = {
    count: 0,
    twice: 0,
    at: (count) => times[count],
    async run({ n }) {
      if (seen[n] === 1) starts.twice += 1;
      seen[n] = 1;
      starts.count += 1;
      if (starts.count <= jobs) times[starts.count] = performance.now();
      for (const waiter of waiters) if (starts.count === waiter.count) waiter.resolve(true);
      return result;
    },
    /** Whether so many have started within the time, counted from the first start. */
    async reached(count, limitMs) {
      if (starts.count >= count) return true;
      const timer = new AbortController();
      const left = starts.count === 0 ? limitMs : limitMs - (performance.now() - times[1]);
      const late = sleep(Math.max(0, left), false, { signal: timer.signal }).catch(() => false);
      const reached = await Promise.race([late, new Promise((resolve) => waiters.push({ count, resolve }))]);
      timer.abort();
      return reached;
    },
    /** Starts a second in each tenth of what has started. */
    tenths() {
      const step = Math.floor(Math.min(starts.count, jobs) / 10);
      if (step === 0) return [];
      return Array.from({ length: 10 }, (_, index) => {
        const [from, to] = [Math.max(1, index * step), (index + 1) * step];
        return ((to - from) / (times[to] - times[from])) * 1_000;
      });
    },
  };
  return starts;
}

async function connect(connectionString) {
  const client = new pg.Client({ connectionString });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}
