/** The scripts of scripts/, each behind the prelude that all of them share. What each takes and gives stands at its top. */
import { readFileSync } from 'node:fs';
import { type Script, script } from './connection.ts';

const names = [
  'adopt',
  'announce',
  'answer',
  'ask',
  'backlog',
  'beat',
  'cancel',
  'counts',
  'dead',
  'depart',
  'describe',
  'enqueue',
  'exchange',
  'find',
  'finished',
  'free',
  'holding',
  'join',
  'leave',
  'list',
  'lost',
  'missing',
  'orphans',
  'over',
  'pause',
  'place',
  'pulse',
  'purge',
  'recover',
  'redrive',
  'remove',
  'resent',
  'reserve',
  'tidy',
  'timetable',
] as const;

const folder = new URL('../../../src/broker/redis/scripts/', import.meta.url);
const read = (name: string): string => readFileSync(new URL(`${name}.lua`, folder), 'utf8');

/** What brings more jobs. All else has to pass when the memory is used up: it frees some, finds out what to free, or runs what does. */
const refusedWhenFull = new Set(['adopt', 'enqueue', 'reserve']);

const prelude = read('prelude');

export const scripts = Object.fromEntries(
  names.map((name) => {
    const flags = refusedWhenFull.has(name) ? '' : 'flags=allow-oom';
    return [name, script(name, `#!lua ${flags}\n${prelude}\n${read(name)}`, { makesKeys: true })];
  }),
) as Readonly<Record<(typeof names)[number], Script>>;
