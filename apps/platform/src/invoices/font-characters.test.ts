import { describe, expect, it } from 'vitest';
import { ascii, makeFont } from '../../test/tiny-font.ts';
import { charactersOf, standardCharacters } from './font-characters.ts';

const codePoints = (text: string) => Array.from(text, (character) => character.codePointAt(0) ?? 0);

describe('the standard fonts', () => {
  it('print Western Europe', () => {
    expect(codePoints('Az~ ÄÖÜäöüßéèçñø€„“”’–—…™Œœ Žž').every(standardCharacters)).toBe(true);
  });

  it.each([...'Łčőřşδя→☃\u0080\u009f\n\0\u007f', '😀'])('do not print %j', (character) => {
    expect(codePoints(character).some(standardCharacters)).toBe(false);
  });
});

describe('a font of ones own', () => {
  it.each([4, 12] as const)('tells by its table of format %i what it prints', (format) => {
    const has = charactersOf(makeFont(`${ascii}Łя€Ω`, format));
    expect(codePoints('Abc xyz~Łя€Ω').every(has)).toBe(true);
    expect(codePoints('ł\n\0юΨ中\uffff').some(has)).toBe(false);
  });

  it('has characters beyond the 16th bit only in a table that can name them', () => {
    const has = charactersOf(makeFont('𝛀', 12));
    expect(has(0x1d6c0)).toBe(true);
    expect(has(0x1d6c1)).toBe(false);
    // The lower 16 bits of another one are a letter's.
    expect(charactersOf(makeFont(ascii))(0x10041)).toBe(false);
  });

  it('is read from where it stands in a larger buffer', () => {
    const font = makeFont('Ω');
    const larger = new Uint8Array(font.length + 7);
    larger.set(font, 7);
    expect(charactersOf(larger.subarray(7))(0x3a9)).toBe(true);
  });

  it('finds a glyph by the list of glyphs that a segment may have', () => {
    const has = charactersOf(withListedGlyphs());
    expect(codePoints('AC').every(has)).toBe(true);
    // Listed as missing, before, and after the segment.
    expect(codePoints('B@D').some(has)).toBe(false);
  });

  it.each([
    ['nothing', Buffer.alloc(0)],
    ['a text', Buffer.from('wOF2'.padEnd(200, '.'))],
    ['half a font', makeFont(ascii).subarray(0, 100)],
    ['a font without that table', Buffer.concat([Buffer.from([0, 1, 0, 0, 0, 1]), Buffer.alloc(40)])],
    ['a table of another format', table(2, Buffer.alloc(4))],
  ])('is refused when it is %s', (_, font) => {
    expect(() => charactersOf(font)).toThrow(RangeError);
  });
});

/** A font that has nothing but a table of characters. */
function table(format: number, body: Buffer): Buffer {
  const header = Buffer.alloc(12 + 16 + 12 + 2);
  header.writeUInt32BE(0x00010000, 0);
  header.writeUInt16BE(1, 4);
  header.write('cmap', 12);
  header.writeUInt32BE(28, 20);
  header.writeUInt16BE(1, 30);
  header.writeUInt16BE(3, 32);
  header.writeUInt16BE(1, 34);
  header.writeUInt32BE(12, 36);
  header.writeUInt16BE(format, 40);
  return Buffer.concat([header, body]);
}

/** A segment from A to C whose glyphs are 7, none and 8 by a list, and the last one that there has to be. */
function withListedGlyphs(): Buffer {
  const words = [0, 0, 4, 0, 0, 0, 0x43, 0xffff, 0, 0x41, 0xffff, 2, 1, 4, 0, 5, 0, 6];
  const body = Buffer.alloc(words.length * 2);
  for (const [index, word] of words.entries()) body.writeUInt16BE(word, index * 2);
  return table(4, body);
}
