/**
 * A child of a process pool, as the worker sees it: a process that is given jobs and tells what they came to. Its owner
 * decides what runs where, and what becomes of jobs whose child has ended.
 */
import { type ChildProcess, fork } from 'node:child_process';
import type { Readable } from 'node:stream';
import type { ClaimedJob } from '../../broker/broker.ts';
import { TaktlineError } from '../../support/taktline-error.ts';
import type { TimeLimits } from '../../task/task.ts';
import {
  type ChildSettings,
  type Done,
  type FromChild,
  type JobNumber,
  type LastWords,
  lastWordsFd,
  type ToChild,
} from './child-messages.ts';
import type { ChildStats, StopReason } from './pool.ts';

/** A job that a child has. */
export interface Held {
  readonly job: ClaimedJob;
  readonly number: JobNumber;
  /** By this machine's clock. */
  readonly sentAt: number;
}

export interface ChildOptions {
  /** The module that a child process runs. */
  readonly entry: URL;
  readonly settings: ChildSettings;
  readonly startTimeoutMs: number;
  ready(child: Child): void;
  done(child: Child, held: Held, done: Done): void;
  progress(job: ClaimedJob, value: string): void;
  /** The process is no more. `held` has what it had not finished. */
  ended(child: Child, end: ChildEnd): void;
}

export interface ChildEnd {
  readonly held: readonly Held[];
  /** Of one that its watchdog has killed. */
  readonly lastWords: LastWords | undefined;
  /** Why it could not start. */
  readonly failure: string | undefined;
  /** For people: `exit code 1`, `SIGKILL`. */
  readonly how: string;
}

/** A child that has nothing to do any more may take so long to tear down. */
const tearDownMs = 5_000;
/** Its last words may come after its end, by so much. */
const lastWordsMs = 500;

export class Child {
  readonly #options: ChildOptions;
  readonly #process: ChildProcess;
  readonly #held = new Map<JobNumber, Held>();
  readonly #startedAt = Date.now();
  readonly #starting: NodeJS.Timeout;
  /** Set when the process is no more. */
  readonly gone: Promise<void>;
  #outgoing: ClaimedJob[] = [];
  #next: JobNumber = 0;
  #finished = 0;
  /** Jobs that were taken away run on in it. */
  #taken = false;
  #rssBytes = 0;
  #ready = false;
  #lastWords = '';
  #failure: string | undefined;
  #stopping: NodeJS.Timeout | undefined;
  /** It is given no more jobs, and ends when it has none. */
  draining = false;
  /** The one that takes over from it, when that is ready. */
  replaced: Child | undefined;
  /** Why it was killed by the pool itself, and which job asked for it. */
  killedFor: { readonly why: 'terminated' | 'overran'; readonly number: JobNumber } | undefined;

