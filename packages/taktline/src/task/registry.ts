/** The tasks of an app by name. A Map, so that a job for `constructor` finds nothing. */
import { TaktlineError } from '../support/taktline-error.ts';
import type { TaskDefinition, TimeLimits } from './task.ts';

export class TaskRegistry {
  readonly #tasks = new Map<string, TaskDefinition>();

  /** @throws TaktlineError `DUPLICATE_TASK` */
  add(task: TaskDefinition): void {
    if (this.#tasks.has(task.name)) {
      throw new TaktlineError('DUPLICATE_TASK', `task ${JSON.stringify(task.name)} is defined twice in this app`);
    }
    this.#tasks.set(task.name, task);
  }

  find(name: string): TaskDefinition | undefined {
    return this.#tasks.get(name);
  }

  /** Other time limits for a task, for attempts that begin from now on. @throws TaktlineError `UNKNOWN_TASK` or `INVALID_OPTION` */
  limit(name: string, limits: TimeLimits): void {
    const task = this.#tasks.get(name);
    if (task === undefined) throw new TaktlineError('UNKNOWN_TASK', `no task is named ${JSON.stringify(name.slice(0, 200))} here`);
    const { softTimeLimitMs, timeLimitMs } = limits;
    if (softTimeLimitMs < 1 || softTimeLimitMs > timeLimitMs)
      throw new TaktlineError('INVALID_OPTION', 'the soft time limit must be at most the hard one, and both at least 1 ms');
    this.#tasks.set(name, { ...task, softTimeLimitMs, timeLimitMs });
  }

  all(): readonly TaskDefinition[] {
    return [...this.#tasks.values()];
  }

  /** Sorted. */
  names(): readonly string[] {
    return [...this.#tasks.keys()].sort();
  }
}
