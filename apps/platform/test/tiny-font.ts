/**
 * Makes a TrueType font whose every character is the same box: enough to be embedded and read back, so that the tests need no font
 * of anybody's. Tables as the OpenType specification has them, and only those that are needed.
 */
import { Buffer } from 'node:buffer';

/** Units, of 1,000 an em; every character is as wide. */
const advance = 600;

/** What every font should have: space to tilde. */
export const ascii = Array.from({ length: 0x7f - 0x20 }, (_, index) => String.fromCharCode(0x20 + index)).join('');

/**
 * @param characters what the font has
 * @param format of the table of characters; 4 has only those of 16 bits
 */
export function makeFont(characters: string, format: 4 | 12 = 4): Buffer {
  const wanted = new Set(Array.from(characters, (character) => character.codePointAt(0) ?? 0));
  const codePoints = [...wanted].toSorted((one, other) => one - other);
  const count = codePoints.length + 1;
  const box = padded(Buffer.concat([u16(1, 0, 0, 500, 700, 3, 0), Buffer.from([1, 1, 1, 1]), u16(0, 500, 0, -500, 0, 0, 700, 0)]));
  return assemble({
    'OS/2': Buffer.concat([
      u16(3, advance, 400, 5, 0, ...zeros(11)),
      Buffer.alloc(10 + 16 + 4),
      u16(0x40, 0x20, 0x7e, 700, -200, 0, 700, 200),
      u32(1, 0),
      u16(500, 700, 0, 0x20, 1),
    ]),
    cmap: Buffer.concat([u16(0, 1, 3, format === 4 ? 1 : 10), u32(12), format === 4 ? segments(codePoints) : groups(codePoints)]),
    glyf: Buffer.concat(Array.from({ length: count }, () => box)),
    head: Buffer.concat([u32(0x00010000, 0x00010000, 0, 0x5f0f3cf5), u16(3, 1_000), Buffer.alloc(16), u16(0, 0, 500, 700, 0, 8, 2, 1, 0)]),
    hhea: Buffer.concat([u32(0x00010000), u16(700, -200, 0, advance, 0, 0, 500, 1, ...zeros(7), count)]),
    hmtx: u16(...Array.from({ length: count }, () => [advance, 0]).flat()),
    loca: u32(...Array.from({ length: count + 1 }, (_, index) => index * box.length)),
    maxp: Buffer.concat([u32(0x00010000), u16(count, 4, 1, 0, 0, 1, ...zeros(8))]),
    name: nameTable('TinyBoxes'),
    post: Buffer.concat([u32(0x00030000, 0), u16(-100, 50), u32(0, 0, 0, 0, 0)]),
  });
}

function zeros(count: number): readonly number[] {
  return Array.from({ length: count }, () => 0);
}

function u16(...values: readonly number[]): Buffer {
  const buffer = Buffer.alloc(values.length * 2);
  for (const [index, value] of values.entries()) buffer.writeUInt16BE(value & 0xffff, index * 2);
  return buffer;
}

function u32(...values: readonly number[]): Buffer {
  const buffer = Buffer.alloc(values.length * 4);
  for (const [index, value] of values.entries()) buffer.writeUInt32BE(value, index * 4);
  return buffer;
}

/** Format 4: a segment for each character, and the last one that the format asks for. Glyph 0 is the missing one. */
function segments(codePoints: readonly number[]): Buffer {
  const codes = [...codePoints, 0xffff];
  const deltas = codes.map((code, index) => (index < codePoints.length ? index + 1 - code : 1));
  const size = codes.length * 2;
  return u16(4, 16 + size * 4, 0, size, 0, 0, 0, ...codes, 0, ...codes, ...deltas, ...zeros(codes.length));
}

function groups(codePoints: readonly number[]): Buffer {
  const entries = codePoints.flatMap((code, index) => [code, code, index + 1]);
  return Buffer.concat([u16(12, 0), u32(16 + entries.length * 4, 0, codePoints.length, ...entries)]);
}

/** The family, and the name within PostScript. */
function nameTable(name: string): Buffer {
  const text = Buffer.from(name, 'utf16le').swap16();
  return Buffer.concat([u16(0, 2, 30), ...[1, 6].map((id) => u16(3, 1, 0x409, id, text.length, 0)), text]);
}

function assemble(tables: Readonly<Record<string, Buffer>>): Buffer {
  const entries = Object.entries(tables).map(([name, table]) => ({ name, table, body: padded(table) }));
  let offset = 12 + entries.length * 16;
  const records = entries.map(({ name, table, body }) => {
    const record = Buffer.concat([Buffer.from(name, 'latin1'), u32(0, offset, table.length)]);
    offset += body.length;
    return record;
  });
  return Buffer.concat([u32(0x00010000), u16(entries.length, 128, 3, 32), ...records, ...entries.map(({ body }) => body)]);
}

function padded(table: Buffer): Buffer {
  return Buffer.concat([table, Buffer.alloc((4 - (table.length % 4)) % 4)]);
}
