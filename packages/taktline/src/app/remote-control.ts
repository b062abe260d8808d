/**
 * Asks workers, wherever they run: what they do, and to change it. Requests and answers go through the broker, so that
 * nobody has to reach a worker by the network. And pauses queues, which is asked of the broker and not of workers.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Inspector, WorkerRecord } from '../broker/inspector.ts';
import { type Duration, toMs } from '../support/durations.ts';
import { TaktlineError } from '../support/taktline-error.ts';
import type { ControlAnswer, ControlRequest } from '../worker/control.ts';
import { livingWorkers } from './visit.ts';

export interface AskOptions {
  /** Names of the workers to ask. Default: every living one. */
  readonly destination?: readonly string[];
  /** How long to wait for the last of them. Default 1 s. */
  readonly timeout?: Duration;
}

/** What one worker said. */
export interface WorkerAnswer {
  readonly worker: string;
  readonly id: string;
  /** Undefined when it has not answered in time: it is blocked, or has just been lost. */
  readonly answer: ControlAnswer | undefined;
}

const defaultTimeoutMs = 1_000;
/** A worker that wakes late still finds the request so much later. */
const graceMs = 2_000;
const firstLookMs = 10;
const slowestLookMs = 100;

export class RemoteControl {
  readonly #inspector: () => Promise<Inspector>;

  constructor(inspector: () => Promise<Inspector>) {
    this.#inspector = inspector;
  }

  /**
   * Asks living workers, and gives their answers, sorted by name.
   *
   * @throws TaktlineError `WORKER_NOT_FOUND` when a destination is no living worker
   */
  async ask(request: ControlRequest, options: AskOptions = {}): Promise<readonly WorkerAnswer[]> {
    const timeoutMs = toMs(options.timeout ?? defaultTimeoutMs, 'timeout');
    const inspector = await this.#inspector();
    const workers = chosen(await inspector.workers(), options.destination);
    if (workers.length === 0) return [];
    const until = performance.now() + timeoutMs;
    const id = await inspector.ask(
      workers.map((worker) => worker.id),
      JSON.stringify(request),
      timeoutMs + graceMs,
    );
    for (let pauseMs = firstLookMs; ; pauseMs = Math.min(slowestLookMs, pauseMs * 1.5)) {
      const answers = new Map((await inspector.answers(id)).map(({ worker, body }) => [worker, body]));
      const left = until - performance.now();
      if (answers.size >= workers.length || left <= 0) {
        return workers.map((worker) => ({ worker: worker.name, id: worker.id, answer: parsed(answers.get(worker.id)) }));
      }
      await sleep(Math.min(pauseMs, left));
    }
  }

  /** No worker takes jobs of the queue any more; what runs goes on, and what comes waits. @throws TaktlineError `UNKNOWN_QUEUE` */
  async pause(queue: string): Promise<void> {
    await (await this.#inspector()).pause(queue);
  }

  /** @throws TaktlineError `UNKNOWN_QUEUE` */
  async resume(queue: string): Promise<void> {
    await (await this.#inspector()).resume(queue);
  }
}

function chosen(records: readonly WorkerRecord[], names: readonly string[] | undefined): readonly WorkerRecord[] {
  const living = livingWorkers(records);
  if (names === undefined) return living;
  const missing = names.filter((name) => !living.some((worker) => worker.name === name));
  if (missing.length > 0) {
    const there = [...new Set(living.map(({ name }) => name))].join(', ') || 'none';
    throw new TaktlineError('WORKER_NOT_FOUND', `no living worker is named ${missing.join(', ')}; there are ${there}`);
  }
  return living.filter(({ name }) => names.includes(name));
}

function parsed(body: string | undefined): ControlAnswer | undefined {
  try {
    return body === undefined ? undefined : (JSON.parse(body) as ControlAnswer);
  } catch {
    return { ok: false, code: 'INVALID_OPTION', message: 'the answer cannot be read: the worker may be of another release' };
  }
}
