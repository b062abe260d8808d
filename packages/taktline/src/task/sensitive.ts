/**
 * Fields that no person may read. They are marked in the schema (`z.string().meta({ sensitive: true })`, read through
 * the schema's JSON Schema, see https://standardschema.dev/json-schema) or listed as paths on the task.
 *
 * Masking works in two ways: a value is shown with its sensitive fields replaced, and free text (an error's message,
 * a stack, a log line) has every sensitive value of the job's input cut out of it, since libraries like to quote them.
 */
import { marksOfPath, marksOfSchema, pathsOf, replaced, sensitiveTexts, texts } from './sensitive-marks.ts';
import type { InputSchema } from './task.ts';

export const mask = '[masked]';

export interface Sensitivity {
  /** Paths such as `card.number` and `items[].email`, for listing. */
  readonly paths: readonly string[];
  /** A copy with every sensitive field replaced by `[masked]`. */
  masked(input: unknown): unknown;
  /** The text with every sensitive value that this input has replaced by `[masked]`. */
  scrub(text: string, input: unknown): string;
}

/** Used where no schema is at hand: nothing of the input is shown. */
export const allSensitive: Sensitivity = {
  paths: ['*'],
  masked: () => mask,
  scrub: (text, input) => cut(text, texts(input)),
};

const nothingSensitive: Sensitivity = { paths: [], masked: (input) => input, scrub: (text) => text };

/**
 * @param listed the paths that the task names; undefined when it names none, and then the input of a schema that cannot
 * describe itself as JSON Schema is masked whole
 */
export function sensitivityOf(schema: InputSchema | undefined, listed: readonly string[] | undefined): Sensitivity {
  if (schema === undefined) return nothingSensitive;
  const ofSchema = marksOfSchema(schema);
  if (ofSchema === undefined && listed === undefined) return allSensitive;
  const marks = [...(ofSchema === undefined ? [] : [ofSchema]), ...(listed ?? []).map(marksOfPath)];
  const paths = pathsOf(marks);
  if (paths.length === 0) return nothingSensitive;
  return {
    paths,
    masked: (input) => replaced(input, marks, mask),
    scrub: (text, input) => cut(text, sensitiveTexts(input, marks)),
  };
}

/** A pattern of a longer value would take long to compile, if it compiles at all. */
const longestPattern = 1_000;

function cut(text: string, values: readonly string[]): string {
  let clean = text;
  // Longest first, so that a value inside another one does not leave the rest of it standing.
  for (const value of [...new Set(values.map((value) => value.trim()))].sort((a, b) => b.length - a.length)) {
    if (value === '') continue;
    const quoted = JSON.stringify(value).slice(1, -1);
    for (const form of quoted === value ? [value] : [quoted, value]) {
      if (form.length > longestPattern) clean = clean.replaceAll(form, mask);
      else clean = clean.replace(patternOf(form), mask);
    }
  }
  return clean;
}

/**
 * In any case, since schemas like to lower what they are given. A short value is cut where it stands alone; cutting it
 * everywhere would leave no readable text.
 */
function patternOf(value: string): RegExp {
  const literal = value.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
  return new RegExp(value.length >= 3 ? literal : `(?<![\\p{L}\\p{N}])${literal}(?![\\p{L}\\p{N}])`, 'giu');
}
