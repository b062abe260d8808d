/**
 * A task as its workers describe it in the catalogue: what somebody needs who has not got its code and is to show its jobs,
 * check an input, or enqueue one. And back: a definition that a client can enqueue by.
 */
import { TaktlineError } from '../support/taktline-error.ts';
import { jsonSchemaOf, schemaOf } from './json-schema.ts';
import { allSensitive, type Sensitivity, sensitivityOf } from './sensitive.ts';
import { defineTask, type TaskDefinition } from './task.ts';

export interface TaskDescription {
  readonly name: string;
  readonly queue: string;
  readonly priority: number;
  readonly inputVersion: number;
  /** Of draft 2020-12. Undefined when the task takes no input, or its schema cannot say. */
  readonly jsonSchema: object | undefined;
  readonly takesInput: boolean;
  /** Paths that no person may read, beside the parts of the schema that say `sensitive: true`. `['*']`: the whole input. */
  readonly sensitive: readonly string[];
  /** Its failures are worth waking somebody. */
  readonly critical: boolean;
  /** A person may change the input of a dead letter before it is put back. */
  readonly editable: boolean;
  readonly maxAttempts: number;
  readonly softTimeLimitMs: number;
  readonly timeLimitMs: number;
  readonly resultTtlMs: number;
}

export function describeTask(task: TaskDefinition): TaskDescription {
  return {
    name: task.name,
    queue: task.queue,
    priority: task.priority,
    inputVersion: task.inputVersion,
    jsonSchema: task.input === undefined ? undefined : jsonSchemaOf(task.input),
    takesInput: task.input !== undefined,
    sensitive: task.sensitivity.paths,
    critical: task.critical,
    editable: task.editable,
    maxAttempts: task.retry.maxAttempts,
    softTimeLimitMs: task.softTimeLimitMs,
    timeLimitMs: task.timeLimitMs,
    resultTtlMs: task.resultTtlMs,
  };
}

/**
 * Reads what a worker has described. Another release may have written it: undefined for what cannot be read, so that its
 * inputs are masked whole and nobody enqueues by it.
 */
export function readDescription(text: string): TaskDescription | undefined {
  try {
    const described = JSON.parse(text) as TaskDescription;
    definitionOf(described);
    return described;
  } catch {
    return undefined;
  }
}

/** A definition to enqueue by. @throws TaktlineError `INVALID_OPTION` for what describes no task */
export function definitionOf(described: TaskDescription): TaskDefinition {
  const { name, queue, priority, inputVersion, resultTtlMs, critical, editable } = described;
  const definition = defineTask({
    name,
    queue,
    priority,
    inputVersion,
    critical,
    editable,
    ...(described.takesInput ? { input: schemaOf(described.jsonSchema) } : {}),
    resultTtl: resultTtlMs,
    run: () => {
      throw new TaktlineError('UNKNOWN_TASK', `the code of task ${JSON.stringify(name)} is not here`);
    },
  });
  return { ...definition, sensitivity: sensitivityOfDescribed(described) };
}

function sensitivityOfDescribed({ jsonSchema, takesInput, sensitive }: TaskDescription): Sensitivity {
  if (!Array.isArray(sensitive) || !sensitive.every((path) => typeof path === 'string'))
    throw new TaktlineError('INVALID_OPTION', 'the description of a task does not say what is sensitive');
  if (sensitive.includes('*')) return allSensitive;
  // Both: a path cannot name every field of a schema (one with a dot in its name, one deep in a circle).
  return sensitivityOf(takesInput ? schemaOf(jsonSchema) : undefined, sensitive);
}
