/**
 * The heartbeat thread: renews the worker's lease three times in its length, whatever the event loop of the main thread
 * does. A loop that is blocked is reported, with what runs and where its code is. One that stays silent past the time limits
 * of all that it runs will not come back by itself: the thread then kills the process, so that its jobs are run elsewhere.
 */
import { writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import type { HeartbeatLink, HeartbeatSpec } from '../broker/broker.ts';
import { messageOf } from '../support/message-of.ts';
import { blockedStack } from './blocked-stack.ts';
import type { HeartbeatData, HeartbeatMessage, HeartbeatOrder } from './heartbeat.ts';

const { spec, leaseMs, turns } = workerData as HeartbeatData;
const [lastTurn, deadline] = [0, 1];
const shared = new Float64Array(turns);
const stopping = new AbortController();
const everyMs = Math.max(50, leaseMs / 3);
const retryMs = Math.max(20, Math.min(1_000, leaseMs / 15));
/** A loop that was silent for so long, past its deadline, is taken for blocked for good. */
const silenceMs = 5_000;
/** One that was silent for so long is reported, once until it turns again. */
const reportMs = 1_000;
const stackMs = 300;
let reported = 0;

const say = (message: HeartbeatMessage): void => parentPort?.postMessage(message);

parentPort?.on('message', (message: HeartbeatOrder) => (message === 'end' ? parentPort?.close() : stopping.abort()));
let reporting: Promise<void> | undefined;
const guard = setInterval(() => {
  const now = Date.now();
  const turned = shared[lastTurn] as number;
  if (now - turned >= reportMs && reported !== turned && shared[deadline] !== 0) {
    reported = turned;
    reporting = report(now - turned);
  }
  const limit = shared[deadline] as number;
  if (limit === 0 || now < limit + silenceMs || now - turned < silenceMs) return;
  // Straight to the descriptor: the stream belongs to the loop that is blocked.
  writeSync(2, 'taktline: the event loop is blocked past the time limit of its tasks; killing this process, its jobs run elsewhere\n');
  process.kill(process.pid, 'SIGKILL');
}, 250);

/** Straight to the descriptor, and as a line of the log is: the logger belongs to the loop that is blocked. */
async function report(silentMs: number): Promise<void> {
  const blocked = await blockedStack(stackMs);
  const line = {
    time: new Date().toISOString(),
    level: 'warn',
    message: 'the event loop is blocked: nothing else of this worker goes on',
    silentMs,
    // Job ids and names of tasks, and places in the code: nothing of an input.
    running: blocked?.running,
    stack: blocked?.stack ?? 'not known: the code is in no JavaScript',
  };
  writeSync(2, `${JSON.stringify(line)}\n`);
}

const { openHeartbeat } = (await import(spec.module)) as { openHeartbeat(options: HeartbeatSpec['options']): HeartbeatLink };
const link = openHeartbeat(spec.options);
while (!stopping.signal.aborted) {
  let waitMs = everyMs;
  try {
    if (!(await link.renew())) {
      say({ kind: 'lost' });
      break;
    }
    say({ kind: 'renewed' });
  } catch (error) {
    if (stopping.signal.aborted) break;
    say({ kind: 'failed', message: messageOf(error) });
    waitMs = retryMs;
  }
  await sleep(waitMs, undefined, { signal: stopping.signal }).catch(() => undefined);
}
clearInterval(guard);
await link.close();
// Node.js aborts the process when the main thread answers the inspector of a thread that is just ending. It has answered when it
// lets this one end.
await reporting;
say({ kind: 'over' });
