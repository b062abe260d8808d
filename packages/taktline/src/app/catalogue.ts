/**
 * What is known of a task by its name: by this app's own code, or as workers have described it. So a program without the
 * code can show a job's input with its sensitive fields masked, and enqueue one that was checked. Of a task that nobody has
 * described nothing is shown, and nothing can be enqueued.
 */
import type { Inspector } from '../broker/inspector.ts';
import { definitionOf, readDescription, type TaskDescription } from '../task/description.ts';
import type { TaskRegistry } from '../task/registry.ts';
import type { TaskDefinition } from '../task/task.ts';

/** Workers describe their tasks when they start; so long a new description may go unnoticed. */
const freshMs = 10_000;

export interface CatalogueEntry extends TaskDescription {
  /** When a worker has described it last; ISO 8601. */
  readonly describedAt: string;
}

export class Catalogue {
  readonly #inspector: () => Promise<Inspector>;
  readonly #tasks: TaskRegistry;
  #read: Promise<readonly CatalogueEntry[]> | undefined;
  #readAt = 0;

  constructor(inspector: () => Promise<Inspector>, tasks: TaskRegistry) {
    this.#inspector = inspector;
    this.#tasks = tasks;
  }

  /** What workers have described, sorted by name. */
  async list(): Promise<readonly CatalogueEntry[]> {
    if (this.#read === undefined || performance.now() - this.#readAt > freshMs) {
      this.#readAt = performance.now();
      this.#read = this.#load().catch((error: unknown) => {
        this.#read = undefined;
        throw error;
      });
    }
    return this.#read;
  }

  /** Looks up tasks by name. The catalogue is read only when one of them is not of this app. */
  async finder(names: Iterable<string>): Promise<(name: string) => TaskDefinition | undefined> {
    if ([...names].every((name) => this.#tasks.find(name) !== undefined)) return (name) => this.#tasks.find(name);
    const described = new Map((await this.list()).map((entry) => [entry.name, entry]));
    const made = new Map<string, TaskDefinition>();
    return (name) => {
      const entry = described.get(name);
      const known = this.#tasks.find(name) ?? made.get(name) ?? (entry === undefined ? undefined : definitionOf(entry));
      if (known !== undefined) made.set(name, known);
      return known;
    };
  }

  async #load(): Promise<readonly CatalogueEntry[]> {
    const stored = await (await this.#inspector()).catalogue();
    return stored
      .flatMap(({ description, describedAt }) => {
        const entry = readDescription(description);
        return entry === undefined ? [] : [{ ...entry, describedAt: new Date(describedAt).toISOString() }];
      })
      .sort((one, other) => (one.name < other.name ? -1 : 1));
  }
}
