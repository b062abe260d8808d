/**
 * Text for terminals. What is stored with a job was written by anybody: a control character in it could move the cursor,
 * recolour the screen or type on the user's behalf, and a direction mark could show a name backwards.
 */

/** Control characters of both sets, line and paragraph separators, and what turns the direction of text. */
const unsafe = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/gu;

/** The text on one line, with everything unsafe written as an escape. */
export function oneLine(text: string): string {
  return text.toWellFormed().replace(/\s+/g, ' ').replace(unsafe, escaped);
}

/** JSON whose every character can be shown: what is escaped means the same to a program. */
export function jsonText(value: unknown, indent?: number): string {
  // Absent values are null, so that a key is always there.
  const json = JSON.stringify(value, (_, item: unknown) => (item === undefined ? null : item), indent);
  return json.replace(unsafe, (char) => (char === '\n' ? char : escaped(char)));
}

function escaped(char: string): string {
  return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

const wide =
  /\p{Extended_Pictographic}|[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]/u;
const none = /[\p{Mn}\p{Me}\p{Cf}\ufe0f]/u;

/** Columns that the text takes, near enough: accents take none, East Asian characters and pictures two. */
export function columns(text: string): number {
  if (/^[ -~]*$/.test(text)) return text.length;
  let count = 0;
  for (const char of text) count += none.test(char) ? 0 : wide.test(char) ? 2 : 1;
  return count;
}

/** The text, cut to at most so many columns. */
export function clip(text: string, most: number): string {
  if (columns(text) <= most) return text;
  let kept = '';
  let count = 0;
  for (const char of text) {
    const width = columns(char);
    if (count + width > most - 1) break;
    kept += char;
    count += width;
  }
  return `${kept}…`;
}
