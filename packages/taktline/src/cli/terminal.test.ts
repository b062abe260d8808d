/** Text of others on a terminal: nothing in it is obeyed, and it takes the columns that it is given. */
import { expect, it } from 'vitest';
import { clip, columns, jsonText, oneLine } from './terminal.ts';

it('writes control characters, both sets of them, as escapes', () => {
  expect(oneLine('a\u001b[31mred\u0007')).toBe('a\\u001b[31mred\\u0007');
  expect(oneLine('\u009b31m')).toBe('\\u009b31m');
  expect(oneLine('\u007f\u0000')).toBe('\\u007f\\u0000');
});

it('keeps text in one direction and on one line', () => {
  expect(oneLine('exe.\u202egpj')).toBe('exe.\\u202egpj');
  expect(oneLine('a\r\n  b\tc\u2028d')).toBe('a b c d');
});

it('JSON can be shown, and means the same', () => {
  const value = { text: 'a\u001b[2J\u009b\u202e\u007f\n' };
  const json = jsonText(value);
  expect(json).toMatch(/^[ -~]*$/);
  expect(JSON.parse(json)).toEqual(value);
  expect(jsonText([1], 2)).toBe('[\n  1\n]');
});

it('JSON keeps the keys of what is absent', () => {
  expect(jsonText({ a: undefined, b: { c: undefined } })).toBe('{"a":null,"b":{"c":null}}');
});

it('counts the columns that a terminal uses', () => {
  expect(columns('abc')).toBe(3);
  expect(columns('e\u0301')).toBe(1);
  expect(columns('日本')).toBe(4);
  expect(columns('🚀')).toBe(2);
});

it('cuts to the columns given, never through a wide character', () => {
  expect(clip('abcdef', 6)).toBe('abcdef');
  expect(clip('abcdefg', 6)).toBe('abcde…');
  expect(clip('日本語', 5)).toBe('日本…');
  expect(clip('日本語', 4)).toBe('日…');
});
