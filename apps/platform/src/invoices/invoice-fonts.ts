/** The fonts that invoices are printed in: Noto Sans, which has the letters of Latin, Greek and Cyrillic scripts. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { charactersOf } from './font-characters.ts';
import type { InvoiceFonts } from './invoice-pdf.ts';
import { findUnprintable } from './printable-text.ts';

/** Tables for ligatures and kerning. Reading them for each document takes 6 parts in 7 of its time, and these scripts do without. */
const layoutTables = new Set(['GDEF', 'GPOS', 'GSUB']);

const fontFile = (name: string): Uint8Array =>
  withoutLayout(readFileSync(fileURLToPath(import.meta.resolve(`@expo-google-fonts/noto-sans/${name}.ttf`))));

let loaded: InvoiceFonts | undefined;

/** Read once. */
export function invoiceFonts(): InvoiceFonts {
  loaded ??= { regular: fontFile('400Regular/NotoSans_400Regular'), bold: fontFile('700Bold/NotoSans_700Bold') };
  return loaded;
}

/** Whether a text can stand on an invoice: a name or a title that cannot is better refused when somebody enters it. */
export function isPrintable(text: string): boolean {
  const { regular, bold } = invoiceFonts();
  return [regular, bold].every((font) => findUnprintable(text, charactersOf(font)).length === 0);
}

/** The same font, in whose directory these tables have a name that nobody looks for (OpenType specification, "Font Tables"). */
function withoutLayout(font: Buffer): Buffer {
  for (let index = 0; index < font.readUInt16BE(4); index += 1) {
    const at = 12 + index * 16;
    const tag = font.toString('latin1', at, at + 4);
    if (layoutTables.has(tag)) font.write(tag.toLowerCase(), at, 'latin1');
  }
  return font;
}
