/**
 * Schemas as JSON Schema, both ways: what a Standard Schema says of itself (https://standardschema.dev/json-schema), and a
 * Standard Schema that checks by such a description, for those who have a task's description and not its code.
 */

import { Validator } from '@cfworker/json-schema';
import type { InputSchema } from './task.ts';

interface Described {
  readonly jsonSchema?: { readonly input?: (options: { target: string; libraryOptions: Record<string, unknown> }) => unknown };
}

/** What a schema takes, as JSON Schema of draft 2020-12; undefined when it cannot say. */
export function jsonSchemaOf(schema: InputSchema): object | undefined {
  const describe = (schema['~standard'] as Described).jsonSchema?.input;
  if (describe === undefined) return undefined;
  try {
    // A date or a custom check has no JSON Schema; zod describes the rest of the object when it is told not to mind.
    const described = describe({ target: 'draft-2020-12', libraryOptions: { unrepresentable: 'any' } });
    return typeof described === 'object' && described !== null ? described : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Checks by a JSON Schema. What the schema's code checks beside it (refinements) is left to the worker. Without a schema
 * everything passes.
 */
export function schemaOf(described: object | undefined): InputSchema {
  let validator: Validator | undefined;
  return {
    '~standard': {
      version: 1,
      vendor: 'taktline',
      validate: (input) => {
        if (described === undefined) return { value: input };
        validator ??= new Validator(described, '2020-12', false);
        const { valid, errors } = validator.validate(input);
        if (valid) return { value: input };
        // Of an error its ancestors are told too ("A subschema had errors"): the places without such are where it is.
        const issues = errors.filter(
          ({ instanceLocation }) => !errors.some((other) => other.instanceLocation.startsWith(`${instanceLocation}/`)),
        );
        return { issues: issues.map(({ instanceLocation, error }) => ({ message: error, path: pathOf(instanceLocation) })) };
      },
      ...(described === undefined ? {} : { jsonSchema: { input: () => described } }),
    },
  };
}

/** The steps of a JSON pointer such as `#/items/0/email`. */
function pathOf(pointer: string): readonly string[] {
  return pointer
    .split('/')
    .slice(1)
    .map((step) => decodeURIComponent(step).replaceAll('~1', '/').replaceAll('~0', '~'));
}
