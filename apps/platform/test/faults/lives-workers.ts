/** Worker processes of the platform, one of which is killed every few seconds and replaced at once. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { SampleRandom } from '../../src/demo/sample-random.ts';
import type { TestPlatform } from '../platform.ts';

export interface LivesWorkersOptions {
  readonly platform: Pick<TestPlatform, 'url' | 'smtp' | 'sandbox'>;
  readonly brokerUrl: string;
  readonly random: SampleRandom;
  readonly workers: number;
  /** Between two kills, in milliseconds. */
  readonly everyMs: readonly [least: number, most: number];
  /** A killed worker's jobs come back after so long. One that gets no turn of the machine for as long is taken for dead as well. */
  readonly lease: string;
}

interface Worker {
  /** It logs in at the mail server by that name. */
  readonly name: string;
  readonly process: ChildProcess;
  readonly started: Promise<unknown>;
  /** The last of what it has logged. */
  log: string;
}

/** What a worker logs whose lease ran out while it lived: its mails that are on their way are cut off, and sent again by another. */
const takenForDead = '"message":"this worker was taken for dead';

export class LivesWorkers {
  /** Connections to the mail server that stood when their process was killed. */
  readonly cut = new Set<number>();
  /** What was logged by workers that have ended by themselves. */
  readonly crashes: string[] = [];
  kills = 0;
  /** How often one that lived was taken for dead. */
  mistaken = 0;
  readonly #options: LivesWorkersOptions;
  readonly #workers: Worker[] = [];
  #count = 0;
  #aheadMs = 0;

  constructor(options: LivesWorkersOptions) {
    this.#options = options;
  }

  /** Resolves when all of them work. */
  async start(): Promise<void> {
    for (let n = 0; n < this.#options.workers; n++) this.#start();
    await Promise.all(this.#workers.map(({ started }) => started));
  }

  /** Their clocks go ahead of the machine's by so much from now on. */
  goAhead(ms: number): void {
    this.#aheadMs = ms;
    for (const { process } of this.#workers) if (process.connected) process.send({ aheadMs: ms });
  }

  /** Kills until it is told to stop. */
  async trouble(signal: AbortSignal): Promise<void> {
    const { random, everyMs } = this.#options;
    while (!signal.aborted) {
      await sleep(random.whole(...everyMs), undefined, { signal }).catch(() => undefined);
      if (!signal.aborted) this.#kill(random.whole(0, this.#workers.length - 1));
    }
  }

  /** The last of what each of those that live has logged. */
  logs(): string {
    return this.#workers.map(({ name, log }) => `${name}: ${log}`).join('\n');
  }

  async stop(): Promise<void> {
    const exits = this.#workers.splice(0).map(async ({ process }) => {
      if (process.exitCode !== null || process.signalCode !== null) return;
      const exited = once(process, 'exit');
      process.kill('SIGKILL');
      await exited;
    });
    await Promise.all(exits);
  }

  #kill(at: number): void {
    const [worker] = this.#workers.splice(at, 1);
    if (worker === undefined) return;
    for (const connection of this.#options.platform.smtp.connectionsOf(worker.name)) this.cut.add(connection);
    worker.process.kill('SIGKILL');
    this.kills += 1;
    this.#start();
  }

  #start(): void {
    const { platform, brokerUrl, lease } = this.#options;
    this.#count += 1;
    const name = `lives-${this.#count}`;
    const options = {
      name,
      brokerUrl,
      databaseUrl: platform.url,
      smtp: platform.smtp.settings({ user: name, password: name, ratePerSecond: 10_000 }),
      gateway: { ...platform.sandbox.connection, returnUrl: 'https://www.example.com/', timeoutMs: 2_000 },
      lease,
      aheadMs: this.#aheadMs,
    };
    const child = fork(fileURLToPath(new URL('./lives-worker.mjs', import.meta.url)), [JSON.stringify(options)], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    const worker: Worker = { name, process: child, started: once(child, 'message'), log: '' };
    worker.started.catch(() => undefined);
    createInterface(child.stderr as Readable).on('line', (line) => {
      if (line.includes(takenForDead)) this.mistaken += 1;
      worker.log = `${worker.log}${line}\n`.slice(-5_000);
    });
    child.once('exit', (code, signal) => {
      // One that we have ended is on the list no more.
      if (this.#workers.includes(worker)) this.crashes.push(`${name} ended by itself (${code ?? signal}): ${worker.log}`);
    });
    this.#workers.push(worker);
  }
}
