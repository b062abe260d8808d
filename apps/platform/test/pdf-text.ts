/**
 * Reads an uncompressed PDF of ours back: every object from where the cross-reference table says it is, and the lines of text of each
 * page, through the code page or the Unicode map of their font. Strict on purpose: whatever does not belong into a page is an error.
 */
import { Buffer } from 'node:buffer';

export interface PdfLine {
  readonly text: string;
  /** Points from the left and lower edges of the page. */
  readonly x: number;
  readonly y: number;
  readonly size: number;
}

export interface PdfText {
  readonly pages: readonly (readonly PdfLine[])[];
  /** The file's properties, as they are written. */
  readonly info: ReadonlyMap<string, string>;
}

/** @throws when the file's structure is broken, or a page has anything but lines, colours and text */
export function readPdf(file: Buffer): PdfText {
  const objects = readObjects(file.toString('latin1'));
  const object = (id: string) => {
    const body = objects.get(id);
    if (body === undefined) throw new Error(`object ${id} is missing`);
    return body;
  };
  const trailer = object('trailer');
  const kids = match(object(reference(object(reference(trailer, 'Root')), 'Pages')), /\/Kids \[([^\]]*)\]/);
  const pages = [...kids.matchAll(/(\d+) 0 R/g)].map(([, id = '']) => readPage(object(id), object));
  const info = new Map(
    [...object(reference(trailer, 'Info')).matchAll(/\/(\w+) (\d+) 0 R/g)].map(([, name = '', id = '']) => [
      name,
      match(object(id), /^\d+ 0 obj\n\((.*)\)\nendobj/),
    ]),
  );
  return { pages, info };
}

/** What a page reads, line by line. */
export function textsOf(lines: readonly PdfLine[]): readonly string[] {
  return lines.map(({ text }) => text);
}

function readObjects(file: string): ReadonlyMap<string, string> {
  const start = Number(match(file, /\nstartxref\n(\d+)\n%%EOF\n$/));
  const [table = '', trailer = ''] = file.slice(start).split('trailer\n');
  const offsets = [...table.matchAll(/^(\d{10}) 00000 n $/gm)].map(([, offset]) => Number(offset));
  const sorted = [...offsets, start].toSorted((one, other) => one - other);
  const objects = new Map<string, string>([['trailer', trailer]]);
  for (const [index, offset] of offsets.entries()) {
    const body = file.slice(offset, sorted[sorted.indexOf(offset) + 1]);
    if (!body.startsWith(`${index + 1} 0 obj\n`) || !body.endsWith('\nendobj\n'))
      throw new Error(`object ${index + 1} is not where it should be`);
    objects.set(String(index + 1), body);
  }
  return objects;
}

/** What a page of ours consists of beside text. */
const drawing = /^(?:q|Q|S|BT|ET|\/DeviceRGB (?:cs|CS)|(?:-?[\d.]+ )+(?:cm|m|l|w|scn|SCN))$/;

function readPage(page: string, object: (id: string) => string): readonly PdfLine[] {
  const resources = object(reference(page, 'Resources'));
  const decoders = new Map<string, (hex: string) => string>();
  for (const [, name = '', id = ''] of resources.matchAll(/\/(F\d+) (\d+) 0 R/g)) decoders.set(name, decoderOf(object(id), object));

  const lines: PdfLine[] = [];
  let place = { x: 0, y: 0 };
  let font = { name: '', size: 0 };
  for (const line of streamOf(object(reference(page, 'Contents'))).split('\n')) {
    const [, x, y] = /^1 0 0 1 (-?[\d.]+) (-?[\d.]+) Tm$/.exec(line) ?? [];
    const [, name = '', size] = /^\/(F\d+) ([\d.]+) Tf$/.exec(line) ?? [];
    const [, shown] = /^\[((?:<(?:[\da-f]{2})+> -?[\d.]+ ?)+)\] TJ$/.exec(line) ?? [];
    if (x !== undefined) place = { x: Number(x), y: Number(y) };
    else if (size !== undefined) font = { name, size: Number(size) };
    else if (shown !== undefined) {
      const hex = [...shown.matchAll(/<([\da-f]+)>/g)].map(([, part]) => part).join('');
      lines.push({ text: decoders.get(font.name)?.(hex) ?? '', ...place, size: font.size });
    } else if (line !== '' && !drawing.test(line)) throw new Error(`a page has what does not belong there: ${line.slice(0, 100)}`);
  }
  return lines;
}

function decoderOf(font: string, object: (id: string) => string): (hex: string) => string {
  if (font.includes('/WinAnsiEncoding')) return (hex) => Array.from(Buffer.from(hex, 'hex'), winAnsi).join('');
  const map = streamOf(object(reference(font, 'ToUnicode')));
  const glyphs = new Map<number, string>();
  for (const [, first = '', list = ''] of map.matchAll(/<([\da-f]{4})> <[\da-f]{4}> \[([^\]]*)\]/g)) {
    for (const [index, [, units = '']] of [...list.matchAll(/<([\da-f ]*)>/g)].entries()) {
      const utf16 = units.split(' ').map((unit) => Number.parseInt(unit, 16));
      glyphs.set(Number.parseInt(first, 16) + index, String.fromCharCode(...utf16));
    }
  }
  return (hex) =>
    [...hex.matchAll(/.{4}/g)]
      .map(([glyph]) => {
        const text = glyphs.get(Number.parseInt(glyph, 16));
        if (text === undefined || text === '\0') throw new Error('a glyph stands for no character');
        return text;
      })
      .join('');
}

/** What PDF's WinAnsiEncoding has from 0x80 to 0x9f; elsewhere it is Latin-1. */
const upper = '€\0‚ƒ„…†‡ˆ‰Š‹Œ\0Ž\0\0‘’“”•–—˜™š›œ\0žŸ';

function winAnsi(byte: number): string {
  const character = byte >= 0x80 && byte <= 0x9f ? (upper[byte - 0x80] ?? '') : String.fromCharCode(byte);
  if (/\p{Cc}/u.test(character)) throw new Error('a page has a control character');
  return character;
}

function streamOf(object: string): string {
  const length = Number(match(object, /\/Length (\d+)/));
  const start = object.indexOf('stream\n') + 'stream\n'.length;
  if (!object.startsWith('\nendstream', start + length)) throw new Error('a stream is not as long as it says');
  return object.slice(start, start + length);
}

function reference(object: string, name: string): string {
  return match(object, new RegExp(`/${name} (\\d+) 0 R`));
}

function match(text: string, pattern: RegExp): string {
  const found = pattern.exec(text)?.[1];
  if (found === undefined) throw new Error(`the file lacks ${pattern.source}`);
  return found;
}
