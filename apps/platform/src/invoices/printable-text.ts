/**
 * Makes text of people fit to be set in a PDF: pdfkit writes a control character into the page as it is, and marks of direction
 * would turn the amounts beside them around. What is left is letters, blanks and line breaks; and it is cut into lines here, since
 * a column of a table has to know its height before it is set.
 */
import type { HasCharacter } from './font-characters.ts';

/**
 * The text as it is set: composed (NFC), its line breaks `\n`, at most one empty line in between, other blanks a space (one that
 * does not break stays so), without control characters, marks of direction and characters without a width.
 */
export function printable(text: string): string {
  return (
    text
      .replace(/\r\n|[\r\v\f\u0085\u2028\u2029]/g, '\n')
      // Characters of format, and those that pick a variant of the one before.
      .replace(/\p{Cf}|[\ufe00-\ufe0f]/gu, '')
      .normalize('NFC')
      .replace(/\u202f/g, '\u00a0')
      .replace(/[^\S\n\u00a0]|[^\P{Cc}\n]/gu, ' ')
      // Few fonts have these two hyphens and the sign of minus; they look the same.
      .replace(/[\u2010\u2011\u2212]/g, '-')
      .replace(/ *\n */g, '\n')
      .replace(/\n{3,}/g, '\n\n')
      .trim()
  );
}

/** Whether it would print as something: blanks of all kinds, also those without a width, would not. */
export function canBeSeen(text: string): boolean {
  return /[\p{L}\p{N}\p{P}\p{S}]/u.test(text);
}

/** Hebrew, Arabic and their kin: set from left to right, as is done here, they would be unreadable. */
const rightToLeft = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;

/**
 * Where in a document there is text that cannot be set.
 *
 * @returns such as `buyer.name` and `lines.0.description`
 */
export function findUnprintable(value: unknown, has: HasCharacter, path = ''): readonly string[] {
  if (typeof value === 'string') return canPrint(printable(value), has) ? [] : [path];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, item]) => findUnprintable(item, has, path === '' ? key : `${path}.${key}`));
}

function canPrint(text: string, has: HasCharacter): boolean {
  if (rightToLeft.test(text)) return false;
  return [...text].every((character) => character === '\n' || has(character.codePointAt(0) ?? 0));
}

/**
 * Cuts text into lines of that width at most: between words, and within a word that is wider than a line. A character that is wider
 * by itself gets a line of its own.
 *
 * @param text printable
 * @param widthOf in the unit of `width`
 */
export function wrap(text: string, width: number, widthOf: (text: string) => number): readonly string[] {
  return text.split('\n').flatMap((paragraph) => {
    const lines: string[] = [];
    let line = '';
    for (const word of paragraph.split(/ +/)) {
      const longer = line === '' ? word : `${line} ${word}`;
      if (widthOf(longer) <= width) {
        line = longer;
        continue;
      }
      if (line !== '') lines.push(line);
      const pieces = breakWord(word, width, widthOf);
      lines.push(...pieces.slice(0, -1));
      line = pieces.at(-1) ?? '';
    }
    return [...lines, line];
  });
}

/** Character by character, so that a word of thousands of them is measured once. */
function breakWord(word: string, width: number, widthOf: (text: string) => number): readonly string[] {
  if (widthOf(word) <= width) return [word];
  const pieces: string[] = [];
  let piece = '';
  let used = 0;
  for (const character of word) {
    const needed = widthOf(character);
    if (piece !== '' && used + needed > width) {
      pieces.push(piece);
      piece = '';
      used = 0;
    }
    piece += character;
    used += needed;
  }
  return [...pieces, piece];
}
