import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { standardCharacters } from './font-characters.ts';
import { findUnprintable, printable, wrap } from './printable-text.ts';

describe('printable text', () => {
  it.each([
    ['Ann \t  Müller', 'Ann    Müller'],
    ['e\u0301\u0308', 'é\u0308'],
    ['a\r\nb\rc\u2028d\u0085e\u000bf\fg', 'a\nb\nc\nd\ne\nf\ng'],
    ['  a  \n\n\n\n  b  \n', 'a\n\nb'],
    ['a\0\u0001\u001b[31m\u007f\u009bb', 'a   [31m  b'],
    ['\u202e123\u202c \u200e\u200fA\u2066B\u2069', '123 AB'],
    ['zero\u200bwidth\u200d soft\u00adhyphen \ufeffmark', 'zerowidth softhyphen mark'],
    ['e\u200b\u0301', 'é'],
    ['1\u202f234\u00a0€', '1\u00a0234\u00a0€'],
    ['A\u2009B\u3000C', 'A B C'],
    ['x\u2011y\u22121', 'x-y-1'],
    ['❤\ufe0f', '❤'],
    ['(\\)', '(\\)'],
  ])('%j is set as %j', (text, set) => {
    expect(printable(text)).toBe(set);
  });

  it('has no control characters, marks of direction or blanks at its ends, whatever it is made of', () => {
    const unit = fc.constantFrom(...'ae\u0301я(\\😀 \u00a0\u2009\t\n\r\u2028\0\u009b\u200b\u202e\u2067\ufeff\u00ad\ufe0f');
    fc.assert(
      fc.property(fc.string({ unit }), (text) => {
        const set = printable(text);
        expect(set).not.toMatch(/[^\P{Cc}\n]|\p{Cf}|^\s|\s$/u);
        expect(printable(set)).toBe(set);
      }),
    );
  });

  it('is looked for in the whole document', () => {
    const document = { name: 'Łódź', address: ['1\t2', 'я'], number: 7, vatId: undefined, lines: [{ text: 'ok' }, { text: '中' }] };
    expect(findUnprintable(document, standardCharacters)).toEqual(['name', 'address.1', 'lines.1.text']);
    expect(findUnprintable(document, () => true)).toEqual([]);
  });

  it.each(['שלום', 'مرحبا', 'ﺍ'])('refuses what is written from right to left, even if there is a font for it: %s', (name) => {
    expect(findUnprintable({ name }, () => true)).toEqual(['name']);
  });
});

describe('lines', () => {
  /** A character is one wide. */
  const widthOf = (text: string) => [...text].length;

  it.each([
    ['one two three', 7, ['one two', 'three']],
    ['one', 7, ['one']],
    ['', 7, ['']],
    ['a\n\nb', 7, ['a', '', 'b']],
    ['abcdefghij', 4, ['abcd', 'efgh', 'ij']],
    ['x abcdefghij y', 4, ['x', 'abcd', 'efgh', 'ij y']],
    ['no\u00a0break here', 8, ['no\u00a0break', 'here']],
    // A pair of surrogates is one character.
    ['😀😀😀', 2, ['😀😀', '😀']],
    ['ab', 0, ['a', 'b']],
  ])('%j, %i wide, are %j', (text, width, lines) => {
    expect(wrap(text, width, widthOf)).toEqual(lines);
  });

  it('fit, and lose nothing', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('a', 'b', ' ', '\n', 'é') }), fc.integer({ min: 1, max: 12 }), (raw, width) => {
        const text = printable(raw);
        const lines = wrap(text, width, widthOf);
        for (const line of lines) expect(widthOf(line)).toBeLessThanOrEqual(width);
        expect(lines.join('').replaceAll(' ', '')).toBe(text.replace(/[ \n]/g, ''));
      }),
    );
  });
});
