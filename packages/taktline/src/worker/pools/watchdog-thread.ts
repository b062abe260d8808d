/**
 * The watchdog thread of a pool's child: looks twenty times a second whether a job has gone over its hard time limit. Then it
 * says which one, how far the child had come, and where the code is, and kills the process. SIGKILL: nothing gentler stops
 * code that does not return, or that is in no JavaScript at all.
 */
import { writeSync } from 'node:fs';
import { workerData } from 'node:worker_threads';
import { blockedStack } from '../blocked-stack.ts';
import { type LastWords, lastWordsFd } from './child-messages.ts';
import { heads } from './watchdog.ts';

const lookMs = 50;
/** A loop that was silent for so long is blocked. */
const silenceMs = 500;
/** Longer than this the stack is not waited for. */
const stackMs = 300;

const shared = new Float64Array(workerData as SharedArrayBuffer);
const looking = setInterval(() => {
  const guilty = overdue();
  if (guilty === undefined) return;
  clearInterval(looking);
  void end(guilty);
}, lookMs);

/** The job that is over its limit, if there is one. */
function overdue(): number | undefined {
  const now = Date.now();
  const current = shared[heads.current] as number;
  const blocked = current !== -1 && now - (shared[heads.turned] as number) > silenceMs;
  for (let place: number = heads.slots; place < shared.length; place += 2) {
    const deadline = shared[place] as number;
    const job = shared[place + 1] as number;
    if (deadline !== 0 && now >= deadline && (!blocked || job === current)) return job;
  }
  return undefined;
}

async function end(guilty: number): Promise<void> {
  const begun = shared[heads.begun] as number;
  const words: LastWords = { guilty, begun, stack: (await blockedStack(stackMs))?.stack };
  try {
    writeSync(lastWordsFd, JSON.stringify(words));
  } catch {
    // Nobody reads any more: the worker was killed, and the child ends all the same.
  }
  process.kill(process.pid, 'SIGKILL');
}
