/**
 * Fields that no person may read. They are marked in the schema (`z.string().meta({ sensitive: true })`, read through
 * the schema's JSON Schema, see https://standardschema.dev/json-schema) or listed as paths on the task.
 *
 * Masking works in two ways: a value is shown with its sensitive fields replaced, and free text (an error's message,
 * a stack, a log line) has every sensitive value of the job's input cut out of it, since libraries like to quote them.
 */
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
  scrub: (text, input) => cut(text, leaves(input)),
};

type Path = readonly string[];
/** A step of a path that stands for every element of an array, or every value of a record. */
const each = '[]';

/**
 * @param listed the paths that the task names; undefined when it names none, and then the input of a schema that cannot
 * describe itself as JSON Schema is masked whole
 */
export function sensitivityOf(schema: InputSchema | undefined, listed: readonly string[] | undefined): Sensitivity {
  if (schema === undefined) return { paths: [], masked: (input) => input, scrub: (text) => text };
  const marks = marked(schema);
  if (marks === undefined && listed === undefined) return allSensitive;
  const paths: Path[] = [...(marks ?? []), ...(listed ?? []).map(parsePath)];
  if (paths.length === 0) return { paths: [], masked: (input) => input, scrub: (text) => text };
  return {
    paths: [...new Set(paths.map(showPath))].sort(),
    masked: (input) => paths.reduce((value, path) => replace(value, path), input),
    scrub: (text, input) =>
      cut(
        text,
        paths.flatMap((path) => leaves(pick(input, path))),
      ),
  };
}

function parsePath(text: string): Path {
  return text
    .replaceAll('[]', `.${each}`)
    .split('.')
    .filter((part) => part !== '');
}

function showPath(path: Path): string {
  return path.length === 0 ? '*' : path.join('.').replaceAll(`.${each}`, each);
}

function replace(value: unknown, path: Path): unknown {
  const [step, ...rest] = path;
  if (value === undefined || value === null) return value;
  if (step === undefined) return mask;
  if (step === each) {
    if (Array.isArray(value)) return value.map((item) => replace(item, rest));
    if (typeof value !== 'object') return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, replace(item, rest)]));
  }
  if (typeof value !== 'object' || !Object.hasOwn(value, step)) return value;
  // fromEntries defines own properties, so a field named __proto__ stays data.
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, key === step ? replace(item, rest) : item]));
}

function pick(value: unknown, path: Path): unknown {
  const [step, ...rest] = path;
  if (step === undefined || typeof value !== 'object' || value === null) return step === undefined ? value : undefined;
  if (step === each) return Object.values(value).map((item) => pick(item, rest));
  return Object.hasOwn(value, step) ? pick((value as Record<string, unknown>)[step], rest) : undefined;
}

function leaves(value: unknown, found: string[] = []): string[] {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'bigint') found.push(String(value));
  else if (typeof value === 'object' && value !== null) for (const item of Object.values(value)) leaves(item, found);
  return found;
}

function cut(text: string, values: readonly string[]): string {
  let clean = text;
  // Longest first, so that a value inside another one does not leave the rest of it standing.
  for (const value of [...new Set(values)].sort((a, b) => b.length - a.length)) {
    if (value.trim() === '') continue;
    if (value.length >= 3) {
      clean = clean.replaceAll(value, mask);
      const quoted = JSON.stringify(value).slice(1, -1);
      if (quoted !== value) clean = clean.replaceAll(quoted, mask);
    } else {
      // A short value is cut where it stands alone; cutting it everywhere would leave no readable text.
      clean = clean.replace(
        new RegExp(`(?<![\\p{L}\\p{N}])${value.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&')}(?![\\p{L}\\p{N}])`, 'gu'),
        mask,
      );
    }
  }
  return clean;
}

interface JsonSchema {
  readonly [key: string]: unknown;
}

interface Described {
  readonly jsonSchema?: { readonly input?: (options: { target: string; libraryOptions: Record<string, unknown> }) => unknown };
}

/** The paths that the schema's JSON Schema marks with `sensitive: true`; undefined when it cannot be described. */
function marked(schema: InputSchema): Path[] | undefined {
  const describe = (schema['~standard'] as Described).jsonSchema?.input;
  if (describe === undefined) return undefined;
  let root: JsonSchema;
  try {
    // A date or a custom check has no JSON Schema; zod describes the rest of the object when it is told not to mind.
    root = describe({ target: 'draft-2020-12', libraryOptions: { unrepresentable: 'any' } }) as JsonSchema;
  } catch {
    return undefined;
  }
  const found: Path[] = [];
  const walk = (node: unknown, path: Path, refs: readonly string[]): void => {
    if (typeof node !== 'object' || node === null) return;
    const part = node as JsonSchema;
    if (part['sensitive'] === true) {
      found.push(path);
      return;
    }
    const ref = part['$ref'];
    if (typeof ref === 'string' && !refs.includes(ref)) walk(resolve(root, ref), path, [...refs, ref]);
    for (const key of ['anyOf', 'oneOf', 'allOf']) {
      const branches = part[key];
      if (Array.isArray(branches)) for (const branch of branches) walk(branch, path, refs);
    }
    const properties = part['properties'];
    if (typeof properties === 'object' && properties !== null) {
      for (const [name, child] of Object.entries(properties)) walk(child, [...path, name], refs);
    }
    walk(part['additionalProperties'], [...path, each], refs);
    walk(part['items'], [...path, each], refs);
    const tuple = part['prefixItems'];
    if (Array.isArray(tuple)) for (const item of tuple) walk(item, [...path, each], refs);
  };
  walk(root, [], []);
  return found;
}

function resolve(root: JsonSchema, ref: string): unknown {
  let node: unknown = root;
  for (const step of ref
    .replace(/^#\/?/, '')
    .split('/')
    .filter((part) => part !== '')) {
    node = typeof node === 'object' && node !== null ? (node as JsonSchema)[step.replaceAll('~1', '/').replaceAll('~0', '~')] : undefined;
  }
  return node;
}
