/** The kinds of processes that the management command runs: a worker for each band of priorities, and the beat. */
import { queues } from '../queues.ts';

export interface WorkerType {
  /** Priorities of its queues, from the lowest to the highest. */
  readonly from: number;
  readonly to: number;
  /** Jobs at once, unless told otherwise. */
  readonly concurrency: number;
}

export const workerTypes = {
  critical: { from: 10, to: 10, concurrency: 4 },
  high: { from: 7, to: 9, concurrency: 4 },
  normal: { from: 5, to: 6, concurrency: 8 },
  low: { from: 1, to: 4, concurrency: 4 },
} as const satisfies Readonly<Record<string, WorkerType>>;

export type WorkerTypeName = keyof typeof workerTypes;
export type ProcessName = WorkerTypeName | 'beat';

export const workerTypeNames = Object.keys(workerTypes) as readonly WorkerTypeName[];
export const processNames: readonly ProcessName[] = [...workerTypeNames, 'beat'];

export function queuesOf(type: WorkerTypeName): readonly string[] {
  const { from, to } = workerTypes[type];
  return queues.filter(({ priority }) => priority >= from && priority <= to).map(({ name }) => name);
}

/** Undefined for what is no type. */
export function typesOf(name: string): readonly WorkerTypeName[] | undefined {
  if (name === 'all') return workerTypeNames;
  return workerTypeNames.find((type) => type === name) === undefined ? undefined : [name as WorkerTypeName];
}
