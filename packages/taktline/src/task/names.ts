/** The shapes of names and ids. They enter keys, tables, logs and terminals, so nothing unprintable gets in. */
import { TaktlineError } from '../support/taktline-error.ts';

/** A queue: letters, digits and `._:-`, at most 100. */
export const queueNamePattern = /^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,99}$/;

/** A job's id: 1 to 200 printable characters without spaces. */
const jobIdPattern = /^[^\s\p{C}]{1,200}$/u;

export function checkJobId(id: string): string {
  if (typeof id !== 'string' || !jobIdPattern.test(id)) {
    throw new TaktlineError(
      'INVALID_OPTION',
      `id is ${JSON.stringify(id?.slice?.(0, 40))}: expected 1 to 200 printable characters without spaces`,
    );
  }
  return id;
}
