/**
 * What runs in a child of a process pool: takes jobs from the worker's main process, runs them as any pool does, and tells
 * what they came to, once a turn of the loop. It knows nothing of a broker.
 */

import type { ClaimedJob, Lane, Settlement } from '../../broker/broker.ts';
import type { Logger } from '../../support/logger.ts';
import { messageOf } from '../../support/message-of.ts';
import { ignoreStopSignals } from '../../support/process-signals.ts';
import { TaktlineError } from '../../support/taktline-error.ts';
import type { MakesOnce } from '../../task/once.ts';
import type { TaskRegistry } from '../../task/registry.ts';
import { reportRunning } from '../blocked-stack.ts';
import type { JobContext } from '../context.ts';
import { Executor } from '../executor.ts';
import { type ChildSettings, type Done, type FromChild, type JobNumber, type SentJob, type ToChild } from './child-messages.ts';
import { stopError } from './pool.ts';
import { Watchdog } from './watchdog.ts';

export interface RunnerOptions {
  readonly settings: ChildSettings;
  readonly tasks: TaskRegistry;
  readonly logger: Logger;
  readonly payloadLimit: number;
  readonly effects: MakesOnce;
  /** The app's tear-down of this process. */
  stopped(): Promise<void>;
}

/** Soft time limits are kept to within this. */
const sweepMs = 50;
/** The memory in use is told so often at most, and progress so often. */
const memoryMs = 100;
const progressMs = 1_000;

interface Running {
  readonly number: JobNumber;
  readonly ctx: JobContext;
  readonly place: number;
}

export class ChildRunner {
  readonly #options: RunnerOptions;
  readonly #executor: Executor;
  readonly #watchdog: Watchdog;
  readonly #running = new Map<JobNumber, Running>();
  #done: Done[] = [];
  #telling: NodeJS.Immediate | undefined;
  #offsetMs = 0;
  #toldMemory = 0;

  constructor(options: RunnerOptions) {
    this.#options = options;
    const { settings, tasks, logger, payloadLimit, effects } = options;
    for (const [task, limits] of settings.limits) tasks.limit(task, limits);
    this.#executor = new Executor({
      tasks,
      worker: settings.worker,
      logger,
      now: () => Date.now() + this.#offsetMs,
      unknownTaskGraceMs: settings.unknownTaskGraceMs,
      payloadLimit,
      leaseMs: settings.leaseMs,
      effects,
    });
    this.#watchdog = new Watchdog(settings.slots);
    setInterval(() => this.#sweep(), sweepMs);
    setInterval(() => this.#tell(), progressMs);
    reportRunning(() => [...this.#running.values()].map(({ ctx }) => `${ctx.task} ${ctx.id}`).join(', '));
  }

  take(message: ToChild): void {
    switch (message.kind) {
      case 'run':
        this.#offsetMs = message.offsetMs;
        for (const [index, job] of message.jobs.entries()) this.#run(message.first + index, job);
        break;
      case 'abort':
        for (const { number, ctx } of this.#running.values()) {
          if (message.job === undefined || message.job === number) ctx.abort(stopError(message.reason));
        }
        break;
      case 'limit':
        this.#options.tasks.limit(message.task, message.limits);
        break;
      case 'stop':
        void this.#stop();
        break;
      case 'start':
        break;
    }
  }

  #run(number: JobNumber, [id, queue, envelope, past, lane, claimedAt]: SentJob): void {
    const ctx = this.#executor.begin(jobOf(id, queue, envelope, past, lane, claimedAt));
    const place = this.#watchdog.entered(number);
    const running = { number, ctx, place };
    this.#running.set(number, running);
    // execute() never rejects.
    void this.#executor
      .execute(ctx, ({ timeLimitMs }) => this.#watchdog.limited(place, number, timeLimitMs))
      .then((settlement) => this.#ended(running, settlement));
    this.#watchdog.left();
  }

  #ended({ number, ctx, place }: Running, settlement: Settlement): void {
    this.#watchdog.ended(place);
    this.#running.delete(number);
    const { job: _job, ...rest } = settlement;
    this.#done.push([number, rest, ctx.task, ctx.startedAt, ctx.ranMs]);
    // What ends in one turn of the loop is told together.
    this.#telling ??= setImmediate(() => this.#tell());
  }

  #tell(): void {
    clearImmediate(this.#telling);
    this.#telling = undefined;
    const done = this.#done;
    this.#done = [];
    const progress: [JobNumber, string][] = [];
    for (const { number, ctx } of this.#running.values()) {
      if (ctx.told === undefined) continue;
      progress.push([number, ctx.told]);
      ctx.told = undefined;
    }
    const now = performance.now();
    const memory = now - this.#toldMemory >= memoryMs;
    if (done.length === 0 && progress.length === 0 && !memory) return;
    if (memory) this.#toldMemory = now;
    say({ kind: 'told', done, progress, ...(memory ? { rssBytes: process.memoryUsage.rss() } : {}) });
  }

  #sweep(): void {
    for (const { ctx } of this.#running.values()) {
      const limits = ctx.definition;
      if (limits !== undefined && ctx.ranMs >= limits.softTimeLimitMs)
        ctx.abort(new TaktlineError('TIME_LIMIT', `the attempt took longer than ${limits.softTimeLimitMs} ms`, { jobId: ctx.id }));
    }
  }

  async #stop(): Promise<void> {
    await this.#options.stopped();
    await this.#watchdog.stop();
    process.exit(0);
  }
}

/** What only the worker's main process looks at is left empty. Written out, since to spread an object costs microseconds in Node.js 20. */
function jobOf(id: string, queue: string, envelope: string, past: string | null, lane: Lane, claimedAt: number): ClaimedJob {
  return {
    id,
    queue,
    envelope,
    past: past ?? undefined,
    lane,
    claimedAt,
    claim: '',
    position: 0,
    rank: '',
    enqueuedAt: 0,
    readyAt: 0,
    expiresAt: undefined,
  };
}

function say(message: FromChild): void {
  // The worker has gone: this process ends with it, see below.
  if (process.connected) process.send?.(message);
}

/** What a child is made with: its app, from the module that the settings name. */
export type MakeRunner = (settings: ChildSettings) => Promise<ChildRunner>;

/** The life of a child process. Whoever started it decides when it ends: it hears no signals, and does not outlive its worker. */
export function liveAsChild(make: MakeRunner): void {
  ignoreStopSignals();
  process.on('disconnect', () => process.exit(1));
  let runner: ChildRunner | undefined;
  process.on('message', (message: ToChild) => {
    if (message.kind !== 'start') return runner?.take(message);
    make(message.settings).then(
      (made) => {
        runner = made;
        say({ kind: 'ready' });
      },
      (error: unknown) => {
        const text = messageOf(error);
        process.send?.({ kind: 'failed', message: text } satisfies FromChild, () => process.exit(1));
      },
    );
  });
}
