/**
 * Where the sensitive fields of an input lie: marks read from a schema's JSON Schema, or from paths that a task lists.
 * Marks follow the input from its root, step by step. Those of a recursive schema form a circle, so that a field is
 * found however deep it lies.
 */
import { jsonSchemaOf } from './json-schema.ts';
import type { InputSchema } from './task.ts';

/** What is known of a value: that it is sensitive, or which marks its parts have. */
export interface Marks {
  sensitive: boolean;
  /** Marks of the parts, by field name, or by `each` for the elements of an array and the values of a record. */
  readonly parts: [step: string, marks: Marks][];
  /** Marks of the same value: branches of a union, references. */
  readonly also: Marks[];
}

/** A step that stands for every element of an array, or every value of a record. */
const each = '[]';

const noMarks = (): Marks => ({ sensitive: false, parts: [], also: [] });

/** Marks of a path such as `card.number` or `items[].email`; the empty path is the whole input. */
export function marksOfPath(path: string): Marks {
  const root = noMarks();
  let at = root;
  for (const step of path.replaceAll('[]', `.${each}`).split('.')) {
    if (step === '') continue;
    const next = noMarks();
    at.parts.push([step, next]);
    at = next;
  }
  at.sensitive = true;
  return root;
}

interface JsonSchema {
  readonly [key: string]: unknown;
}

/** The marks of a schema's parts with `sensitive: true`; undefined when the schema cannot describe itself as JSON Schema. */
export function marksOfSchema(schema: InputSchema): Marks | undefined {
  const root = jsonSchemaOf(schema);
  if (root === undefined) return undefined;
  const known = new Map<object, Marks>();
  const read = (node: unknown): Marks => {
    if (typeof node !== 'object' || node === null) return noMarks();
    const before = known.get(node);
    if (before !== undefined) return before;
    const marks = noMarks();
    known.set(node, marks);
    const part = node as JsonSchema;
    marks.sensitive = part['sensitive'] === true;
    if (typeof part['$ref'] === 'string') marks.also.push(read(resolve(root, part['$ref'])));
    for (const key of ['anyOf', 'oneOf', 'allOf']) {
      const branches = part[key];
      if (Array.isArray(branches)) marks.also.push(...branches.map(read));
    }
    const properties = part['properties'];
    if (typeof properties === 'object' && properties !== null) {
      for (const [name, child] of Object.entries(properties)) marks.parts.push([name, read(child)]);
    }
    const tuple = part['prefixItems'];
    const elements = [part['additionalProperties'], part['items'], ...(Array.isArray(tuple) ? (tuple as unknown[]) : [])];
    for (const element of elements) marks.parts.push([each, read(element)]);
    return marks;
  };
  return read(root);
}

function resolve(root: unknown, ref: string): unknown {
  let node = root;
  for (const step of ref.replace(/^#\/?/, '').split('/')) {
    if (step === '') continue;
    node = typeof node === 'object' && node !== null ? (node as JsonSchema)[step.replaceAll('~1', '/').replaceAll('~0', '~')] : undefined;
  }
  return node;
}

/** The paths that lead to sensitive values, sorted; a circle is gone through once. */
export function pathsOf(marks: readonly Marks[]): readonly string[] {
  const found = new Set<string>();
  const walk = (marks: Marks, path: readonly string[], above: readonly Marks[]): void => {
    if (above.includes(marks)) return;
    if (marks.sensitive) {
      found.add(path.length === 0 ? '*' : path.join('.').replaceAll(`.${each}`, each));
      return;
    }
    for (const same of marks.also) walk(same, path, [...above, marks]);
    for (const [step, part] of marks.parts) walk(part, [...path, step], [...above, marks]);
  };
  for (const one of marks) walk(one, [], []);
  return [...found].sort();
}

/** A copy of the value in which each sensitive part is replaced. */
export function replaced(value: unknown, marks: readonly Marks[], by: string): unknown {
  if (value === undefined || value === null || marks.length === 0) return value;
  const all = together(marks);
  if (all.some(({ sensitive }) => sensitive)) return by;
  if (Array.isArray(value)) return value.map((item) => replaced(item, next(all, undefined), by));
  if (typeof value !== 'object') return value;
  // fromEntries defines own properties, so a field named __proto__ stays data.
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, replaced(item, next(all, key), by)]));
}

/** The strings and numbers in the sensitive parts of a value. */
export function sensitiveTexts(value: unknown, marks: readonly Marks[], found: string[] = []): string[] {
  if (value === undefined || value === null || marks.length === 0) return found;
  const all = together(marks);
  if (all.some(({ sensitive }) => sensitive)) return texts(value, found);
  if (typeof value !== 'object') return found;
  for (const [key, item] of Object.entries(value)) sensitiveTexts(item, next(all, Array.isArray(value) ? undefined : key), found);
  return found;
}

/** Every string and number in a value. */
export function texts(value: unknown, found: string[] = []): string[] {
  if (typeof value === 'string' || typeof value === 'number') found.push(String(value));
  else if (typeof value === 'object' && value !== null) for (const item of Object.values(value)) texts(item, found);
  return found;
}

/** The marks, and those of the same value that they lead to. */
function together(marks: readonly Marks[]): readonly Marks[] {
  const all = new Set(marks);
  // A set that grows while it is walked is walked to its new end.
  for (const { also } of all) for (const same of also) all.add(same);
  return [...all];
}

/** The marks of a field, or of an element when there is no key. */
function next(marks: readonly Marks[], key: string | undefined): readonly Marks[] {
  return marks.flatMap(({ parts }) => parts.filter(([step]) => step === each || step === key).map(([, part]) => part));
}
