/** Tables: aligned, and cut only where a terminal is too narrow. */
import { expect, it } from 'vitest';
import { table } from './table.ts';
import { columns } from './terminal.ts';

const heads = [{ title: 'ID', whole: true }, { title: 'N', right: true }, { title: 'TEXT' }];

it('aligns columns, numbers to the right, without space at the ends of lines', () => {
  expect(
    table(heads, [
      ['a', '5', 'x'],
      ['bbbb', '100', 'yy'],
    ]),
  ).toBe('ID      N  TEXT\na       5  x\nbbbb  100  yy');
});

it('aligns wide characters too', () => {
  const [head, row] = table([{ title: 'NAME' }, { title: 'X' }], [['日本語', '1']]).split('\n');
  expect(head).toBe('NAME    X');
  expect(row).toBe('日本語  1');
});

it('cuts the widest column to the width of the terminal, and an id never', () => {
  const id = 'a'.repeat(36);
  const lines = table(heads, [[id, '1', 'long '.repeat(20)]], 60).split('\n');
  expect(lines[1]).toContain(id);
  expect(lines[1]).toMatch(/…$/);
  expect(lines.map(columns)).toEqual([45, 60]);
});

it('a terminal too narrow for anything still gets eight columns of each text', () => {
  const [, row] = table(heads, [['a'.repeat(36), '1', 'abcdefghijkl']], 10).split('\n');
  expect(row).toBe(`${'a'.repeat(36)}  1  abcdefg…`);
});

it('a cell that holds control characters or lines cannot break the table', () => {
  const text = table(heads, [['x', '1', 'one\ntwo\u001b[1A']]);
  expect(text.split('\n')).toHaveLength(2);
  expect(text).toContain('one two\\u001b[1A');
});
