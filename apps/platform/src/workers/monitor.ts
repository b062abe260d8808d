/** Watches processes: starts those that do not run, and starts anew what dies, slower and slower, until they are stopped. */
import type { ManagedProcess } from './managed-process.ts';
import type { ProcessName } from './worker-types.ts';

export interface MonitorOptions {
  readonly processes: readonly ManagedProcess[];
  say(text: string): void;
  /** Resolves after so long, or sooner when the monitor shall end. */
  sleep(ms: number): Promise<void>;
  ended(): boolean;
}

const lookMs = 1_000;
const firstBackoffMs = 1_000;
const longestBackoffMs = 60_000;
/** One that has lived for so long was well: the next death counts as the first. */
const wellMs = 60_000;

interface Watched {
  readonly process: ManagedProcess;
  deaths: number;
  startedAt: number;
  /** When it is to be started. */
  dueAt: number;
}

/** Until it shall end, or everything that it watches was stopped by somebody. */
export async function monitor({ processes, say, sleep, ended }: MonitorOptions): Promise<void> {
  const watched = new Map<ProcessName, Watched>();
  for (const process of processes) {
    const { state } = await process.state();
    if (state === 'running') say(`${process.name}: runs`);
    watched.set(process.name, { process, deaths: 0, startedAt: performance.now(), dueAt: state === 'running' ? Infinity : 0 });
  }
  while (!ended() && watched.size > 0) {
    for (const one of watched.values()) if (!ended()) await look(one, say, () => watched.delete(one.process.name));
    await sleep(lookMs);
  }
}

async function look(one: Watched, say: MonitorOptions['say'], forget: () => void): Promise<void> {
  const { process } = one;
  const now = performance.now();
  if (one.dueAt === Infinity) {
    const { state } = await process.state();
    if (state === 'running') return;
    if (state === 'stopped') {
      say(`${process.name}: was stopped, and is not watched any more`);
      forget();
      return;
    }
    delay(one, now, say, 'has died');
    return;
  }
  if (now < one.dueAt) return;
  const started = await process.start();
  if (started.result === 'failed') {
    delay(one, performance.now(), say, `does not start; its log is ${process.logFile}`);
    return;
  }
  say(`${process.name}: ${started.result === 'started' ? 'started' : 'runs'} (pid ${started.pid})`);
  one.startedAt = performance.now();
  one.dueAt = Infinity;
}

function delay(one: Watched, now: number, say: MonitorOptions['say'], what: string): void {
  if (now - one.startedAt >= wellMs) one.deaths = 0;
  const waitMs = Math.min(longestBackoffMs, firstBackoffMs * 2 ** one.deaths);
  one.deaths += 1;
  one.dueAt = now + waitMs;
  say(`${one.process.name}: ${what}; it is started again in ${waitMs / 1_000} s`);
}
