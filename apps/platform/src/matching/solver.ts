/**
 * Has HiGHS solve an assignment, in a thread of its own: it blocks the thread that it runs in until it is done, and looks at its time
 * limit only between steps, so the thread is terminated when it is not back in time. Whatever happens to the thread ends in an
 * answer, never in an exception.
 */
import { Worker as Thread } from 'node:worker_threads';
import type { Picks, Problem } from './assignment-problem.ts';

/** What the thread is started with. */
export interface SolverTask {
  readonly problem: Problem;
  /** Possible picks to begin with. */
  readonly first: Picks;
  /** The thread is asked to be done after this. */
  readonly timeLimitMs: number;
  /** It may stop when nothing is worth more by more than this. */
  readonly absoluteGap: number;
}

/** What the thread sends: what it has found and proven while it works, then the end. */
export type ThreadMessage =
  | { readonly kind: 'found'; readonly picks: Picks }
  | { readonly kind: 'bound'; readonly bound: number }
  | { readonly kind: 'end'; readonly status: 'optimal' | 'time_limit'; readonly bound: number; readonly picks: Picks }
  | { readonly kind: 'end'; readonly status: 'nothing'; readonly bound: number };

export interface SolverLimits {
  /** The thread is terminated after this, its start included. */
  readonly hardLimitMs: number;
  /** Terminates the thread too. */
  readonly signal: AbortSignal | undefined;
  /** The thread's module. */
  readonly thread: URL;
}

export type SolverFailure =
  /** It was not back at the hard limit, or was aborted. */
  | 'SOLVER_KILLED'
  /** It threw, ended early or ran out of memory. */
  | 'SOLVER_FAILED'
  /** It was back without a solution. */
  | 'NOTHING_FOUND';

export interface SolverReply {
  readonly status: 'optimal' | 'time_limit' | SolverFailure;
  /** The last picks that it found, not checked; undefined: none. */
  readonly picks: Picks | undefined;
  /** Nothing is worth more, as far as it was proven; Infinity when nothing was. */
  readonly bound: number;
}

export async function solve(task: SolverTask, { hardLimitMs, signal, thread: module }: SolverLimits): Promise<SolverReply> {
  // Nothing of ours is needed in there, secrets in the environment least of all.
  const thread = new Thread(module, { workerData: task, name: 'matching-solver', env: {}, execArgv: [] });
  let picks: Picks | undefined;
  let bound = Number.POSITIVE_INFINITY;
  let timer: NodeJS.Timeout | undefined;
  let kill: (() => void) | undefined;
  try {
    const status = await new Promise<SolverReply['status']>((resolve) => {
      kill = () => resolve('SOLVER_KILLED');
      thread.on('message', (message: ThreadMessage) => {
        if ('picks' in message) picks = message.picks;
        if ('bound' in message) bound = Math.min(bound, message.bound);
        if (message.kind === 'end') resolve(message.status === 'nothing' ? 'NOTHING_FOUND' : message.status);
      });
      // The exit follows an error, and by then all that it has told before has been heard.
      thread.on('error', () => undefined);
      thread.on('exit', () => resolve('SOLVER_FAILED'));
      timer = setTimeout(kill, hardLimitMs);
      signal?.addEventListener('abort', kill);
      if (signal?.aborted === true) kill();
    });
    return { status, picks, bound };
  } finally {
    clearTimeout(timer);
    if (kill !== undefined) signal?.removeEventListener('abort', kill);
    await thread.terminate();
  }
}
