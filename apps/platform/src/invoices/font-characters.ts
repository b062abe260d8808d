/**
 * Which characters a font can print. A PDF in which one is missing shows an empty box, or worse, and nobody is told; so it is asked
 * before. Of the fonts that every PDF reader has, it is the code page they are encoded in; of others, their own table.
 */

/** Whether there is a glyph for that code point. */
export type HasCharacter = (codePoint: number) => boolean;

/** What Windows-1252, the code page of the standard fonts, has in place of Latin-1's second set of control characters. */
const winAnsiExtras = new Set(Array.from('€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ', (character) => character.codePointAt(0)));

export const standardCharacters: HasCharacter = (codePoint) =>
  (codePoint >= 0x20 && codePoint <= 0x7e) || (codePoint >= 0xa0 && codePoint <= 0xff) || winAnsiExtras.has(codePoint);

/** Platform and encoding of the Unicode tables of a font, those that reach beyond the 16th bit first. */
const unicodeTables = ['3.10', '0.6', '0.4', '3.1', '0.3', '0.2', '0.1', '0.0'];

/**
 * Reads the `cmap` table of a TrueType or OpenType font (OpenType specification, formats 4 and 12, which all current fonts have).
 *
 * @throws RangeError when the bytes are no such font, or are cut off
 */
export function charactersOf(font: Uint8Array): HasCharacter {
  const bytes = new DataView(font.buffer, font.byteOffset, font.byteLength);
  const cmap = findCmap(bytes);
  const tables = new Map<string, number>();
  for (let index = 0; index < bytes.getUint16(cmap + 2); index += 1) {
    const record = cmap + 4 + index * 8;
    tables.set(`${bytes.getUint16(record)}.${bytes.getUint16(record + 2)}`, cmap + bytes.getUint32(record + 4));
  }
  const offset = unicodeTables.map((name) => tables.get(name)).find((found) => found !== undefined);
  if (offset === undefined) throw new RangeError('the font has no table of Unicode characters');
  const format = bytes.getUint16(offset);
  if (format === 4) return (codePoint) => isInSegments(bytes, offset, codePoint);
  if (format === 12) return (codePoint) => isInGroups(bytes, offset, codePoint);
  throw new RangeError('the table of Unicode characters is of a format that is not read');
}

function findCmap(bytes: DataView): number {
  const version = bytes.getUint32(0);
  // 1.0 and `true` are TrueType, `OTTO` is OpenType with outlines of PostScript.
  if (version !== 0x00010000 && version !== 0x74727565 && version !== 0x4f54544f) {
    throw new RangeError('the file is no TrueType or OpenType font');
  }
  for (let index = 0; index < bytes.getUint16(4); index += 1) {
    const record = 12 + index * 16;
    if (bytes.getUint32(record) === 0x636d6170) return bytes.getUint32(record + 8);
  }
  throw new RangeError('the font has no table of characters');
}

/** Format 4: segments of 16-bit characters, in four parallel arrays. 0 is the glyph of what is missing. */
function isInSegments(bytes: DataView, table: number, codePoint: number): boolean {
  const size = bytes.getUint16(table + 6);
  const ends = table + 14;
  const starts = ends + size + 2;
  for (let at = 0; at < size; at += 2) {
    if (codePoint > bytes.getUint16(ends + at)) continue;
    const start = bytes.getUint16(starts + at);
    if (codePoint < start) return false;
    // An offset that counts from where it stands itself, to a list of glyphs; 0 where there is a difference instead.
    const place = starts + 2 * size + at;
    const offset = bytes.getUint16(place);
    if (offset === 0) return ((codePoint + bytes.getUint16(starts + size + at)) & 0xffff) !== 0;
    return bytes.getUint16(place + offset + (codePoint - start) * 2) !== 0;
  }
  return false;
}

/** Format 12: sorted groups of characters whose glyphs follow one another. */
function isInGroups(bytes: DataView, table: number, codePoint: number): boolean {
  let low = 0;
  let high = bytes.getUint32(table + 12);
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const group = table + 16 + middle * 12;
    if (codePoint < bytes.getUint32(group)) high = middle;
    else if (codePoint > bytes.getUint32(group + 4)) low = middle + 1;
    else return bytes.getUint32(group + 8) + codePoint - bytes.getUint32(group) !== 0;
  }
  return false;
}
