/** Rows as aligned columns. Where there is a width, the widest columns are cut until the rows fit. */
import { clip, columns, oneLine } from './terminal.ts';

export interface Column {
  readonly title: string;
  /** Numbers are easier to compare when they end at the same place. */
  readonly right?: boolean;
  /** An id that is cut cannot be copied into the next command. */
  readonly whole?: boolean;
}

const gap = 2;
/** No other column is cut below this. */
const narrowest = 8;
/** Where there is no width to keep to, one long input should still not fill the page. `--json` has all of it. */
const longestCell = 200;

export function table(heads: readonly Column[], rows: readonly (readonly string[])[], width = Number.POSITIVE_INFINITY): string {
  const lines = [heads.map((head) => head.title), ...rows].map((row) => row.map((cell) => clip(oneLine(cell), longestCell)));
  const widths = heads.map((_, at) => Math.max(...lines.map((cells) => columns(cells[at] ?? ''))));
  shrink(
    widths,
    width - gap * (heads.length - 1),
    heads.map(({ whole }, at) => (whole === true ? (widths[at] as number) : narrowest)),
  );
  return lines
    .map((cells) =>
      heads
        .map(({ right }, at) => {
          const cell = clip(cells[at] ?? '', widths[at] as number);
          const space = ' '.repeat((widths[at] as number) - columns(cell));
          return right === true ? space + cell : cell + space;
        })
        .join(' '.repeat(gap))
        .trimEnd(),
    )
    .join('\n');
}

/** Takes from the widest column until all fit, or none can give any more. */
function shrink(widths: number[], available: number, least: readonly number[]): void {
  for (let total = widths.reduce((sum, width) => sum + width, 0); total > available; total--) {
    let widest = -1;
    for (const [at, width] of widths.entries()) {
      if (width > (least[at] as number) && width > (widths[widest] ?? 0)) widest = at;
    }
    if (widest === -1) return;
    widths[widest] = (widths[widest] as number) - 1;
  }
}
