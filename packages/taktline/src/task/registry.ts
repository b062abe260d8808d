/** The tasks of an app by name. A Map, so that a job for `constructor` finds nothing. */
import { TaktlineError } from '../support/taktline-error.ts';
import type { TaskDefinition } from './task.ts';

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

  /** Sorted. */
  names(): readonly string[] {
    return [...this.#tasks.keys()].sort();
  }
}
