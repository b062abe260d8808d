/** Runs a Standard Schema over an input and turns its issues into one error that names fields and never shows values. */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import { TaktlineError } from '../support/taktline-error.ts';
import type { TaskDefinition } from './task.ts';

/**
 * @returns the schema's output, at once when the schema is synchronous
 * @throws TaktlineError `INVALID_INPUT` with a line for each of the first ten issues
 */
export function validateInput(task: TaskDefinition, input: unknown): unknown {
  if (task.input === undefined) return undefined;
  const result = task.input['~standard'].validate(input);
  return result instanceof Promise ? result.then((late) => valueOf(task, input, late)) : valueOf(task, input, result);
}

function valueOf(task: TaskDefinition, input: unknown, result: StandardSchemaV1.Result<unknown>): unknown {
  if (result.issues === undefined) return result.value;
  const lines = result.issues.slice(0, 10).map((issue) => `${pathOf(issue)}: ${issue.message}`);
  const more = result.issues.length > 10 ? `; and ${result.issues.length - 10} more` : '';
  const text = `the input of task ${JSON.stringify(task.name)} is not valid: ${lines.join('; ')}${more}`;
  throw new TaktlineError('INVALID_INPUT', task.sensitivity.scrub(text, input));
}

function pathOf(issue: StandardSchemaV1.Issue): string {
  if (issue.path === undefined || issue.path.length === 0) return '(input)';
  return issue.path.map((part) => String(typeof part === 'object' ? part.key : part)).join('.');
}
