/** The reversals still find what they reverse: whether the tests hold the decisions is for decisions.mjs to show. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { reversals } from './reversals.mjs';

it.each(reversals)('$decision', ({ file, search, tests }) => {
  const at = (path: string) => readFileSync(fileURLToPath(new URL(`../../${path}`, import.meta.url)), 'utf8');
  expect(at(file).split(search)).toHaveLength(2);
  expect(at(tests)).not.toBe('');
});
