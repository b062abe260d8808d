/** Names of schemas that the engine makes: lower case letters, digits and underscores, so that they need no quoting anywhere. */
import { TaktlineError } from './taktline-error.ts';

/** @throws TaktlineError `INVALID_OPTION` */
export function checkSchemaName(name: string, option: string): string {
  if (/^[a-z][a-z0-9_]{0,30}$/.test(name) && !name.startsWith('pg_')) return name;
  throw new TaktlineError(
    'INVALID_OPTION',
    `${option} is ${JSON.stringify(name)}: expected lower case letters, digits and underscores, starting with a letter (at most 31)`,
  );
}