  constructor(options: ChildOptions) {
    this.#options = options;
    this.#process = fork(options.entry, [], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc', 'pipe'],
      env: { ...process.env, TAKTLINE_CHILD: '1' },
    });
    this.#process.on('message', (message: FromChild) => this.#heard(message));
    // A send to a process that has just ended; its end tells the rest.
    this.#process.on('error', (error) => {
      this.#failure ??= error.message;
    });
    const words = this.#process.stdio[lastWordsFd] as Readable;
    words.setEncoding('utf8').on('data', (text: string) => {
      this.#lastWords += text;
    });
    words.on('error', () => undefined);
    this.#starting = setTimeout(() => {
      this.#failure = `it was not ready after ${options.startTimeoutMs / 1_000} s`;
      this.kill();
    }, options.startTimeoutMs);
    this.gone = new Promise((resolve) => {
      this.#process.once('exit', (code, signal) => {
        const over = (): void => {
          clearTimeout(late);
          words.destroy();
          this.#over(signal ?? `exit code ${String(code)}`);
          resolve();
        };
        // Somebody that the task has started may hold the pipe open.
        const late = setTimeout(over, lastWordsMs);
        if (words.readableEnded || words.destroyed) over();
        else words.once('end', over);
      });
    });
    this.#send({ kind: 'start', settings: options.settings });
  }

  get ready(): boolean {
    return this.#ready;
  }

  /** Whether code may run in it. */
  get busy(): boolean {
    return this.#taken || this.#held.size > 0;
  }

  /** Jobs that it has. */
  get size(): number {
    return this.#held.size;
  }

  get finished(): number {
    return this.#finished;
  }

  get rssBytes(): number {
    return this.#rssBytes;
  }

  get held(): Iterable<Held> {
    return this.#held.values();
  }

  stats(): ChildStats {
    const { pid = 0 } = this.#process;
    return { pid, running: this.size, finished: this.#finished, rssBytes: this.#rssBytes, startedAt: this.#startedAt };
  }

  /** Takes a job, to be sent with `flush()`. */
  add(job: ClaimedJob): void {
    const number = this.#next + this.#outgoing.length;
    this.#held.set(number, { job, number, sentAt: Date.now() });
    this.#outgoing.push(job);
  }

  /** Sends what was added, in one message. */
  flush(offsetMs: number): void {
    if (this.#outgoing.length === 0) return;
    const jobs = this.#outgoing.map(
      ({ id, queue, envelope, past, lane, claimedAt }) => [id, queue, envelope, past ?? null, lane, claimedAt] as const,
    );
    this.#send({ kind: 'run', first: this.#next, offsetMs, jobs });
    this.#next += jobs.length;
    this.#outgoing = [];
  }

  /** Takes away what it has: whatever it tells of these jobs from now on is not heard. */
  take(): readonly Held[] {
    const held = [...this.#held.values()];
    this.#held.clear();
    this.#outgoing = [];
    this.#taken ||= held.length > 0;
    return held;
  }

  abort(reason: StopReason, number?: JobNumber): void {
    this.#send({ kind: 'abort', reason, ...(number === undefined ? {} : { job: number }) });
  }

  limit(task: string, limits: TimeLimits): void {
    this.#send({ kind: 'limit', task, limits });
  }

  /** Lets it tear down and end. Called when it has no jobs. */
  stop(): void {
    if (this.#stopping !== undefined) return;
    this.draining = true;
    this.#stopping = setTimeout(() => this.kill(), tearDownMs);
    this.#send({ kind: 'stop' });
  }

  kill(): void {
    this.#process.kill('SIGKILL');
  }

  #heard(message: FromChild): void {
    switch (message.kind) {
      case 'ready':
        clearTimeout(this.#starting);
        this.#ready = true;
        this.#options.ready(this);
        return;
      case 'failed':
        this.#failure = message.message;
        return;
      case 'told':
        if (message.rssBytes !== undefined) this.#rssBytes = message.rssBytes;
        for (const [number, value] of message.progress) {
          const held = this.#held.get(number);
          if (held !== undefined) this.#options.progress(held.job, value);
        }
        for (const done of message.done) {
          const held = this.#held.get(done[0]);
          if (held === undefined) continue;
          this.#held.delete(done[0]);
          this.#finished += 1;
          this.#options.done(this, held, done);
        }
    }
  }

  #over(how: string): void {
    clearTimeout(this.#starting);
    clearTimeout(this.#stopping);
    const held = [...this.#held.values()];
    this.#held.clear();
    this.#options.ended(this, { held, lastWords: parsed(this.#lastWords), failure: this.#ready ? undefined : (this.#failure ?? how), how });
  }

  #send(message: ToChild): void {
    if (this.#process.connected) this.#process.send(message);
  }
}

function parsed(text: string): LastWords | undefined {
  try {
    return text === '' ? undefined : (JSON.parse(text) as LastWords);
  } catch {
    return undefined;
  }
}

/** @returns the error of a pool whose children cannot start */
export function cannotStart(why: string): TaktlineError {
  return new TaktlineError('POOL_START', `a child process of the pool could not start: ${why}`);
}
