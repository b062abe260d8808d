/** A worker as commands show it. What it announced is plain data of any release, so each field is looked at. */
import type { WorkerRecord } from '../broker/inspector.ts';

export interface WorkerView {
  readonly name: string;
  /** False when its lease has run out: it was killed, or cannot reach the broker. */
  readonly alive: boolean;
  readonly host: string | undefined;
  readonly pid: number | undefined;
  readonly node: string | undefined;
  readonly pool: string | undefined;
  readonly concurrency: number | undefined;
  readonly running: number;
  readonly queues: readonly string[];
  readonly startedAt: string;
  readonly leaseExpiresInMs: number;
}

export function workerView(record: WorkerRecord): WorkerView {
  const { info } = record;
  return {
    name: record.name,
    alive: record.leaseExpiresInMs > 0,
    host: text(info['host']),
    pid: number(info['pid']),
    node: text(info['node']),
    pool: text(info['pool']),
    concurrency: number(info['concurrency']),
    running: record.running,
    queues: texts(info['queues']),
    startedAt: new Date(record.startedAt).toISOString(),
    leaseExpiresInMs: record.leaseExpiresInMs,
  };
}

/** Names of the tasks that it knows. */
export function tasksOf(record: WorkerRecord): readonly string[] {
  return texts(record.info['tasks']);
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function number(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined;
}

function texts(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}
