/**
 * A4 pages that fill from top to bottom with rows of cells. A row that does not fit goes on on the next page, line by line, below
 * whatever is repeated there; pdfkit's own tables cut a high row off and repeat nothing. The bytes depend on nothing but what is
 * set: no clock, no random id, and no compression, whose output differs between versions and processors.
 */
import { finished } from 'node:stream/promises';
import PdfKit from 'pdfkit';
import { printable, wrap } from './printable-text.ts';

export interface Style {
  readonly weight: 'regular' | 'bold';
  /** Points. */
  readonly size: number;
  readonly colour: 'black' | 'grey';
}

export interface Line {
  readonly text: string;
  readonly style: Style;
}

/** A column within a row. */
export interface Cell {
  /** Points from the left edge of the page, as all of these. */
  readonly x: number;
  readonly width: number;
  readonly align?: 'left' | 'right';
  readonly lines: readonly Line[];
}

export interface Sheet {
  /** Makes text printable and cuts it into lines of that width. */
  readonly lines: (text: string, width: number, style: Style) => readonly Line[];
  /** Sets a row below the last one, its cells side by side. A low one is kept on one page. */
  readonly row: (cells: readonly Cell[]) => void;
  /** A line across the page. */
  readonly rule: () => void;
  readonly gap: (points: number) => void;
  /** Begins a page unless there are so many points left. */
  readonly need: (points: number) => void;
  /** Set at the top of each new page from now on, such as the head of a table. */
  readonly repeat: (draw: (() => void) | undefined) => void;
  /** Sets the foot of each page and gives the file. Nothing can be set afterwards. */
  readonly finish: (foot: (page: number, pages: number) => readonly Cell[]) => Promise<Buffer>;
}

export interface SheetOptions {
  /** The name of a standard font, or the bytes of a TrueType or OpenType font. */
  readonly fonts: Readonly<Record<Style['weight'], string | Uint8Array>>;
  /** In the file's properties; ASCII. */
  readonly title: string;
  /** In the file's properties. */
  readonly createdAt: Date;
}

export const pageWidth = 595.28;
export const pageHeight = 841.89;
export const margin = 48;

/** Where the last row ends. */
const bottom = pageHeight - 64;
const footTop = pageHeight - 44;
/** A row up to a quarter of a page is not divided. */
const keptTogether = pageHeight / 4;

const colours = { black: '#1d2733', grey: '#5d6875' };

const heightOf = ({ style }: Line) => style.size * 1.35;

/** @throws Error of pdfkit for a font that it cannot read */
export function openSheet({ fonts, title, createdAt }: SheetOptions): Sheet {
  const doc = new PdfKit({
    size: 'A4',
    margin: 0,
    compress: false,
    bufferPages: true,
    pdfVersion: '1.7',
    lang: 'en',
    displayTitle: true,
    info: { Title: title, Creator: 'Taktline', CreationDate: createdAt },
  });
  const chunks: Buffer[] = [];
  doc.on('data', (chunk: Buffer) => chunks.push(chunk));
  const names = { regular: nameOf('regular'), bold: nameOf('bold') };

  let top = margin;
  let repeated: (() => void) | undefined;

  /** A standard font keeps its own name: under another one pdfkit would read it anew at each change of fonts. */
  function nameOf(weight: Style['weight']): string {
    const font = fonts[weight];
    if (typeof font === 'string') return font;
    doc.registerFont(weight, font);
    return weight;
  }

  const use = ({ weight, size, colour }: Style) => doc.font(names[weight]).fontSize(size).fillColor(colours[colour]);

  const set = ({ x, width, align = 'left' }: Cell, { text, style }: Line, y: number) => {
    use(style);
    const left = align === 'left' ? x : x + width - doc.widthOfString(text);
    doc.text(text, left, y, { lineBreak: false });
  };

  const begin = () => {
    doc.addPage();
    top = margin;
    repeated?.();
  };

  const need = (points: number) => {
    if (top + points > bottom) begin();
  };

  /** Sets of a cell what fits on this page. */
  const fill = (cell: Cell) => {
    let end = top;
    let count = 0;
    for (const line of cell.lines) {
      if (end + heightOf(line) > bottom) break;
      set(cell, line, end);
      end += heightOf(line);
      count += 1;
    }
    return { end, rest: { ...cell, lines: cell.lines.slice(count) } };
  };

  return {
    lines: (text, width, style) => {
      use(style);
      return wrap(printable(text), width, (part) => doc.widthOfString(part)).map((line) => ({ text: line, style }));
    },
    row: (cells) => {
      const heights = cells.map(({ lines }) => lines.reduce((sum, line) => sum + heightOf(line), 0));
      const height = Math.max(0, ...heights);
      if (height <= keptTogether) need(height);
      for (let left = cells; left.length > 0; ) {
        const filled = left.map(fill);
        top = Math.max(...filled.map(({ end }) => end));
        left = filled.map(({ rest }) => rest).filter(({ lines }) => lines.length > 0);
        if (left.length > 0) begin();
      }
    },
    rule: () => {
      doc
        .moveTo(margin, top)
        .lineTo(pageWidth - margin, top)
        .lineWidth(0.5)
        .strokeColor('#c5ccd4')
        .stroke();
    },
    gap: (points) => {
      top += points;
    },
    need,
    repeat: (draw) => {
      repeated = draw;
    },
    finish: async (foot) => {
      const { count } = doc.bufferedPageRange();
      for (let page = 0; page < count; page += 1) {
        doc.switchToPage(page);
        for (const cell of foot(page + 1, count)) for (const line of cell.lines) set(cell, line, footTop);
      }
      doc.end();
      await finished(doc);
      return Buffer.concat(chunks);
    },
  };
}
