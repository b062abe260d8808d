/**
 * Keeps the worker's lease from a thread of its own, so that a task which blocks the event loop costs no lease. A thread
 * that dies is started again. What the thread does is in heartbeat-thread.ts.
 */
import { Worker as Thread } from 'node:worker_threads';
import type { HeartbeatSpec } from '../broker/broker.ts';
import type { Logger } from '../support/logger.ts';

export interface HeartbeatOptions {
  readonly spec: HeartbeatSpec;
  readonly leaseMs: number;
  readonly logger: Logger;
  /** The worker was taken for dead. */
  lost(): void;
}

/** What the thread is given. `turns` is shared: [time of the loop's last turn, latest deadline of what runs or 0]. */
export interface HeartbeatData {
  readonly spec: HeartbeatSpec;
  readonly leaseMs: number;
  readonly turns: SharedArrayBuffer;
}

export type HeartbeatMessage =
  | { readonly kind: 'lost' }
  | { readonly kind: 'failed'; readonly message: string }
  | { readonly kind: 'renewed' }
  /** It has nothing more to do, and ends when it is let. */
  | { readonly kind: 'over' };

/** What the thread is told. */
export type HeartbeatOrder = 'stop' | 'end';

export class Heartbeat {
  readonly #options: HeartbeatOptions;
  readonly #shared = new SharedArrayBuffer(16);
  readonly #turns = new Float64Array(this.#shared);
  #thread: Thread | undefined;
  #stopped = false;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
  }

  start(): void {
    if (this.#thread !== undefined || this.#stopped) return;
    this.turned(0);
    const data: HeartbeatData = { spec: this.#options.spec, leaseMs: this.#options.leaseMs, turns: this.#shared };
    const thread = new Thread(new URL('./heartbeat-thread.js', import.meta.url), { workerData: data, name: 'taktline-heartbeat' });
    this.#thread = thread;
    thread.unref();
    thread.on('message', (message: HeartbeatMessage) => {
      if (message.kind === 'lost') this.#options.lost();
      else if (message.kind === 'over') thread.postMessage('end' satisfies HeartbeatOrder);
      else if (message.kind === 'failed')
        this.#options.logger.warn('the lease could not be renewed; trying again', { error: message.message });
    });
    thread.on('error', (error) => this.#options.logger.error('the heartbeat thread failed', { error: error.message }));
    thread.on('exit', () => {
      this.#thread = undefined;
      if (!this.#stopped) setTimeout(() => this.start(), 100).unref();
    });
  }

  /** The event loop has turned, and what runs may take so long yet (0: nothing runs). */
  turned(remainingMs: number): void {
    const now = Date.now();
    this.#turns[0] = now;
    this.#turns[1] = remainingMs === 0 ? 0 : now + remainingMs;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    const thread = this.#thread;
    if (thread === undefined) return;
    const exited = new Promise<void>((resolve) => thread.once('exit', () => resolve()));
    thread.postMessage('stop' satisfies HeartbeatOrder);
    const timer = setTimeout(() => void thread.terminate(), 2_000);
    await exited;
    clearTimeout(timer);
  }
}
