/**
 * A migration joins its source as a worker for a short time: to take over the jobs of workers that were lost, so that they
 * wait again, and to see whether the target is the same place, whatever the two URLs say.
 */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Broker, HeartbeatLink, HeartbeatSpec } from '../broker/broker.ts';
import type { Inspector, WorkerRecord } from '../broker/inspector.ts';
import type { OpenedBroker } from '../broker/open-broker.ts';
import { TaktlineError } from '../support/taktline-error.ts';
import { taskNameOf } from '../task/codec.ts';
import { settleLost } from '../worker/recovery.ts';

/** A migration that was killed meanwhile is waited for no longer than this. */
const leaseMs = 5_000;
/** How often leases are looked at. Brokers take a silence of more than 1.5 s for an outage of their own. */
const everyMs = 500;
/** Where a worker says that it is a migration. */
const mark = 'migration';

export interface TakeOverOptions {
  readonly signal?: AbortSignal | undefined;
  /** Told once, when leases have to run out first. */
  readonly onWait?: ((jobs: number) => void) | undefined;
  readonly patienceMs: number;
}

/** Workers that may take jobs: those with a lease that holds. */
export function livingWorkers(workers: readonly WorkerRecord[]): readonly WorkerRecord[] {
  return workers.filter((worker) => worker.leaseExpiresInMs > 0 && worker.info[mark] === undefined);
}

/** @throws TaktlineError `BROKER_IN_USE` when workers live there */
export async function requireNoWorkers(inspector: Inspector): Promise<void> {
  const living = livingWorkers(await inspector.workers());
  if (living.length === 0) return;
  const names = living.slice(0, 10).map(({ name, id }) => `${name} (${id})`);
  const rest = living.length > names.length ? ` and ${living.length - names.length} more` : '';
  throw new TaktlineError(
    'BROKER_IN_USE',
    `${living.length === 1 ? 'a worker lives' : `${living.length} workers live`} where the jobs are: ${names.join(', ')}${rest}. Stop ${living.length === 1 ? 'it' : 'them'}, and call again`,
  );
}

export class Visit {
  readonly #broker: Broker;
  readonly #inspector: Inspector;
  readonly #id: string;
  readonly #token: string;
  readonly #lease: HeartbeatLink;

  private constructor(source: OpenedBroker, id: string, token: string, lease: HeartbeatLink) {
    this.#broker = source.broker;
    this.#inspector = source.inspector;
    this.#id = id;
    this.#token = token;
    this.#lease = lease;
  }

  static async begin(source: OpenedBroker): Promise<Visit> {
    const { broker } = source;
    const token = randomUUID();
    const id = await broker.join({ name: `migrate@${hostname()}`, leaseMs, info: { [mark]: token, pid: process.pid } });
    const spec = broker.heartbeat(id, leaseMs);
    const { openHeartbeat } = (await import(spec.module)) as { openHeartbeat(options: HeartbeatSpec['options']): HeartbeatLink };
    return new Visit(source, id, token, openHeartbeat(spec.options));
  }

  /** Whether this visit is seen there too: then the two are one place. */
  async seenFrom(other: Inspector): Promise<boolean> {
    return (await other.workers()).some(({ info }) => info[mark] === this.#token);
  }

  /**
   * Puts the jobs of lost workers back, as a worker would. Whose lease has not run out yet, since a migration was killed
   * just now or the broker was away, is waited for.
   */
  async takeOver({ signal, onWait, patienceMs }: TakeOverOptions): Promise<void> {
    const deadline = performance.now() + patienceMs;
    for (let told = false; ; ) {
      const claims = await this.#broker.recover(this.#id);
      for (const claim of claims) {
        await this.#broker.exchange(
          this.#id,
          settleLost(claim, ({ envelope }) => taskNameOf(envelope)),
          undefined,
        );
      }
      if (claims.length > 0) continue;
      await requireNoWorkers(this.#inspector);
      const held = (await this.#inspector.workers()).filter(({ id }) => id !== this.#id).reduce((sum, { running }) => sum + running, 0);
      if (held === 0 || signal?.aborted === true || performance.now() > deadline) return;
      if (!told) onWait?.(held);
      told = true;
      // Somebody took this visit for dead, when its process was stopped for long: the next one goes on.
      if (!(await this.#lease.renew())) return;
      await sleep(everyMs, undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
    }
  }

  /** It ends by itself when its lease does: an error here would only hide the one that came before. */
  async end(): Promise<void> {
    await Promise.allSettled([this.#lease.close(), this.#broker.leave(this.#id)]);
  }
}
