/**
 * How batches travel to Postgres: lists of texts joined by separators, since splitting one long text costs less than
 * parsing an array on either side; lists of numbers as array literals.
 */
import { TaktlineError } from '../../support/taktline-error.ts';
import type { Pack } from '../packs.ts';

/** Between the texts of a list. */
export const separator = '\x1e';
/** Between such lists. */
export const groupSeparator = '\x1d';

/** @throws TaktlineError `INVALID_INPUT` for what would not arrive as it is */
export function join<Item>(items: readonly Item[], text: (item: Item) => string, between = groupSeparator): string {
  return wellFormed(joinUnchecked(items, text, between));
}

/** The same of the items of packs, as a list of lists. */
export function joinPacks<Item>(packs: readonly Pack<Item>[], text: (item: Item) => string): string {
  return wellFormed(joinUnchecked(packs, ({ items }) => joinUnchecked(items, text, separator), groupSeparator));
}

function joinUnchecked<Item>(items: readonly Item[], text: (item: Item) => string, between: string): string {
  let joined = '';
  for (let index = 0; index < items.length; index++) joined += (index === 0 ? '' : between) + text(items[index] as Item);
  return joined;
}

function wellFormed(text: string): string {
  // On its way it would become another character, and an id another id.
  if (!text.isWellFormed()) throw new TaktlineError('INVALID_INPUT', 'a text holds half of a surrogate pair');
  return text;
}

/** Without what Postgres takes into no text: NUL, and half of a surrogate pair. */
export function storable(text: string): string {
  return text.toWellFormed().replaceAll('\0', '\ufffd');
}

/** An array literal of numbers and bit strings, which need no quotes, and of nulls. */
export function array(values: readonly (number | bigint | string | null | undefined)[]): string {
  return `{${values.map((value) => value ?? 'null').join(',')}}`;
}
