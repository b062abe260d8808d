/** Names of queues and the small numbers that stand for them in the tables. */
import { TaktlineError } from '../../support/taktline-error.ts';
import type { QueueDeclaration } from '../broker.ts';
import type { Connection } from './connection.ts';
import type { Statements } from './statements.ts';

export class QueueTable {
  readonly #connection: Connection;
  readonly #statements: Statements;
  #numbers = new Map<string, number>();
  #names = new Map<string, string>();
  #kept: ReadonlySet<string> = new Set();
  #declaredKept: readonly string[] = [];

  constructor(connection: Connection, statements: Statements) {
    this.#connection = connection;
    this.#statements = statements;
  }

  async declare(queues: readonly QueueDeclaration[]): Promise<void> {
    if (queues.length > 0) {
      await this.#connection.query(this.#statements.declare, [queues.map((queue) => queue.name), queues.map((queue) => queue.priority)]);
    }
    this.#declaredKept = queues.filter((queue) => queue.keepUntilEnd === true).map((queue) => queue.name);
    await this.load();
  }

  /** From now on ends of jobs of these queues are told. */
  async keepEnds(names: readonly string[]): Promise<void> {
    if (names.every((name) => this.#kept.has(name))) return;
    await this.#connection.query(this.#statements.keepEnds, [await this.numbers(names)]);
    await this.load();
  }

  /** Whether ends of jobs of this queue are told, or may be soon. */
  keepsEnds(name: string): boolean {
    return this.#kept.has(name) || this.#declaredKept.includes(name);
  }

  /** @throws TaktlineError `UNKNOWN_QUEUE` when no app has declared it in this namespace */
  async numbers(names: readonly string[]): Promise<number[]> {
    if (names.some((name) => !this.#numbers.has(name))) await this.load();
    return names.map((name) => {
      const number = this.#numbers.get(name);
      if (number === undefined)
        throw new TaktlineError('UNKNOWN_QUEUE', `queue ${JSON.stringify(name)} is not declared by any app in this namespace`);
      return number;
    });
  }

  async names(numbers: readonly string[]): Promise<string[]> {
    if (numbers.some((number) => !this.#names.has(number))) await this.load();
    return numbers.map((number) => this.#names.get(number) ?? `queue ${number}`);
  }

  /** As they are now. */
  async load(): Promise<void> {
    const rows = await this.#connection.query<{ id: number; name: string; kept: boolean }>(this.#statements.queues);
    this.#numbers = new Map(rows.map((row) => [row.name, row.id]));
    this.#kept = new Set(rows.filter((row) => row.kept).map((row) => row.name));
    this.#names = new Map(rows.map((row) => [String(row.id), row.name]));
  }
}
