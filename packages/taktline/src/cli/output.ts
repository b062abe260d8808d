/** Where a command writes: what was asked for to standard output, everything else to standard error. */
import { type Column, table } from './table.ts';
import { jsonText, oneLine } from './terminal.ts';

export interface JsonOption {
  readonly json?: boolean;
}

/** A reader that has gone (`| head`) is no failure: the command does its work and writes no more. */
export function ignoreClosedPipes(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE' && error.code !== 'ERR_STREAM_DESTROYED') throw error;
    });
  }
}

/** A line of the answer. It must hold no text of others that has not been through `oneLine()`. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** One JSON document, the whole of the answer. */
export function printJson(document: unknown): void {
  print(jsonText(document));
}

/** The rows as a table, or a sentence when there are none. */
export function printTable(heads: readonly Column[], rows: readonly (readonly string[])[], none: string): void {
  print(rows.length === 0 ? none : table(heads, rows, process.stdout.isTTY ? process.stdout.columns : undefined));
}

/** A line beside the answer, for people. */
export function note(text: string): void {
  process.stderr.write(`${oneLine(text)}\n`);
}

/** Name and value, below each other. */
export function pairs(rows: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${oneLine(value)}`.trimEnd()).join('\n');
}

/** A length of time in one unit or two: `850 ms`, `12 s`, `3 min 5 s`, `2 h 10 min`, `4 d 3 h`. */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`;
  const seconds = Math.floor(ms / 1_000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3_600) return two(Math.floor(seconds / 60), 'min', seconds % 60, 's');
  if (seconds < 86_400) return two(Math.floor(seconds / 3_600), 'h', Math.floor((seconds % 3_600) / 60), 'min');
  return two(Math.floor(seconds / 86_400), 'd', Math.floor((seconds % 86_400) / 3_600), 'h');
}

function two(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`;
}

/** How long ago a moment was, by this machine's clock, which is near enough for people. */
export function age(iso: string | undefined): string {
  return iso === undefined ? '' : duration(Date.now() - Date.parse(iso));
}

/** How long it is until a moment. */
export function ahead(iso: string | undefined): string {
  if (iso === undefined) return '';
  const ms = Date.parse(iso) - Date.now();
  return ms <= 0 ? 'now' : duration(ms);
}

/** A moment, to the second, in UTC. */
export function moment(iso: string | undefined): string {
  return iso === undefined ? '' : `${iso.slice(0, 19).replace('T', ' ')}Z`;
}
