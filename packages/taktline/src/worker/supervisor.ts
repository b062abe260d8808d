/**
 * Keeps a worker's process alive: starts it, replaces it when it dies or is used up, and passes on what it is told. The
 * replacement of one that is used up is started first; when it works, the old one drains. A worker that dies again and again
 * is started slower and slower; one that ends by itself, without having been told to, ends its supervisor too.
 */
import type { ChildProcess } from 'node:child_process';
import type { Health } from '../support/health-server.ts';
import type { Logger } from '../support/logger.ts';

/** What a worker's process tells its supervisor. */
export type FromWorker =
  /** It has joined, and works. */
  | { readonly kind: 'started' }
  /** It asks to be replaced. */
  | { readonly kind: 'used-up' }
  /** Its answer to being asked how it is. */
  | { readonly kind: 'health'; readonly asked: number; readonly parts: Readonly<Record<string, Health>> };

/** What a supervisor tells a worker's process. */
export type ToWorker =
  | {
      readonly kind: 'stop';
      /** Hand back what runs, instead of waiting for it. */
      readonly now: boolean;
    }
  | { readonly kind: 'health'; readonly asked: number };

export interface SupervisorOptions {
  /** Starts a process that speaks with its parent as above. */
  readonly start: () => ChildProcess;
  readonly logger: Logger;
  /** The last of the processes has ended. */
  over(exitCode: number): void;
}

const firstBackoffMs = 1_000;
const longestBackoffMs = 30_000;
/** A worker that has lived for so long was well: the next death counts as the first. */
const wellMs = 60_000;
/** A worker whose loop is blocked does not answer. */
const healthTimeoutMs = 1_000;

interface Kept {
  readonly process: ChildProcess;
  readonly since: number;
  started: boolean;
  /** It was told to end. */
  leaving: boolean;
  /** The one that takes over from it. */
  heir: Kept | undefined;
}

export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #kept = new Set<Kept>();
  #deaths = 0;
  #stopping = false;
  #exitCode = 0;
  #timer: NodeJS.Timeout | undefined;
  #asked = 0;
  readonly #asking = new Map<number, (parts: Readonly<Record<string, Health>>) => void>();

  constructor(options: SupervisorOptions) {
    this.#options = options;
  }

  start(): void {
    if (this.#kept.size === 0 && !this.#stopping) this.#start();
  }

  /** @param now hand back at once; also speeds up a stop that is under way */
  stop(now: boolean): void {
    this.#stopping = true;
    clearTimeout(this.#timer);
    for (const kept of this.#kept) tell(kept, now);
    if (this.#kept.size === 0) this.#options.over(this.#exitCode);
  }

  /** How the worker is that was started last; undefined when none works, or it does not answer. */
  async health(): Promise<Readonly<Record<string, Health>> | undefined> {
    const works = [...this.#kept].findLast(({ started }) => started)?.process;
    if (works?.connected !== true) return undefined;
    const asked = ++this.#asked;
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#asking.delete(asked);
        resolve(undefined);
      }, healthTimeoutMs);
      this.#asking.set(asked, (parts) => {
        clearTimeout(timer);
        resolve(parts);
      });
      works.send({ kind: 'health', asked } satisfies ToWorker, () => undefined);
    });
  }

  #answered({ asked, parts }: FromWorker & { readonly kind: 'health' }): void {
    this.#asking.get(asked)?.(parts);
    this.#asking.delete(asked);
  }

  #start(): Kept {
    const kept: Kept = { process: this.#options.start(), since: performance.now(), started: false, leaving: false, heir: undefined };
    this.#kept.add(kept);
    kept.process.on('message', (message: FromWorker) => {
      if (message.kind === 'started') this.#started(kept);
      else if (message.kind === 'used-up') this.#usedUp(kept);
      else this.#answered(message);
    });
    kept.process.once('exit', (code, signal) => this.#ended(kept, code, signal));
    return kept;
  }

  #started(kept: Kept): void {
    kept.started = true;
    for (const old of this.#kept) if (old.heir === kept) tell(old, false);
  }

  #usedUp(kept: Kept): void {
    if (kept.heir !== undefined || kept.leaving || this.#stopping) return;
    this.#options.logger.info('the worker is used up: another one starts, then it drains', { pid: kept.process.pid });
    kept.heir = this.#start();
  }

  #ended(kept: Kept, code: number | null, signal: NodeJS.Signals | null): void {
    this.#kept.delete(kept);
    for (const old of this.#kept) if (old.heir === kept) old.heir = undefined;
    const exitCode = code ?? 1;
    if (this.#stopping) {
      this.#exitCode = Math.max(this.#exitCode, exitCode);
      if (this.#kept.size === 0) this.#options.over(this.#exitCode);
      return;
    }
    // Its heir works, or is about to.
    if (kept.heir !== undefined || kept.leaving) return;
    // It never came to work, and would not the next time: a wrong option, an app that throws. Or it was told to end.
    const itself = signal === null && (code === 0 || (!kept.started && this.#deaths === 0));
    if (itself && this.#kept.size === 0) {
      this.#options.over(exitCode);
      return;
    }
    if (performance.now() - kept.since >= wellMs) this.#deaths = 0;
    const waitMs = Math.min(longestBackoffMs, firstBackoffMs * 2 ** this.#deaths);
    this.#deaths += 1;
    const how = signal ?? `exit code ${exitCode}`;
    this.#options.logger.error('the worker has died: another one is started', { pid: kept.process.pid, how, inMs: waitMs });
    this.#timer = setTimeout(() => this.#start(), waitMs);
  }
}

function tell(kept: Kept, now: boolean): void {
  kept.leaving = true;
  if (kept.process.connected) kept.process.send({ kind: 'stop', now } satisfies ToWorker, () => undefined);
}
