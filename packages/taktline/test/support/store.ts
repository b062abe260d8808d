/**
 * What a broker keeps of one namespace, seen and changed behind the app's back: how an end-to-end test finds out what is
 * really there, lets time pass, and forges what no app would enqueue. postgres-store.ts and redis/redis-store.ts have it.
 */
import { type OpenedBroker, openBroker } from '../../src/broker/open-broker.ts';

export interface Store {
  readonly url: string;
  readonly name: string;
  /** Jobs by where they stand, living workers, and workers that have asked to be woken. */
  count(what: 'ready' | 'scheduled' | 'ended' | 'dead' | 'workers' | 'idle'): Promise<number>;
  /** Claims of which any job is open. */
  claims(worker?: string): Promise<number>;
  scheduled(): Promise<readonly ScheduledRow[]>;
  /** The time of everything that is scheduled has come. */
  letTimePass(): Promise<void>;
  /** In order of their ids. */
  ended(): Promise<readonly EndedRow[]>;
  /** All that is kept of ended jobs and dead letters beside their input and result. */
  remarks(): Promise<readonly string[]>;
  /** Puts a job into the queue `work`. */
  forge(id: string, envelope: string): Promise<void>;
  /** The time for which a caller's id was taken is over. */
  releaseId(id: string): Promise<void>;
  /** A schedule was put so much earlier. */
  putEarlier(schedule: string, ms: number): Promise<void>;
  /** Connections of the namespace's apps. */
  connections(): Promise<number>;
  /** Whether anything was ever made here. */
  exists(): Promise<boolean>;
  clear(): Promise<void>;
  drop(): Promise<void>;
}

export interface ScheduledRow {
  readonly id: string;
  readonly dueInMs: number;
  readonly past: string | undefined;
}

export interface EndedRow {
  readonly id: string;
  /** s succeeded, c cancelled, x expired. */
  readonly state: string;
  readonly result: string;
  readonly past: string;
  readonly finishedAt: number;
}

/** A broker on what is there, which declares nothing. Close it. */
export function openStore({ url, name }: Pick<Store, 'url' | 'name'>): Promise<OpenedBroker> {
  return openBroker({ url, namespace: name, queues: [], deadLetterTtlMs: 1e9, create: false });
}
